//! The life of the pair: the coordinator and the snapshot actor, which are replaced together.
//!
//! Always: one pair serves at a time, and each has a tenure of its own, above those before. A new one is appointed only after the one
//! before is gone with all of its blocking calls, so that none of these has an effect later, and after it was settled what that one has
//! left. Both members may fail of one cause, which counts once. Too many failures in a time fail the job, and so does a call that does
//! not come back.
//!
//! Owned by the root's actor, which feeds it events with the monotonic time, does the actions in order, and sends a tick at the
//! deadline. Never waits.

use std::collections::VecDeque;
use std::time::Duration;

use super::restarts::at_rate;
use crate::config::{PAIR_FAILURES, PAIR_FAILURES_PER, SETTLE_AGAIN};
use crate::error::Error;
use crate::time::Moment;

/// What happens to the pair. What is of another tenure than the present one is ignored.
#[derive(Debug)]
pub(crate) enum PairEvent {
    /// A member has failed.
    Failed { tenure: u64, cause: Error },
    /// Both members are gone, and so are all calls that they had made.
    Gone { tenure: u64 },
    /// It was settled what the pair before has left, or it could not be.
    Settled { tenure: u64, settled: bool },
    /// The deadline has come.
    Tick,
}

/// What the root has to do.
#[derive(Debug)]
pub(crate) enum PairAction {
    /// Stop both members.
    Dismiss { cause: Error },
    /// Find out what they have left, and say so with the new tenure.
    Settle { tenure: u64 },
    /// Start a new pair.
    Appoint { tenure: u64 },
    /// The job fails.
    Fail(Error),
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Serving,
    /// Waits for the pair to be gone.
    Dismissed {
        stuck_at: Moment,
    },
    /// Waits for it to be settled what it has left; where that could not be, tries again then.
    Settling {
        again_at: Option<Moment>,
    },
    Over,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Pair {
    tenure: u64,
    state: State,
    /// The last failures, one more than are allowed.
    recent: VecDeque<Moment>,
    /// Calls that are still there after this do not come back.
    give_up_after: Duration,
}

impl Pair {
    /// The first pair serves.
    pub(crate) fn first(give_up_after: Duration) -> Self {
        Pair { tenure: 1, state: State::Serving, recent: VecDeque::new(), give_up_after }
    }

    /// The present tenure.
    pub(crate) fn tenure(&self) -> u64 {
        self.tenure
    }

    /// When the next tick is to come.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        match self.state {
            State::Dismissed { stuck_at } => Some(stuck_at),
            State::Settling { again_at } => again_at,
            State::Serving | State::Over => None,
        }
    }

    /// Takes an event in; returns what to do.
    #[must_use]
    pub(crate) fn handle(&mut self, event: PairEvent, now: Moment) -> Option<PairAction> {
        match (event, &self.state) {
            (PairEvent::Failed { tenure, cause }, State::Serving) if tenure == self.tenure => Some(self.failed(cause, now)),
            (PairEvent::Gone { tenure }, State::Dismissed { .. }) if tenure == self.tenure => {
                self.tenure += 1;
                Some(self.settle())
            }
            (PairEvent::Settled { tenure, settled: true }, State::Settling { .. }) if tenure == self.tenure => {
                self.state = State::Serving;
                Some(PairAction::Appoint { tenure })
            }
            (PairEvent::Settled { tenure, settled: false }, State::Settling { .. }) if tenure == self.tenure => {
                self.state = State::Settling { again_at: Some(now.plus(SETTLE_AGAIN)) };
                None
            }
            (PairEvent::Tick, State::Dismissed { stuck_at }) if *stuck_at <= now => {
                self.state = State::Over;
                let text = format!(
                    "the snapshot actor was replaced, and a call that it had made, to the store or to a sink, has not come back for \
                     {:?}: look at the store, and start the process anew",
                    self.give_up_after
                );
                Some(PairAction::Fail(Error::Engine(text)))
            }
            (PairEvent::Tick, State::Settling { again_at: Some(again_at) }) if *again_at <= now => Some(self.settle()),
            _ => None,
        }
    }

    fn failed(&mut self, cause: Error, now: Moment) -> PairAction {
        if at_rate(&mut self.recent, PAIR_FAILURES, PAIR_FAILURES_PER, now) {
            self.state = State::Dismissed { stuck_at: now.plus(self.give_up_after) };
            return PairAction::Dismiss { cause };
        }
        self.state = State::Over;
        let often = format!("more than {PAIR_FAILURES} times in {PAIR_FAILURES_PER:?}");
        PairAction::Fail(Error::Engine(format!("the coordinator and the snapshot actor failed {often}; the last time: {cause}")))
    }

    fn settle(&mut self) -> PairAction {
        self.state = State::Settling { again_at: None };
        PairAction::Settle { tenure: self.tenure }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::{millis, secs};

    const GIVE_UP: Duration = Duration::from_secs(30);

    struct Bench {
        pair: Pair,
        now: Moment,
    }

    impl Bench {
        fn new() -> Self {
            Bench { pair: Pair::first(GIVE_UP), now: Moment::default() }
        }

        fn after(&mut self, ms: u64) {
            self.now = self.now.plus(millis(ms));
        }

        fn tell(&mut self, event: PairEvent) -> String {
            self.pair.handle(event, self.now).map_or_else(String::new, |action| match action {
                PairAction::Dismiss { .. } => "dismiss".into(),
                PairAction::Settle { tenure } => format!("settle {tenure}"),
                PairAction::Appoint { tenure } => format!("appoint {tenure}"),
                PairAction::Fail(error) => format!("fail: {error}"),
            })
        }

        fn fails(&mut self, tenure: u64) -> String {
            self.tell(PairEvent::Failed { tenure, cause: Error::Engine("it broke".into()) })
        }

        fn replace(&mut self, tenure: u64) {
            assert_eq!(self.fails(tenure), "dismiss");
            assert_eq!(self.tell(PairEvent::Gone { tenure }), format!("settle {}", tenure + 1));
            assert_eq!(self.tell(PairEvent::Settled { tenure: tenure + 1, settled: true }), format!("appoint {}", tenure + 1));
        }
    }

    #[test]
    fn a_pair_is_replaced_once_it_is_gone_and_what_it_left_is_settled() {
        let mut bench = Bench::new();
        assert_eq!(bench.tell(PairEvent::Gone { tenure: 1 }), "", "a pair that serves is not gone");
        assert_eq!(bench.fails(1), "dismiss");
        assert_eq!(bench.fails(1), "", "both members may fail of one cause");
        assert_eq!(bench.tell(PairEvent::Settled { tenure: 1, settled: true }), "");
        assert_eq!(bench.tell(PairEvent::Gone { tenure: 1 }), "settle 2");
        assert_eq!(bench.tell(PairEvent::Gone { tenure: 1 }), "");
        assert_eq!(bench.fails(1), "", "an old tenure is nobody's business any more");
        assert_eq!(bench.tell(PairEvent::Settled { tenure: 2, settled: true }), "appoint 2");
        assert_eq!(bench.pair.tenure(), 2);
        bench.replace(2);
    }

    #[test]
    fn what_cannot_be_settled_is_tried_again_after_a_pause() {
        let mut bench = Bench::new();
        bench.fails(1);
        bench.tell(PairEvent::Gone { tenure: 1 });
        assert_eq!(bench.tell(PairEvent::Settled { tenure: 2, settled: false }), "");
        assert_eq!(bench.pair.next_deadline(), Some(bench.now.plus(SETTLE_AGAIN)));
        assert_eq!(bench.tell(PairEvent::Tick), "");
        bench.now = bench.now.plus(SETTLE_AGAIN);
        assert_eq!(bench.tell(PairEvent::Tick), "settle 2");
        assert_eq!(bench.tell(PairEvent::Tick), "", "one at a time");
        assert_eq!(bench.tell(PairEvent::Settled { tenure: 2, settled: true }), "appoint 2");
    }

    #[test]
    fn a_call_that_does_not_come_back_fails_the_job() {
        let mut bench = Bench::new();
        bench.fails(1);
        assert_eq!(bench.pair.next_deadline(), Some(bench.now.plus(GIVE_UP)));
        bench.after(29_999);
        assert_eq!(bench.tell(PairEvent::Tick), "");
        bench.after(1);
        assert!(bench.tell(PairEvent::Tick).contains("has not come back for 30s"));
        assert_eq!(bench.tell(PairEvent::Gone { tenure: 1 }), "", "nothing is begun after the end");
    }

    #[test]
    fn too_many_failures_in_a_time_fail_the_job_with_the_cause() {
        let mut bench = Bench::new();
        (1..=PAIR_FAILURES as u64).for_each(|tenure| bench.replace(tenure));
        let told = bench.fails(PAIR_FAILURES as u64 + 1);
        assert!(told.starts_with("fail: ") && told.contains("the last time: ") && told.contains("it broke"), "{told}");
        let mut slowly = Bench::new();
        for tenure in 1..100 {
            slowly.replace(tenure);
            slowly.now = slowly.now.plus(PAIR_FAILURES_PER).plus(secs(1));
        }
    }

    proptest! {
        #[test]
        fn tenures_rise_one_by_one_and_each_is_settled_before_it_begins(
            events in prop::collection::vec((0u8..5, 1u64..5, 0u64..40_000), 0..60),
        ) {
            let mut bench = Bench::new();
            let (mut served, mut settled, mut gone) = (1, 1, 0);
            for (kind, tenure, ms) in events {
                bench.after(ms);
                let event = match kind {
                    0 => PairEvent::Failed { tenure, cause: Error::Ended },
                    1 => PairEvent::Gone { tenure },
                    2 => PairEvent::Settled { tenure, settled: true },
                    3 => PairEvent::Settled { tenure, settled: false },
                    _ => PairEvent::Tick,
                };
                if let PairEvent::Gone { tenure } = event {
                    gone = gone.max(tenure);
                }
                match bench.pair.handle(event, bench.now) {
                    Some(PairAction::Settle { tenure }) => {
                        prop_assert!(tenure == served + 1 && gone >= served, "the one before is gone");
                        settled = tenure;
                    }
                    Some(PairAction::Appoint { tenure }) => {
                        prop_assert_eq!((tenure, tenure), (served + 1, settled));
                        served = tenure;
                    }
                    Some(PairAction::Dismiss { .. } | PairAction::Fail(_)) | None => {}
                }
            }
        }
    }
}
