//! The request decider: which checkpoint is to be begun next, and when.
//!
//! Always: savepoints go first, then checkpoints that were asked for by hand, both in their order, and they wait for nothing but a free
//! slot; then comes the final checkpoint, which waits for neither interval nor pause; a periodic one waits for both. A pause begins with
//! a success only, and a savepoint neither begins nor heeds one. Every token leaves exactly once.

use std::collections::VecDeque;

use crate::checkpoint::words::Purpose;
use crate::config::{Checkpoints, FINAL_RETRY, MANUAL_QUEUE};
use crate::time::Moment;

/// A checkpoint that nobody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Automatic {
    Periodic,
    /// All tasks have ended.
    Final,
}

/// What to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The savepoint that has waited longest, or else the request that has.
    Asked,
    Automatic(Automatic),
}

/// A request that waits, or did.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) token: u64,
    pub(crate) purpose: Purpose,
    /// A request waits no longer than a checkpoint may take.
    deadline: Moment,
}

/// What was asked for, and what is due by itself.
#[derive(Debug)]
pub(crate) struct Requests {
    options: Checkpoints,
    queue: VecDeque<Waiting>,
    /// When the next periodic one is due by its interval; `None` while too few tasks run.
    periodic: Option<Moment>,
    /// The final one is not tried before this.
    final_from: Moment,
    last_success: Option<Moment>,
}

impl Requests {
    /// Nothing is asked for, nothing is due.
    pub(crate) fn new(options: Checkpoints) -> Self {
        Requests { options, queue: VecDeque::new(), periodic: None, final_from: Moment::default(), last_success: None }
    }

    /// Enough tasks run for checkpoints. What is due already, because they went on without some tasks, stays due.
    pub(crate) fn enough_run(&mut self, now: Moment) {
        if self.periodic.is_none() {
            self.schedule(now);
        }
        self.final_from = now;
    }

    /// Not enough tasks run any more for checkpoints to go on.
    pub(crate) fn too_few_run(&mut self) {
        self.periodic = None;
    }

    /// A checkpoint was completed.
    pub(crate) fn succeeded(&mut self, now: Moment) {
        self.last_success = Some(now);
    }

    /// The final checkpoint failed.
    pub(crate) fn final_failed(&mut self, now: Moment) {
        self.final_from = now.plus(FINAL_RETRY);
    }

    /// Someone asks for a checkpoint; false if too many wait.
    pub(crate) fn ask(&mut self, token: u64, purpose: Purpose, now: Moment) -> bool {
        let room = self.queue.len() < MANUAL_QUEUE;
        if room {
            self.queue.push_back(Waiting { token, purpose, deadline: now.plus(self.options.timeout_after()) });
        }
        room
    }

    /// What to begin now, provided that there is a free slot.
    pub(crate) fn choose(&self, automatic: Option<Automatic>, now: Moment) -> Option<Choice> {
        if !self.queue.is_empty() {
            return Some(Choice::Asked);
        }
        let automatic = automatic?;
        (self.due(automatic)? <= now).then_some(Choice::Automatic(automatic))
    }

    /// When an automatic checkpoint is due.
    pub(crate) fn due(&self, automatic: Automatic) -> Option<Moment> {
        match automatic {
            Automatic::Final => Some(self.final_from),
            Automatic::Periodic => {
                let rested = self.last_success.map(|success| success.plus(self.options.pause())).unwrap_or_default();
                self.periodic.map(|periodic| periodic.max(rested))
            }
        }
    }

    /// What was chosen is begun; returns the request that it is for.
    pub(crate) fn begun(&mut self, choice: Choice, now: Moment) -> Option<Waiting> {
        match choice {
            Choice::Asked => {
                let savepoint = self.queue.iter().position(|waiting| waiting.purpose.is_savepoint());
                self.queue.remove(savepoint.unwrap_or(0))
            }
            Choice::Automatic(Automatic::Final) => None,
            Choice::Automatic(Automatic::Periodic) => {
                self.schedule(now);
                None
            }
        }
    }

    /// What was chosen could not be begun; returns the request that it was for.
    pub(crate) fn refused(&mut self, choice: Choice, now: Moment) -> Option<Waiting> {
        if choice == Choice::Automatic(Automatic::Final) {
            self.final_failed(now);
        }
        self.begun(choice, now)
    }

    fn schedule(&mut self, now: Moment) {
        self.periodic = self.options.interval().map(|interval| now.plus(interval));
    }

    /// A request that has waited too long.
    pub(crate) fn take_expired(&mut self, now: Moment) -> Option<Waiting> {
        let expired = self.queue.front().is_some_and(|waiting| waiting.deadline <= now);
        if expired { self.queue.pop_front() } else { None }
    }

    /// When the next request has waited too long.
    pub(crate) fn expiry(&self) -> Option<Moment> {
        self.queue.front().map(|waiting| waiting.deadline)
    }

    /// All requests, which wait no more.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Waiting> + use<> {
        std::mem::take(&mut self.queue).into_iter()
    }

    /// The requests for savepoints, or those for checkpoints of the job's own, which wait no more.
    pub(crate) fn drain_some(&mut self, savepoints: bool) -> impl Iterator<Item = Waiting> + use<> {
        let wanted = |waiting: &Waiting| waiting.purpose.is_savepoint() == savepoints;
        let (drained, kept): (VecDeque<Waiting>, _) = std::mem::take(&mut self.queue).into_iter().partition(wanted);
        self.queue = kept;
        drained.into_iter()
    }
}
