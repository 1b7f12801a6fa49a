//! The records of an input that no complete checkpoint covers, and where they stand.
//!
//! Always: a record leaves only once it is covered, and the records that are there are those from `covered` on, without a gap. Positions
//! count the records of all processes, numbers those of this one: which position the first of them has is known when the split is
//! opened. Changed under the lock of [`super::shared`], by senders and by the task of the source.

use std::collections::VecDeque;
use std::task::Waker;

use crate::error::BoxError;

/// Whether there may be more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// There will be no more: what is there is the end of the data.
    Closed,
    /// The job has ended: nobody reads any more.
    Gone,
}

/// What is kept.
#[derive(Debug)]
pub(super) struct Kept<T> {
    records: VecDeque<T>,
    /// How many records of this process are covered; the number of the first one that is kept.
    covered: u64,
    /// The position of the first record of this process.
    origin: Option<u64>,
    phase: Phase,
    /// Woken when there is something to read again.
    reader: Option<Waker>,
    /// Somebody sees to it that a checkpoint makes room.
    insisted: bool,
}

impl<T> Kept<T> {
    pub(super) fn new() -> Self {
        Kept { records: VecDeque::new(), covered: 0, origin: None, phase: Phase::Open, reader: None, insisted: false }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// How many records are kept.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Keeps some more records; how many there were in this process before the last of them, and whom to wake.
    ///
    /// # Errors
    /// The phase, where there may be no more.
    pub(super) fn push(&mut self, records: impl IntoIterator<Item = T>) -> Result<(u64, Option<Waker>), Phase> {
        if self.phase != Phase::Open {
            return Err(self.phase);
        }
        self.records.extend(records);
        let last = (self.covered + self.records.len() as u64).saturating_sub(1);
        Ok((last, self.reader.take()))
    }

    /// No record comes any more; whom to wake. The first reason is the reason.
    pub(super) fn close(&mut self, phase: Phase) -> Option<Waker> {
        if self.phase != Phase::Gone {
            self.phase = phase;
        }
        self.reader.take()
    }

    /// The number of the record at a position. What is opened first says where this process begins.
    ///
    /// # Errors
    /// Where that record is not there, nor the next one to come.
    pub(super) fn number(&mut self, position: u64) -> Result<u64, BoxError> {
        let origin = *self.origin.get_or_insert(position);
        let number = position.checked_sub(origin).filter(|number| *number >= self.covered);
        let number = number.filter(|number| *number <= self.covered + self.records.len() as u64);
        number.ok_or_else(|| {
            let (from, sent) = (origin + self.covered, self.records.len());
            format!("record {position} of the input is not kept: {sent} are, from {from} on").into()
        })
    }

    /// The position of a record.
    pub(super) fn position(&self, number: u64) -> u64 {
        self.origin.unwrap_or(0) + number
    }

    /// The records from this number on.
    pub(super) fn from(&self, number: u64) -> impl Iterator<Item = &T> {
        let first = usize::try_from(number.saturating_sub(self.covered)).unwrap_or(usize::MAX);
        self.records.iter().skip(first)
    }

    /// Nothing is left to read: whom to wake when there is.
    pub(super) fn wait(&mut self, reader: &Waker) {
        self.reader = Some(reader.clone());
    }

    /// A complete checkpoint covers what stands before a position; the records that need not be kept any more.
    pub(super) fn cover(&mut self, position: u64) -> Vec<T> {
        let origin = *self.origin.get_or_insert(position);
        let more = position.saturating_sub(origin).saturating_sub(self.covered);
        let more = usize::try_from(more).unwrap_or(usize::MAX).min(self.records.len());
        self.covered += more as u64;
        self.records.drain(..more).collect()
    }

    /// How many records of this process are covered.
    pub(super) fn covered(&self) -> u64 {
        self.covered
    }

    /// Whether a checkpoint is to be asked for now, because `capacity` records are kept and nobody has seen to it.
    pub(super) fn insists(&mut self, capacity: usize) -> bool {
        let first = !self.insisted && self.still_insists(capacity);
        self.insisted |= first;
        first
    }

    /// Whoever was asked may not be there: it is asked again.
    pub(super) fn forget_wish(&mut self) {
        self.insisted = false;
    }

    /// Whether that is still wanted.
    pub(super) fn still_insists(&mut self, capacity: usize) -> bool {
        let wanted = self.phase != Phase::Gone && self.records.len() >= capacity;
        self.insisted &= wanted;
        wanted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(kept: &Kept<u64>, number: u64) -> Vec<u64> {
        kept.from(number).copied().collect()
    }

    #[test]
    fn records_are_read_again_until_they_are_covered() {
        let mut kept = Kept::new();
        assert_eq!(kept.push([10, 11, 12]).unwrap().0, 2);
        assert_eq!((kept.number(0).unwrap(), read(&kept, 0)), (0, vec![10, 11, 12]));
        assert_eq!(kept.cover(2), [10, 11]);
        assert_eq!((kept.number(2).unwrap(), read(&kept, 2), kept.covered()), (2, vec![12], 2));
        assert_eq!(kept.cover(1), [0; 0], "an older checkpoint says nothing new");
        let gone = kept.number(1).unwrap_err().to_string();
        assert_eq!(gone, "record 1 of the input is not kept: 1 are, from 2 on");
        assert!(kept.number(4).is_err(), "that one was never sent");
    }

    #[test]
    fn positions_go_on_where_another_process_has_left() {
        let mut kept = Kept::new();
        assert_eq!(kept.push([7]).unwrap().0, 0);
        assert_eq!(kept.cover(40), [0; 0], "nothing of this process is in the restored checkpoint");
        assert_eq!((kept.number(40).unwrap(), read(&kept, 0), kept.position(1)), (0, vec![7], 41));
        assert_eq!((kept.cover(41), kept.covered()), (vec![7], 1));
        assert!(kept.number(39).is_err());
    }

    #[test]
    fn a_checkpoint_is_asked_for_once_while_it_is_full() {
        let mut kept = Kept::new();
        kept.push([1, 2]).unwrap();
        assert_eq!((kept.insists(3), kept.insists(2), kept.insists(2), kept.still_insists(2)), (false, true, false, true));
        kept.cover(0);
        kept.cover(1);
        assert!(!kept.still_insists(2));
        kept.push([3]).unwrap();
        assert!(kept.insists(2), "it is full again");
        kept.close(Phase::Gone);
        assert!(!kept.still_insists(2), "nobody is there to take one");
    }

    #[test]
    fn nothing_is_taken_once_it_is_closed() {
        let mut kept = Kept::new();
        kept.push([1]).unwrap();
        kept.wait(Waker::noop());
        assert!(kept.close(Phase::Closed).is_some());
        assert_eq!(kept.push([2]).map(|(last, _)| last), Err(Phase::Closed));
        kept.close(Phase::Gone);
        kept.close(Phase::Closed);
        assert_eq!((kept.push([2]).map(|(last, _)| last), read(&kept, 0)), (Err(Phase::Gone), vec![1]));
    }

    proptest! {
        #[test]
        fn whatever_is_not_covered_is_there_at_its_number(
            (origin, ops) in (0u64..1000, prop::collection::vec((any::<bool>(), 0u64..20), 1..40)),
        ) {
            let (mut kept, mut sent, mut covered) = (Kept::new(), 0u64, 0u64);
            kept.number(origin).unwrap();
            for (push, n) in ops {
                if push {
                    kept.push(sent..sent + n).unwrap();
                    sent += n;
                } else {
                    covered = covered.max((covered + n).min(sent));
                    kept.cover(origin + covered);
                }
                prop_assert_eq!(kept.covered(), covered);
                prop_assert_eq!(read(&kept, covered), (covered..sent).collect::<Vec<_>>());
                prop_assert_eq!(kept.number(origin + sent).unwrap(), sent);
            }
        }
    }
}
