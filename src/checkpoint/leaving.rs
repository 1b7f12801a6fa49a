//! Savepoints, and how a job ends with one.
//!
//! Always: a savepoint is remembered only so that its files are left alone. From the moment when such an end was asked for nothing but
//! savepoints is begun; behind the savepoint's barrier nothing is read. Once the savepoint is complete, and not before, tasks may
//! commit it and go, and no region gets a restore point any more: what the savepoint holds may be committed. Where it fails, the job carries on: tasks read on that stood still, and tasks that had drained begin
//! again where they were. Part of the coordinator's machine.

use crate::checkpoint::coordinator::Coordinator;
use crate::checkpoint::pending::Pending;
use crate::checkpoint::reasons::Reason;
use crate::checkpoint::words::{Action, Purpose};
use crate::config::SAVEPOINTS_REMEMBERED;
use crate::ids::CheckpointId;
use crate::time::Moment;

/// How far the job is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The job is to end with a savepoint: nothing but savepoints is begun.
    Leaving(Leave),
    /// That savepoint is complete; nothing is ever restored again.
    Left,
    /// The final checkpoint is complete; nothing is left to be kept.
    Final(CheckpointId),
    /// The job stops.
    Stopping,
}

/// How far the savepoint is with which a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Sources were told to end; the savepoint waits until all tasks have.
    Draining { token: u64, until: Moment },
    /// The savepoint waits for its turn, or is under way.
    Saving { drain: bool },
}

impl<E> Coordinator<E> {
    /// Why nothing may be asked for now for this purpose. A savepoint is whole, so it needs all regions.
    pub(super) fn refusal(&self, purpose: Purpose) -> Option<Reason> {
        match self.phase {
            Phase::Stopping => Some(Reason::Stopping),
            Phase::Leaving(_) | Phase::Left => Some(Reason::Leaving),
            Phase::Final(_) => Some(Reason::Ended),
            Phase::Open if purpose.is_savepoint() => (!self.members.all_run()).then_some(Reason::NotRunning),
            Phase::Open => (!self.enough_run()).then_some(Reason::NotRunning),
        }
    }

    pub(super) fn remember_saved(&mut self, id: CheckpointId) {
        self.saved.insert(id);
        if self.saved.len() > SAVEPOINTS_REMEMBERED {
            self.saved.pop_first();
        }
    }

    /// A savepoint is there: who asked for it knows. What sinks have prepared for it is committed by the next checkpoint that completes.
    pub(super) fn keep_savepoint(&mut self, pending: &Pending<E>) {
        self.remember_saved(pending.id);
        if let Some(token) = pending.token {
            self.answer(token, Ok(pending.id));
        }
        if let Purpose::Stop { .. } = pending.purpose {
            self.left(pending.id);
        }
    }

    /// Someone wants the job to end with a savepoint.
    pub(super) fn leave(&mut self, token: u64, drain: bool, now: Moment) {
        if let Some(reason) = self.refusal(Purpose::Stop { drain }) {
            return self.answer(token, Err(reason));
        }
        self.give_up_own(now);
        if drain {
            let until = now.plus(self.options.timeout_after());
            self.phase = Phase::Leaving(Leave::Draining { token, until });
            self.actions.push(Action::Drain { sources: self.members.sources() });
        } else {
            self.save(token, drain, now);
        }
    }

    /// Gives up what the job does for itself: a savepoint that the user wants besides goes first.
    fn give_up_own(&mut self, now: Moment) {
        let own = self.pending.values().filter(|pending| !pending.purpose.is_savepoint());
        let own: Vec<CheckpointId> = own.map(|pending| pending.id).collect();
        for id in own {
            self.abort_collecting(id, Reason::Leaving, now);
        }
        for waiting in self.requests.drain_some(false) {
            self.refuse(&waiting, Reason::Leaving);
        }
    }

    fn save(&mut self, token: u64, drain: bool, now: Moment) {
        self.phase = Phase::Leaving(Leave::Saving { drain });
        if !self.requests.ask(token, Purpose::Stop { drain }, now) {
            self.stay(&Reason::QueueFull);
            self.answer(token, Err(Reason::QueueFull));
        }
    }

    /// When draining takes too long.
    pub(super) fn drained_until(&self) -> Option<Moment> {
        match self.phase {
            Phase::Leaving(Leave::Draining { until, .. }) => Some(until),
            _ => None,
        }
    }

    /// Goes on with the savepoint once all tasks have drained.
    pub(super) fn end_draining(&mut self, now: Moment) {
        let Phase::Leaving(Leave::Draining { token, until }) = self.phase else { return };
        if self.members.all_ended() {
            self.save(token, true, now);
        } else if until <= now {
            self.stay(&Reason::Expired);
        }
    }

    /// The savepoint is complete.
    fn left(&mut self, id: CheckpointId) {
        if let Phase::Leaving(_) = self.phase {
            self.phase = Phase::Left;
            self.actions.push(Action::Leave { id });
        }
    }

    /// The job does not leave: whatever was done for it is taken back.
    pub(super) fn stay(&mut self, reason: &Reason) {
        let Phase::Leaving(leave) = self.phase else { return };
        self.phase = Phase::Open;
        match leave {
            Leave::Draining { token, .. } => {
                self.answer(token, Err(reason.clone()));
                self.undo_draining(reason);
            }
            Leave::Saving { drain: true } => self.undo_draining(reason),
            Leave::Saving { drain: false } => self.actions.push(Action::GoOn),
        }
    }

    /// Tasks that have drained are no members of any checkpoint more: theirs would be a final one.
    fn undo_draining(&mut self, reason: &Reason) {
        self.members.none_runs();
        self.requests.too_few_run();
        self.actions.push(Action::StartAnew(reason.clone()));
    }
}
