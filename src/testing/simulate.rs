//! One case: a job under planned faults, over as many processes as it takes.
//!
//! Always: a process that failed or died is followed by another one, as a service manager would have it, until the job has
//! finished or every planned fault has had its process.

use std::collections::BTreeMap;
use std::fmt;

use super::disk::DiskState;
use super::kit::{Kit, Rows};
use super::plan::{Fate, FaultPlan};
use super::recording::RecordingSink;
use super::simulation::{End, Run};
use super::timeline::Timeline;
use crate::api::{Job, Record};
use crate::error::{Error, Result};
use crate::state::StateDescriptor;

/// Processes beside one for each fault: the first, and some for a fault that makes more than one of them fail.
const MORE_PROCESSES: usize = 4;

/// Runs a job to its end in an order that the seed decides, while the planned faults strike.
///
/// The job is described anew for each process that it takes, with what the [`Kit`] keeps over all of them. Its store is the
/// simulated disk; how often checkpoints are taken, whether a failure restarts the region or ends the process, how much an edge
/// holds and how many records a batch has is drawn from the seed: the job's own options for these do not count.
///
/// ```
/// use tidegate::Job;
/// use tidegate::testing::{Callback, Failure, FaultPlan, Kit, PlannedFault, Scripted, simulate};
///
/// let job = |kit: &Kit| {
///     let job = Job::new("counts");
///     let numbers = job.source("numbers", Scripted::new([(0..100u64).collect()]));
///     numbers.key_by(|n| n % 3).count().uid("counts").sink("out", kit.sink("out"));
///     job
/// };
/// let faults = FaultPlan::new().and(PlannedFault::callback(Callback::Record, 60, Failure::Panic).of("counts"));
/// let report = simulate(job, 7, &faults);
/// assert!(report.finished(), "{report}");
/// assert!(report.fates().iter().all(|fate| fate.fired));
/// assert_eq!(report.sink::<(u64, u64)>("out").committed().len(), 100);
/// ```
pub fn simulate(job: impl Fn(&Kit) -> Job, seed: u64, faults: &FaultPlan) -> Report {
    run(&job, seed, faults, true)
}

/// The same without a timeline, and faster.
#[doc(hidden)]
pub fn simulate_unwatched(job: impl Fn(&Kit) -> Job, seed: u64, faults: &FaultPlan) -> Report {
    run(&job, seed, faults, false)
}

/// The same; only a watched run has a timeline.
pub(super) fn run(job: &dyn Fn(&Kit) -> Job, seed: u64, faults: &FaultPlan, watched: bool) -> Report {
    let kit = Kit::new(seed, faults, watched);
    let mut report = Report { seed, faults: faults.clone(), name: String::new(), runs: Vec::new(), seen: Vec::new(), kit };
    for _ in 0..faults.faults.len() + MORE_PROCESSES {
        let job = job(&report.kit);
        report.name = job.name().to_owned();
        let run = report.kit.sim.run(job);
        let refused = matches!(run.end, End::Failed(Error::InvalidFlow { .. }));
        let goes_on = matches!(run.end, End::Died | End::Failed(_) | End::Cancelled) && !refused;
        report.runs.push(run);
        report.seen.push(report.kit.visible());
        if !goes_on {
            break;
        }
    }
    report
}

/// What came of a simulated job. It shows itself as a timeline.
#[derive(Debug)]
pub struct Report {
    pub(super) seed: u64,
    pub(super) faults: FaultPlan,
    name: String,
    /// The processes, in order.
    pub(super) runs: Vec<Run>,
    /// What was visible at the end of each.
    pub(super) seen: Vec<BTreeMap<String, Rows>>,
    pub(super) kit: Kit,
}

impl Report {
    /// Whether the job has finished.
    pub fn finished(&self) -> bool {
        matches!(self.runs.last().map(|run| &run.end), Some(End::Finished(_)))
    }

    /// How the job's processes ended, the last one last.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// What became of the planned faults.
    pub fn fates(&self) -> Vec<Fate> {
        self.kit.sim.fates()
    }

    /// Whether a planned fault struck.
    pub(super) fn struck(&self) -> bool {
        self.fates().iter().any(|fate| fate.fired)
    }

    /// A sink that the job was given by the kit.
    pub fn sink<T: Record>(&self, name: &str) -> RecordingSink<T> {
        self.kit.keep(name, RecordingSink::new)
    }

    /// What must never happen to a sink of the kit, and did.
    pub fn violations(&self) -> Vec<String> {
        self.kit.violations()
    }

    /// What the latest checkpoint holds.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn state(&self) -> Result<DiskState> {
        self.state_where(|_| true)
    }

    /// The same of those states that are wanted.
    pub(super) fn state_where(&self, wanted: impl Fn(&StateDescriptor) -> bool) -> Result<DiskState> {
        self.kit.disk().heal();
        Ok(self.kit.disk().state_where(&self.name, wanted)?.map(|(_, state)| state).unwrap_or_default())
    }

    /// The job's name.
    pub fn job(&self) -> &str {
        &self.name
    }

    /// The simulated disk.
    pub fn disk(&self) -> &super::disk::Disk {
        self.kit.disk()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, faults: {}", self.seed, self.faults)?;
        for fate in self.fates().iter().filter(|fate| !fate.fired) {
            writeln!(f, "(this one did not strike: {}; {} of the events that it counts came)", fate.fault, fate.seen)?;
        }
        Timeline(&self.runs).fmt(f)
    }
}
