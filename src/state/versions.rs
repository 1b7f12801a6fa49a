//! The versions of a state's values: what they were in each, and the way from each to the next.
//!
//! Always: every step goes from one version's type to the next one's, and the last one's is what the operator works with, so that a
//! path that does not fit is no program. What was stored in an older version is rewritten before its operator reads any of it. Made by
//! the factory of an operator, and used while its states are registered, on a thread that may block.

use std::any::type_name;
use std::fmt;
use std::sync::Arc;

use crate::codec::{self, Reader, outline, shape_of};
use crate::error::{BoxError, Error, Result, chain_text};

use super::register::Stored;
use super::restore;
use super::values;
use super::view::{Block, StateDescriptor};

/// Reads a value of an older version, and makes the newest of it.
type Path<V> = Arc<dyn Fn(&mut Reader<'_>) -> Result<V, BoxError> + Send + Sync>;

/// What the values of a state were in each of its versions, the first one first, and how each is made of the one before.
///
/// Fields that serde can leave out or fill in need no version: a struct may gain a field with `#[serde(default)]`, and lose one, at any
/// time. A version is for what serde cannot read: a field of another type, another meaning, one struct in place of two values. A state
/// that was registered without versions is in version 1.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidegate::{BoxError, OpenContext, ValueState, Versions};
///
/// /// What the first release kept of an account: a balance in euros, as a text.
/// #[derive(Clone, Serialize, Deserialize)]
/// struct AccountV1 {
///     balance: String,
/// }
///
/// /// What the second one kept.
/// #[derive(Clone, Serialize, Deserialize)]
/// struct AccountV2 {
///     cents: i64,
/// }
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Account {
///     cents: i64,
///     currency: String,
/// }
///
/// fn register(ctx: &mut OpenContext<'_, u64>) -> Result<ValueState<Account>, BoxError> {
///     let versions = Versions::first::<AccountV1>()
///         .try_then(|old| Ok::<_, BoxError>(AccountV2 { cents: (old.balance.parse::<f64>()? * 100.0).round() as i64 }))
///         .then(|old| Account { cents: old.cents, currency: "EUR".into() });
///     Ok(ctx.value_versioned("account", versions)?)
/// }
/// ```
///
/// For a list these are the versions of its elements, for a map those of its values (the type of its keys never changes), for an
/// aggregating state those of the accumulator, and for operator lists and broadcast states those of the items and the values: each is
/// made anew by itself.
///
/// What is to be changed next is one line more, and a copy of the struct as it was. Where no store has the first versions any more, they
/// are left out with [`Versions::beginning_at`]. What was stored in a version that is newer, or older than all that are known, is
/// refused before the operator gets its first record.
pub struct Versions<V> {
    /// The number of the oldest version that is known.
    oldest: u32,
    /// From each version that is known to the newest, which is the last.
    paths: Vec<Path<V>>,
}

impl Versions<()> {
    /// Version 1 is `V`.
    pub fn first<V: Stored>() -> Versions<V> {
        Versions::beginning_at(1)
    }

    /// Version `number` is `V`, and what is older is not known any more.
    pub fn beginning_at<V: Stored>(number: u32) -> Versions<V> {
        Versions { oldest: number, paths: vec![as_it_is()] }
    }
}

impl<V: Stored> Versions<V> {
    /// The next version is made so of the one before.
    #[must_use]
    pub fn then<W: Stored>(self, upgrade: impl Fn(V) -> W + Send + Sync + 'static) -> Versions<W> {
        self.try_then(move |old| Ok::<W, BoxError>(upgrade(old)))
    }

    /// The next version is made so of the one before, which may fail: then what was stored is refused.
    #[must_use]
    pub fn try_then<W: Stored, E: Into<BoxError>>(
        self,
        upgrade: impl Fn(V) -> Result<W, E> + Send + Sync + 'static,
    ) -> Versions<W> {
        let upgrade = Arc::new(upgrade);
        let longer = |path: Path<V>| -> Path<W> {
            let upgrade = upgrade.clone();
            Arc::new(move |reader| upgrade(path(reader)?).map_err(Into::into))
        };
        let mut paths: Vec<Path<W>> = self.paths.into_iter().map(longer).collect();
        paths.push(as_it_is());
        Versions { oldest: self.oldest, paths }
    }

    /// The number of the newest version.
    pub(super) fn newest(&self) -> u32 {
        let after = u32::try_from(self.paths.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.oldest.saturating_add(after)
    }

    /// Rewrites what was stored in an older version; the newest comes back as it is.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] where the version is not known, or an entry cannot be made anew.
    pub(super) fn upgrade(&self, stored: &StateDescriptor, blocks: Vec<Block>) -> Result<Vec<Block>> {
        let newest = self.newest();
        if stored.version == newest {
            return Ok(blocks);
        }
        let path = stored.version.checked_sub(self.oldest).and_then(|at| self.paths.get(at as usize));
        let path = path.ok_or_else(|| self.unknown(stored, &blocks))?;
        let mut remake = |reader: &mut Reader<'_>, out: &mut Vec<u8>| {
            let at = Reader::new(reader.rest());
            let value = path(reader).map_err(|cause| self.not_made(stored.version, &at, &*cause))?;
            codec::encode(&value, out)
        };
        let mut entry = |reader: &mut Reader<'_>, out: &mut Vec<u8>| values::remade(stored, reader, out, &mut remake);
        blocks.into_iter().map(|block| restore::rewritten(&stored.name, block, &mut entry)).collect()
    }

    fn not_made(&self, version: u32, at: &Reader<'_>, cause: &(dyn std::error::Error + 'static)) -> BoxError {
        let (newest, stored, cause) = (self.newest(), outline(at.rest()), chain_text(cause));
        format!("its value in version {version}, {stored}, is not made into version {newest}, {}: {cause}", wanted::<V>()).into()
    }

    fn unknown(&self, stored: &StateDescriptor, blocks: &[Block]) -> Error {
        let (oldest, newest) = (self.oldest, self.newest());
        let shape = blocks.iter().find(|block| block.entries > 0).and_then(|block| first_value(stored, block));
        let shape = shape.map_or_else(String::new, |shape| format!(", as {shape}"));
        let advice = if stored.version > newest {
            "run the version of the program that wrote it, or a later one, or give the state another name to begin with an empty one"
        } else {
            "begin with the version that is stored, with a step from each to the next, or run a version of the program between the two"
        };
        Error::StateMismatch {
            problem: format!(
                "state '{}' is stored in version {}{shape}, and is registered in version {newest}, as {}; the oldest version that is \
                 known is {oldest}",
                stored.name,
                stored.version,
                wanted::<V>()
            ),
            advice: advice.into(),
        }
    }
}

/// What was stored in this version is read as it is.
fn as_it_is<V: Stored>() -> Path<V> {
    Arc::new(|reader| reader.next())
}

/// The name and the shape of a type.
pub(super) fn wanted<V: serde::de::DeserializeOwned>() -> String {
    format!("{} ({})", type_name::<V>(), shape_of::<V>())
}

/// The outline of a block's first value.
fn first_value(stored: &StateDescriptor, block: &Block) -> Option<String> {
    let (mut first, mut ignored) = (None, Vec::new());
    let mut look = |reader: &mut Reader<'_>, _: &mut Vec<u8>| {
        first.get_or_insert_with(|| outline(reader.rest()));
        reader.skip().map(drop)
    };
    values::remade(stored, &mut Reader::new(&block.bytes), &mut ignored, &mut look).ok()?;
    first
}

impl<V> fmt::Debug for Versions<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Versions").field("oldest", &self.oldest).field("known", &self.paths.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::KeyGroup;
    use crate::state::StateKind;

    fn block(write: impl Fn(&mut Vec<u8>)) -> Vec<Block> {
        let mut bytes = Vec::new();
        codec::encode(&7u64, &mut bytes).unwrap();
        write(&mut bytes);
        vec![Block { group: Some(KeyGroup(3)), entries: 1, bytes }]
    }

    fn stored(version: u32, stamped: bool) -> StateDescriptor {
        StateDescriptor { stamped, ..StateDescriptor::new("x", StateKind::Value, version) }
    }

    fn versions() -> Versions<String> {
        Versions::first::<u64>().then(|old| old as i64 - 100).then(|old| old.to_string())
    }

    #[test]
    fn a_value_goes_through_every_version_from_its_own() {
        assert_eq!(versions().newest(), 3);
        let newest = block(|out| codec::encode("-95", out).unwrap());
        let first = block(|out| codec::encode(&5u64, out).unwrap());
        assert_eq!(versions().upgrade(&stored(1, false), first).unwrap(), newest);
        let second = block(|out| codec::encode(&-95i64, out).unwrap());
        assert_eq!(versions().upgrade(&stored(2, false), second).unwrap(), newest);
        assert_eq!(versions().upgrade(&stored(3, false), newest.clone()).unwrap(), newest);
    }

    #[test]
    fn the_time_of_a_value_that_expires_stays_what_it_was() {
        let first = block(|out| codec::encode(&(1_700_000_000_000u64, 5u64), out).unwrap());
        let newest = block(|out| codec::encode(&(1_700_000_000_000u64, "-95"), out).unwrap());
        assert_eq!(versions().upgrade(&stored(1, true), first).unwrap(), newest);
        let without = block(|out| codec::encode(&5u64, out).unwrap());
        let error = versions().upgrade(&stored(1, true), without).unwrap_err().to_string();
        assert!(error.contains("it has no time"), "{error}");
    }

    #[test]
    fn a_version_that_is_not_known_is_refused_whatever_it_holds() {
        for version in [0, 4, u32::MAX] {
            let error = versions().upgrade(&stored(version, false), Vec::new()).unwrap_err().to_string();
            assert!(error.contains(&format!("stored in version {version}, and is registered in version 3")), "{error}");
        }
        let later = Versions::beginning_at::<u64>(u32::MAX);
        assert_eq!(later.newest(), u32::MAX);
    }
}
