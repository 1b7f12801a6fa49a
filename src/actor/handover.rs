//! What outlives a coordinator and a snapshot actor: who waits for what, and what was begun.
//!
//! Always: a request is noted here before any actor hears of it, and a checkpoint before any task does; so whoever takes over knows of
//! all that the ones before have begun, wherever they failed. Written by the root and by the pair that serves, a few times a checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ractor::{ActorRef, RpcReplyPort};

use super::post::post;
use super::root::RootMsg;
use super::savepoints::Target;
use crate::checkpoint::{Carried, Ending, Inherited, Purpose, Standing};
use crate::config::{SAVEPOINTS_REMEMBERED, UNCERTAIN_KEPT};
use crate::error::Error;
use crate::ids::{CheckpointId, RegionId};
use crate::snapshot::{Place, Savepoint};

/// Held by the members of a pair, and by every call that they have made. When the last holder lets go, and not before, the root is told
/// that the pair is gone.
#[derive(Clone)]
pub(super) struct Tenure {
    _shared: Arc<Guard>,
}

struct Guard {
    tenure: u64,
    root: ActorRef<RootMsg>,
}

impl Tenure {
    pub(super) fn begin(tenure: u64, root: ActorRef<RootMsg>) -> Self {
        Tenure { _shared: Arc::new(Guard { tenure, root }) }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        post(&self.root, RootMsg::PairGone { tenure: self.tenure });
    }
}

/// Who waits for a checkpoint.
pub(super) enum Asker {
    Checkpoint(RpcReplyPort<Result<CheckpointId, Error>>),
    Savepoint { place: Place, purpose: Purpose, port: RpcReplyPort<Result<Savepoint, Error>> },
}

/// What a pair leaves to the next one.
pub(super) struct Handover(Mutex<Ledger>);

struct Ledger {
    waiting: BTreeMap<u64, Asker>,
    next_token: u64,
    /// The latest checkpoint that all were told of, or that the job began from.
    announced: Option<CheckpointId>,
    /// The highest id that was used.
    used: u64,
    standing: Standing,
    /// With the regions that take part and have not failed since.
    under_way: BTreeMap<CheckpointId, (Purpose, BTreeSet<RegionId>)>,
    /// Those newer than what was announced whose manifest may be there, with the regions that took part: the latest ones.
    written: BTreeMap<CheckpointId, BTreeSet<RegionId>>,
    /// The savepoints that are under way, or may still be written to, with who asked for each: the latest ones.
    targets: BTreeMap<CheckpointId, (u64, Target)>,
    ending: Ending,
}

/// What is to be settled when a pair has gone.
pub(super) struct Left {
    pub(super) announced: Option<CheckpointId>,
    pub(super) used: u64,
    pub(super) under_way: Vec<CheckpointId>,
    pub(super) savepoints: Vec<(CheckpointId, Target)>,
}

impl Handover {
    /// Of a job whose regions all begin from this checkpoint, with ids above `used`.
    pub(super) fn new(regions: impl IntoIterator<Item = RegionId>, announced: Option<CheckpointId>, used: u64) -> Self {
        Handover(Mutex::new(Ledger {
            waiting: BTreeMap::new(),
            next_token: 0,
            announced,
            used,
            standing: Standing::at(regions, announced),
            under_way: BTreeMap::new(),
            written: BTreeMap::new(),
            targets: BTreeMap::new(),
            ending: Ending::NotYet,
        }))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Someone asks for something; returns the token of the request.
    pub(super) fn asked(&self, asker: Asker) -> u64 {
        let mut ledger = self.ledger();
        ledger.next_token += 1;
        let token = ledger.next_token;
        ledger.waiting.insert(token, asker);
        token
    }

    /// Who is to be answered; nobody is answered twice.
    pub(super) fn take(&self, token: u64) -> Option<Asker> {
        self.ledger().waiting.remove(&token)
    }

    /// Where a savepoint is wanted, what for, and whether another one is wanted there as well.
    pub(super) fn wanted(&self, token: u64) -> Option<(Place, Purpose, bool)> {
        let ledger = self.ledger();
        let Some(Asker::Savepoint { place, purpose, .. }) = ledger.waiting.get(&token) else { return None };
        let same = |(other, asker): (&u64, &Asker)| {
            *other != token && matches!(asker, Asker::Savepoint { place: there, .. } if there.is_same(place))
        };
        Some((place.clone(), *purpose, ledger.waiting.iter().any(same)))
    }

    /// A savepoint is to be written there.
    pub(super) fn aims(&self, id: CheckpointId, token: u64, target: Target) {
        let mut ledger = self.ledger();
        ledger.targets.insert(id, (token, target));
        if ledger.targets.len() > SAVEPOINTS_REMEMBERED {
            ledger.targets.pop_first();
        }
    }

    /// Where a checkpoint is written, if it is a savepoint.
    pub(super) fn target(&self, id: CheckpointId) -> Option<Target> {
        self.ledger().targets.get(&id).map(|(_, target)| target.clone())
    }

    /// Where the savepoint lies with which the job ends.
    pub(super) fn place_of(&self, id: CheckpointId) -> PathBuf {
        self.target(id).map(|target| target.folder.located()).unwrap_or_default()
    }

    /// A checkpoint begins, in which these regions take part.
    pub(super) fn begins(&self, id: CheckpointId, regions: BTreeSet<RegionId>) {
        let mut ledger = self.ledger();
        let purpose = ledger.targets.get(&id).map_or(Purpose::Recovery, |(_, target)| target.purpose);
        ledger.used = ledger.used.max(id.0);
        ledger.under_way.insert(id, (purpose, regions));
    }

    /// Its manifest is to be written, with what some regions restore from in place of parts of theirs.
    pub(super) fn is_written(&self, id: CheckpointId, carried: &Carried) {
        let mut ledger = self.ledger();
        let Some((_, regions)) = ledger.under_way.get(&id) else { return };
        let regions = regions.difference(&carried.regions).copied().collect();
        ledger.written.insert(id, regions);
        if ledger.written.len() > UNCERTAIN_KEPT {
            ledger.written.pop_first();
        }
    }

    /// A checkpoint is to be deleted, or what there is of one.
    pub(super) fn is_deleted(&self, id: CheckpointId) {
        self.ledger().written.remove(&id);
    }

    /// All tasks of a region run.
    pub(super) fn runs(&self, region: RegionId) {
        self.ledger().standing.runs(region);
    }

    /// A region does not run.
    pub(super) fn fails(&self, region: RegionId) {
        let mut ledger = self.ledger();
        ledger.standing.fails(region);
        ledger.under_way.values_mut().for_each(|(_, regions)| regions.retain(|other| *other != region));
    }

    /// A region is restored from there, or begins anew.
    pub(super) fn is_restored(&self, region: RegionId, point: Option<CheckpointId>) {
        self.ledger().standing.is_restored(region, point);
    }

    /// It is given up, or it is a savepoint that is complete.
    pub(super) fn is_over(&self, id: CheckpointId) {
        self.ledger().under_way.remove(&id);
    }

    /// These regions, which took part in it, are told that it is complete.
    pub(super) fn announced(&self, id: CheckpointId, regions: &BTreeSet<RegionId>) {
        let mut ledger = self.ledger();
        ledger.standing.is_complete(id, regions);
        ledger.written = ledger.written.split_off(&CheckpointId(id.0 + 1));
        ledger.announced = ledger.announced.max(Some(id));
        ledger.under_way.remove(&id);
    }

    /// How far the job is from its end.
    pub(super) fn ends(&self, ending: Ending) {
        self.ledger().ending = ending;
    }

    /// What is to be settled.
    pub(super) fn left(&self) -> Left {
        let ledger = self.ledger();
        let of = |id: &CheckpointId| Some((*id, ledger.targets.get(id).map(|(_, target)| target.clone())?));
        Left {
            announced: ledger.announced,
            used: ledger.used,
            under_way: ledger.under_way.keys().copied().collect(),
            savepoints: ledger.under_way.keys().filter_map(of).collect(),
        }
    }

    /// What the next coordinator begins with, of which these savepoints are complete, and with one of which the job ends; from now on
    /// it is that one's.
    pub(super) fn inherited(&self, saved: Vec<CheckpointId>, ends_with: Option<CheckpointId>) -> Inherited {
        let mut ledger = self.ledger();
        let ending = ends_with.map_or(ledger.ending, Ending::Left);
        let begun = |token: u64| ledger.targets.iter().rev().find(|(_, (other, _))| *other == token).map(|(id, _)| *id);
        let (mut requests, mut savepoints) = (Vec::new(), Vec::new());
        for (token, asker) in &ledger.waiting {
            match asker {
                Asker::Checkpoint(_) => requests.push(*token),
                Asker::Savepoint { .. } => savepoints.push((*token, begun(*token))),
            }
        }
        let announced = ledger.announced;
        let under_way = ledger.under_way.iter().map(|(id, (purpose, regions))| (*id, *purpose, regions.clone())).collect();
        ledger.ending = ending;
        let (standing, written) = (ledger.standing.clone(), ledger.written.clone());
        Inherited { announced, standing, under_way, written, saved, ending, requests, savepoints }
    }
}
