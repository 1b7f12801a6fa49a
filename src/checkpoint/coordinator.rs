//! The coordinator of checkpoints: one machine for all that begins, completes and ends them.
//!
//! Always: a checkpoint is called complete only after every task delivered its part, each in the attempt that the checkpoint was
//! begun with, and after its manifest was published. One manifest is written at a time. No region gets its restore point while a
//! manifest is being written or may have been: so a checkpoint either is the one to restore, or is not called complete later.
//! Regions share no records, so any mix of theirs is consistent: while some do not run, the others' checkpoints go on, and hold for
//! those what they restore from ([`super::partial`]). A savepoint goes the same way and leaves no trace in any of that: it is
//! answered, and nothing else. How a job ends with one is in [`super::leaving`]. Every token is answered exactly once.
//!
//! Owned by the coordinator's actor, which feeds it events with the monotonic time, does the actions in order, and sends a tick at
//! the deadline. Never waits.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::failures::Failures;
use crate::checkpoint::ids::Ids;
use crate::checkpoint::leaving::{Leave, Phase};
use crate::checkpoint::members::Members;
use crate::checkpoint::pending::Pending;
use crate::checkpoint::reasons::{Reason, Refusal};
use crate::checkpoint::requests::{Automatic, Choice, Requests, Waiting};
use crate::checkpoint::retention::Retention;
use crate::checkpoint::standing::Standing;
use crate::checkpoint::words::{AckAnswer, Action, Carried, Event, Purpose, Start, Written};
use crate::config::Checkpoints;
use crate::ids::{Attempt, CheckpointId, RegionId, TaskId};
use crate::time::Moment;

/// The machine. `E` is what a task's ack carries.
#[derive(Debug)]
pub(crate) struct Coordinator<E> {
    pub(super) options: Checkpoints,
    pub(super) phase: Phase,
    pub(super) members: Members,
    pub(super) requests: Requests,
    ids: Ids,
    pub(super) pending: BTreeMap<CheckpointId, Pending<E>>,
    /// The checkpoint to restore: the latest complete one, or the one that the job began from.
    pub(super) latest: Option<CheckpointId>,
    pub(super) retention: Retention,
    failures: Failures,
    /// Regions that wait for their restore point.
    pub(super) down: BTreeSet<RegionId>,
    pub(super) standing: Standing,
    /// What the job began from, where checkpoints may not name its files.
    pub(super) borrowed: Option<CheckpointId>,
    /// The manifest of which it is being found out whether it is there.
    resolving: Option<CheckpointId>,
    /// What failed, and why, since somebody asked.
    pub(super) failed: Vec<(Option<CheckpointId>, Reason)>,
    /// Savepoints that are complete or may be, so that their files are not to be touched: the latest ones.
    pub(super) saved: BTreeSet<CheckpointId>,
    /// Checkpoints that are being deleted.
    deleting: usize,
    pub(super) actions: Vec<Action<E>>,
    /// Broken on purpose: what was begun with an attempt outlives it.
    pub(super) accepts_stale: bool,
}

impl<E> Coordinator<E> {
    /// A coordinator of a job of which no region runs yet.
    pub(crate) fn new(options: Checkpoints, start: Start) -> Self {
        Coordinator {
            standing: Standing::at(start.regions.iter().copied(), start.restore),
            phase: Phase::Open,
            members: Members::new(start.regions),
            requests: Requests::new(options.clone()),
            ids: Ids::above(start.reserved.max(start.restore.map_or(0, |id| id.0))),
            pending: BTreeMap::new(),
            latest: start.restore,
            retention: Retention::new(options.retained(), start.retained),
            failures: Failures::new(options.tolerated()),
            down: BTreeSet::new(),
            borrowed: start.restore.filter(|_| start.borrowed),
            resolving: None,
            saved: BTreeSet::new(),
            deleting: 0,
            actions: Vec::new(),
            failed: Vec::new(),
            accepts_stale: false,
            options,
        }
    }

    /// Breaks it on purpose: parts of an attempt that has failed still count.
    pub(crate) fn accept_stale(&mut self) {
        self.accepts_stale = true;
    }

    /// Takes an event in; returns what to do, in order.
    #[must_use]
    pub(crate) fn handle(&mut self, event: Event<E>, now: Moment) -> Vec<Action<E>> {
        self.apply(event, now);
        self.expire(now);
        self.end_draining(now);
        self.release_restores();
        self.write_collected();
        self.begin_due(now);
        std::mem::take(&mut self.actions)
    }

    /// Which checkpoints were given up, or could not be begun, since this was asked last, and why.
    #[must_use]
    pub(crate) fn take_failed(&mut self) -> Vec<(Option<CheckpointId>, Reason)> {
        std::mem::take(&mut self.failed)
    }

    /// When the next tick is to come.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let pending = self.pending.values().filter_map(Pending::deadline);
        let due = if self.may_begin() { self.automatic().and_then(|automatic| self.requests.due(automatic)) } else { None };
        pending.chain(self.requests.expiry()).chain(due).chain(self.drained_until()).min()
    }

    /// What is over its bound, for who checks that nothing is.
    pub(crate) fn over_bounds(&self) -> Option<String> {
        let (under_way, at_most) = (self.pending.len(), self.options.concurrent());
        (under_way > at_most).then(|| format!("{under_way} checkpoints are under way, and at most {at_most} may be"))
    }

    /// The checkpoint that a restart would restore.
    #[cfg(test)]
    pub(crate) fn latest(&self) -> Option<CheckpointId> {
        self.latest
    }

    fn apply(&mut self, event: Event<E>, now: Moment) {
        match event {
            Event::TakeOver(inherited) => self.take_over(&inherited, now),
            Event::RegionUp { region, attempt, members } => {
                self.standing.runs(region);
                self.change_members(|all| all.up(region, attempt, members));
                if self.enough_run() {
                    self.requests.enough_run(now);
                }
            }
            Event::RegionDown { region } => self.region_down(region, now),
            Event::TaskEnded { task, attempt } => self.change_members(|all| all.ended(task, attempt)),
            Event::Tick => {}
            Event::Request { token } => self.request(token, Purpose::Recovery, now),
            Event::Savepoint { token } => self.request(token, Purpose::Savepoint, now),
            Event::Stop { token, drain } => self.leave(token, drain, now),
            Event::Deleted => self.deleting = self.deleting.saturating_sub(1),
            Event::Reserved { up_to } => self.ids.granted(up_to),
            Event::ReservationFailed { text } => self.reservation_failed(Reason::IdsNotReserved(text), now),
            Event::Ack { task, attempt, id, part } => self.ack(task, attempt, id, part),
            Event::Decline { task, attempt, id, refusal } => self.decline(task, attempt, id, refusal, now),
            Event::Manifest { id, written } => self.manifest(id, written, now),
            Event::ManifestResolved { id, published } => self.resolved(id, published, now),
            Event::Stopping => self.stop(now),
        }
    }

    fn stop(&mut self, now: Moment) {
        // Once a savepoint with which the job ends is complete, nothing is restored, however the job ends.
        let stopping = if self.phase == Phase::Left { Phase::Left } else { Phase::Stopping };
        let before = std::mem::replace(&mut self.phase, stopping);
        if let Phase::Leaving(Leave::Draining { token, .. }) = before {
            self.answer(token, Err(Reason::Stopping));
        }
        self.abort_all(&Reason::Stopping, now);
    }

    /// The final checkpoint needs no second one after a restart: there is nothing that it does not hold.
    pub(super) fn change_members(&mut self, change: impl FnOnce(&mut Members)) {
        let before = self.members.all_ended();
        change(&mut self.members);
        if let (false, true, Phase::Final(id)) = (before, self.members.all_ended(), self.phase) {
            self.actions.push(Action::FinalDone(id));
        }
    }

    fn request(&mut self, token: u64, purpose: Purpose, now: Moment) {
        let refused = self.refusal(purpose).or_else(|| (!self.requests.ask(token, purpose, now)).then_some(Reason::QueueFull));
        if let Some(reason) = refused {
            self.answer(token, Err(reason));
        }
    }

    /// What wanted the id is refused; the next one tries again.
    fn reservation_failed(&mut self, reason: Reason, now: Moment) {
        self.ids.refused();
        let choice = if self.may_begin() { self.requests.choose(self.automatic(), now) } else { None };
        let Some(choice) = choice else { return };
        match self.requests.refused(choice, now) {
            Some(waiting) => {
                self.refuse(&waiting, reason.clone());
                // Savepoints fail whoever asked for them, and nobody else.
                if waiting.purpose == Purpose::Recovery {
                    self.count(None, reason);
                }
            }
            None => self.count(None, reason),
        }
    }

    fn ack(&mut self, task: TaskId, attempt: Attempt, id: CheckpointId, part: E) {
        let taken = match self.pending.get_mut(&id) {
            Some(pending) => pending.ack(task, attempt, part),
            // Every part of such a checkpoint was accepted once, so its files are not to be touched.
            None if self.retention.holds(id) || self.saved.contains(&id) => Err((AckAnswer::Duplicate, part)),
            None => Err((AckAnswer::Discarded, part)),
        };
        let (answer, refused) = match taken {
            Ok(()) => (AckAnswer::Accepted, None),
            Err((AckAnswer::Duplicate, _)) => (AckAnswer::Duplicate, None),
            Err((answer, part)) => (answer, Some(part)),
        };
        self.actions.push(Action::Acked { task, id, answer });
        self.actions.extend(refused.map(Action::Discard));
    }

    fn decline(&mut self, task: TaskId, attempt: Attempt, id: CheckpointId, refusal: Refusal, now: Moment) {
        if self.pending.get(&id).is_some_and(|pending| pending.awaits(task, attempt)) {
            self.abort(id, Reason::Declined { task, refusal }, now);
        }
    }

    fn manifest(&mut self, id: CheckpointId, written: Written, now: Moment) {
        let Some(purpose) = self.pending.get(&id).filter(|pending| pending.is_writing()).map(|pending| pending.purpose) else {
            return;
        };
        match written {
            Written::Published => self.complete(id, now),
            Written::Failed(text) => {
                self.abort(id, Reason::ManifestFailed(text), now);
                self.delete(id);
            }
            Written::Unknown(text) => {
                if purpose.is_savepoint() {
                    self.remember_saved(id)
                } else {
                    self.retention.uncertain(id, self.pending.get(&id).map(Pending::regions).unwrap_or_default())
                }
                self.abort(id, Reason::ManifestUnknown(text), now);
            }
        }
    }

    fn delete(&mut self, id: CheckpointId) {
        self.deleting += 1;
        self.actions.push(Action::DeleteCheckpoint(id));
    }

    fn resolved(&mut self, id: CheckpointId, published: bool, now: Moment) {
        if self.resolving.take_if(|resolving| *resolving == id).is_none() {
            return;
        }
        let regions = self.retention.resolved(id);
        if published {
            self.publish(id, regions.unwrap_or_default(), now);
        } else if regions.is_some() {
            self.delete(id);
        }
    }

    fn complete(&mut self, id: CheckpointId, now: Moment) {
        let Some(pending) = self.pending.remove(&id) else { return };
        if pending.purpose.is_savepoint() {
            return self.keep_savepoint(&pending);
        }
        self.failures.succeeded();
        self.publish(id, pending.regions(), now);
        if let Some(token) = pending.token {
            self.answer(token, Ok(id));
        }
        if pending.last && self.members.all_ended() && self.phase == Phase::Open {
            self.phase = Phase::Final(id);
            self.actions.push(Action::FinalDone(id));
            self.refuse_waiting(&Reason::Ended);
        }
    }

    /// What holds once a manifest is there: whoever took part may know, older ones are not needed any more.
    fn publish(&mut self, id: CheckpointId, regions: BTreeSet<RegionId>, now: Moment) {
        self.latest = self.latest.max(Some(id));
        if let Phase::Final(last) = &mut self.phase {
            *last = id.max(*last);
        }
        self.requests.succeeded(now);
        self.standing.is_complete(id, &regions);
        self.actions.push(Action::NotifyComplete { id, regions });
        self.subsume(id, now);
        let dropped = self.retention.published(id, &self.standing.being_restored());
        dropped.into_iter().for_each(|id| self.delete(id));
    }

    /// Whoever asked for an older one has what they wanted: a newer one holds more. A savepoint is wanted for itself.
    fn subsume(&mut self, by: CheckpointId, now: Moment) {
        let older = self.pending.range(..by).filter(|(_, pending)| !pending.purpose.is_savepoint());
        let older: Vec<CheckpointId> = older.map(|(id, _)| *id).collect();
        for id in older {
            let token = self.pending.get_mut(&id).and_then(|pending| pending.token.take());
            if let Some(token) = token {
                self.answer(token, Ok(by));
            }
            self.abort(id, Reason::Subsumed(by), now);
        }
    }

    /// Gives up everything but the checkpoint whose manifest is being written, and refuses all that wait.
    pub(super) fn abort_all(&mut self, reason: &Reason, now: Moment) {
        let ids: Vec<CheckpointId> = self.pending.keys().copied().collect();
        for id in ids {
            self.abort_collecting(id, reason.clone(), now);
        }
        self.refuse_waiting(reason);
        if self.drained_until().is_some() {
            self.stay(reason);
        }
    }

    pub(super) fn abort_collecting(&mut self, id: CheckpointId, reason: Reason, now: Moment) {
        if !self.pending.get(&id).is_none_or(Pending::is_writing) {
            self.abort(id, reason, now);
        }
    }

    pub(super) fn abort(&mut self, id: CheckpointId, reason: Reason, now: Moment) {
        let Some(pending) = self.pending.remove(&id) else { return };
        if pending.last {
            self.requests.final_failed(now);
        }
        if let Some(token) = pending.token {
            self.answer(token, Err(reason.clone()));
        }
        let regions = self.standing.heard_by(&pending.regions());
        self.actions.push(Action::NotifyAborted { id, regions });
        let purpose = pending.purpose;
        self.actions.extend(pending.into_parts().map(Action::Discard));
        match purpose {
            Purpose::Recovery => self.count(Some(id), reason),
            Purpose::Savepoint => {}
            Purpose::Stop { .. } => self.stay(&reason),
        }
    }

    fn count(&mut self, id: Option<CheckpointId>, reason: Reason) {
        self.failed.push((id, reason.clone()));
        if self.failures.failed(&reason) {
            self.actions.push(Action::FailJob(reason));
        }
    }

    fn refuse_waiting(&mut self, reason: &Reason) {
        for waiting in self.requests.drain() {
            self.refuse(&waiting, reason.clone());
        }
    }

    /// A request is not served.
    pub(super) fn refuse(&mut self, waiting: &Waiting, reason: Reason) {
        if let Purpose::Stop { .. } = waiting.purpose {
            self.stay(&reason);
        }
        self.answer(waiting.token, Err(reason));
    }

    pub(super) fn answer(&mut self, token: u64, answer: Result<CheckpointId, Reason>) {
        self.actions.push(Action::Answer { token, answer });
    }

    fn expire(&mut self, now: Moment) {
        let is_due = |pending: &&Pending<E>| pending.deadline().is_some_and(|deadline| deadline <= now);
        let due: Vec<CheckpointId> = self.pending.values().filter(is_due).map(|pending| pending.id).collect();
        for id in due {
            self.abort(id, Reason::Expired, now);
        }
        while let Some(waiting) = self.requests.take_expired(now) {
            self.refuse(&waiting, Reason::Expired);
        }
    }

    /// Hands the newest checkpoint of which all parts are there to the writer; it subsumes the older ones.
    fn write_collected(&mut self) {
        if self.pending.values().any(Pending::is_writing) {
            return;
        }
        // What a region restores from is not known before it has its restore point.
        let down = &self.down;
        let is_ready = |pending: &&mut Pending<E>| pending.is_collected() && pending.carried().is_disjoint(down);
        if let Some(pending) = self.pending.values_mut().rev().find(is_ready) {
            let (id, parts) = (pending.id, pending.hand_over());
            let base = self.latest.filter(|_| !pending.carried().is_empty());
            let carried = Carried { regions: pending.carried().clone(), base };
            self.actions.push(Action::WriteManifest { id, parts, carried });
        }
    }

    /// Tells the regions that are down where to start from, once it is certain which checkpoint is the latest.
    fn release_restores(&mut self) {
        if self.phase == Phase::Left || self.down.is_empty() || self.pending.values().any(Pending::is_writing) {
            return;
        }
        if self.resolving.is_none() {
            self.resolving = self.retention.uncertain_above(self.latest);
            self.actions.extend(self.resolving.map(|id| Action::ResolveManifest { id }));
        }
        if self.resolving.is_none() {
            for region in std::mem::take(&mut self.down) {
                let point = self.restore_point(region);
                self.actions.push(Action::RestoreFrom { region, point });
            }
        }
    }

    fn may_begin(&self) -> bool {
        let slot = self.pending.len() < self.options.concurrent();
        let tidy = self.deleting <= self.options.concurrent();
        let open = matches!(self.phase, Phase::Open | Phase::Leaving(Leave::Saving { .. }));
        slot && tidy && open && self.enough_run() && !self.ids.is_waiting()
    }

    fn automatic(&self) -> Option<Automatic> {
        match self.members.all_ended() {
            _ if self.phase != Phase::Open => None,
            false => Some(Automatic::Periodic),
            true if self.pending.values().any(|pending| pending.last) => None,
            true => Some(Automatic::Final),
        }
    }

    fn begin_due(&mut self, now: Moment) {
        while self.may_begin() {
            let Some(choice) = self.requests.choose(self.automatic(), now) else { return };
            let Some(id) = self.ids.take() else {
                let up_to = self.ids.ask();
                self.actions.push(Action::ReserveIds { up_to });
                return;
            };
            self.begin(id, choice, now);
        }
    }

    fn begin(&mut self, id: CheckpointId, choice: Choice, now: Moment) {
        let mut pending = Pending::new(id, now.plus(self.options.timeout_after()), &self.members);
        if let Some(Waiting { token, purpose, .. }) = self.requests.begun(choice, now) {
            (pending.token, pending.purpose) = (Some(token), purpose);
            if purpose.is_savepoint() {
                self.actions.push(Action::Savepoint { id, token, purpose });
            }
        }
        if pending.purpose == (Purpose::Stop { drain: false }) {
            self.actions.push(Action::StandStill { id });
        }
        pending.last = self.members.all_ended() && pending.purpose == Purpose::Recovery;
        self.pending.insert(id, pending);
        self.actions.push(Action::Trigger { id, sources: self.members.sources() });
    }
}
