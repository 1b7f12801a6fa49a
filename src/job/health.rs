//! What a probe is told of a job: whether it is ready, and whether it is well.
//!
//! Decided by one pure function over what is known of the job and what its tasks show, with the time given; every answer that is no
//! comes with its reasons, as sentences.

use std::fmt;
use std::time::Duration;

use super::JobHandle;
use crate::actor::{JobEnd, Known, RegionState, SeenTask};
use crate::config::{RESTARTS_PARDONED, Watchdog};
use crate::supervision::Doing;
use crate::time::Moment;

/// What a probe is told: yes, or no and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    reasons: Vec<String>,
}

impl Probe {
    /// Whether there is nothing to complain of.
    pub fn is_ok(&self) -> bool {
        self.reasons.is_empty()
    }

    /// What there is to complain of, as sentences.
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ok() { f.write_str("ok") } else { f.write_str(&self.reasons.join("; ")) }
    }
}

/// What is looked at.
pub(super) struct Vitals<'a> {
    /// How the job ended, if it has.
    pub(super) end: Option<&'a JobEnd>,
    pub(super) known: &'a Known,
    pub(super) tasks: &'a [SeenTask],
    /// How often checkpoints are taken, if they are.
    pub(super) interval: Option<Duration>,
    pub(super) watchdog: Watchdog,
}

impl Vitals<'_> {
    /// Whether the job can be given work.
    pub(super) fn ready(&self) -> Probe {
        if let Some(end) = self.end {
            return Probe { reasons: vec![ended(end)] };
        }
        let known = self.known.regions.iter();
        let reasons = known.filter_map(|(id, region)| match (region.state, &region.last_failure) {
            (RegionState::Running | RegionState::Ended, _) => None,
            (RegionState::Starting, _) => Some(format!("region {id} is being started")),
            (RegionState::Restarting, Some(cause)) => Some(format!("region {id} is being restarted: {cause}")),
            (state, _) => Some(format!("region {id} is {state}")),
        });
        Probe { reasons: reasons.collect() }
    }

    /// Whether the job gets on.
    pub(super) fn health(&self, now: Moment) -> Probe {
        // A job that has done its work is well.
        let failed = match self.end {
            Some(JobEnd::Finished | JobEnd::Cancelled) => return Probe { reasons: Vec::new() },
            Some(end @ JobEnd::Failed(_)) => Some(ended(end)),
            None => None,
        };
        let reasons = failed.into_iter().chain(self.nothing_moves()).chain(self.overdue(now));
        Probe { reasons: reasons.collect() }
    }

    /// All tasks that have something to do stand still.
    fn nothing_moves(&self) -> Option<String> {
        let busy: Vec<&SeenTask> = self.tasks.iter().filter(|task| task.is_busy()).collect();
        let (bound, _) = self.watchdog.bounds();
        let still = busy.iter().map(|task| task.still_for.unwrap_or_default()).min()?;
        if still < bound {
            return None;
        }
        let stands = |task: &&SeenTask| match task.reading.doing {
            Doing::Stepping => format!("task {} ({}) does not come back from a callback", task.task, task.operators),
            _ => format!("task {} ({}) waits for room", task.task, task.operators),
        };
        let tasks: Vec<String> = busy.iter().map(stands).collect();
        Some(format!("nothing moves for {} s: {}", still.as_secs(), tasks.join(", ")))
    }

    /// No checkpoint was complete for too long. While a region is being restarted none can be, and the job is not ready; that is pardoned
    /// a few times.
    fn overdue(&self, now: Moment) -> Option<String> {
        let (known, interval) = (self.known, self.interval?);
        let since = now.since(known.fresh_since);
        let pardoned = !known.all_run() && known.restarts_since <= RESTARTS_PARDONED;
        let over = known.regions.values().all(|region| region.state == RegionState::Ended);
        if since < self.watchdog.overdue(interval) || pardoned || over {
            return None;
        }
        let why = match &known.failing {
            Some(failure) => format!("the last one failed: {}", failure.reason),
            None if known.restarts_since > 0 => format!("regions were restarted {} times meanwhile", known.restarts_since),
            None => "none has failed either: look for the slowest task".into(),
        };
        Some(format!("no checkpoint was complete for {} s, and one is due every {interval:?}; {why}", since.as_secs()))
    }
}

fn ended(end: &JobEnd) -> String {
    match end {
        JobEnd::Finished => "the job has finished".into(),
        JobEnd::Cancelled => "the job was cancelled".into(),
        JobEnd::Failed(error) => format!("the job failed: {error}"),
    }
}

impl JobHandle {
    /// Whether the job can be given work, for a readiness probe: all regions run. It is not ready before they do, while one is being
    /// restarted, and once it has ended.
    pub fn ready(&self) -> Probe {
        self.probe(|vitals, _| vitals.ready())
    }

    /// Whether the job gets on, for a liveness probe: it has not failed, something moves or nothing needs to, and checkpoints are
    /// complete often enough. Where it is not well, a restart of the process may help, and the reasons say what to look at. A job that
    /// has finished, or was cancelled, is well. What counts as too long is said by the job's [`Watchdog`].
    ///
    /// ```
    /// # async fn probe(job: tidegate::JobHandle) -> (u16, String) {
    /// let health = job.health();
    /// (if health.is_ok() { 200 } else { 503 }, health.to_string())
    /// # }
    /// ```
    pub fn health(&self) -> Probe {
        self.probe(|vitals, now| vitals.health(now))
    }

    fn probe(&self, ask: impl FnOnce(&Vitals<'_>, Moment) -> Probe) -> Probe {
        let (status, now) = (&self.status, self.status.now());
        let (known, tasks) = (status.chronicle.known(), status.watched.seen(now));
        let (interval, watchdog) = (status.interval, status.watchdog);
        ask(&Vitals { end: status.decided(), known: &known, tasks: &tasks, interval, watchdog }, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::JobEvent;
    use crate::error::Error;
    use crate::ids::{Attempt, CheckpointId, RegionId, TaskId};
    use crate::supervision::Reading;
    use crate::time::secs;

    /// A job of one region, at five o'clock: its events came a second apart from zero on.
    struct Bench {
        known: Known,
        tasks: Vec<SeenTask>,
        end: Option<JobEnd>,
    }

    fn running() -> JobEvent {
        JobEvent::RegionRunning { region: RegionId(0), attempt: Attempt { epoch: 1, n: 0 } }
    }

    fn failed() -> [JobEvent; 2] {
        let restarting = JobEvent::RegionRestarting { region: RegionId(0), after: secs(1), restarts: 1 };
        let cause = Error::Engine("boom".into());
        [JobEvent::RegionFailed { region: RegionId(0), task: None, operator: None, cause }, restarting]
    }

    impl Bench {
        fn after(events: impl IntoIterator<Item = JobEvent>) -> Self {
            let mut known = Known::new(1, Moment::default());
            events.into_iter().zip(0..).for_each(|(event, second)| known.learn(&event, Moment(secs(second))));
            Bench { known, tasks: Vec::new(), end: None }
        }

        fn task(mut self, chain: u32, doing: Doing, still: u64) -> Self {
            let (task, region, attempt) = (TaskId { chain, index: 0 }, RegionId(0), Some(Attempt { epoch: 1, n: 0 }));
            let reading = Reading { doing, steps: 3, records: 4 };
            let still_for = matches!(doing, Doing::Stepping | Doing::Waiting).then(|| secs(still));
            self.tasks.push(SeenTask { task, region, operators: "spin".into(), attempt, reading, still_for });
            self
        }

        fn vitals(&self) -> Vitals<'_> {
            let watchdog = Watchdog::default();
            Vitals { end: self.end.as_ref(), known: &self.known, tasks: &self.tasks, interval: Some(secs(10)), watchdog }
        }

        fn ready(&self) -> String {
            self.vitals().ready().to_string()
        }

        fn health(&self, seconds: u64) -> String {
            self.vitals().health(Moment(secs(seconds))).to_string()
        }
    }

    #[test]
    fn a_job_is_ready_while_all_regions_run() {
        assert_eq!(Bench::after([]).ready(), "region 0 is being started");
        assert_eq!(Bench::after([running()]).ready(), "ok");
        let restarting = Bench::after([running()].into_iter().chain(failed()));
        assert!(restarting.ready().starts_with("region 0 is being restarted: fault of the engine: boom"));
        assert_eq!(Bench::after(failed().into_iter().chain([running()])).ready(), "ok");
        let over = Bench { end: Some(JobEnd::Finished), ..Bench::after([running()]) };
        assert_eq!((over.ready().as_str(), over.health(9999).as_str()), ("the job has finished", "ok"));
        let failed = Bench { end: Some(JobEnd::Failed(Error::Ended)), ..Bench::after([running()]) };
        assert_eq!(failed.health(1), "the job failed: the job has ended");
    }

    #[test]
    fn a_job_is_well_unless_no_checkpoint_is_complete_for_three_intervals() {
        let well = Bench::after([running()]);
        assert_eq!(well.health(29), "ok");
        let overdue =
            "no checkpoint was complete for 30 s, and one is due every 10s; none has failed either: look for the slowest task";
        assert_eq!(well.health(30), overdue);
        let reason = "the disk is full".into();
        let failing = JobEvent::CheckpointFailed { id: Some(CheckpointId(1)), reason, counts: true };
        let said = Bench::after([running(), failing.clone()]).health(31);
        assert_eq!(said, "no checkpoint was complete for 31 s, and one is due every 10s; the last one failed: the disk is full");
        let complete = JobEvent::CheckpointCompleted { id: CheckpointId(2), took: secs(1), bytes: 0 };
        assert_eq!(Bench::after([running(), failing, complete]).health(31), "ok");
        let restarting = Bench::after([running()].into_iter().chain(failed()));
        assert_eq!(restarting.health(500), "ok", "it is not ready, and that is another probe");
        let flapping = Bench::after((0..5).flat_map(|_| failed().into_iter().chain([running()])));
        assert_eq!(
            flapping.health(38),
            "no checkpoint was complete for 30 s, and one is due every 10s; regions were restarted 5 times meanwhile"
        );
        let ended = JobEvent::RegionEnded { region: RegionId(0) };
        assert_eq!(Bench::after([running(), ended]).health(500), "ok", "no checkpoint is due any more");
        let manual = Vitals { interval: None, ..well.vitals() };
        assert!(manual.health(Moment(secs(500))).is_ok());
    }

    #[test]
    fn a_job_is_ill_when_nothing_moves_though_something_is_to_be_done() {
        let resting = Bench::after([running()]).task(0, Doing::Resting, 0).task(1, Doing::Resting, 0);
        assert_eq!(resting.health(5), "ok", "there is nothing to do");
        let blocked =
            Bench::after([running()]).task(0, Doing::Waiting, 40).task(1, Doing::Stepping, 31).task(2, Doing::Resting, 0);
        let says = "nothing moves for 31 s: task 0.0 (spin) waits for room, task 1.0 (spin) does not come back from a callback";
        assert_eq!(blocked.health(5), says);
        assert_eq!(blocked.task(3, Doing::Stepping, 2).health(5), "ok", "one moves");
    }
}
