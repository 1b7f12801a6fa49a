//! A pane: what a window has of one key.
//!
//! It is written as a list: what the trigger remembers, then, unless it was purged, the accumulator.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::trigger::TriggerResult;

/// The contents of a window for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pane<A, S> {
    /// None after a purge.
    pub(super) acc: Option<A>,
    pub(super) trigger: S,
}

impl<A, S> Pane<A, S> {
    /// Does what the trigger has decided; the result, if one goes out. A pane that holds nothing has none.
    #[inline]
    pub(super) fn obey<R>(&mut self, decided: TriggerResult, result: impl FnOnce(&A) -> R) -> Option<R> {
        let fired = self.fire(decided, result);
        if decided.purges() {
            self.acc = None;
        }
        fired
    }

    /// The result that goes out, where the pane is not needed afterwards.
    #[inline]
    pub(super) fn fire<R>(&self, decided: TriggerResult, result: impl FnOnce(&A) -> R) -> Option<R> {
        if decided.fires() { self.acc.as_ref().map(result) } else { None }
    }
}

impl<A: Serialize, S: Serialize> Serialize for Pane<A, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let mut list = serializer.serialize_seq(Some(1 + usize::from(self.acc.is_some())))?;
        list.serialize_element(&self.trigger)?;
        if let Some(acc) = &self.acc {
            list.serialize_element(acc)?;
        }
        list.end()
    }
}

impl<'de, A: Deserialize<'de>, S: Deserialize<'de>> Deserialize<'de> for Pane<A, S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PaneVisitor(PhantomData))
    }
}

struct PaneVisitor<A, S>(PhantomData<fn() -> (A, S)>);

impl<'de, A: Deserialize<'de>, S: Deserialize<'de>> Visitor<'de> for PaneVisitor<A, S> {
    type Value = Pane<A, S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of what a trigger remembers and, at most, an accumulator")
    }

    fn visit_seq<L: SeqAccess<'de>>(self, mut list: L) -> Result<Pane<A, S>, L::Error> {
        let trigger = list.next_element()?.ok_or_else(|| L::Error::invalid_length(0, &self))?;
        let acc = list.next_element()?;
        if list.next_element::<IgnoredAny>()?.is_some() {
            return Err(L::Error::invalid_length(3, &self));
        }
        Ok(Pane { acc, trigger })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    fn again<A: Serialize + serde::de::DeserializeOwned>(acc: Option<A>) -> Pane<A, u64> {
        let mut bytes = Vec::new();
        encode(&Pane { acc, trigger: 3u64 }, &mut bytes).unwrap();
        decode(&bytes).unwrap()
    }

    #[test]
    fn an_accumulator_of_nothing_is_no_purged_one() {
        assert_eq!(again::<()>(Some(())).acc, Some(()));
        assert_eq!(again::<()>(None).acc, None);
        assert_eq!(again::<Option<u8>>(Some(None)).acc, Some(None));
        assert_eq!(again::<Option<u8>>(None), Pane { acc: None, trigger: 3 });
    }

    #[test]
    fn a_list_of_another_length_is_no_pane() {
        let mut bytes = Vec::new();
        encode(&(1u64, 2u64, 3u64), &mut bytes).unwrap();
        assert!(decode::<Pane<u64, u64>>(&bytes).is_err());
        assert!(decode::<Pane<u64, u64>>(&[0x90]).is_err());
    }
}
