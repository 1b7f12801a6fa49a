//! Many cases: a job under drawn faults, compared with what it does without.
//!
//! Always: the same seed draws the same cases; a case that fails is made as small as can be, and told so that it can be replayed.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::str::FromStr;

use proptest::prelude::any;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::judge::Expected;
use super::kit::Kit;
use super::plan::FaultPlan;
use super::replay;
use super::simulate::{Report, run};
use crate::api::Job;

/// Runs without faults, in different orders, whose common result is what is expected.
const MODELS: u64 = 4;
/// The same before anything is blamed on a fault.
const MODELS_TO_BE_SURE: u64 = 16;
/// Faults of a case.
const FAULTS: std::ops::RangeInclusive<usize> = 1..=3;
/// Runs that may be spent on making a failing case small.
const SHRINK_RUNS: u32 = 400;
/// The seed of all cases, unless another is given.
const SEED: u64 = 0;

/// How many cases there are, unless the call says something else.
const CASES_VARIABLE: &str = "TIDEGATE_CASES";
/// The seed that the cases are drawn from, or that of the one case that is replayed.
const SEED_VARIABLE: &str = "TIDEGATE_SEED";
/// The faults of the one case that is replayed.
const PLAN_VARIABLE: &str = "TIDEGATE_PLAN";

/// Runs a job in so many cases, each with one to three faults drawn from everything that may go wrong, and each over as many
/// processes as it takes; panics where anything comes out other than without faults. One line of a `#[test]`:
///
/// ```
/// use tidegate::Job;
/// use tidegate::testing::{Scripted, check_exactly_once};
///
/// check_exactly_once(|kit| {
///     let job = Job::new("counts");
///     let numbers = job.source("numbers", Scripted::new([(0..50u64).collect(), (50..90).collect()]));
///     numbers.key_by(|n| n % 3).count().sink("counts", kit.sink("counts"));
///     job
/// }, 20);
/// ```
///
/// What must be equal: everything committed to the sinks of the [`Kit`] and shown by [`Kit::shows`], as a multiset; the state at
/// the end, where it does not depend on the order in which tasks run. Never may anything be visible that is not there in the end,
/// and a job must finish: it may neither hang nor fail for good. A source must give the same records at each attempt. What else is
/// done to the job is said at [`simulate`](super::simulate).
///
/// The environment variable `TIDEGATE_CASES` sets another number of cases, `TIDEGATE_SEED` another seed for them, for long nights.
///
/// # Panics
/// Where a case fails: with what differs, the seed, the faults made as few and as simple as can be, the command that replays the
/// case, and what happened, step by step, around the failure. Where a job without faults fails, or puts out different records in
/// different orders. And where no fault struck in any case.
#[track_caller]
pub fn check_exactly_once(job: impl Fn(&Kit) -> Job, cases: u32) {
    if let Err(text) = check(&job, cases) {
        panic!("{text}");
    }
}

fn check(job: &dyn Fn(&Kit) -> Job, cases: u32) -> Result<(), String> {
    let seed = number(SEED_VARIABLE, variable(SEED_VARIABLE))?.unwrap_or(SEED);
    match variable(PLAN_VARIABLE) {
        Some(plan) => replayed(job, seed, &plan),
        None => {
            let n = number(CASES_VARIABLE, variable(CASES_VARIABLE))?.unwrap_or(cases);
            let cases = Cases { seed, n, faults: FaultPlan::strategy(FAULTS), shrink_runs: SHRINK_RUNS };
            checked(job, &cases).map_err(|(_, text)| text)
        }
    }
}

/// The same with faults that the caller draws, and without making small what fails: for checks that are to fail.
///
/// # Errors
/// In which case it failed, 0 before the first one, and what the other one panics with.
#[doc(hidden)]
pub fn check_drawn<S>(job: impl Fn(&Kit) -> Job, faults: S, cases: u32) -> Result<(), (u32, String)>
where
    S: Strategy<Value = FaultPlan> + Clone,
{
    let seed = number(SEED_VARIABLE, variable(SEED_VARIABLE)).map_err(|problem| (0, problem))?.unwrap_or(SEED);
    checked(&job, &Cases { seed, n: cases, faults, shrink_runs: 0 })
}

/// Which cases there are.
struct Cases<S> {
    seed: u64,
    n: u32,
    faults: S,
    /// Runs that may be spent on making a failing case small.
    shrink_runs: u32,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What a variable says; one that says something else than a number is refused, or a night's run would test what every run tests.
fn number<N: FromStr>(name: &str, text: Option<String>) -> Result<Option<N>, String> {
    let read = |text: String| text.parse().map_err(|_| format!("{name} is a number, and not '{text}'"));
    text.map(read).transpose()
}

/// Runs without faults, with these seeds.
fn models(job: &dyn Fn(&Kit) -> Job, seeds: std::ops::Range<u64>) -> Vec<Report> {
    seeds.map(|seed| run(job, seed, &FaultPlan::new(), false)).collect()
}

fn expected(job: &dyn Fn(&Kit) -> Job) -> Result<Expected, String> {
    let models = models(job, 0..MODELS);
    Expected::of(&models).map_err(|problem| {
        let timelines = models.iter().find(|model| !model.finished()).map(|model| run(job, model.seed, &model.faults, true));
        format!("{problem}\n{}", timelines.map_or_else(String::new, |report| report.to_string()))
    })
}

/// What is expected, and whether many more runs without faults were looked at: that is done before anything is blamed on a fault.
struct Judgement<'a> {
    job: &'a dyn Fn(&Kit) -> Job,
    expected: RefCell<Expected>,
    sure: Cell<bool>,
}

impl Judgement<'_> {
    fn of(&self, report: &Report) -> Result<(), String> {
        let Some(problem) = self.expected.borrow().judge(report) else { return Ok(()) };
        if self.sure.replace(true) {
            return Err(problem);
        }
        self.expected.borrow_mut().refine(&models(self.job, MODELS..MODELS_TO_BE_SURE))?;
        self.expected.borrow().judge(report).map_or(Ok(()), Err)
    }
}

fn replayed(job: &dyn Fn(&Kit) -> Job, seed: u64, plan: &str) -> Result<(), String> {
    let plan = replay::read(plan).map_err(|problem| format!("{PLAN_VARIABLE}: {problem}"))?;
    let judgement = Judgement { job, expected: RefCell::new(expected(job)?), sure: Cell::new(false) };
    let report = run(job, seed, &plan, true);
    judgement.of(&report).map_err(|problem| told(&problem, &report))?;
    if plan.faults.is_empty() || report.struck() {
        return Ok(());
    }
    Err(format!(
        "{PLAN_VARIABLE}: none of its faults struck, so nothing was replayed: the job is not the one that failed\n{report}"
    ))
}

/// What is wrong, and in which case.
fn checked<S>(job: &dyn Fn(&Kit) -> Job, cases: &Cases<S>) -> Result<(), (u32, String)>
where
    S: Strategy<Value = FaultPlan> + Clone,
{
    let &Cases { seed, n, shrink_runs, .. } = cases;
    let expected = expected(job).map_err(|problem| (0, problem))?;
    let judgement = Judgement { job, expected: RefCell::new(expected), sure: Cell::new(false) };
    let config = Config { cases: n, failure_persistence: None, max_shrink_iters: shrink_runs, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (struck, tried, failed) = (Cell::new(0u32), Cell::new(0u32), Cell::new(false));
    let case = (any::<u32>().no_shrink(), cases.faults.clone());
    let outcome = runner.run(&case, |(seed, faults)| {
        let report = run(job, u64::from(seed), &faults, false);
        struck.set(struck.get() + u32::from(report.struck()));
        // What comes after the first failure are attempts to make it small.
        tried.set(tried.get() + u32::from(!failed.get()));
        judgement.of(&report).map_err(|problem| {
            failed.set(true);
            TestCaseError::fail(problem)
        })
    });
    let problem = match outcome {
        Ok(()) if struck.get() == 0 => {
            format!("no planned fault struck in {n} cases: nothing was tested; give the job more records")
        }
        Ok(()) => return Ok(()),
        Err(TestError::Abort(reason)) => format!("the cases could not be drawn: {reason}"),
        Err(TestError::Fail(_, (seed, faults))) => {
            let report = run(job, u64::from(seed), &faults, true);
            let again = judgement.of(&report).err();
            let passed = || "the case failed, and passed when it was run again: the job is not deterministic\n".into();
            let problem = again.unwrap_or_else(passed);
            told(&format!("{problem}found in case {} of {n}\n", tried.get()), &report)
        }
    };
    Err((tried.get(), problem))
}

/// Everything about a case that failed.
fn told(problem: &str, report: &Report) -> String {
    let test = std::thread::current().name().filter(|name| *name != "main").unwrap_or_default().to_owned();
    let (seed, plan) = (report.seed, replay::written(&report.faults));
    let mut text = format!("exactly-once does not hold: {problem}");
    let _infallible = writeln!(text, "replay it: {SEED_VARIABLE}={seed} {PLAN_VARIABLE}='{plan}' cargo test {test} -- --exact");
    let _infallible = write!(text, "{report}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scripted;

    fn passing(kit: &Kit) -> Job {
        let job = Job::new("passing");
        job.source("numbers", Scripted::new([vec![1u64]])).sink("out", kit.sink("out"));
        job
    }

    fn drawn(seed: u64, n: u32) -> Result<(), String> {
        let cases = Cases { seed, n, faults: FaultPlan::strategy(FAULTS), shrink_runs: SHRINK_RUNS };
        checked(&passing, &cases).map_err(|(_, text)| text)
    }

    #[test]
    fn cases_in_which_no_fault_strikes_are_no_test() {
        let outcomes: Vec<_> = (0..40).map(|seed| drawn(seed, 1)).collect();
        let nothing =
            |outcome: &&Result<(), String>| outcome.as_ref().is_err_and(|text| text.contains("no planned fault struck"));
        assert!(outcomes.iter().any(|outcome| outcome.is_ok()), "some single fault strikes: {outcomes:?}");
        assert!(outcomes.iter().filter(nothing).count() > 0, "some does not: {outcomes:?}");
        assert!(outcomes.iter().all(|outcome| outcome.is_ok() || nothing(&outcome)), "{outcomes:?}");
    }

    #[test]
    fn no_case_is_no_test() {
        assert!(drawn(1, 0).is_err_and(|text| text.contains("no planned fault struck")));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert_eq!(number::<u32>("TIDEGATE_CASES", None), Ok(None));
        assert_eq!(number("TIDEGATE_CASES", Some("12".into())), Ok(Some(12)));
        let refused = number::<u32>("TIDEGATE_CASES", Some("1e6".into()));
        assert_eq!(refused, Err("TIDEGATE_CASES is a number, and not '1e6'".into()));
    }

    #[test]
    fn a_case_is_replayed_from_its_text() {
        assert_eq!(replayed(&passing, 3, "callback:*:Record:1:Panic;death:30"), Ok(()));
        let missed = replayed(&passing, 3, "death:100000").unwrap_err();
        assert!(missed.starts_with("TIDEGATE_PLAN: none of its faults struck"), "{missed}");
        let refused = replayed(&passing, 3, "death:now").unwrap_err();
        assert_eq!(refused, "TIDEGATE_PLAN: 'death:now' is no planned fault");
    }
}
