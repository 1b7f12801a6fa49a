//! What a start of a job begins with: its store, the point that it goes on from, the numbers that it may use.
//!
//! Without a word from the user it is the latest checkpoint of the job's own; where there is none since the job was last begun from a
//! chosen point, that point again; else nothing. A point that the user names is gone on from whatever there is, and from then on what was
//! there is of the past. Always: what can be refused is refused before an epoch is taken and anything is written but the job's record.
//! Blocks.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::keeper::UNKEPT_IDS;
use super::restore::Begun;
use crate::error::{Error, Result};
use crate::ids::{CheckpointId, Uid};
use crate::plan::Plan;
use crate::snapshot::{Found, JobOptions, JobRecord, JobStore, Manifest, Place, StoreBackend};

/// Where a user wants a job to begin.
#[derive(Clone, Debug, Default)]
pub(crate) enum StartPoint {
    /// Where it was.
    #[default]
    Latest,
    /// From a checkpoint of its own that is still kept.
    Own(CheckpointId),
    /// From a savepoint or a checkpoint that lies there; the job's from then on where it is claimed.
    At { place: Place, claimed: bool },
}

/// Who is to begin.
pub(super) struct Asked<'a> {
    pub(super) job: &'a str,
    pub(super) options: JobOptions,
    pub(super) from: StartPoint,
    pub(super) may_be_lost: &'a BTreeSet<Uid>,
    pub(super) plan: &'a Plan,
}

/// What is begun with.
pub(super) struct Beginning {
    pub(super) store: Option<Arc<JobStore>>,
    pub(super) record: JobRecord,
    pub(super) epoch: u64,
    /// Checkpoint ids that may be used: above the first, up to the second.
    pub(super) ids: (u64, u64),
    /// The checkpoint to begin from, and those that are kept.
    pub(super) restore: Option<CheckpointId>,
    pub(super) retained: Vec<CheckpointId>,
    /// What lies elsewhere than the job's checkpoints, and is begun from.
    pub(super) begun: Option<Arc<Begun>>,
}

/// Finds out what to begin with; `None` where the job has finished.
///
/// # Errors
/// What the store, or the state in it, is refused for.
pub(super) fn begin(store: Option<Arc<dyn StoreBackend>>, asked: Asked<'_>) -> Result<Option<Beginning>> {
    let chosen = asked.chosen()?;
    match store {
        None => without_store(&asked, chosen).map(Some),
        Some(store) => {
            let like = chosen.as_ref().map(|begun| begun.found.manifest().job.clone());
            let store = JobStore::open_first_like(store, asked.job, &asked.options, like.as_ref())?;
            with_store(store, &asked, chosen)
        }
    }
}

impl Asked<'_> {
    /// What lies where the user says, if that is what was said.
    fn chosen(&self) -> Result<Option<Begun>> {
        let StartPoint::At { place, claimed } = &self.from else { return Ok(None) };
        let Some(folder) = place.fixed()? else {
            return Err(Error::InvalidFlow {
                problem: "a job is to begin from a savepoint 'beside the checkpoints', and which one was not said".into(),
                advice: "name its directory, or give the place that Savepoint::place() says".into(),
            });
        };
        let found = Found::open(folder)?;
        let groups = found.manifest().job.max_parallelism;
        match self.options.max_parallelism {
            Some(wanted) if wanted != groups => Err(Error::StateMismatch {
                problem: format!("the maximum parallelism is set to {wanted}, and the savepoint is kept in {groups} key groups"),
                advice: format!("set it to {groups}, or leave it out: it is fixed at a job's first start"),
            }),
            _ => Ok(Some(Begun { found, claimed: *claimed })),
        }
    }

    /// Refuses a flow that does not fit what is kept.
    fn check(&self, record: &JobRecord, from: Option<&Manifest>) -> Result<()> {
        for (uid, parallelism) in self.plan.uids.iter().zip(&self.plan.parallelism) {
            record.check_parallelism(uid.as_str(), *parallelism)?;
        }
        let Some(from) = from else { return Ok(()) };
        let flow: BTreeSet<Uid> = self.plan.uids.iter().cloned().collect();
        for uid in from.check_operators(&flow, self.may_be_lost)? {
            let (job, checkpoint) = (self.job, from.id());
            tracing::warn!(job, %uid, %checkpoint, "the flow has this operator no more: its state is given up, as was allowed");
        }
        Ok(())
    }
}

fn without_store(asked: &Asked<'_>, chosen: Option<Begun>) -> Result<Beginning> {
    if let StartPoint::Own(id) = asked.from {
        return Err(Error::InvalidFlow {
            problem: format!("the job is to begin from its checkpoint {id}, and has no store that could have it"),
            advice: "give the job its store with .store(…), or name a directory to begin from".into(),
        });
    }
    let manifest = chosen.as_ref().map(|begun| begun.found.manifest());
    let first = || JobRecord { max_parallelism: asked.plan.groups.max(), ..JobRecord::first(asked.job, &asked.options) };
    let record = manifest.map_or_else(first, |manifest| JobRecord { job: asked.job.into(), ..manifest.job.clone() });
    if manifest.is_some() {
        asked.check(&record, manifest)?;
    }
    let (restore, epoch) = (manifest.map(Manifest::id), manifest.map_or(1, |manifest| manifest.note.epoch + 1));
    let ids = (restore.map_or(0, |id| id.0), UNKEPT_IDS);
    Ok(Beginning { store: None, record, epoch, ids, restore, retained: Vec::new(), begun: chosen.map(Arc::new) })
}

fn with_store(store: JobStore, asked: &Asked<'_>, chosen: Option<Begun>) -> Result<Option<Beginning>> {
    let point = match (&asked.from, chosen) {
        (StartPoint::Own(id), _) => Point::Own(store.checkpoint(*id)?),
        (_, Some(begun)) => Point::Begun(begun),
        (_, None) if store.finished()?.is_some() => return Ok(None),
        (_, None) => where_it_was(&store)?,
    };
    asked.check(store.record(), point.manifest())?;
    if let Point::Begun(begun) = &point {
        store.count_above(begun.found.manifest().note.epoch, begun.found.id())?;
    }
    let epoch = match (&asked.from, &point) {
        (StartPoint::Latest, Point::Own(latest)) => store.begin_epoch(Some(latest.id()))?,
        _ => store.begin_epoch_beside()?,
    };
    let ids = store.reserve_ids()?;
    let above = ids.start - 1;
    match (&asked.from, &point) {
        (StartPoint::Own(id), _) => store.begin_from_own(*id, above)?,
        (StartPoint::At { claimed, .. }, Point::Begun(begun)) => {
            store.begin_from(begun.found.folder(), begun.found.id(), above, *claimed)?;
        }
        _ => {}
    }
    store.clean_incomplete(CheckpointId(ids.start))?;
    let mut retained = store.list()?;
    let restore = point.manifest().map(Manifest::id);
    let begun = match point {
        Point::Begun(begun) => Some(Arc::new(begun)),
        Point::Nothing | Point::Own(_) => None,
    };
    retained.extend(begun.iter().filter(|begun| begun.claimed).map(|begun| begun.found.id()));
    let (record, ids) = (store.record().clone(), (above, ids.end - 1));
    Ok(Some(Beginning { store: Some(Arc::new(store)), record, epoch, ids, restore, retained, begun }))
}

/// What a job begins from.
enum Point {
    Nothing,
    Own(Manifest),
    Begun(Begun),
}

impl Point {
    fn manifest(&self) -> Option<&Manifest> {
        match self {
            Point::Nothing => None,
            Point::Own(manifest) => Some(manifest),
            Point::Begun(begun) => Some(begun.found.manifest()),
        }
    }
}

/// Without a word from the user.
fn where_it_was(store: &JobStore) -> Result<Point> {
    if let Some(latest) = store.latest_for_good()? {
        return Ok(Point::Own(latest));
    }
    let Some(mark) = store.origin()? else { return Ok(Point::Nothing) };
    let found = store.open_origin(&mark)?;
    Ok(Point::Begun(Begun { found, claimed: mark.claimed }))
}
