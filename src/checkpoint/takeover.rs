//! How a coordinator takes over from one that has failed.
//!
//! Always: what the one before had begun is either called complete, if its manifest counts, or given up at all tasks, before anything
//! else is begun; no id of before is used again. What it had waiting is asked again, or answered. An end that was under way goes on
//! where nothing can take it back, and is taken back everywhere else. Part of the coordinator's machine.

use crate::checkpoint::coordinator::Coordinator;
use crate::checkpoint::leaving::Phase;
use crate::checkpoint::reasons::Reason;
use crate::checkpoint::words::{Action, Ending, Inherited, Purpose};
use crate::time::Moment;

impl<E> Coordinator<E> {
    pub(super) fn take_over(&mut self, inherited: &Inherited, now: Moment) {
        let latest = self.latest;
        self.actions.extend(latest.filter(|_| latest > inherited.announced).map(|id| Action::NotifyComplete { id }));
        inherited.saved.iter().for_each(|id| self.remember_saved(*id));
        for (id, purpose) in &inherited.under_way {
            if self.retention.holds(*id) || self.saved.contains(id) {
                continue;
            }
            self.actions.push(Action::NotifyAborted { id: *id, latest });
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
    use super::*;
    use crate::checkpoint::words::{Event, Member, Start};
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
        let start = Start { regions: vec![REGION], restore: retained.last().copied(), retained, reserved: 100 };
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

    fn begun(ids: &[u64]) -> Vec<(CheckpointId, Purpose)> {
        ids.iter().map(|n| (id(*n), Purpose::Recovery)).collect()
    }

    #[test]
    fn a_manifest_that_nobody_was_told_of_is_announced_and_all_else_is_given_up() {
        let mut coordinator = coordinator(&[3, 5]);
        let inherited = Inherited { announced: Some(id(3)), under_way: begun(&[4, 5, 6]), ..Inherited::default() };
        let aborted = |n| Action::NotifyAborted { id: id(n), latest: Some(id(5)) };
        assert_eq!(take_over(&mut coordinator, inherited), [Action::NotifyComplete { id: id(5) }, aborted(4), aborted(6)]);
        let failed = coordinator.take_failed();
        assert_eq!(failed, [(Some(id(4)), Reason::Replaced), (Some(id(6)), Reason::Replaced)]);
        assert!(!Reason::Replaced.counts());
    }

    #[test]
    fn what_was_announced_is_not_announced_again() {
        let mut coordinator = coordinator(&[3]);
        let inherited = Inherited { announced: Some(id(3)), ..Inherited::default() };
        assert_eq!(take_over(&mut coordinator, inherited), []);
    }

    #[test]
    fn a_region_that_is_down_goes_back_to_what_was_settled() {
        let mut coordinator = coordinator(&[5]);
        drop(take_over(&mut coordinator, Inherited { announced: Some(id(3)), ..Inherited::default() }));
        let actions = coordinator.handle(Event::RegionDown { region: REGION }, Moment::default());
        assert_eq!(actions, [Action::RestoreFrom { region: REGION, point: Some(id(5)) }]);
    }

    #[test]
    fn who_asked_for_a_checkpoint_gets_one_with_a_new_id_and_who_asked_for_a_savepoint_is_told() {
        let mut coordinator = coordinator(&[3]);
        let inherited = Inherited {
            announced: Some(id(3)),
            under_way: vec![(id(4), Purpose::Savepoint), (id(6), Purpose::Savepoint)],
            saved: vec![id(4)],
            requests: vec![7],
            savepoints: vec![(8, Some(id(4))), (9, Some(id(6))), (10, None)],
            ..Inherited::default()
        };
        let answer = |token, answer| Action::Answer { token, answer };
        let told = [answer(8, Ok(id(4))), answer(9, Err(Reason::Replaced)), answer(10, Err(Reason::Replaced))];
        let actions = take_over(&mut coordinator, inherited);
        assert_eq!(actions[0], Action::NotifyAborted { id: id(6), latest: Some(id(3)) });
        assert_eq!(actions[1..], told);
        assert_eq!(coordinator.take_failed(), [], "a savepoint is nobody's failure but its user's");
        assert_eq!(up(&mut coordinator), [Action::Trigger { id: id(101), sources: vec![(TASK, ATTEMPT)] }]);
        let late = coordinator.handle(Event::Ack { task: TASK, attempt: ATTEMPT, id: id(6), part: () }, Moment::default());
        assert!(late.contains(&Action::Discard(())), "a part of before counts for nothing: {late:?}");
    }

    #[test]
    fn an_end_that_was_under_way_is_taken_back() {
        let of = |ending| take_over(&mut coordinator(&[3]), Inherited { announced: Some(id(3)), ending, ..Inherited::default() });
        assert_eq!(of(Ending::StandingStill), [Action::GoOn]);
        assert_eq!(of(Ending::Draining), [Action::StartAnew(Reason::Replaced)]);
    }

    #[test]
    fn a35_an_end_that_nothing_takes_back_goes_on_and_no_region_is_restored() {
        let mut coordinator = coordinator(&[3]);
        let inherited =
            Inherited { announced: Some(id(3)), ending: Ending::Left(id(9)), requests: vec![1], ..Inherited::default() };
        let refused = Action::Answer { token: 1, answer: Err(Reason::Replaced) };
        assert_eq!(take_over(&mut coordinator, inherited), [Action::Leave { id: id(9) }, refused]);
        assert_eq!(coordinator.handle(Event::RegionDown { region: REGION }, Moment::default()), []);
    }

    #[test]
    fn a33_behind_the_final_checkpoint_nothing_is_begun_and_a_restored_region_may_go() {
        let mut coordinator = coordinator(&[9]);
        let inherited = Inherited { announced: Some(id(9)), ending: Ending::Final(id(9)), ..Inherited::default() };
        assert_eq!(take_over(&mut coordinator, inherited), []);
        assert_eq!(up(&mut coordinator), []);
        let ended = coordinator.handle(Event::TaskEnded { task: TASK, attempt: ATTEMPT }, Moment::default());
        assert_eq!(ended, [Action::FinalDone(id(9))]);
    }
}
