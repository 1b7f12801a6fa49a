//! Which views stay in memory: those of the last complete checkpoint, and until then those of the ones under way.
//!
//! Always: a region's views are kept all or none, and only while those of one checkpoint have no more bytes than the budget; those
//! of a checkpoint that was given up, or that a newer complete one has superseded, are handed out to be dropped. Pure: the keeper
//! feeds it, whatever thread it is on.

use std::collections::BTreeMap;

use crate::checkpoint::words::Carried;
use crate::ids::{CheckpointId, RegionId, TaskId};

/// The views of a job; `V` is what a task's are.
#[derive(Debug)]
pub(crate) struct KeptViews<V> {
    budget_bytes: u64,
    /// Checkpoints under way at most.
    concurrent: usize,
    /// The last complete checkpoint, and what is kept of it.
    complete: Option<(CheckpointId, Views<V>)>,
    under_way: BTreeMap<CheckpointId, Views<V>>,
}

/// What is kept of one checkpoint.
#[derive(Debug)]
struct Views<V> {
    regions: BTreeMap<RegionId, OfRegion<V>>,
}

/// What is kept of a region.
#[derive(Debug)]
enum OfRegion<V> {
    /// Of tasks, all at the barrier of this checkpoint.
    Kept(CheckpointId, BTreeMap<TaskId, (u64, V)>),
    /// With it the budget was exceeded.
    TooLarge,
}

/// What is to be dropped, by whoever has the time.
#[must_use = "dropping it may take long"]
#[derive(Debug)]
pub(crate) struct Dropped<V> {
    _views: Vec<OfRegion<V>>,
}

impl<V> OfRegion<V> {
    /// True if the region has taken part in no checkpoint after this one and up to its views.
    fn is_as_at(&self, id: CheckpointId) -> bool {
        matches!(self, OfRegion::Kept(since, _) if *since <= id)
    }
}

impl<V> Views<V> {
    fn bytes(&self) -> u64 {
        let kept = self.regions.values().filter_map(|region| match region {
            OfRegion::Kept(_, tasks) => Some(tasks.values().map(|(bytes, _)| bytes).sum::<u64>()),
            OfRegion::TooLarge => None,
        });
        kept.sum()
    }
}

impl<V> KeptViews<V> {
    /// None yet. With a budget of 0 bytes there never are any.
    pub(crate) fn new(budget_bytes: u64, concurrent: usize) -> Self {
        KeptViews { budget_bytes, concurrent, complete: None, under_way: BTreeMap::new() }
    }

    /// Takes a task's views, which its part of a checkpoint under way was written from.
    pub(crate) fn add(&mut self, id: CheckpointId, region: RegionId, task: TaskId, bytes: u64, views: V) -> Dropped<V> {
        if self.budget_bytes == 0 || self.complete.as_ref().is_some_and(|(complete, _)| id <= *complete) {
            return dropped([OfRegion::Kept(id, BTreeMap::from([(task, (bytes, views))]))]);
        }
        let of_checkpoint = self.under_way.entry(id).or_insert_with(|| Views { regions: BTreeMap::new() });
        let of_region = of_checkpoint.regions.entry(region).or_insert_with(|| OfRegion::Kept(id, BTreeMap::new()));
        if let OfRegion::Kept(_, tasks) = of_region {
            tasks.insert(task, (bytes, views));
        }
        let mut gone = Vec::new();
        if of_checkpoint.bytes() > self.budget_bytes {
            gone.extend(of_checkpoint.regions.insert(region, OfRegion::TooLarge));
        }
        // What nobody has told of, because the message was lost, must not pile up.
        while self.under_way.len() > self.concurrent {
            gone.extend(self.under_way.pop_first().into_iter().flat_map(|(_, views)| views.regions.into_values()));
        }
        dropped(gone)
    }

    /// The checkpoint is complete: its views are those to restore, and none from before it are needed but those of the regions that it
    /// holds as the one before it did.
    pub(crate) fn completed(&mut self, id: CheckpointId, carried: &Carried) -> Dropped<V> {
        if self.complete.as_ref().is_some_and(|(complete, _)| id <= *complete) {
            return dropped([]);
        }
        let newer = self.under_way.split_off(&CheckpointId(id.0 + 1));
        let mut views = self.under_way.remove(&id).unwrap_or(Views { regions: BTreeMap::new() });
        let older = std::mem::replace(&mut self.under_way, newer).into_values();
        let mut before = self.complete.take();
        let mut gone = Vec::new();
        for region in &carried.regions {
            gone.extend(views.regions.remove(region));
            let same = before.as_mut().filter(|(base, _)| Some(*base) == carried.base);
            if let Some(kept) = same.and_then(|(_, views)| views.regions.remove(region)) {
                views.regions.insert(*region, kept);
            }
            if views.bytes() > self.budget_bytes {
                gone.extend(views.regions.insert(*region, OfRegion::TooLarge));
            }
        }
        self.complete = Some((id, views));
        gone.extend(older.chain(before.map(|(_, views)| views)).flat_map(|views| views.regions.into_values()));
        dropped(gone)
    }

    /// The checkpoint was given up, or nobody knows whether it is complete.
    pub(crate) fn given_up(&mut self, id: CheckpointId) -> Dropped<V> {
        dropped(self.under_way.remove(&id).into_iter().flat_map(|views| views.regions.into_values()))
    }

    /// The last complete checkpoint.
    pub(crate) fn latest(&self) -> Option<CheckpointId> {
        self.complete.as_ref().map(|(id, _)| *id)
    }

    /// A part of the checkpoint is not wanted: none of this region's views is.
    pub(crate) fn refused(&mut self, id: CheckpointId, region: RegionId) -> Dropped<V> {
        dropped(self.under_way.get_mut(&id).and_then(|views| views.regions.remove(&region)))
    }

    /// The views of a region's tasks in a complete checkpoint, if they are all here: in the last one, or in one since which the region
    /// took part in none.
    pub(crate) fn of(&self, id: CheckpointId, region: RegionId, tasks: &[TaskId]) -> Option<Vec<V>>
    where
        V: Clone,
    {
        let (_, complete) = self.complete.as_ref().filter(|(complete, _)| id <= *complete)?;
        let OfRegion::Kept(_, kept) = complete.regions.get(&region).filter(|of| of.is_as_at(id))? else { return None };
        tasks.iter().map(|task| kept.get(task).map(|(_, views)| views.clone())).collect()
    }
}

fn dropped<V>(views: impl IntoIterator<Item = OfRegion<V>>) -> Dropped<V> {
    Dropped { _views: views.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    const A: RegionId = RegionId(0);
    const B: RegionId = RegionId(1);

    fn task(index: u32) -> TaskId {
        TaskId { chain: 0, index }
    }

    fn id(id: u64) -> CheckpointId {
        CheckpointId(id)
    }

    /// Views of 10 bytes, and how many of them are held.
    struct Bench {
        kept: KeptViews<Rc<()>>,
        views: Rc<()>,
    }

    impl Bench {
        fn new(budget_bytes: u64) -> Self {
            Bench { kept: KeptViews::new(budget_bytes, 2), views: Rc::new(()) }
        }

        fn add(&mut self, checkpoint: u64, region: RegionId, index: u32) {
            drop(self.kept.add(id(checkpoint), region, task(index), 10, self.views.clone()));
        }

        fn held(&self) -> usize {
            Rc::strong_count(&self.views) - 1
        }

        fn has(&self, checkpoint: u64, region: RegionId, tasks: &[u32]) -> bool {
            let tasks: Vec<TaskId> = tasks.iter().copied().map(task).collect();
            self.kept.of(id(checkpoint), region, &tasks).is_some()
        }
    }

    #[test]
    fn views_are_there_once_their_checkpoint_is_complete() {
        let mut bench = Bench::new(100);
        bench.add(1, A, 0);
        bench.add(1, A, 1);
        assert!(!bench.has(1, A, &[0, 1]));
        drop(bench.kept.completed(id(1), &Carried::default()));
        assert!(bench.has(1, A, &[0, 1]) && !bench.has(2, A, &[0, 1]));
        assert!(!bench.has(1, A, &[0, 1, 2]), "all tasks of the region, or none");
        assert!(!bench.has(1, B, &[0]));
    }

    #[test]
    fn what_a_newer_complete_one_supersedes_is_dropped() {
        let mut bench = Bench::new(100);
        bench.add(1, A, 0);
        drop(bench.kept.completed(id(1), &Carried::default()));
        bench.add(2, A, 0);
        bench.add(3, A, 0);
        assert_eq!(bench.held(), 3);
        drop(bench.kept.completed(id(3), &Carried::default()));
        assert_eq!(bench.held(), 1);
        assert!(bench.has(3, A, &[0]));
        bench.add(2, A, 0);
        drop(bench.kept.completed(id(2), &Carried::default()));
        assert_eq!(bench.held(), 1, "what comes late is dropped");
        assert!(bench.has(3, A, &[0]));
    }

    #[test]
    fn what_was_given_up_is_dropped_and_the_complete_one_stays() {
        let mut bench = Bench::new(100);
        bench.add(1, A, 0);
        drop(bench.kept.completed(id(1), &Carried::default()));
        bench.add(2, A, 0);
        drop(bench.kept.given_up(id(2)));
        assert_eq!(bench.held(), 1);
        assert!(bench.has(1, A, &[0]));
    }

    #[test]
    fn a_region_that_does_not_fit_is_dropped_whole() {
        let mut bench = Bench::new(25);
        bench.add(1, A, 0);
        bench.add(1, B, 1);
        bench.add(1, B, 2);
        assert_eq!(bench.held(), 1, "B goes, A stays");
        bench.add(1, B, 3);
        assert_eq!(bench.held(), 1, "and nothing more of B comes");
        drop(bench.kept.completed(id(1), &Carried::default()));
        assert!(bench.has(1, A, &[0]) && !bench.has(1, B, &[3]));
        assert!(Bench::new(0).kept.of(id(1), A, &[]).is_none());
    }

    #[test]
    fn a_budget_of_nothing_keeps_nothing() {
        let mut bench = Bench::new(0);
        drop(bench.kept.add(id(1), A, task(0), 0, bench.views.clone()));
        assert_eq!(bench.held(), 0);
    }

    #[test]
    fn checkpoints_that_nobody_ends_do_not_pile_up() {
        let mut bench = Bench::new(100);
        (1..50).for_each(|checkpoint| bench.add(checkpoint, A, 0));
        assert_eq!(bench.held(), 2);
    }
}
