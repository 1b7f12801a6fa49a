//! The timers of one key: what a checkpoint keeps.
//!
//! Always: sorted by domain and time, without duplicates. One timer, the usual case, needs no allocation; several sit in an `Arc`,
//! so that copying a segment of the table copies none of them deeply.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

use super::{TimeDomain, Timer};

/// A timer that has not fired, with its turn among those of the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) timer: Timer,
    /// Rises with each timer that an instance registers, so that a restored instance fires in the order of the first one.
    pub(crate) turn: u64,
}

/// The timers of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum TimerSet {
    #[default]
    Empty,
    One(Pending),
    Many(Arc<Vec<Pending>>),
}

impl TimerSet {
    /// All timers, by domain and time.
    pub(crate) fn as_slice(&self) -> &[Pending] {
        match self {
            TimerSet::Empty => &[],
            TimerSet::One(pending) => std::slice::from_ref(pending),
            TimerSet::Many(pending) => pending,
        }
    }

    /// All timers, to give them other turns.
    pub(crate) fn turns_mut(&mut self) -> impl Iterator<Item = (Timer, &mut u64)> {
        let pending = match self {
            TimerSet::Empty => &mut [],
            TimerSet::One(pending) => std::slice::from_mut(pending),
            TimerSet::Many(pending) => Arc::make_mut(pending).as_mut_slice(),
        };
        pending.iter_mut().map(|pending| (pending.timer, &mut pending.turn))
    }

    /// True where there is no timer.
    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The turn of a timer, if it is here.
    pub(crate) fn turn(&self, timer: Timer) -> Option<u64> {
        self.as_slice().get(self.find(timer).ok()?).map(|pending| pending.turn)
    }

    /// Adds a timer. False where it was there before; it then keeps its turn.
    pub(crate) fn insert(&mut self, pending: Pending) -> bool {
        let Err(at) = self.find(pending.timer) else { return false };
        match self {
            TimerSet::Empty => *self = TimerSet::One(pending),
            TimerSet::One(one) => {
                let mut many = vec![*one];
                many.insert(at, pending);
                *self = TimerSet::Many(Arc::new(many));
            }
            TimerSet::Many(many) => Arc::make_mut(many).insert(at, pending),
        }
        true
    }

    /// Takes a timer out, and returns its turn.
    pub(crate) fn remove(&mut self, timer: Timer) -> Option<u64> {
        let at = self.find(timer).ok()?;
        match self {
            TimerSet::Many(many) => Some(Arc::make_mut(many).remove(at).turn),
            _ => match std::mem::take(self) {
                TimerSet::One(pending) => Some(pending.turn),
                _ => None,
            },
        }
    }

    /// Where the timer is, or would be.
    fn find(&self, timer: Timer) -> Result<usize, usize> {
        self.as_slice().binary_search_by_key(&timer, |pending| pending.timer)
    }
}

impl FromIterator<Pending> for TimerSet {
    fn from_iter<I: IntoIterator<Item = Pending>>(pending: I) -> Self {
        let mut many: Vec<Pending> = pending.into_iter().collect();
        many.sort_by_key(|pending| (pending.timer, pending.turn));
        many.dedup_by_key(|pending| pending.timer);
        match many.as_slice() {
            [] => TimerSet::Empty,
            [one] => TimerSet::One(*one),
            _ => TimerSet::Many(Arc::new(many)),
        }
    }
}

/// How a timer is written: as an array, since there are many of them.
type Written = (TimeDomain, Timestamp, u64);

impl Serialize for TimerSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = |pending: &Pending| -> Written { (pending.timer.domain, pending.timer.time, pending.turn) };
        serializer.collect_seq(self.as_slice().iter().map(written))
    }
}

impl<'de> Deserialize<'de> for TimerSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Vec::<Written>::deserialize(deserializer)?;
        Ok(written.into_iter().map(|(domain, time, turn)| Pending { timer: Timer { domain, time }, turn }).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::codec;

    fn pending() -> impl Strategy<Value = Pending> {
        (any::<bool>(), 0..6i64, any::<u64>()).prop_map(|(event, time, turn)| {
            let domain = if event { TimeDomain::Event } else { TimeDomain::Processing };
            Pending { timer: Timer { domain, time: Timestamp::from_millis(time) }, turn }
        })
    }

    proptest! {
        #[test]
        fn a_set_is_a_sorted_map(ops in prop::collection::vec((any::<bool>(), pending()), 0..40)) {
            let (mut set, mut model) = (TimerSet::default(), BTreeMap::new());
            for (insert, pending) in ops {
                if insert {
                    prop_assert_eq!(set.insert(pending), !model.contains_key(&pending.timer));
                    model.entry(pending.timer).or_insert(pending.turn);
                } else {
                    prop_assert_eq!(set.remove(pending.timer), model.remove(&pending.timer));
                }
                let listed: Vec<_> = set.as_slice().iter().map(|pending| (pending.timer, pending.turn)).collect();
                prop_assert_eq!(listed, model.iter().map(|(timer, turn)| (*timer, *turn)).collect::<Vec<_>>());
            }
            let mut bytes = Vec::new();
            codec::encode(&set, &mut bytes).unwrap();
            let read: TimerSet = codec::decode(&bytes).unwrap();
            prop_assert_eq!(read.as_slice(), set.as_slice());
        }
    }
}
