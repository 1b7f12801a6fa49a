//! Options, each validated once, and the named bounds of the engine.

use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};

mod document;
mod restart;
mod watchdog;

pub(crate) use restart::RestartPolicy;
pub use restart::{ExponentialDelay, Failure, Restart};
pub use watchdog::Watchdog;

/// Records in a frame at most: enough to hide memory latency and to amortise a channel's cost, few enough for a batch of small
/// records to stay in the first-level cache.
pub(crate) const BATCH_RECORDS: usize = 1024;
/// Frames that an edge holds at most.
pub(crate) const EDGE_FRAMES: usize = 8;
/// How long a frame should take its receiver, all its edges together: with [`EDGE_FRAMES`] on an edge, one that is filled and one that
/// waits, about a second's worth of records is under way to a task that is behind, and a barrier comes through as soon.
pub(crate) const FRAME_TIME: Duration = Duration::from_millis(80);
/// The bounds of what flows between the operators of a job: those above, unless a test narrows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pipes {
    /// Records in a frame, and in a read.
    pub(crate) batch: usize,
    /// Frames that an edge holds.
    pub(crate) frames: usize,
}

impl Default for Pipes {
    fn default() -> Self {
        Pipes { batch: BATCH_RECORDS, frames: EDGE_FRAMES }
    }
}

/// Closed frames that wait for room on an edge at most. A task with half as many sends no further mark before one has left; what a
/// step sends meanwhile are a few.
pub(crate) const WAITING_FRAMES: usize = 8;
/// A frame with records waits no longer than this for more to fill it.
pub(crate) const LINGER: Duration = Duration::from_millis(5);
/// Pieces of work, of some ten microseconds each, that a step does beside reading, such as firing a timer or some hundred windows.
/// Together about a millisecond.
pub(crate) const PIECES_PER_STEP: i32 = 100;
/// What copying a segment that a view shares counts as: its memory is new, so the system hands it out page by page.
pub(crate) const PIECES_PER_COPY: i32 = 8;
/// Records that a task takes in its first step, when it does not know yet how long one takes: so few that even slow ones are no stuck
/// step, and a few steps later it takes whole batches.
pub(crate) const FIRST_READ: usize = 16;
/// A step of a task aims to take no longer than this.
pub(crate) const STEP_TARGET: Duration = Duration::from_millis(5);
/// Checkpoints given up before their barrier came that a task remembers: far more than can be under way at once, and small enough
/// to be searched and moved in a moment.
pub(crate) const ABORTED_REMEMBERED: usize = 256;
/// Checkpoints whose barriers a task counts at once where none holds anything back: as many as Flink's.
pub(crate) const CHECKPOINTS_TRACKED: usize = 50;
/// Checkpoint ids that are reserved durably at once: rarely enough to cost nothing, few enough that ids stay small.
pub(crate) const ID_BLOCK: u64 = 64;
/// Checkpoints that may be asked for and wait for their turn.
pub(crate) const MANUAL_QUEUE: usize = 16;
/// Checkpoints that are remembered because their manifest may have been written or not: only the newest of them matter, and a
/// store that answers so this often in a row has been down for long.
pub(crate) const UNCERTAIN_KEPT: usize = 64;
/// Failures of the coordinator and the snapshot actor that are survived in any [`PAIR_FAILURES_PER`]: one more is no accident.
pub(crate) const PAIR_FAILURES: usize = 5;
/// See [`PAIR_FAILURES`].
pub(crate) const PAIR_FAILURES_PER: Duration = Duration::from_secs(60);
/// Where a store does not say what a pair of the two has left, it is asked again after this.
pub(crate) const SETTLE_AGAIN: Duration = Duration::from_millis(200);
/// Savepoints that are remembered because what belongs to them must not be touched: more than can be under way, or late, at once.
pub(crate) const SAVEPOINTS_REMEMBERED: usize = 64;
/// A final checkpoint that failed is tried again after this: at once for a person, seldom enough for a store that is down.
pub(crate) const FINAL_RETRY: Duration = Duration::from_secs(1);
/// Bytes that the views of the last complete checkpoint may have in memory, where nothing else is asked for.
pub(crate) const VIEWS_BYTES: u64 = 256 << 20;
/// A task that was told to stop and is still there after this is stuck, and the job fails, unless a watchdog has another bound: a second attempt beside it could write
/// the same output twice.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(180);
/// Calls of a store that were given up and have not come back: each keeps a thread. From here on further ones are refused; deletions
/// are from half of it on.
pub(crate) const HANGING_CALLS: usize = 16;

/// How often a record counts, whatever fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Guarantee {
    #[default]
    ExactlyOnce,
    AtLeastOnce,
}

/// Restarts without a complete checkpoint in between that each give a job new time for one: who fails again and again before the first
/// one is complete does not get on.
pub(crate) const RESTARTS_PARDONED: u32 = 3;
/// Events of a job that are remembered for those who listen: some hours of a job that goes well and checkpoints every minute, and as
/// much as a slow listener may be behind.
pub(crate) const EVENTS_KEPT: usize = 1024;
/// Records that an input keeps for want of a checkpoint that covers them, unless another bound is given: some seconds' worth of a busy
/// service.
pub(crate) const INPUT_RECORDS: usize = 65_536;
/// Records of an input that are handed over together at most: the lock is held no longer than that takes.
pub(crate) const INPUT_SENT_AT_ONCE: usize = 1024;
/// An input that is full asks again for a checkpoint after this.
pub(crate) const WISH_AGAIN: Duration = Duration::from_millis(50);
/// Questions to one operator that may be under way: more than a busy service asks at once, and so few that answering all of them
/// delays records by some milliseconds. One more is refused.
pub(crate) const QUESTIONS_IN_FLIGHT: usize = 1024;
/// A question without an answer after this gets an error: no step of a task takes so long, unless the user's code does.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What answering may take of a task's step, before records have their turn again.
pub(crate) const ANSWERING: Duration = Duration::from_micros(500);
/// Entries in a page of a scan, unless several keys have one hash: a page costs a task some hundred microseconds.
pub(crate) const PAGE_ENTRIES: usize = 512;
/// Entries and segments that are looked at for a page; the segment that is begun is looked at to its end.
pub(crate) const PAGE_LOOKS: usize = 4096;

const _: () = assert!(ANSWERING.as_micros() * 4 < STEP_TARGET.as_micros(), "most of a step is for records");

/// When checkpoints are taken, and what becomes of them.
///
/// ```
/// use tidegate::{Checkpoints, secs};
/// let checkpoints = Checkpoints::every(secs(5)).min_pause(secs(1)).timeout(secs(60)).retain(3);
///
/// // The same from a service's configuration, each field by the name of its method; what is left out is the default. Times are texts
/// // with their units.
/// # #[derive(serde::Deserialize)] struct Config { checkpoints: Checkpoints }
/// let config: Config = toml::from_str(r#"
///     [checkpoints]
///     interval = "5s"
///     min-pause = "1s"
///     timeout = "1m"
///     retain = 3
/// "#)?;
/// assert_eq!(config.checkpoints, checkpoints);
/// # Ok::<(), toml::de::Error>(())
/// ```
///
/// The other fields: `guarantee` (`exactly-once` or `at-least-once`), `max-concurrent`, `tolerable-failures`, `keep-views` (bytes),
/// `keep-on-finish`, `keep-on-cancel` and `keep-on-failure` (`true` or `false`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    interval: Option<Duration>,
    timeout: Duration,
    min_pause: Duration,
    max_concurrent: usize,
    retain: usize,
    tolerable_failures: u32,
    views_bytes: u64,
    guarantee: Guarantee,
    keep: KeepAtEnd,
}

/// After which ends of a job its checkpoints stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeepAtEnd {
    pub(crate) finished: bool,
    pub(crate) cancelled: bool,
    pub(crate) failed: bool,
}

impl KeepAtEnd {
    /// What is deleted is gone.
    const ALWAYS: KeepAtEnd = KeepAtEnd { finished: true, cancelled: true, failed: true };
}

impl Checkpoints {
    /// One every `interval`, from the moment when all tasks run; and one at the end of the data.
    pub fn every(interval: Duration) -> Self {
        Checkpoints { interval: Some(interval), ..Checkpoints::manual() }
    }

    /// Only when asked for, and at the end of the data.
    pub fn manual() -> Self {
        Checkpoints {
            interval: None,
            timeout: Duration::from_secs(600),
            min_pause: Duration::ZERO,
            max_concurrent: 1,
            retain: 1,
            tolerable_failures: u32::MAX,
            views_bytes: VIEWS_BYTES,
            guarantee: Guarantee::default(),
            keep: KeepAtEnd::ALWAYS,
        }
    }

    /// Counts each record exactly once, in state and in what sinks commit: a task that has the barrier of one input waits with what
    /// is behind it for the barriers of its others. The default.
    pub fn exactly_once(mut self) -> Self {
        self.guarantee = Guarantee::ExactlyOnce;
        self
    }

    /// Counts each record at least once: no input waits for another's barrier, so records behind it may be in the checkpoint, and are
    /// read again after a restart. For jobs that may count twice, and whose inputs differ so much that waiting costs too much.
    pub fn at_least_once(mut self) -> Self {
        self.guarantee = Guarantee::AtLeastOnce;
        self
    }

    /// Gives a checkpoint up that is not complete after this time. Default: 10 minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The least time from the end of a successful checkpoint to the beginning of the next periodic one. Default: none.
    pub fn min_pause(mut self, pause: Duration) -> Self {
        self.min_pause = pause;
        self
    }

    /// How many checkpoints may be under way at once, at least 1. Default: 1.
    pub fn max_concurrent(mut self, checkpoints: usize) -> Self {
        self.max_concurrent = checkpoints;
        self
    }

    /// How many complete checkpoints are kept, the newest ones, at least 1. Default: 1.
    pub fn retain(mut self, checkpoints: usize) -> Self {
        self.retain = checkpoints;
        self
    }

    /// Whether the complete checkpoints stay when the job has finished. Where they do not, a next start still does nothing, because that
    /// the job has finished stays known. Default: they stay.
    ///
    /// This, [`keep_on_cancel`](Self::keep_on_cancel) and [`keep_on_failure`](Self::keep_on_failure) are about ends that a job comes to
    /// by itself or is asked to come to. After one that nobody asked for, because the process died or the last handle was dropped,
    /// checkpoints always stay; savepoints stay in any case, and so does what numbers checkpoints and process starts.
    pub fn keep_on_finish(mut self, keep: bool) -> Self {
        self.keep.finished = keep;
        self
    }

    /// Whether the complete checkpoints stay when the job was cancelled by [`JobHandle::cancel`](crate::JobHandle::cancel). Where they
    /// do not, a next start begins anew, or from the savepoint that the job was last begun from. Default: they stay.
    pub fn keep_on_cancel(mut self, keep: bool) -> Self {
        self.keep.cancelled = keep;
        self
    }

    /// Whether the complete checkpoints stay when the job has failed and is not restarted. Where they do not, a next start begins anew,
    /// or from the savepoint that the job was last begun from. Default: they stay.
    pub fn keep_on_failure(mut self, keep: bool) -> Self {
        self.keep.failed = keep;
        self
    }

    /// How many checkpoints may fail in a row before the job fails. Default: [`u32::MAX`], which never fails the job.
    pub fn tolerable_failures(mut self, failures: u32) -> Self {
        self.tolerable_failures = failures;
        self
    }

    /// The same for data that runs through in virtual milliseconds.
    #[cfg(feature = "testing")]
    pub(crate) fn hurried(self, interval: Duration, timeout: Duration) -> Self {
        let timeout = timeout.min(self.timeout);
        Checkpoints { interval: Some(interval), timeout, min_pause: Duration::ZERO, tolerable_failures: u32::MAX, ..self }
    }

    /// Keeps the views of the last complete checkpoint in memory while those of a job's tasks have at most this many bytes together,
    /// so that a restart inside the process takes milliseconds, whatever the size of the state. Where a region's views do not fit,
    /// none of them is kept, and the region restores from files, as every start of a process does. Default: 256 MiB.
    ///
    /// The price: at worst the state once more in memory (twice while a checkpoint is written), and a copy of each piece of state,
    /// of some thousand keys, that is written to between two checkpoints.
    pub fn keep_views(mut self, bytes: u64) -> Self {
        self.views_bytes = bytes;
        self
    }

    /// Keeps no views in memory: every restart reads files.
    pub fn restore_from_files(self) -> Self {
        self.keep_views(0)
    }

    /// Refuses options that cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        let refused =
            |problem: &str, advice: &str| Err(Error::InvalidFlow { problem: problem.to_owned(), advice: advice.to_owned() });
        if self.interval == Some(Duration::ZERO) {
            return refused("the checkpoint interval is zero", "use an interval above zero, or Checkpoints::manual()");
        }
        if self.timeout.is_zero() {
            return refused("the checkpoint timeout is zero", "leave it out, or give checkpoints time to complete");
        }
        if self.max_concurrent == 0 {
            return refused("no checkpoint may be under way", "use max_concurrent(1) or more");
        }
        if self.retain == 0 {
            return refused("no checkpoint would be kept", "use retain(1) or more: a restart needs one");
        }
        Ok(())
    }

    /// From one periodic checkpoint to the next: never less than the pause.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.interval.map(|interval| interval.max(self.min_pause))
    }

    pub(crate) fn timeout_after(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn pause(&self) -> Duration {
        self.min_pause
    }

    pub(crate) fn concurrent(&self) -> usize {
        self.max_concurrent
    }

    pub(crate) fn retained(&self) -> usize {
        self.retain
    }

    pub(crate) fn kept_at_end(&self) -> KeepAtEnd {
        self.keep
    }

    pub(crate) fn views_bytes(&self) -> u64 {
        self.views_bytes
    }

    pub(crate) fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    pub(crate) fn tolerated(&self) -> u32 {
        self.tolerable_failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::secs;

    #[test]
    fn options_that_cannot_work_are_refused() {
        assert!(Checkpoints::every(secs(1)).check().is_ok());
        let refused = [
            Checkpoints::every(secs(0)),
            Checkpoints::manual().timeout(secs(0)),
            Checkpoints::manual().max_concurrent(0),
            Checkpoints::manual().retain(0),
        ];
        for options in refused {
            assert!(matches!(options.check(), Err(Error::InvalidFlow { .. })), "{options:?}");
        }
    }
}
