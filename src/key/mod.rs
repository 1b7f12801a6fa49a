//! Key → hash → key group → task.
//!
//! Always: the hash of a key and the group of a hash are part of the stored format, the same on every platform and in every
//! version; and the router of records and the owner of state are computed here, from the same numbers.

mod group;

pub(crate) use group::KeyGroups;
