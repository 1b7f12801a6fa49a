//! Sweeps: how what has expired leaves memory, a bounded number of places at a time.
//!
//! Always: a pass looks at every place once and then rests until the earliest of what it saw would expire; what was not expired is
//! never touched, and a shared segment is copied only if something in it goes. Called at accesses and when a pass is due, on the
//! task's thread; a view that is being written is not disturbed.

use crate::time::Timestamp;

use super::expiring::{Expires, Sight};
use super::segment::{Entries, Segment, slot_hash};
use super::table::{KeyHasher, KeyedTable};
use super::ttl::Lapse;

/// What looking at a part of a list or a map counts as, in places.
const PLACES_PER_PART: usize = 16;

/// Where a state's sweep stands.
#[derive(Debug)]
pub(super) enum Sweeper {
    /// There is nothing to do before this time.
    Resting(Timestamp),
    Passing(Pass),
}

/// A pass over a table that is under way.
#[derive(Debug)]
pub(super) struct Pass {
    place: Place,
    /// When the first of what was looked at, or was written meanwhile, expires.
    earliest: Timestamp,
}

/// A place in a table, and in what is there.
#[derive(Debug, Default)]
struct Place {
    slot: usize,
    bucket: usize,
    part: u64,
}

impl Sweeper {
    /// Of a table that may have entries of any age.
    pub(super) fn new() -> Self {
        Sweeper::Passing(Pass { place: Place::default(), earliest: Timestamp::MAX })
    }

    /// When there is something to do.
    pub(super) fn next(&self) -> Timestamp {
        match self {
            Sweeper::Resting(until) => *until,
            Sweeper::Passing(_) => Timestamp::NONE,
        }
    }

    /// Something is written now.
    pub(super) fn wrote(&mut self, lapse: Lapse) {
        let next = match self {
            Sweeper::Resting(until) => until,
            Sweeper::Passing(pass) => &mut pass.earliest,
        };
        *next = (*next).min(lapse.end(lapse.now));
    }

    /// Looks at so many places, if it is time for that; false where there was nothing to do.
    pub(super) fn sweep<K: Clone, C: Expires>(
        &mut self,
        table: &mut KeyedTable<K, C>,
        places: usize,
        lapse: Lapse,
        copies: &mut u64,
    ) -> bool {
        if self.next() > lapse.now {
            return false;
        }
        if let Sweeper::Resting(_) = self {
            *self = Sweeper::new();
        }
        let Sweeper::Passing(pass) = self else { return false };
        if table.sweep(pass, places, lapse, copies) {
            let pause = lapse.now.plus(lapse.ttl.pause());
            let until = if pass.earliest == Timestamp::MAX { Timestamp::MAX } else { pass.earliest.max(pause) };
            *self = Sweeper::Resting(until);
        }
        true
    }
}

impl<K: Clone, C: Expires> KeyedTable<K, C> {
    /// Goes on with a pass. True where it is at its end.
    fn sweep(&mut self, pass: &mut Pass, places: usize, lapse: Lapse, copies: &mut u64) -> bool {
        let mut left = places;
        while let Some((segment, own)) = self.segments.get_mut(pass.place.slot).zip(self.tables.get_mut(pass.place.slot)) {
            while left > 0 && pass.place.bucket < buckets(segment.entries(own)) {
                left = left.saturating_sub(pass.look(segment, own, lapse, (&mut self.copies, copies)));
            }
            if left == 0 {
                return false;
            }
            shrink(segment, own, &self.hasher);
            pass.place = Place { slot: pass.place.slot + 1, ..Place::default() };
            left -= 1;
        }
        true
    }
}

/// The places of a segment to look at.
fn buckets<K, C>(entries: &Entries<K, C>) -> usize {
    if entries.is_empty() { 0 } else { entries.num_buckets() }
}

impl Pass {
    /// Looks at what is at the place, removes what has expired, and goes on to the next place. Returns what that counts as.
    fn look<K: Clone, C: Expires>(
        &mut self,
        segment: &mut Segment<K, C>,
        own: &mut Entries<K, C>,
        lapse: Lapse,
        (segments, pieces): (&mut u64, &mut u64),
    ) -> usize {
        let Place { bucket, part, .. } = self.place;
        let Some((_, content)) = segment.entries(own).get_bucket(bucket) else {
            self.next_bucket();
            return 1;
        };
        let (sight, next) = content.look(part, lapse);
        let mut emptied = sight == Sight::All;
        match sight {
            Sight::Lasts(until) => self.earliest = self.earliest.min(until),
            Sight::Some | Sight::All if matches!(segment, Segment::Shared(_)) => {
                // The place is looked at again in the copy: whether entries lie there as they did here is not for us to say.
                segment.take_back(own, segments);
                return PLACES_PER_PART;
            }
            Sight::Some => emptied = own.get_bucket_mut(bucket).is_some_and(|(_, content)| content.trim(part, lapse, pieces)),
            Sight::All => {}
        }
        if emptied && let Ok(found) = own.get_bucket_entry(bucket) {
            found.remove();
        }
        self.go_on(if emptied { None } else { next }, sight, lapse)
    }

    /// Goes on to the next part, or to the next bucket where there is none.
    fn go_on(&mut self, next: Option<u64>, sight: Sight, lapse: Lapse) -> usize {
        if sight == Sight::Some {
            // What is left here is looked at in the next pass.
            self.earliest = self.earliest.min(lapse.now);
        }
        let Some(part) = next else {
            let was_part = self.place.part > 0;
            self.next_bucket();
            return if was_part || sight == Sight::Some { PLACES_PER_PART } else { 1 };
        };
        self.place.part = part;
        PLACES_PER_PART
    }

    fn next_bucket(&mut self) {
        (self.place.bucket, self.place.part) = (self.place.bucket + 1, 0);
    }
}

/// Gives memory back that a segment does not need any more.
fn shrink<K, C>(segment: &Segment<K, C>, own: &mut Entries<K, C>, hasher: &KeyHasher<K>) {
    match segment {
        Segment::Owned if own.is_empty() => *own = Entries::new(),
        Segment::Owned if own.len() * 4 < own.capacity() => {
            own.shrink_to(own.len(), |(key, _)| slot_hash(hasher(key)));
        }
        _ => {}
    }
}
