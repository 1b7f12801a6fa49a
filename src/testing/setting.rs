//! The setting in which a job is simulated: drawn from the seed, and the same for all processes of a case.
//!
//! Always: nothing in it may change what a job computes. Data runs through a simulated job in virtual milliseconds, so checkpoints
//! come as often, and are given up as soon; pipes are narrow, so that little data reaches every bound.

use std::time::Duration;

use super::disk::Disk;
use super::rng::Rng;
use crate::actor::JobSpec;
use crate::api::Job;
use crate::config::{Checkpoints, Pipes, Restart};

/// How often a region may be restarted within one process.
const RESTARTS: u32 = 20;

/// What a job is run with.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pipes: Pipes,
    interval: Duration,
    timeout: Duration,
    restart: Restart,
    /// One turn in so many, a task is held up as a slow thread would be.
    pub(super) stall_one_in: usize,
}

impl Setting {
    /// The setting of a seed.
    pub(super) fn drawn(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x7e11_5eed);
        let mut one_of = |values: &[usize]| values.get(rng.below(values.len())).copied().unwrap_or(1);
        let millis = |n: usize| Duration::from_millis(n as u64);
        let pipes = Pipes { batch: one_of(&[1, 2, 3, 7, 64, 1024]), frames: one_of(&[1, 1, 2, 8]) };
        let (interval, timeout) = (millis(one_of(&[2, 4, 7, 12, 25])), millis(one_of(&[60, 200, 1000])));
        let delay = millis(one_of(&[0, 1, 5, 20]));
        let restart = if one_of(&[0, 1, 2, 3]) == 0 { Restart::never() } else { Restart::fixed_delay(RESTARTS, delay) };
        Setting { pipes, interval, timeout, restart, stall_one_in: one_of(&[3, 6, 24]) }
    }

    /// The job as it runs in this setting, with its checkpoints on this disk.
    pub(super) fn of(&self, job: Job, disk: &Disk) -> JobSpec {
        let store = disk.store().with_patience();
        let spec = job.into_spec();
        let checkpoints = spec.checkpoints.unwrap_or_else(Checkpoints::manual).hurried(self.interval, self.timeout);
        let restart = self.restart.clone();
        JobSpec { checkpoints: Some(checkpoints), store: Some(store), restart, pipes: self.pipes, ..spec }
    }
}
