//! The coordinator under whatever may happen to it, against what must hold always.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{AckAnswer, Action, Carried, Coordinator, Event, Member, Purpose, Refusal, Start, Written};
use crate::config::Checkpoints;
use crate::ids::{Attempt, CheckpointId, RegionId, TaskId};
use crate::time::{Moment, millis};

const TASKS: [TaskId; 3] = [TaskId { chain: 0, index: 0 }, TaskId { chain: 1, index: 0 }, TaskId { chain: 2, index: 0 }];
const TIMEOUT: u64 = 100;

/// A part: who made it.
type Part = (TaskId, Attempt, CheckpointId);

/// One thing that happens. Numbers choose among what is possible at the time.
#[derive(Clone, Debug)]
enum Happening {
    Pass(u64),
    Up(usize),
    Down(usize),
    Request,
    Savepoint,
    Leave { drain: bool },
    Ack { task: usize, back: u64, stale: bool },
    Decline { task: usize, back: u64 },
    Ended(usize),
    Store { reserve: bool, outcome: u8 },
    Stop,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        6 => (0u64..30).prop_map(Happening::Pass),
        4 => (0usize..2).prop_map(Happening::Up),
        1 => (0usize..2).prop_map(Happening::Down),
        2 => Just(Happening::Request),
        2 => Just(Happening::Savepoint),
        1 => any::<bool>().prop_map(|drain| Happening::Leave { drain }),
        16 => (0usize..3, 0u64..3, prop::bool::weighted(0.1)).prop_map(|(task, back, stale)| Happening::Ack { task, back, stale }),
        1 => (0usize..3, 0u64..3).prop_map(|(task, back)| Happening::Decline { task, back }),
        3 => (0usize..3).prop_map(Happening::Ended),
        6 => (prop::bool::weighted(0.9), 0u8..10).prop_map(|(reserve, outcome)| Happening::Store { reserve, outcome }),
        1 => prop::bool::weighted(0.2).prop_map(|stop| if stop { Happening::Stop } else { Happening::Pass(1) }),
    ];
    prop::collection::vec(one, 0..150)
}

/// The world around the coordinator, which checks what it asks for.
struct World {
    coordinator: Coordinator<Part>,
    now: u64,
    /// The attempts of regions 0 (tasks 0 and 1) and 1 (task 2), and whether they run.
    regions: [(Attempt, bool); 2],
    triggered: BTreeMap<CheckpointId, Vec<(TaskId, Attempt)>>,
    /// For each published checkpoint, the one in which a region took part itself, which is what it holds for it.
    held: BTreeMap<CheckpointId, [Option<CheckpointId>; 2]>,
    /// What the checkpoint whose manifest is being written, or may have been, holds.
    written: BTreeMap<CheckpointId, [Option<CheckpointId>; 2]>,
    /// What a region was restored from, since which it has not run.
    restoring: [Option<CheckpointId>; 2],
    /// What the last restore of a region brought back.
    restored: [Option<CheckpointId>; 2],
    accepted: BTreeMap<CheckpointId, BTreeSet<Part>>,
    /// Accepted parts of regions that have failed since.
    dropped: BTreeSet<Part>,
    open_tokens: BTreeSet<u64>,
    tokens: u64,
    reserving: Option<u64>,
    reserved: u64,
    writing: Option<CheckpointId>,
    resolving: Option<CheckpointId>,
    uncertain: BTreeMap<CheckpointId, bool>,
    published: BTreeSet<CheckpointId>,
    deleted: BTreeSet<CheckpointId>,
    ended: BTreeSet<CheckpointId>,
    waiting: BTreeSet<RegionId>,
    latest: Option<CheckpointId>,
    /// Those that are the user's, and which of them are complete.
    savepoints: BTreeMap<CheckpointId, Purpose>,
    saved: BTreeSet<CheckpointId>,
    /// The job is to end with a savepoint, for this request.
    leaving: Option<u64>,
    left: bool,
    /// All regions are to begin again.
    anew: bool,
    deleting: usize,
}

fn region_of(task: usize) -> usize {
    task / 2
}

impl World {
    fn new(concurrent: usize) -> Self {
        let options = Checkpoints::every(millis(10)).timeout(millis(TIMEOUT)).max_concurrent(concurrent).retain(2);
        let start = Start { regions: vec![RegionId(0), RegionId(1)], ..Start::default() };
        World {
            coordinator: Coordinator::new(options, start),
            now: 0,
            regions: [(Attempt { epoch: 1, n: 0 }, false); 2],
            triggered: BTreeMap::new(),
            held: BTreeMap::new(),
            written: BTreeMap::new(),
            restoring: [None; 2],
            restored: [None; 2],
            accepted: BTreeMap::new(),
            dropped: BTreeSet::new(),
            open_tokens: BTreeSet::new(),
            tokens: 0,
            reserving: None,
            reserved: 0,
            writing: None,
            resolving: None,
            uncertain: BTreeMap::new(),
            published: BTreeSet::new(),
            deleted: BTreeSet::new(),
            ended: BTreeSet::new(),
            waiting: BTreeSet::new(),
            latest: None,
            savepoints: BTreeMap::new(),
            saved: BTreeSet::new(),
            leaving: None,
            left: false,
            anew: false,
            deleting: 0,
        }
    }

    fn send(&mut self, event: Event<Part>) {
        let now = Moment(millis(self.now));
        for action in self.coordinator.handle(event, now) {
            self.check(action);
        }
        if let Some(deadline) = self.coordinator.next_deadline() {
            assert!(deadline > now, "a deadline that has passed would make the actor spin");
        }
        if std::mem::take(&mut self.anew) {
            (0..2).filter(|region| self.regions[*region].1).collect::<Vec<_>>().into_iter().for_each(|region| self.down(region));
        }
    }

    fn down(&mut self, region: usize) {
        self.regions[region].1 = false;
        self.restoring[region] = None;
        for (id, awaited) in self.triggered.iter_mut().filter(|(id, _)| self.writing != Some(**id)) {
            if !self.ended.contains(id) && !self.savepoints.contains_key(id) {
                awaited.retain(|(task, _)| region_of(task.chain as usize) != region);
                self.dropped.extend(
                    self.accepted.get(id).into_iter().flatten().filter(|(task, ..)| region_of(task.chain as usize) == region),
                );
            }
        }
        self.waiting.insert(RegionId(region as u32));
        self.send(Event::RegionDown { region: RegionId(region as u32) });
    }

    fn check(&mut self, action: Action<Part>) {
        match action {
            Action::ReserveIds { up_to } => {
                assert!(self.reserving.replace(up_to).is_none());
                assert!(up_to > self.reserved);
            }
            Action::Trigger { id, sources } => self.check_trigger(id, &sources),
            Action::Acked { task, id, answer } => self.check_ack(task, id, answer),
            Action::WriteManifest { id, parts, carried } => self.check_write(id, &parts, &carried),
            Action::ResolveManifest { id } => {
                assert!(self.uncertain.contains_key(&id) && self.resolving.replace(id).is_none());
            }
            Action::Savepoint { id, token, purpose } => {
                assert!(self.open_tokens.contains(&token) && purpose != Purpose::Recovery);
                assert!(self.savepoints.insert(id, purpose).is_none());
            }
            Action::StandStill { id } => assert_eq!(self.savepoints[&id], Purpose::Stop { drain: false }),
            Action::GoOn => assert!(!self.left),
            Action::Drain { .. } => assert!(self.regions.iter().all(|(_, up)| *up)),
            Action::StartAnew(_) => {
                assert!(!self.left);
                self.anew = true;
            }
            Action::Leave { id } => {
                assert!(self.saved.contains(&id) && matches!(self.savepoints[&id], Purpose::Stop { .. }));
                self.left = true;
            }
            Action::NotifyComplete { id, regions } => {
                assert_eq!(regions, self.own_regions(id), "only who takes part hears of it");
                assert!(!self.savepoints.contains_key(&id), "a savepoint was announced");
                assert!(self.published.contains(&id) && Some(id) > self.latest);
                assert!(self.ended.insert(id) || self.uncertain.contains_key(&id));
                self.latest = Some(id);
                self.held.insert(id, self.written[&id]);
            }
            Action::NotifyAborted { id, regions } => {
                let own = self.own_regions(id);
                let may_hear = |region: &RegionId| own.contains(region) || !self.regions[region.0 as usize].1;
                assert!(regions.keys().all(may_hear), "an attempt hears of what it takes no part in");
                assert!(regions.values().all(|latest| *latest <= self.latest));
                assert!(self.triggered.contains_key(&id) && self.ended.insert(id));
            }
            Action::Discard(part) => {
                let kept = self.accepted.get(&part.2).is_some_and(|parts| parts.contains(&part)) && !self.dropped.contains(&part);
                assert!(!kept || !self.named(part.2), "{part:?} is named by a manifest");
            }
            Action::DeleteCheckpoint(id) => {
                self.deleting += 1;
                assert!(!self.saved.contains(&id), "a savepoint was deleted");
                assert!(!self.named(id) || self.published.iter().any(|newer| *newer > id && !self.deleted.contains(newer)));
                assert!(!self.restoring.contains(&Some(id)), "{id} is being restored from");
                assert!(self.deleted.insert(id));
            }
            Action::Answer { token, answer } => {
                assert!(self.open_tokens.remove(&token), "token {token} was answered twice");
                self.leaving = self.leaving.filter(|leaving| *leaving != token);
                if let Ok(id) = answer {
                    assert!(Some(id) == self.latest || (self.saved.contains(&id) && self.ended.insert(id)));
                }
            }
            Action::RestoreFrom { region, point } => {
                assert!(!self.left, "what a savepoint holds may be committed");
                assert!(self.writing.is_none() && self.resolving.is_none());
                let of = region.0 as usize;
                let holds = self.latest.and_then(|latest| self.held[&latest][of]);
                assert!(self.waiting.remove(&region) && point == self.latest.filter(|_| holds.is_some()));
                assert!(self.published.last().copied() == self.latest, "a published checkpoint is newer than the one to restore");
                (self.restoring[of], self.restored[of]) = (point, holds);
            }
            Action::FinalDone(id) => assert_eq!(Some(id), self.latest),
            Action::FailJob(reason) => panic!("all failures are tolerated, and yet {reason}"),
        }
    }

    fn check_ack(&mut self, task: TaskId, id: CheckpointId, answer: AckAnswer) {
        if answer == AckAnswer::Accepted {
            let attempt = self.triggered[&id].iter().find(|(awaited, _)| *awaited == task).unwrap().1;
            assert!(self.accepted.entry(id).or_default().insert((task, attempt, id)), "counted twice");
        }
    }

    /// True if a manifest names the checkpoint's files, or may.
    fn named(&self, id: CheckpointId) -> bool {
        self.saved.contains(&id) || (self.published.contains(&id) && !self.deleted.contains(&id)) || self.writing == Some(id)
    }

    fn check_trigger(&mut self, id: CheckpointId, sources: &[(TaskId, Attempt)]) {
        assert!(id.0 <= self.reserved, "{id} is not reserved");
        assert!(
            !self.left && (self.leaving.is_none() || self.savepoints.contains_key(&id)),
            "{id} is begun while the job leaves"
        );
        assert!(self.deleting <= 3, "{} deletions are outstanding", self.deleting);
        assert!(self.triggered.keys().all(|older| *older < id), "{id} is not above all others");
        let all_run = self.regions.iter().all(|(_, up)| *up);
        assert!(all_run || !self.savepoints.contains_key(&id), "a savepoint is whole");
        assert!(self.regions.iter().any(|(_, up)| *up), "no task runs");
        assert_eq!(sources, if self.regions[0].1 { vec![(TASKS[0], self.regions[0].0)] } else { Vec::new() });
        let running = TASKS.iter().enumerate().filter(|(n, _)| self.regions[region_of(*n)].1);
        let awaited = running.map(|(n, task)| (*task, self.regions[region_of(n)].0)).collect();
        self.triggered.insert(id, awaited);
    }

    /// The regions that take part in a checkpoint.
    fn own_regions(&self, id: CheckpointId) -> BTreeSet<RegionId> {
        self.triggered[&id].iter().map(|(task, _)| RegionId(region_of(task.chain as usize) as u32)).collect()
    }

    fn check_write(&mut self, id: CheckpointId, parts: &[(TaskId, Part)], carried: &Carried) {
        assert!(self.writing.replace(id).is_none());
        let expected: Vec<_> = self.triggered[&id].iter().map(|(task, attempt)| (*task, (*task, *attempt, id))).collect();
        assert_eq!(parts, expected);
        assert!(parts.iter().all(|(_, part)| self.accepted[&id].contains(part)), "a part that was never sent");
        let current = |task: &TaskId| self.regions[region_of(task.chain as usize)];
        assert!(self.triggered[&id].iter().all(|(task, attempt)| current(task) == (*attempt, true)));
        let own = self.own_regions(id);
        assert!(!own.is_empty() && own.is_disjoint(&carried.regions) && own.len() + carried.regions.len() == 2);
        assert_eq!(carried.base, self.latest.filter(|_| !carried.regions.is_empty()));
        let mut holds = [Some(id); 2];
        for of in carried.regions.iter().map(|region| region.0 as usize) {
            assert!(!self.waiting.contains(&RegionId(of as u32)), "what it restores from is not known yet");
            holds[of] = carried.base.and_then(|base| self.held[&base][of]);
            assert_eq!(holds[of], self.restored[of], "it holds another state than the region was restored with");
        }
        self.written.insert(id, holds);
    }

    fn play(&mut self, happening: Happening) {
        let recent = |world: &World, back: u64| CheckpointId(world.triggered.len().max(1) as u64).0.saturating_sub(back);
        match happening {
            Happening::Pass(ms) => self.pass(ms),
            Happening::Up(region) => self.up(region),
            Happening::Down(region) => self.down(region),
            Happening::Request => {
                let token = self.token();
                self.send(Event::Request { token });
            }
            Happening::Savepoint => {
                let token = self.token();
                self.send(Event::Savepoint { token });
            }
            Happening::Leave { drain } => {
                let token = self.token();
                self.send(Event::Stop { token, drain });
                if self.open_tokens.contains(&token) {
                    assert!(self.leaving.replace(token).is_none(), "the job leaves twice");
                }
            }
            Happening::Ack { task, back, stale } => {
                let id = CheckpointId(recent(self, back));
                let mut attempt = self.regions[region_of(task)].0;
                attempt.n = attempt.n.saturating_sub(u32::from(stale));
                self.send(Event::Ack { task: TASKS[task], attempt, id, part: (TASKS[task], attempt, id) });
            }
            Happening::Decline { task, back } => {
                let (attempt, id) = (self.regions[region_of(task)].0, CheckpointId(recent(self, back)));
                self.send(Event::Decline { task: TASKS[task], attempt, id, refusal: Refusal::Snapshot("full".into()) });
            }
            Happening::Ended(task) => {
                let attempt = self.regions[region_of(task)].0;
                self.send(Event::TaskEnded { task: TASKS[task], attempt });
            }
            Happening::Store { reserve, outcome } => self.store(reserve, outcome),
            Happening::Stop => self.send(Event::Stopping),
        }
    }

    fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.open_tokens.insert(self.tokens);
        self.tokens
    }

    /// A region that was given its restore point, or has not asked for one yet, comes up.
    fn up(&mut self, region: usize) {
        let id = RegionId(region as u32);
        if self.regions[region].1 || self.waiting.contains(&id) {
            return;
        }
        self.regions[region].0.n += 1;
        self.regions[region].1 = true;
        self.restoring[region] = None;
        let tasks = TASKS.iter().enumerate().filter(|(n, _)| region_of(*n) == region);
        let members = tasks.map(|(n, task)| Member { task: *task, source: n == 0 }).collect();
        self.send(Event::RegionUp { region: id, attempt: self.regions[region].0, members });
    }

    /// Time passes, with a tick at each deadline.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(deadline) = self.coordinator.next_deadline().filter(|deadline| *deadline <= Moment(millis(end))) {
            self.now = deadline.0.as_millis() as u64;
            self.send(Event::Tick);
        }
        self.now = end;
        self.send(Event::Tick);
    }

    /// The store answers what it was asked.
    fn store(&mut self, reserve: bool, outcome: u8) {
        if let Some(up_to) = self.reserving.take() {
            self.reserved = if reserve { up_to } else { self.reserved };
            let failed = Event::ReservationFailed { text: "full".into() };
            self.send(if reserve { Event::Reserved { up_to } } else { failed });
        }
        if let Some(id) = self.writing.take() {
            let is_savepoint = self.savepoints.contains_key(&id);
            let written = match outcome {
                0 => Written::Failed("full".into()),
                1 | 2 if is_savepoint => Written::Unknown("timeout".into()),
                1 | 2 => {
                    self.uncertain.insert(id, outcome == 1);
                    Written::Unknown("timeout".into())
                }
                _ => Written::Published,
            };
            match outcome {
                0 => {}
                1 if !is_savepoint => drop(self.published.insert(id)),
                1 | 2 => {}
                _ if is_savepoint => drop(self.saved.insert(id)),
                _ => drop(self.published.insert(id)),
            }
            self.send(Event::Manifest { id, written });
        }
        for _ in 0..std::mem::take(&mut self.deleting) {
            self.send(Event::Deleted);
        }
        if let Some(id) = self.resolving.take() {
            let published = self.uncertain[&id];
            self.send(Event::ManifestResolved { id, published });
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_coordinator_keeps_its_promises(happenings in happenings(), concurrent in 1usize..4) {
        let mut world = World::new(concurrent);
        world.up(0);
        world.up(1);
        for happening in happenings {
            world.play(happening);
        }
        // Nothing is pending for ever: stopped being acknowledged, everything ends by its timeout.
        world.send(Event::Stopping);
        while world.reserving.is_some() || world.writing.is_some() || world.resolving.is_some() {
            world.store(true, 9);
        }
        prop_assert!(world.open_tokens.is_empty());
        prop_assert!(world.left || world.waiting.is_empty());
        prop_assert!(world.triggered.keys().all(|id| world.ended.contains(id)));
        prop_assert_eq!(world.coordinator.next_deadline(), None);
    }

    #[test]
    fn nothing_is_pending_longer_than_its_timeout(happenings in happenings(), concurrent in 1usize..4) {
        let mut world = World::new(concurrent);
        world.up(0);
        world.up(1);
        for happening in happenings {
            world.play(happening);
        }
        let (tokens, pending) = (world.tokens, world.triggered.keys().next_back().copied());
        // As long again as draining may take, a request may wait, and its checkpoint may take, with a store that answers and no task that does.
        for _ in 0..(3 * TIMEOUT) {
            world.pass(1);
            world.store(true, 9);
        }
        prop_assert!(world.open_tokens.iter().all(|token| *token > tokens));
        prop_assert!(world.triggered.keys().filter(|id| Some(**id) <= pending).all(|id| world.ended.contains(id)));
        prop_assert!(world.left || world.waiting.is_empty());
    }
}

#[test]
fn the_world_accepts_a_duplicate() {
    let mut world = World::new(1);
    world.up(0);
    world.up(1);
    world.pass(10);
    world.store(true, 9);
    world.play(Happening::Ack { task: 0, back: 0, stale: false });
    let part = (TASKS[0], world.regions[0].0, CheckpointId(1));
    let event = Event::Ack { task: part.0, attempt: part.1, id: part.2, part };
    let actions = world.coordinator.handle(event, Moment(millis(10)));
    assert_eq!(actions, [Action::Acked { task: part.0, id: part.2, answer: AckAnswer::Duplicate }]);
}
