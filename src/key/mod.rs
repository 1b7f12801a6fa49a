//! Key → hash → key group → task.
//!
//! Always: the hash of a key and the group of a hash are part of the stored format, the same on every platform and in every
//! version; and the router of records and the owner of state are computed here, from the same numbers.

mod group;
mod hash;
mod parts;
mod whole;

pub(crate) use group::KeyGroups;
pub(crate) use hash::{HASH_ALGORITHM, KeyHasher};

/// What records can be keyed by: any plain value that serde can write and read.
///
/// Implemented for every type that has what it takes. Keys that are one integer are the fastest, short strings come next.
///
/// The stored state depends on how a key is serialised: keys that are equal must be serialised equally, in every version of the
/// program. Newtype structs and the names and widths of fields may change (`struct Account(u64)`, `u64` and `u32` are one), the
/// order of a struct's fields and the names of an enum's variants may not. Maps are refused when the first record arrives, because
/// a `HashMap` has another order in every process; a `HashSet` has too, so use a `BTreeSet`.
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
/// struct Route {
///     origin: String,
///     flight: u16,
/// }
///
/// fn is_a_key<K: tidegate::Key>() {}
/// is_a_key::<Route>();
/// is_a_key::<(String, u64)>();
/// ```
pub trait Key: Clone + Eq + Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static {}

impl<K> Key for K where K: Clone + Eq + Send + Sync + serde::Serialize + serde::de::DeserializeOwned + 'static {}
