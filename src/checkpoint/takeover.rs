//! How a coordinator takes over from one that has failed.
//!
//! Always: what the one before had begun is either called complete, if its manifest counts, or given up, at the tasks of the regions that
//! take part in it and before anything else is begun; no id of before is used again. Where each region stands is taken over: what holds
//! nothing of it is no point for it to go back to, and what it is being restored from is kept. What it had waiting is asked again, or
//! answered. An end that was under way goes on where nothing can take it back, and is taken back everywhere else. Part of the
//! coordinator's machine.

use crate::checkpoint::coordinator::Coordinator;
use crate::checkpoint::leaving::Phase;
use crate::checkpoint::reasons::Reason;
use crate::checkpoint::words::{Action, Ending, Inherited, Purpose};
use crate::time::Moment;

impl<E> Coordinator<E> {
    pub(super) fn take_over(&mut self, inherited: &Inherited, now: Moment) {
        let latest = self.latest;
        self.standing = inherited.standing.clone();
        // Any other region says at once whether it runs; one that is being restored may take long, and the others go on without it.
        self.standing.restoring().for_each(|region| self.members.is_not_fresh(region));
        if let Some(id) = latest.filter(|_| latest > inherited.announced) {
            let regions = inherited.written.get(&id).cloned().unwrap_or_default();
            self.standing.is_complete(id, &regions);
            self.actions.push(Action::NotifyComplete { id, regions });
        }
        inherited.saved.iter().for_each(|id| self.remember_saved(*id));
        for (id, purpose, regions) in &inherited.under_way {
            if Some(*id) == latest || self.retention.holds(*id) || self.saved.contains(id) {
                continue;
            }
            self.actions.push(Action::NotifyAborted { id: *id, regions: self.standing.heard_by(regions) });
            if *purpose == Purpose::Recovery {
                self.failed.push((Some(*id), Reason::Replaced));
            }
        }
        match inherited.ending {
            Ending::NotYet => {}
            Ending::StandingStill => self.actions.push(Action::GoOn),
            Ending::Draining => self.actions.push(Action::StartAnew(Reason::Replaced)),
            Ending::Final(id) => self.phase = Phase::Final(id),
            Ending::Left(id) => {
                self.phase = Phase::Left;
                self.actions.push(Action::Leave { id });
            }
        }
        self.take_requests(inherited, now);
    }

    /// Checkpoints that were asked for wait for the regions to say that they run; a savepoint is there, or has to be asked for again.
    fn take_requests(&mut self, inherited: &Inherited, now: Moment) {
        for (token, begun) in &inherited.savepoints {
            let complete = begun.filter(|id| inherited.saved.contains(id));
            self.answer(*token, complete.ok_or(Reason::Replaced));
        }
        for token in &inherited.requests {
            if self.phase != Phase::Open || !self.requests.ask(*token, Purpose::Recovery, now) {
                self.answer(*token, Err(Reason::Replaced));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::checkpoint::standing::Standing;
    use crate::checkpoint::words::{Event, Member, Start, Written};
    use crate::config::Checkpoints;
    use crate::ids::{Attempt, CheckpointId, RegionId, TaskId};
    use crate::time::secs;

    const REGION: RegionId = RegionId(0);
    const ATTEMPT: Attempt = Attempt { epoch: 1, n: 2 };
    const TASK: TaskId = TaskId { chain: 0, index: 0 };

    fn id(id: u64) -> CheckpointId {
        CheckpointId(id)
    }

    /// A coordinator of one region; the store has these checkpoints.
    fn coordinator(complete: &[u64]) -> Coordinator<()> {
        let retained: Vec<CheckpointId> = complete.iter().copied().map(id).collect();
        let start = Start { regions: vec![REGION], restore: retained.last().copied(), retained, reserved: 100, borrowed: false };
        let mut coordinator = Coordinator::new(Checkpoints::every(secs(60)), start);
        assert_eq!(coordinator.handle(Event::Reserved { up_to: 200 }, Moment::default()), []);
        coordinator
    }

    fn take_over(coordinator: &mut Coordinator<()>, inherited: Inherited) -> Vec<Action<()>> {
        coordinator.handle(Event::TakeOver(inherited), Moment::default())
    }

    fn up(coordinator: &mut Coordinator<()>) -> Vec<Action<()>> {
        let members = vec![Member { task: TASK, source: true }];
        coordinator.handle(Event::RegionUp { region: REGION, attempt: ATTEMPT, members }, Moment::default())
    }

    fn all() -> BTreeSet<RegionId> {
        BTreeSet::from([REGION])
    }

    fn begun(ids: &[u64]) -> Vec<(CheckpointId, Purpose, BTreeSet<RegionId>)> {
        ids.iter().map(|n| (id(*n), Purpose::Recovery, all())).collect()
    }

    /// What a coordinator leaves whose tasks were told of this checkpoint.
    fn after(announced: u64) -> Inherited {
        Inherited {
            announced: Some(id(announced)),
            standing: Standing::at([REGION], Some(id(announced))),
            ..Inherited::default()
        }
    }

    fn aborted(n: u64, latest: u64) -> Action<()> {
        Action::NotifyAborted { id: id(n), regions: BTreeMap::from([(REGION, Some(id(latest)))]) }
    }

    #[test]
    fn a_manifest_that_nobody_was_told_of_is_announced_and_all_else_is_given_up() {
        let mut coordinator = coordinator(&[3, 5]);
        let written = BTreeMap::from([(id(5), all())]);
        let inherited = Inherited { under_way: begun(&[4, 5, 6]), written, ..after(3) };
        let complete = Action::NotifyComplete { id: id(5), regions: all() };
        assert_eq!(take_over(&mut coordinator, inherited), [complete, aborted(4, 5), aborted(6, 5)]);
        let failed = coordinator.take_failed();
        assert_eq!(failed, [(Some(id(4)), Reason::Replaced), (Some(id(6)), Reason::Replaced)]);
        assert!(!Reason::Replaced.counts());
    }

    #[test]
    fn what_was_announced_is_not_announced_again() {
        let mut coordinator = coordinator(&[3]);
        assert_eq!(take_over(&mut coordinator, after(3)), []);
    }

    #[test]
    fn a_region_that_is_down_goes_back_to_what_was_settled() {
        let mut coordinator = coordinator(&[5]);
        drop(take_over(&mut coordinator, after(3)));
        let actions = coordinator.handle(Event::RegionDown { region: REGION }, Moment::default());
        assert_eq!(actions, [Action::RestoreFrom { region: REGION, point: Some(id(5)) }]);
    }

    #[test]
    fn who_asked_for_a_checkpoint_gets_one_with_a_new_id_and_who_asked_for_a_savepoint_is_told() {
        let mut coordinator = coordinator(&[3]);
        let inherited = Inherited {
            under_way: vec![(id(4), Purpose::Savepoint, all()), (id(6), Purpose::Savepoint, all())],
            saved: vec![id(4)],
            requests: vec![7],
            savepoints: vec![(8, Some(id(4))), (9, Some(id(6))), (10, None)],
            ..after(3)
        };
        let answer = |token, answer| Action::Answer { token, answer };
        let told = [answer(8, Ok(id(4))), answer(9, Err(Reason::Replaced)), answer(10, Err(Reason::Replaced))];
        let actions = take_over(&mut coordinator, inherited);
        assert_eq!(actions[0], aborted(6, 3));
        assert_eq!(actions[1..], told);
        assert_eq!(coordinator.take_failed(), [], "a savepoint is nobody's failure but its user's");
        assert_eq!(up(&mut coordinator), [Action::Trigger { id: id(101), sources: vec![(TASK, ATTEMPT)] }]);
        let late = coordinator.handle(Event::Ack { task: TASK, attempt: ATTEMPT, id: id(6), part: () }, Moment::default());
        assert!(late.contains(&Action::Discard(())), "a part of before counts for nothing: {late:?}");
    }

    #[test]
    fn an_end_that_was_under_way_is_taken_back() {
        let of = |ending| take_over(&mut coordinator(&[3]), Inherited { ending, ..after(3) });
        assert_eq!(of(Ending::StandingStill), [Action::GoOn]);
        assert_eq!(of(Ending::Draining), [Action::StartAnew(Reason::Replaced)]);
    }

    #[test]
    fn a35_an_end_that_nothing_takes_back_goes_on_and_no_region_is_restored() {
        let mut coordinator = coordinator(&[3]);
        let inherited = Inherited { ending: Ending::Left(id(9)), requests: vec![1], ..after(3) };
        let refused = Action::Answer { token: 1, answer: Err(Reason::Replaced) };
        assert_eq!(take_over(&mut coordinator, inherited), [Action::Leave { id: id(9) }, refused]);
        assert_eq!(coordinator.handle(Event::RegionDown { region: REGION }, Moment::default()), []);
    }

    #[test]
    fn a33_behind_the_final_checkpoint_nothing_is_begun_and_a_restored_region_may_go() {
        let mut coordinator = coordinator(&[9]);
        let inherited = Inherited { ending: Ending::Final(id(9)), ..after(9) };
        assert_eq!(take_over(&mut coordinator, inherited), []);
        assert_eq!(up(&mut coordinator), []);
        let ended = coordinator.handle(Event::TaskEnded { task: TASK, attempt: ATTEMPT }, Moment::default());
        assert_eq!(ended, [Action::FinalDone(id(9))]);
    }

    const OTHER: RegionId = RegionId(1);
    const OTHER_TASK: TaskId = TaskId { chain: 1, index: 0 };

    /// A coordinator of two regions that keeps one checkpoint; the store has these, and the job the newest.
    fn of_two(complete: &[u64]) -> Coordinator<()> {
        let retained: Vec<CheckpointId> = complete.iter().copied().map(id).collect();
        let regions = vec![REGION, OTHER];
        let start = Start { regions, restore: retained.last().copied(), retained, reserved: 100, borrowed: false };
        let mut coordinator = Coordinator::new(Checkpoints::every(secs(60)).retain(1), start);
        assert_eq!(coordinator.handle(Event::Reserved { up_to: 200 }, Moment::default()), []);
        coordinator
    }

    fn down(coordinator: &mut Coordinator<()>, region: RegionId) -> Vec<Action<()>> {
        coordinator.handle(Event::RegionDown { region }, Moment::default())
    }

    #[test]
    fn a14_only_regions_that_take_part_hear_of_what_was_under_way() {
        let mut coordinator = of_two(&[3, 5]);
        let under_way = vec![(id(5), Purpose::Recovery, all()), (id(6), Purpose::Recovery, BTreeSet::from([OTHER]))];
        let standing = Standing::at([REGION, OTHER], Some(id(3)));
        let written = BTreeMap::from([(id(5), all())]);
        let inherited = Inherited { standing, under_way, written, ..after(3) };
        let given_up = Action::NotifyAborted { id: id(6), regions: BTreeMap::from([(OTHER, Some(id(3)))]) };
        let actions = take_over(&mut coordinator, inherited);
        assert_eq!(actions, [Action::NotifyComplete { id: id(5), regions: all() }, given_up]);
    }

    #[test]
    fn e10_a_region_of_which_no_checkpoint_holds_anything_begins_anew_after_a_take_over_as_well() {
        let mut coordinator = of_two(&[3]);
        drop(take_over(&mut coordinator, after(3)));
        assert_eq!(down(&mut coordinator, OTHER), [Action::RestoreFrom { region: OTHER, point: None }]);
        assert_eq!(down(&mut coordinator, REGION), [Action::RestoreFrom { region: REGION, point: Some(id(3)) }]);
    }

    /// One region runs, the other has run and is being restored from 3 when the coordinator is replaced.
    fn while_one_is_restored() -> (Coordinator<()>, Moment) {
        let mut coordinator = of_two(&[3]);
        let mut standing = Standing::at([REGION, OTHER], Some(id(3)));
        standing.runs(OTHER);
        standing.is_restored(OTHER, Some(id(3)));
        drop(take_over(&mut coordinator, Inherited { standing, ..after(3) }));
        assert_eq!(up(&mut coordinator), []);
        (coordinator, Moment(secs(61)))
    }

    #[test]
    fn what_a_region_is_being_restored_from_is_kept_across_a_take_over() {
        let (mut coordinator, now) = while_one_is_restored();
        let begun = coordinator.handle(Event::Tick, now);
        assert_eq!(begun, [Action::Trigger { id: id(101), sources: vec![(TASK, ATTEMPT)] }], "the rest goes on without it");
        drop(coordinator.handle(Event::Ack { task: TASK, attempt: ATTEMPT, id: id(101), part: () }, now));
        let published = Event::Manifest { id: id(101), written: Written::Published };
        let published = coordinator.handle(published, now);
        assert!(published.contains(&Action::NotifyComplete { id: id(101), regions: all() }), "{published:?}");
        assert!(!published.contains(&Action::DeleteCheckpoint(id(3))), "{published:?}");
    }

    #[test]
    fn after_a_take_over_nothing_is_begun_before_each_region_has_said_what_it_does() {
        let mut coordinator = of_two(&[3]);
        let mut standing = Standing::at([REGION, OTHER], Some(id(3)));
        standing.runs(OTHER);
        drop(take_over(&mut coordinator, Inherited { standing, ..after(3) }));
        let now = Moment(secs(61));
        assert_eq!(up(&mut coordinator), []);
        assert_eq!(coordinator.handle(Event::Tick, now), [], "the other one may run");
        let failed = coordinator.handle(Event::RegionDown { region: OTHER }, now);
        assert_eq!(failed, [Action::RestoreFrom { region: OTHER, point: Some(id(3)) }]);
        let later = Moment(secs(122));
        let begun = coordinator.handle(Event::Tick, later);
        assert_eq!(begun, [Action::Trigger { id: id(101), sources: vec![(TASK, ATTEMPT)] }]);
    }

    #[test]
    fn a_region_that_runs_again_after_a_take_over_holds_nothing_back() {
        let (mut coordinator, now) = while_one_is_restored();
        let members = vec![Member { task: OTHER_TASK, source: true }];
        drop(coordinator.handle(Event::RegionUp { region: OTHER, attempt: ATTEMPT, members }, now));
        drop(coordinator.handle(Event::Request { token: 1 }, now));
        for task in [TASK, OTHER_TASK] {
            drop(coordinator.handle(Event::Ack { task, attempt: ATTEMPT, id: id(101), part: () }, now));
        }
        let published = coordinator.handle(Event::Manifest { id: id(101), written: Written::Published }, now);
        assert!(published.contains(&Action::DeleteCheckpoint(id(3))), "{published:?}");
    }
}
