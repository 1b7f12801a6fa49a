//! Which timer is due next, over all keys of an instance.
//!
//! Always: an entry for each timer of each key's set, and no other, so that timers which are registered and deleted over and over
//! leave nothing behind. In order of time, then of registration.

use std::collections::BTreeMap;

use crate::time::Timestamp;

use super::{TimeDomain, Timer};

/// Where a timer stands in the order in which timers fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) time: Timestamp,
    pub(crate) turn: u64,
    /// The hash of the timer's key.
    pub(crate) hash: u64,
}

/// The timers of all keys, by domain and place.
#[derive(Debug)]
pub(crate) struct TimerIndex<K> {
    event: BTreeMap<Place, K>,
    processing: BTreeMap<Place, K>,
}

impl<K> TimerIndex<K> {
    /// An index without timers.
    pub(crate) fn new() -> Self {
        TimerIndex { event: BTreeMap::new(), processing: BTreeMap::new() }
    }

    /// Adds a timer of a key. False where its place is taken; nothing is changed then.
    pub(crate) fn insert(&mut self, domain: TimeDomain, place: Place, key: K) -> bool {
        let timers = self.timers_mut(domain);
        if timers.contains_key(&place) {
            return false;
        }
        timers.insert(place, key);
        true
    }

    /// Takes a timer out.
    pub(crate) fn remove(&mut self, domain: TimeDomain, place: Place) {
        self.timers_mut(domain).remove(&place);
    }

    /// Takes out the first timer that is due at `up_to`, with its key and the key's hash.
    pub(crate) fn pop_due(&mut self, domain: TimeDomain, up_to: Timestamp) -> Option<(Timer, u64, K)> {
        let first = self.timers_mut(domain).first_entry().filter(|first| first.key().time <= up_to)?;
        let (Place { time, hash, .. }, key) = first.remove_entry();
        Some((Timer { domain, time }, hash, key))
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self, domain: TimeDomain) -> Option<Timestamp> {
        let timers = match domain {
            TimeDomain::Event => &self.event,
            TimeDomain::Processing => &self.processing,
        };
        timers.first_key_value().map(|(place, _)| place.time)
    }

    fn timers_mut(&mut self, domain: TimeDomain) -> &mut BTreeMap<Place, K> {
        match domain {
            TimeDomain::Event => &mut self.event,
            TimeDomain::Processing => &mut self.processing,
        }
    }
}
