//! The restart strategies: whether a region is restarted after a failure, and how long after it.
//!
//! Always: only failures of running or starting tasks are asked about, one for each attempt; so what a teardown causes is never
//! counted, nor is what comes while a restart is waited for. An error that no restart mends is not counted either. Given the same
//! failures at the same times, a strategy decides the same: jitter is drawn from a seed. Owned by the region's machine.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::{ExponentialDelay, Failure, Restart, RestartPolicy};
use crate::error::Error;
use crate::time::Moment;

/// What the strategy says of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Restart, not before this delay is over.
    RestartIn(Duration),
    /// Fail the job; why, as the end of a sentence.
    GiveUp(String),
}

/// A strategy with what it remembers.
#[derive(Debug)]
pub(crate) struct Restarts {
    policy: RestartPolicy,
    /// Restarts that were granted.
    granted: u32,
    /// When the attempt that runs was to begin; for the first one, the process's beginning.
    began: Moment,
    /// Of a failure rate: the last failures, one more than are allowed.
    recent: VecDeque<Moment>,
    /// Of growing delays: how many were granted in a row.
    row: u32,
    seed: u64,
}

impl Restarts {
    /// The strategy before any failure. `seed` decides on the jitter.
    pub(crate) fn new(restart: &Restart, seed: u64) -> Self {
        Restarts { policy: restart.0.clone(), granted: 0, began: Moment::default(), recent: VecDeque::new(), row: 0, seed }
    }

    /// An attempt failed at `now`.
    #[must_use]
    pub(crate) fn failed(&mut self, cause: &Error, now: Moment) -> Decision {
        if cause.is_for_good() {
            return Decision::GiveUp("a restart would find the same".into());
        }
        let decision = self.decide(cause, now);
        if let Decision::RestartIn(delay) = decision {
            self.granted += 1;
            self.began = now.plus(delay);
        }
        decision
    }

    fn decide(&mut self, cause: &Error, now: Moment) -> Decision {
        match &self.policy {
            RestartPolicy::Never => Decision::GiveUp("restarts are off".into()),
            RestartPolicy::FixedDelay { restarts, .. } if self.granted >= *restarts => used_up(*restarts),
            RestartPolicy::FixedDelay { delay, .. } => Decision::RestartIn(*delay),
            RestartPolicy::FailureRate { failures, per, delay } => {
                if at_rate(&mut self.recent, *failures as usize, *per, now) {
                    return Decision::RestartIn(*delay);
                }
                Decision::GiveUp(format!("more than {failures} failures in {per:?}"))
            }
            RestartPolicy::Exponential(delay) => {
                if now.since(self.began) >= delay.reset_after && now >= self.began {
                    self.row = 0;
                }
                if let Some(restarts) = delay.at_most.filter(|restarts| self.row >= *restarts) {
                    return used_up(restarts);
                }
                let after = growing(delay, self.row, unit(self.seed, self.granted));
                self.row += 1;
                Decision::RestartIn(after)
            }
            RestartPolicy::Custom(strategy) => {
                let failure = Failure { cause, restarts: self.granted, ran: now.since(self.began) };
                strategy.decide(&failure).map_or_else(|| Decision::GiveUp("its strategy gives up".into()), Decision::RestartIn)
            }
        }
    }

    /// How many restarts were granted.
    pub(crate) fn granted(&self) -> u32 {
        self.granted
    }
}

fn used_up(restarts: u32) -> Decision {
    Decision::GiveUp(format!("all {restarts} restarts are used up"))
}

/// Whether one more failure is no more than so many in any time `per`.
pub(super) fn at_rate(recent: &mut VecDeque<Moment>, failures: usize, per: Duration, now: Moment) -> bool {
    recent.push_back(now);
    if recent.len() <= failures {
        return true;
    }
    let oldest = recent.pop_front().unwrap_or_default();
    now.since(oldest) > per
}

/// The delay after so many in a row. `unit` from -1 to 1 says where in the jitter it is.
fn growing(delay: &ExponentialDelay, row: u32, unit: f64) -> Duration {
    let (initial, longest) = (delay.initial.as_secs_f64(), delay.longest.as_secs_f64());
    let grown = (initial * delay.multiplier.powf(f64::from(row))).min(longest);
    Duration::try_from_secs_f64(grown + grown * delay.jitter * unit).unwrap_or(delay.longest).clamp(delay.initial, delay.longest)
}

/// A number from -1 to 1 that the seed decides: the n-th of SplitMix64, by its published constants (Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators", 2014).
fn unit(seed: u64, n: u32) -> f64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(u64::from(n) + 1));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let top = (z ^ (z >> 31)) >> 11;
    top as f64 / (1u64 << 52) as f64 - 1.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::{BoxError, Fatal};
    use crate::time::{millis, secs};

    struct Bench(Restarts);

    impl Bench {
        fn of(restart: impl Into<Restart>) -> Self {
            Bench(Restarts::new(&restart.into(), 7))
        }

        /// The delay in milliseconds of the restart after a failure at so many milliseconds; none where it gives up.
        fn fails_at(&mut self, ms: u64) -> Option<u128> {
            match self.0.failed(&Error::Engine("it broke".into()), Moment(millis(ms))) {
                Decision::RestartIn(delay) => Some(delay.as_millis()),
                Decision::GiveUp(_) => None,
            }
        }
    }

    fn given_up(decision: Decision) -> String {
        let Decision::GiveUp(why) = decision else { panic!("{decision:?}") };
        why
    }

    #[test]
    fn e1_a_fixed_delay_grants_its_restarts_and_no_more() {
        let mut bench = Bench::of(Restart::fixed_delay(2, secs(10)));
        assert_eq!([0, 1, 2, 1_000_000].map(|ms| bench.fails_at(ms)), [Some(10_000), Some(10_000), None, None]);
        assert_eq!(bench.0.granted(), 2);
        let why = given_up(bench.0.failed(&Error::Engine("it broke".into()), Moment::default()));
        assert_eq!(why, "all 2 restarts are used up");
    }

    #[test]
    fn c21_state_that_does_not_fit_is_not_tried_again() {
        let mut bench = Bench::of(Restart::fixed_delay(2, secs(10)));
        let cause = Error::StateMismatch { problem: "it is another".into(), advice: "take it".into() };
        assert_eq!(given_up(bench.0.failed(&cause, Moment::default())), "a restart would find the same");
        assert_eq!(bench.0.granted(), 0);
    }

    #[test]
    fn e1_never_gives_up_at_the_first_failure() {
        let mut bench = Bench::of(Restart::never());
        assert_eq!(given_up(bench.0.failed(&Error::Cancelled, Moment::default())), "restarts are off");
    }

    #[test]
    fn e2_a_failure_rate_counts_the_failures_of_its_time() {
        let rate = || Bench::of(Restart::failure_rate(3, secs(10), secs(1)));
        let mut at_once = rate();
        assert_eq!([0, 1, 2, 3].map(|ms| at_once.fails_at(ms)), [Some(1000), Some(1000), Some(1000), None]);
        let mut just_in_time = rate();
        assert_eq!([0, 1, 2, 10_000].map(|ms| just_in_time.fails_at(ms)), [Some(1000), Some(1000), Some(1000), None]);
        let mut later = rate();
        assert_eq!([0, 1, 2, 10_001, 10_001].map(|ms| later.fails_at(ms).is_some()), [true, true, true, true, false]);
    }

    #[test]
    fn e3_delays_grow_and_begin_again_after_a_quiet_time() {
        let delay = ExponentialDelay::from(secs(1)).up_to(secs(5)).multiplier(2.0).jitter(0.0).reset_after(secs(8));
        let mut bench = Bench::of(delay);
        assert_eq!(bench.fails_at(0), Some(1000));
        assert_eq!(bench.fails_at(8_999), Some(2000), "it ran for a millisecond less than 8 s since 1 s");
        assert_eq!(bench.fails_at(11_000), Some(4000));
        assert_eq!(bench.fails_at(15_000), Some(5000), "no longer than the longest");
        assert_eq!(bench.fails_at(20_000), Some(5000));
        assert_eq!(bench.fails_at(33_000), Some(1000), "it ran for 8 s since 25 s");
    }

    #[test]
    fn e3_the_limit_counts_restarts_in_a_row() {
        let delay = ExponentialDelay::from(secs(1)).jitter(0.0).reset_after(secs(8)).at_most(2);
        let mut bench = Bench::of(delay);
        assert_eq!([0, 2_000, 12_000, 13_001, 14_600].map(|ms| bench.fails_at(ms).is_some()), [true, true, true, true, false]);
    }

    proptest! {
        #[test]
        fn e3_jitter_stays_between_the_first_and_the_longest_delay(
            (initial, longest) in (1u64..5_000, 0u64..100_000),
            (multiplier, jitter) in (1.0f64..10.0, 0.0f64..=1.0),
            (seed, row) in (any::<u64>(), 0u32..2_000),
        ) {
            let (initial, longest) = (millis(initial), millis(initial + longest));
            let delay = ExponentialDelay::from(initial).up_to(longest).multiplier(multiplier).jitter(jitter);
            let unit = unit(seed, row);
            prop_assert!((-1.0..=1.0).contains(&unit));
            let after = growing(&delay, row, unit);
            prop_assert!((initial..=longest).contains(&after), "{after:?}");
        }
    }

    #[test]
    fn e3_jitter_differs_from_one_region_and_restart_to_the_next() {
        let delays = |seed| (0..20).map(|n| unit(seed, n).to_bits()).collect::<Vec<_>>();
        let mut all = [delays(1), delays(2)].concat();
        assert_eq!(delays(1), delays(1));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 40);
    }

    #[test]
    fn e4_by_default_a_thousand_failures_are_restarted_ever_more_slowly() {
        let mut bench = Bench::of(ExponentialDelay::default().jitter(0.0));
        let delays: Vec<u128> = (0..1000).map(|n| bench.fails_at(n * 60_000).unwrap()).collect();
        assert_eq!(delays.first(), Some(&1000));
        assert!(delays.is_sorted());
        assert_eq!(delays.last(), Some(&60_000));
    }

    #[test]
    fn e5_what_no_restart_mends_is_not_restarted_and_not_counted() {
        #[derive(Debug, thiserror::Error)]
        #[error("while a record was handled")]
        struct Wrapped(#[source] BoxError);

        let fatal: BoxError = Fatal::new("the licence has run out").into();
        let wrapped: BoxError = Wrapped(Box::new(Wrapped(fatal))).into();
        let bare: BoxError = Fatal::new("the licence has run out").into();
        let mut bench = Bench::of(Restart::fixed_delay(9, secs(1)));
        for source in [wrapped, bare] {
            let error = Error::Operator {
                operator: "guard".into(),
                task: "0[0]".into(),
                callback: "record",
                cause: String::new(),
                source: std::sync::Arc::from(source),
            };
            assert_eq!(given_up(bench.0.failed(&error, Moment::default())), "a restart would find the same");
        }
        assert_eq!(bench.0.granted(), 0);
        let damaged = Error::Corrupt { path: "manifest".into(), what: String::new(), usable: Vec::new() };
        assert!(bench.0.failed(&damaged, Moment::default()) != Decision::RestartIn(secs(1)));
    }

    #[test]
    fn a_strategy_of_ones_own_sees_how_long_it_went_well() {
        let mut bench = Bench::of(Restart::custom(|failure| {
            (failure.ran >= secs(5) || failure.restarts == 0).then_some(millis(u64::from(failure.restarts) + 1))
        }));
        assert_eq!([0, 5_001, 10_003, 10_004].map(|ms| bench.fails_at(ms)), [Some(1), Some(2), Some(3), None]);
    }
}
