//! Checkpoints while some regions do not run.
//!
//! Always: for a region that does not run, a checkpoint holds what that region restores from. No manifest is written between a
//! region's failure and its restore point, and one in which it took part again is newer than each that was begun without it: so the
//! latest complete checkpoint holds the same for it until then. It hears of none of these. A savepoint is whole or not at all. Before
//! every region has run once, and while there is nothing but a point whose files the job does not own, checkpoints need all regions.
//! Part of the coordinator's machine.

use crate::checkpoint::coordinator::Coordinator;
use crate::checkpoint::leaving::Phase;
use crate::checkpoint::pending::Pending;
use crate::checkpoint::reasons::Reason;
use crate::checkpoint::words::Action;
use crate::ids::{CheckpointId, RegionId};
use crate::time::Moment;

impl<E> Coordinator<E> {
    /// Whether enough regions run for a checkpoint.
    pub(super) fn enough_run(&self) -> bool {
        self.members.all_run() || (self.phase == Phase::Open && self.may_carry() && self.members.some_run())
    }

    fn may_carry(&self) -> bool {
        self.borrowed.is_none() || self.latest != self.borrowed
    }

    /// What a region that is down is restored from, from now on until it runs.
    pub(super) fn restore_point(&mut self, region: RegionId) -> Option<CheckpointId> {
        let point = self.latest.filter(|_| self.standing.is_in_any(region));
        self.standing.is_restored(region, point);
        point
    }

    pub(super) fn region_down(&mut self, region: RegionId, now: Moment) {
        self.members.down(region);
        self.standing.fails(region);
        if self.standing.has_run(region) {
            self.members.is_not_fresh(region);
        }
        self.down.insert(region);
        if self.accepts_stale {
            self.requests.too_few_run();
        } else if self.enough_run() {
            // After a coordinator was replaced, this may be the first that it knows of all regions.
            self.requests.enough_run(now);
            self.go_on_without(region, now);
        } else {
            self.requests.too_few_run();
            self.abort_all(&Reason::RegionDown(region), now);
        }
    }

    /// What is under way goes on where other regions take part in it.
    fn go_on_without(&mut self, region: RegionId, now: Moment) {
        let reason = Reason::RegionDown(region);
        let collecting = self.pending.values().filter(|pending| !pending.is_writing());
        let ids: Vec<CheckpointId> = collecting.map(|pending| pending.id).collect();
        for id in ids {
            let Some(pending) = self.pending.get_mut(&id) else { continue };
            if pending.purpose.is_savepoint() {
                self.abort(id, reason.clone(), now);
                continue;
            }
            let (discarded, none_left) = (pending.carry(region), Pending::regions(pending).is_empty());
            self.actions.extend(discarded.into_iter().map(Action::Discard));
            if none_left {
                self.abort(id, reason.clone(), now);
            }
        }
        for waiting in self.requests.drain_some(true) {
            self.refuse(&waiting, reason.clone());
        }
    }
}
