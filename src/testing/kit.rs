//! What a job is handed that is simulated again and again: sinks whose output is compared, and what else outlives its processes.
//!
//! Always: what is asked for by the same name in a later process of a case is the same thing; another case has its own.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::Disk;
use super::plan::FaultPlan;
use super::recording::RecordingSink;
use super::setting::Setting;
use super::simulation::Simulation;
use crate::api::Record;
use crate::hook::Canary;

/// What is visible at a place of output: one text for each record, in any order.
pub(super) type Rows = Vec<String>;

/// A place where output becomes visible.
struct Output {
    rows: Box<dyn Fn() -> Rows + Send>,
    /// What must never be, and was.
    violations: Box<dyn Fn() -> Vec<String> + Send>,
    /// Whether, at any moment, what is visible must be a part of what is there in the end.
    grows: bool,
}

/// By name, what to do when a process dies.
type Deaths = Arc<Mutex<BTreeMap<String, Box<dyn Fn() + Send>>>>;

/// What a job under [`simulate`](super::simulate) or [`check_exactly_once`](super::check_exactly_once) is made with.
pub struct Kit {
    pub(super) sim: Simulation,
    things: Mutex<BTreeMap<String, Box<dyn Any + Send>>>,
    outputs: Mutex<BTreeMap<String, Output>>,
    deaths: Deaths,
}

impl Kit {
    /// For one case.
    pub(super) fn new(seed: u64, faults: &FaultPlan, watched: bool) -> Self {
        let deaths = Deaths::default();
        let dying = deaths.clone();
        let sim = Simulation::new(seed).faults(faults.clone()).set_in(Setting::drawn(seed), watched);
        sim.on_death(move || lock(&dying).values().for_each(|die| die()));
        Kit { sim, things: Mutex::default(), outputs: Mutex::default(), deaths }
    }

    /// A sink that records what it is told. What it has committed is compared, as `{:?}` shows it: in no particular order, but each
    /// record as often as it is there.
    pub fn sink<T: Record + fmt::Debug>(&self, name: &str) -> RecordingSink<T> {
        self.output(name, true, |records| records.iter().map(|record| format!("{record:?}")).collect())
    }

    /// The same, where not every record is determined: `rows` makes of what is committed what must be equal in every run.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use tidegate::Job;
    /// use tidegate::testing::{Scripted, check_exactly_once};
    ///
    /// // Each step of a sum depends on the order in which records of two splits come; the last one does not.
    /// check_exactly_once(|kit| {
    ///     let job = Job::new("sums");
    ///     let numbers = job.source("numbers", Scripted::new([(0..20u64).collect(), (20..40).collect()]));
    ///     let sums = numbers.key_by(|n| n % 2).reduce(|sum, n| sum + n);
    ///     let last = |sums: &[(u64, u64)]| sums.iter().copied().max().map(|last| format!("{last:?}")).into_iter().collect();
    ///     sums.sink("sums", kit.sink_as("sums", last));
    ///     job
    /// }, 20);
    /// ```
    pub fn sink_as<T: Record>(&self, name: &str, rows: impl Fn(&[T]) -> Vec<String> + Send + 'static) -> RecordingSink<T> {
        self.output(name, false, rows)
    }

    fn output<T: Record>(&self, name: &str, grows: bool, rows: impl Fn(&[T]) -> Rows + Send + 'static) -> RecordingSink<T> {
        let sink = self.keep(name, || self.sim.sink::<T>());
        let (committed, told) = (sink.clone(), sink.clone());
        let rows = Box::new(move || rows(&committed.committed()));
        let output = Output { rows, violations: Box::new(move || told.violations()), grows };
        lock(&self.outputs).insert(name.to_owned(), output);
        sink
    }

    /// Something of your own that outlives the processes of the job, such as the broker or the database behind your sink: made at
    /// the first call with this name in a case, and the same (a clone of it) at every later one.
    ///
    /// # Panics
    /// Where the name was used with another type before.
    pub fn keep<W: Clone + Send + 'static>(&self, name: &str, make: impl FnOnce() -> W) -> W {
        if let Some(kept) = lock(&self.things).get(name) {
            let Some(kept) = kept.downcast_ref::<W>() else { panic!("the kit keeps '{name}' with another type") };
            return kept.clone();
        }
        let made = make();
        lock(&self.things).insert(name.to_owned(), Box::new(made.clone()));
        made
    }

    /// Has the output of your own sink compared: `rows` says what a reader sees of it now, a text for each record. Nothing may ever
    /// be seen that is not there in the end.
    pub fn shows(&self, name: &str, rows: impl Fn() -> Vec<String> + Send + 'static) {
        let output = Output { rows: Box::new(rows), violations: Box::new(Vec::new), grows: true };
        lock(&self.outputs).insert(name.to_owned(), output);
    }

    /// What happens to the world of your own when a process of the job dies: open connections break, what was not synced is gone.
    pub fn on_death(&self, name: &str, die: impl Fn() + Send + 'static) {
        lock(&self.deaths).insert(name.to_owned(), Box::new(die));
    }

    /// Breaks the engine on purpose, in all processes of this case; of several ways, the first one called for counts. It shows
    /// whether a check of yours would see a bug of the engine, and so how much it is worth:
    ///
    /// ```should_panic
    /// use tidegate::Job;
    /// use tidegate::testing::{Canary, Scripted, check_exactly_once};
    ///
    /// check_exactly_once(|kit| {
    ///     kit.break_engine(Canary::PositionsBehindBarrier);
    ///     let job = Job::new("numbers");
    ///     job.source("numbers", Scripted::new([(0..100u64).collect()])).sink("out", kit.sink("out"));
    ///     job
    /// }, 300);
    /// ```
    pub fn break_engine(&self, canary: Canary) {
        self.sim.break_engine(canary);
    }

    /// The disk with the job's checkpoints.
    pub fn disk(&self) -> &Disk {
        self.sim.disk()
    }

    /// What is visible now, sorted, by place.
    pub(super) fn visible(&self) -> BTreeMap<String, Rows> {
        let outputs = lock(&self.outputs);
        let sorted = |output: &Output| {
            let mut rows = (output.rows)();
            rows.sort();
            rows
        };
        outputs.iter().map(|(name, output)| (name.clone(), sorted(output))).collect()
    }

    /// The places at which what is visible may only grow.
    pub(super) fn growing(&self) -> Vec<String> {
        lock(&self.outputs).iter().filter(|(_, output)| output.grows).map(|(name, _)| name.clone()).collect()
    }

    /// What must never be, and was.
    pub(super) fn violations(&self) -> Vec<String> {
        let outputs = lock(&self.outputs);
        outputs
            .iter()
            .flat_map(|(name, output)| (output.violations)().into_iter().map(move |what| format!("{name}: {what}")))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit").field("sim", &self.sim).finish_non_exhaustive()
    }
}
