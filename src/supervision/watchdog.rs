//! The watchdog: whether a task that has input makes progress, by what it shows now and then.
//!
//! Always: a task that waits for input, or for room, is not stuck; one that has been in the same step for as long as a bound is. It is
//! reported once and failed once, and a report is taken back when it moves again. Looked at now and then by the watchdog's own timer, with
//! the monotonic time; no task pays for it but with a plain store for each step.

use std::time::Duration;

use crate::time::Moment;

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Nothing: it has no input.
    Resting,
    /// A step is under way.
    Stepping,
    /// It waits for room at an output, or for its turn.
    Waiting,
    /// It has ended.
    Ended,
}

/// What a task shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) doing: Doing,
    /// How many steps it has begun.
    pub(crate) steps: u64,
    /// How many records it has taken from its inputs, in steps that are over.
    pub(crate) records: u64,
}

impl Reading {
    /// Of a task that has not begun.
    pub(crate) const NOTHING: Reading = Reading { doing: Doing::Resting, steps: 0, records: 0 };

    /// Whether it has not moved from one reading to the other, though it had something to do: in one step all the time, or waiting with
    /// the same records all the time.
    fn is_still(self, then: Reading) -> bool {
        match self.doing {
            Doing::Stepping => self == then,
            Doing::Waiting => then.doing == Doing::Waiting && self.records == then.records,
            Doing::Resting | Doing::Ended => false,
        }
    }
}

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It has been in one step for so long: to be reported.
    Stuck(Duration),
    /// The same, and no patience is left: its region is to fail.
    Hopeless(Duration),
    /// One that was reported has come back.
    Moves,
}

/// How far a task has come that does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Reported,
    Failed,
}

/// What is remembered of one task of one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    last: Reading,
    /// Since when it has not moved.
    since: Moment,
    told: Told,
}

impl Watch {
    /// Of a task that begins now.
    pub(crate) fn new(now: Moment) -> Self {
        Watch { last: Reading::NOTHING, since: now, told: Told::Nothing }
    }

    /// Looks at the task; what is to be done.
    #[must_use]
    pub(crate) fn look(&mut self, reading: Reading, (report, fail): (Duration, Duration), now: Moment) -> Option<Finding> {
        let still = reading.is_still(self.last);
        self.last = reading;
        if !still {
            self.since = now;
            return (std::mem::replace(&mut self.told, Told::Nothing) > Told::Nothing).then_some(Finding::Moves);
        }
        let (stuck, told) = (now.since(self.since), self.told);
        if reading.doing != Doing::Stepping {
            return None;
        }
        match told {
            Told::Nothing if stuck >= report.min(fail) => {
                self.told = Told::Reported;
                Some(Finding::Stuck(stuck))
            }
            Told::Reported if stuck >= fail => {
                self.told = Told::Failed;
                Some(Finding::Hopeless(stuck))
            }
            _ => None,
        }
    }

    /// For how long it has had something to do and has not moved; none where it moves, or has nothing to do.
    pub(crate) fn still_for(&self, now: Moment) -> Option<Duration> {
        matches!(self.last.doing, Doing::Stepping | Doing::Waiting).then(|| now.since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::secs;

    const BOUNDS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

    fn reading(doing: Doing, steps: u64, records: u64) -> Reading {
        Reading { doing, steps, records }
    }

    fn at(seconds: u64) -> Moment {
        Moment(secs(seconds))
    }

    /// Looks each second while the task shows the same.
    fn looks(watch: &mut Watch, reading: Reading, seconds: std::ops::RangeInclusive<u64>) -> Vec<(u64, Finding)> {
        seconds.filter_map(|second| Some((second, watch.look(reading, BOUNDS, at(second))?))).collect()
    }

    #[test]
    fn e7_a_step_that_takes_too_long_is_reported_once_and_failed_once() {
        let mut watch = Watch::new(at(0));
        let found = looks(&mut watch, reading(Doing::Stepping, 7, 0), 1..=200);
        assert_eq!(found, [(11, Finding::Stuck(secs(10))), (61, Finding::Hopeless(secs(60)))]);
        assert_eq!(watch.still_for(at(201)), Some(secs(200)));
    }

    #[test]
    fn e7_a_region_never_fails_before_its_task_was_reported() {
        let mut watch = Watch::new(at(0));
        let _begins = watch.look(reading(Doing::Stepping, 7, 0), BOUNDS, at(0));
        let found = looks(&mut watch, reading(Doing::Stepping, 7, 0), 100..=102);
        assert_eq!(found, [(100, Finding::Stuck(secs(100))), (101, Finding::Hopeless(secs(101)))], "nobody looked for long");
    }

    #[test]
    fn e7_one_that_comes_back_is_taken_back_and_may_be_reported_again() {
        let mut watch = Watch::new(at(0));
        looks(&mut watch, reading(Doing::Stepping, 7, 0), 1..=30);
        assert_eq!(watch.look(reading(Doing::Stepping, 8, 5), BOUNDS, at(31)), Some(Finding::Moves));
        assert_eq!(looks(&mut watch, reading(Doing::Stepping, 8, 5), 32..=45), [(41, Finding::Stuck(secs(10)))]);
    }

    #[test]
    fn a_task_that_waits_is_not_stuck_and_is_known_not_to_move() {
        let mut watch = Watch::new(at(0));
        assert_eq!(looks(&mut watch, reading(Doing::Waiting, 7, 3), 1..=200), []);
        assert_eq!(watch.still_for(at(200)), Some(secs(199)));
        let _woken_for_a_barrier = watch.look(reading(Doing::Waiting, 9, 3), BOUNDS, at(201));
        assert_eq!(watch.still_for(at(201)), Some(secs(200)), "a barrier is no progress");
        let _took_a_record = watch.look(reading(Doing::Waiting, 11, 4), BOUNDS, at(202));
        assert_eq!(watch.still_for(at(203)), Some(secs(1)));
    }

    #[test]
    fn a_task_without_input_may_rest_for_ever() {
        let mut watch = Watch::new(at(0));
        assert_eq!(looks(&mut watch, reading(Doing::Resting, 7, 3), 1..=200), []);
        assert_eq!(watch.still_for(at(200)), None);
        assert_eq!(looks(&mut watch, reading(Doing::Stepping, 8, 3), 201..=209), [], "its time begins with its step");
    }
}
