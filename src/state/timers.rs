//! The timers of one keyed operator instance.
//!
//! The truth is a keyed table of timer sets, so that a view of it is copy-on-write like all other state; the index beside it only
//! finds what is due. Always: one timer for each key, domain and time; and a timer is gone before it is handed out, so that a
//! callback may register it again. Owned by the task and used on its thread.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::key::KeyGroups;
use crate::time::Timestamp;
use crate::timer::{Pending, Place, TimeDomain, Timer, TimerIndex, TimerSet};

use super::restore;
use super::table::{KeyHasher, KeyedTable};
use super::view::{Kept, StateDescriptor, StateKind, StateView};

/// The name under which timers are kept among an operator's states. No other state may have it.
pub(crate) const TIMERS: &str = "timers";
/// The schema version under which timers are written.
const VERSION: u32 = 1;

/// A timer that came due, with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueTimer<K> {
    pub(crate) timer: Timer,
    pub(crate) hash: u64,
    pub(crate) key: K,
}

/// The timers of one operator instance, over all its keys. Callbacks reach them through a [`super::KeyTimers`] only.
pub(crate) struct Timers<K> {
    descriptor: StateDescriptor,
    sets: KeyedTable<K, TimerSet>,
    index: TimerIndex<K>,
    /// The turn of the timer that is registered next.
    next_turn: u64,
}

fn descriptor() -> StateDescriptor {
    StateDescriptor::new(TIMERS, StateKind::Timers, VERSION)
}

impl<K: Clone + Eq> Timers<K> {
    /// The timers of an instance that owns these key groups, as a checkpoint kept them.
    ///
    /// # Errors
    /// [`crate::Error::StateMismatch`] where what was stored cannot be read.
    pub(crate) fn new(
        groups: KeyGroups,
        owned: Range<u16>,
        hasher: &KeyHasher<K>,
        stored: Option<(StateDescriptor, Kept)>,
    ) -> Result<Self>
    where
        K: Send + Sync + Serialize + DeserializeOwned + 'static,
    {
        let descriptor = descriptor().keyed_by::<K>();
        let (stored, kept) = stored.unwrap_or_else(|| (descriptor.clone(), Kept::NOTHING));
        stored.expect(&descriptor)?;
        let sets = restore::table(TIMERS, kept, groups, owned, hasher)?;
        let mut timers = Timers { descriptor, sets, index: TimerIndex::new(), next_turn: 0 };
        timers.rebuild(hasher);
        Ok(timers)
    }

    /// Fills the index from the sets. Timers that came from different instances may want the same place: one gets a later turn.
    /// Nothing else is written to the sets, which may be shared.
    fn rebuild(&mut self, hasher: &KeyHasher<K>) {
        let turns = self.sets.iter().flat_map(|(_, _, set)| set.as_slice()).map(|pending| pending.turn);
        self.next_turn = turns.max().map_or(0, |turn| turn.saturating_add(1));
        let (mut displaced, mut empty) = (Vec::new(), Vec::new());
        for (_, key, set) in self.sets.iter() {
            let hash = hasher(key);
            for Pending { timer, turn } in set.as_slice() {
                let place = Place { time: timer.time, turn: *turn, hash };
                if !self.index.insert(timer.domain, place, key.clone()) {
                    displaced.push((hash, key.clone(), *timer));
                }
            }
            if set.is_empty() {
                empty.push((hash, key.clone()));
            }
        }
        displaced.into_iter().for_each(|(hash, key, timer)| self.displace(hash, &key, timer));
        empty.into_iter().for_each(|(hash, key)| drop(self.sets.remove(hash, &key)));
    }

    /// Gives a timer, whose place another one has, a later turn.
    fn displace(&mut self, hash: u64, key: &K, timer: Timer) {
        let turns = self.sets.get_mut(hash, key).into_iter().flat_map(TimerSet::turns_mut);
        for (_, turn) in turns.filter(|(other, _)| *other == timer) {
            let Timer { domain, time } = timer;
            loop {
                *turn = self.next_turn;
                self.next_turn = self.next_turn.wrapping_add(1);
                if self.index.insert(domain, Place { time, turn: *turn, hash }, key.clone()) {
                    break;
                }
            }
        }
    }

    /// Registers a timer of a key. False where it is registered already.
    pub(crate) fn register(&mut self, hash: u64, key: &K, timer: Timer) -> bool {
        let Timer { domain, time } = timer;
        if self.sets.get(hash, key).is_some_and(|set| set.turn(timer).is_some()) {
            return false;
        }
        let turn = self.next_turn;
        self.next_turn = turn.wrapping_add(1);
        self.sets.get_or_insert_with(hash, key, TimerSet::default).insert(Pending { timer, turn });
        self.index.insert(domain, Place { time, turn, hash }, key.clone())
    }

    /// Deletes a timer of a key. False where there is none at exactly this time.
    pub(crate) fn delete(&mut self, hash: u64, key: &K, timer: Timer) -> bool {
        let Timer { domain, time } = timer;
        match take(&mut self.sets, hash, key, timer) {
            Some(turn) => self.index.remove(domain, Place { time, turn, hash }),
            None => return false,
        }
        true
    }

    /// Takes out the first timer that is due at `up_to`: the earliest, and among those of one time the one registered first.
    pub(crate) fn pop_due(&mut self, domain: TimeDomain, up_to: Timestamp) -> Option<DueTimer<K>> {
        let (timer, hash, key) = self.index.pop_due(domain, up_to)?;
        let turn = take(&mut self.sets, hash, &key, timer);
        debug_assert!(turn.is_some(), "the index holds only timers of the sets");
        Some(DueTimer { timer, hash, key })
    }

    /// All timers, frozen.
    pub(crate) fn view(&mut self) -> Arc<dyn StateView>
    where
        K: Serialize + Send + Sync + 'static,
    {
        Arc::new(self.sets.view().described(self.descriptor.clone()))
    }
}

impl<K> Timers<K> {
    /// When the next timer is due.
    pub(crate) fn next_due(&self, domain: TimeDomain) -> Option<Timestamp> {
        self.index.next_due(domain)
    }
}

impl<K> fmt::Debug for Timers<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("sets", &self.sets).field("next_turn", &self.next_turn).finish_non_exhaustive()
    }
}

/// Takes a timer out of its key's set, and returns its turn. A set that is empty then is removed.
fn take<K: Clone + Eq>(sets: &mut KeyedTable<K, TimerSet>, hash: u64, key: &K, timer: Timer) -> Option<u64> {
    sets.get(hash, key)?.turn(timer)?;
    let set = sets.get_mut(hash, key)?;
    let turn = set.remove(timer)?;
    if set.is_empty() {
        sets.remove(hash, key);
    }
    Some(turn)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::state::Block;
    use crate::state::tests::{blocks, hash, hasher};
    use TimeDomain::{Event, Processing};

    const GROUPS: KeyGroups = KeyGroups::new(8);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn timers(stored: Option<Vec<Block>>, owned: Range<u16>) -> Timers<u64> {
        Timers::new(GROUPS, owned, &hasher(), stored.map(|blocks| (descriptor(), blocks.into()))).unwrap()
    }

    fn fresh() -> Timers<u64> {
        timers(None, 0..8)
    }

    fn register(timers: &mut Timers<u64>, key: u64, domain: TimeDomain, time: i64) -> bool {
        timers.register(hash(&key), &key, Timer { domain, time: at(time) })
    }

    fn delete(timers: &mut Timers<u64>, key: u64, domain: TimeDomain, time: i64) -> bool {
        timers.delete(hash(&key), &key, Timer { domain, time: at(time) })
    }

    fn pop(timers: &mut Timers<u64>, domain: TimeDomain, up_to: i64) -> Option<(i64, u64)> {
        timers.pop_due(domain, at(up_to)).map(|due| (due.timer.time.millis(), due.key))
    }

    fn pop_all(timers: &mut Timers<u64>, domain: TimeDomain, up_to: i64) -> Vec<(i64, u64)> {
        std::iter::from_fn(|| pop(timers, domain, up_to)).collect()
    }

    #[test]
    fn d14_timers_come_due_in_order_of_time_then_of_registration() {
        let mut timers = fresh();
        for (key, time) in [(1, 6), (2, 4), (3, 6), (4, 4), (5, 11)] {
            register(&mut timers, key, Event, time);
        }
        assert_eq!(timers.next_due(Event), Some(at(4)));
        assert_eq!(pop_all(&mut timers, Event, 10), [(4, 2), (4, 4), (6, 1), (6, 3)]);
        assert_eq!(timers.next_due(Event), Some(at(11)));
    }

    #[test]
    fn d14_timers_of_one_time_fire_in_the_order_of_registration_over_a_restart() {
        let mut first = fresh();
        (0..20).for_each(|key| assert!(register(&mut first, key, Event, 10)));
        let mut restored = timers(Some(blocks(&*first.view())), 0..8);
        (20..40).for_each(|key| assert!(register(&mut restored, key, Event, 10)));
        assert_eq!(pop_all(&mut restored, Event, 10), (0..40).map(|key| (10, key)).collect::<Vec<_>>());
    }

    #[test]
    fn d12_a_timer_at_the_end_of_time_fires_at_the_last_watermark() {
        let mut timers = fresh();
        for domain in [Event, Processing] {
            register(&mut timers, 1, domain, i64::MAX);
            assert_eq!(pop(&mut timers, domain, i64::MAX - 1), None);
            assert_eq!(pop(&mut timers, domain, i64::MAX), Some((i64::MAX, 1)));
        }
    }

    #[test]
    fn d15_one_timer_for_each_key_time_and_domain() {
        let mut timers = fresh();
        assert!(register(&mut timers, 1, Event, 10));
        assert!(!register(&mut timers, 1, Event, 10));
        assert!(register(&mut timers, 1, Processing, 10));
        assert!(register(&mut timers, 1, Event, 20));
        assert!(!delete(&mut timers, 2, Event, 10), "of another key");
        assert!(!delete(&mut timers, 1, Event, 11), "at another time");
        assert!(delete(&mut timers, 1, Event, 20));
        assert!(!delete(&mut timers, 1, Event, 20));
        assert_eq!(pop_all(&mut timers, Event, 100), [(10, 1)]);
        assert_eq!(pop_all(&mut timers, Processing, 100), [(10, 1)]);
    }

    #[test]
    fn d15_registering_and_deleting_leaves_nothing_behind() {
        let mut timers = fresh();
        for time in 0..1000 {
            register(&mut timers, 1, Event, time);
            delete(&mut timers, 1, Event, time);
        }
        assert_eq!(timers.next_due(Event), None);
        assert!(timers.sets.is_empty());
    }

    #[test]
    fn d16_a_timer_is_gone_before_it_fires_and_may_be_registered_again() {
        let mut timers = fresh();
        register(&mut timers, 1, Event, 10);
        register(&mut timers, 1, Event, 11);
        assert_eq!(pop(&mut timers, Event, 15), Some((10, 1)));
        assert!(register(&mut timers, 1, Event, 10), "it is gone");
        register(&mut timers, 1, Event, 12);
        delete(&mut timers, 1, Event, 11);
        assert_eq!(pop_all(&mut timers, Event, 15), [(10, 1), (12, 1)]);
    }

    #[test]
    fn d18_timers_of_both_domains_are_restored_and_the_overdue_fire_once() {
        let mut first = fresh();
        for key in (0..50).rev() {
            register(&mut first, key, Processing, 10);
            register(&mut first, key, Event, 10 + key as i64);
        }
        let mut restored = timers(Some(blocks(&*first.view())), 0..8);
        assert_eq!(pop_all(&mut restored, Processing, 500), pop_all(&mut first, Processing, 500), "in the same order");
        assert_eq!(pop(&mut restored, Processing, 500), None);
        assert_eq!(pop_all(&mut restored, Event, 9), []);
        assert_eq!(pop_all(&mut restored, Event, 100).len(), 50);
        assert!(restored.sets.is_empty());
    }

    #[test]
    fn d18_timers_that_are_kept_in_memory_are_taken_up_without_a_copy() {
        let mut first = fresh();
        for key in (0..50).rev() {
            register(&mut first, key, Event, 10);
            register(&mut first, key, Processing, 20);
        }
        let kept = Kept::View(first.view());
        let mut restored = Timers::new(GROUPS, 0..8, &hasher(), Some((descriptor(), kept.clone()))).unwrap();
        assert_eq!(restored.sets.copies(), 0);
        assert_eq!(pop_all(&mut restored, Event, 10), pop_all(&mut first, Event, 10), "in the same order");
        assert!(restored.sets.copies() > 0, "what fired is gone here, and not in what is kept");
        let mut again = Timers::new(GROUPS, 0..8, &hasher(), Some((descriptor(), kept))).unwrap();
        assert_eq!(pop_all(&mut again, Event, 10).len(), 50);
        assert!(register(&mut again, 1, Event, 11));
    }

    #[test]
    fn c13_d18_timers_move_with_their_key_groups() {
        let mut written = Vec::new();
        for owned in [0..3, 3..8] {
            let mut part = timers(None, owned.clone());
            for key in (0..100).filter(|key| owned.contains(&GROUPS.of(hash(key)).0)) {
                register(&mut part, key, Event, 7);
            }
            written.extend(blocks(&*part.view()));
        }
        let mut one = timers(Some(written), 0..8);
        let mut keys: Vec<u64> = pop_all(&mut one, Event, 7).into_iter().map(|(_, key)| key).collect();
        keys.sort();
        assert_eq!(keys, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn b3_a_view_of_timers_is_frozen() {
        let mut timers = fresh();
        (0..30).for_each(|key| assert!(register(&mut timers, key, Event, 10) && register(&mut timers, key, Event, 20)));
        let view = timers.view();
        let before = blocks(&*view);
        pop_all(&mut timers, Event, 15);
        (0..60).for_each(|key| assert!(register(&mut timers, key, Event, 12)));
        (0..30).for_each(|key| assert!(delete(&mut timers, key, Event, 20)));
        assert_eq!(blocks(&*view), before);
        assert_ne!(blocks(&*timers.view()), before);
    }

    #[test]
    fn timers_that_want_one_place_all_fire() {
        let same: KeyHasher<u64> = Arc::new(|_| 42);
        let group = GROUPS.of(42);
        let mut bytes = Vec::new();
        for key in 0..3u64 {
            let pending = Pending { timer: Timer { domain: Event, time: at(1) }, turn: u64::MAX };
            crate::codec::encode(&(key), &mut bytes).unwrap();
            crate::codec::encode(&TimerSet::One(pending), &mut bytes).unwrap();
        }
        let stored = Some((descriptor(), vec![Block { group: Some(group), entries: 3, bytes }].into()));
        let mut timers = Timers::new(GROUPS, 0..8, &same, stored).unwrap();
        assert_eq!(pop_all(&mut timers, Event, 1).len(), 3);
    }

    proptest! {
        #[test]
        fn d15_d16_timers_do_what_a_sorted_map_does(
            ops in prop::collection::vec((0..4u8, 0..5u64, any::<bool>(), 0..12i64), 1..80),
        ) {
            let mut timers = fresh();
            let mut model: BTreeMap<(TimeDomain, i64, usize), u64> = BTreeMap::new();
            for (turn, (op, key, event, time)) in ops.into_iter().enumerate() {
                let domain = if event { Event } else { Processing };
                let same = model.iter().find(|((d, t, _), k)| (*d, *t, **k) == (domain, time, key)).map(|(at, _)| *at);
                match op {
                    0 | 1 => {
                        prop_assert_eq!(register(&mut timers, key, domain, time), same.is_none());
                        if same.is_none() {
                            model.insert((domain, time, turn), key);
                        }
                    }
                    2 => {
                        prop_assert_eq!(delete(&mut timers, key, domain, time), same.is_some());
                        same.map(|at| model.remove(&at));
                    }
                    _ => {
                        let due = model.range((domain, i64::MIN, 0)..=(domain, time, usize::MAX)).next();
                        let due = due.map(|(at, key)| (*at, *key));
                        prop_assert_eq!(pop(&mut timers, domain, time), due.map(|((_, time, _), key)| (time, key)));
                        due.map(|(at, _)| model.remove(&at));
                        timers = self::timers(Some(blocks(&*timers.view())), 0..8);
                    }
                }
            }
        }
    }
}
