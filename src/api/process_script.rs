//! A script driver for keyed operators: elements in, what is said out, as text.
//!
//! The operator is made by `KeyedStream::process`, as in a job. It obeys the commands in its records; its log, and that of the links
//! behind it, is one list of lines in the order in which things happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Drain;

use super::keyed::KeyedStream;
use super::stream::Stream;
use super::wire::FlowRef;
use crate::error::BoxError;
use crate::frame::{Batch, Consumer, Keyed, Took};
use crate::ids::{Attempt, CheckpointId, TaskId, Uid};
use crate::key::{KeyGroups, KeyHasher};
use crate::operator::{
    Context, Cx, FinishContext, Flow, Halt, KeyedOperator, Link, Next, OpId, OpenContext, OperatorPart, Side, SideOutput, Sides,
    Signal, side_port,
};
use crate::plan::{NodeId, NodeKind, Opening, OperatorMetrics, TaskContext, link, unlink};
use crate::snapshot::RestoredOperator;
use crate::state::{RestoredStates, ValueState};
use crate::time::Timestamp;
use crate::timer::{TimeDomain, Timer};

pub(super) const HASHER: KeyHasher = KeyHasher::new(7);

pub(super) fn at(millis: i64) -> Timestamp {
    if millis == i64::MIN { Timestamp::NONE } else { Timestamp::from_millis(millis) }
}

/// Lines in the order in which things happened.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(super) fn say(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// An operator that does what its records say.
pub(super) struct Probe {
    log: Log,
    count: ValueState<u64>,
    aside: Option<Side<String>>,
    /// What to do when a timer of this time first fires.
    plan: BTreeMap<i64, String>,
}

impl Probe {
    fn obey(&mut self, commands: &str, ctx: &mut Context<'_, Probe>) -> Result<(), BoxError> {
        for command in commands.split(", ") {
            let (verb, what) = command.split_once(' ').unwrap_or((command, ""));
            let time = || at(what.parse().unwrap());
            match verb {
                "event" => self.log.say(format!("event {}", ctx.timers.event_time(time()))),
                "clock" => self.log.say(format!("clock {}", ctx.timers.processing_time(time()))),
                "delete-event" => self.log.say(format!("delete {}", ctx.timers.delete_event_time(time()))),
                "delete-clock" => self.log.say(format!("delete {}", ctx.timers.delete_processing_time(time()))),
                "quiet" => drop(ctx.timers.event_time(time())),
                "quiet-clock" => drop(ctx.timers.processing_time(time())),
                "count" => {
                    // A value is held across everything else: the borrows are disjoint.
                    let key = ctx.key();
                    let count = ctx.state.get_or_insert_with(self.count, || 0);
                    ctx.timers.event_time(Timestamp::MAX);
                    *count += 1;
                    ctx.out.emit(format!("{key}x{count}"));
                }
                "get" => ctx.out.emit(format!("{} has {:?}", ctx.key(), ctx.state.get(self.count))),
                "emit" => ctx.out.emit(what.to_owned()),
                "emit-at-1" => ctx.out.emit_at(what.to_owned(), at(1)),
                "aside" => ctx.side.emit(self.aside.unwrap(), what.to_owned()),
                "times" => {
                    let millis = |time: Option<Timestamp>| time.map(Timestamp::millis);
                    let (ts, wm) = (millis(ctx.timestamp()), millis(ctx.watermark()));
                    self.log.say(format!("ts {ts:?} wm {wm:?} now {}", ctx.processing_time().millis()));
                }
                "fail" => return Err("told to fail".into()),
                "panic" => panic!("told to panic"),
                "" => {}
                other => unreachable!("{other}"),
            }
        }
        Ok(())
    }
}

impl KeyedOperator for Probe {
    type Key = u64;
    type In = String;
    type Out = String;

    fn on_record(&mut self, commands: String, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        self.obey(&commands, ctx)
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let domain = if timer.domain == TimeDomain::Event { "event" } else { "clock" };
        ctx.out.emit(format!("{} fires {domain} {}", ctx.key(), timer.time.millis()));
        self.plan.remove(&timer.time.millis()).map_or(Ok(()), |commands| self.obey(&commands, ctx))
    }

    fn finish(&mut self, ctx: &mut FinishContext<'_, Self>) -> Result<(), BoxError> {
        self.log.say(format!("finish at {}", ctx.watermark().map_or(0, Timestamp::millis)));
        ctx.out.emit("the last".into());
        Ok(())
    }

    fn on_checkpoint_complete(&mut self, id: CheckpointId) -> Result<(), BoxError> {
        self.log.say(format!("complete {id}"));
        Ok(())
    }

    fn close(&mut self) {
        self.log.say("close");
    }
}

/// An operator that uses timers and does not implement `on_timer`.
struct Deaf;

impl KeyedOperator for Deaf {
    type Key = u64;
    type In = String;
    type Out = String;

    fn on_record(&mut self, _: String, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        ctx.timers.event_time(at(5));
        Ok(())
    }
}

/// The end of a chain: notes what comes, in order.
struct Collect {
    name: &'static str,
    log: Log,
    /// While this is set, it takes one push in two.
    slow: Arc<AtomicBool>,
    refused: bool,
}

impl Consumer<String> for Collect {
    type Error = Halt;

    fn records(&mut self, run: usize, values: &mut Drain<'_, String>, times: &[Timestamp]) -> Result<Took<String>, Halt> {
        for (taken, value) in values.by_ref().take(run).enumerate() {
            let time = times.get(taken).filter(|time| time.is_some());
            let time = time.map_or_else(String::new, |time| format!("@{}", time.millis()));
            self.log.say(format!("{}{value}{time}", self.name));
        }
        Ok(Took::All)
    }

    fn mark(&mut self, watermark: Timestamp) -> Result<bool, Halt> {
        self.log.say(format!("{}wm {}", self.name, watermark.millis()));
        Ok(true)
    }
}

impl Link<String> for Collect {
    fn push(&mut self, batch: &mut Batch<String>, _: &mut Cx) -> Result<Flow, Halt> {
        self.refused = self.slow.load(Ordering::Relaxed) && !self.refused;
        if self.refused {
            assert!(batch.len() <= crate::config::BATCH_RECORDS, "the loop stops when its output is full");
            return Ok(Flow::Full);
        }
        batch.consume(self)?;
        Ok(Flow::Drained)
    }

    fn signal(&mut self, signal: Signal, _: &mut Cx) -> Result<Flow, Halt> {
        if let Signal::Barrier(_) | Signal::End = signal {
            self.log.say(format!("{}{signal:?}", self.name));
        }
        Ok(Flow::Drained)
    }
}

/// Something that a factory does.
pub(super) type InOpen = fn(&mut OpenContext<'_, u64>) -> Result<(), BoxError>;

/// How a script begins.
#[derive(Default)]
pub(super) struct Setup {
    pub(super) plan: BTreeMap<i64, String>,
    pub(super) aside: bool,
    pub(super) restored: Option<RestoredOperator>,
    /// What the factory does beside making the operator.
    pub(super) in_open: Option<InOpen>,
}

/// A [`Probe`] in its link, driven by hand.
pub(super) struct Script {
    pub(super) link: Next<Keyed<u64, String>>,
    pub(super) cx: Cx,
    pub(super) log: Log,
    pub(super) slow: Arc<AtomicBool>,
}

impl Script {
    pub(super) fn new() -> Script {
        Script::with(Setup::default())
    }

    pub(super) fn planned(plan: &[(i64, &str)]) -> Script {
        let plan = plan.iter().map(|(time, commands)| (*time, commands.to_string())).collect();
        Script::with(Setup { plan, ..Setup::default() })
    }

    pub(super) fn with(setup: Setup) -> Script {
        Script::open(setup, &Log::default()).unwrap()
    }

    pub(super) fn restored(from: RestoredOperator) -> Script {
        Script::with(Setup { restored: Some(from), ..Setup::default() })
    }

    /// Of a [`Deaf`].
    pub(super) fn deaf() -> Script {
        let mut script = Script::new();
        let next = link::<String>(Box::new(Collect { name: "", log: Log::default(), slow: script.slow.clone(), refused: false }));
        script.link = made_by_process(|_| Ok(Deaf), opening(next, Sides::default(), None)).unwrap();
        script
    }

    pub(super) fn open(setup: Setup, log: &Log) -> Result<Script, BoxError> {
        let (slow, side) = (Arc::<AtomicBool>::default(), SideOutput::<String>::new("aside"));
        let end = |name| Collect { name, log: log.clone(), slow: slow.clone(), refused: false };
        let mut sides = Sides::default();
        if setup.aside {
            sides.add("aside".into(), side_port::<String>(Box::new(end("aside: "))));
        }
        let (plan, in_open, aside, said) = (setup.plan, setup.in_open, setup.aside, log.clone());
        let factory = move |ctx: &mut OpenContext<'_, u64>| {
            in_open.map_or(Ok(()), |act| act(ctx))?;
            let count = ctx.value("count")?;
            said.say("open");
            let aside = aside.then(|| ctx.side(&side)).transpose()?;
            Ok(Probe { log: said.clone(), count, aside, plan: plan.clone() })
        };
        let next = link::<String>(Box::new(end("")));
        let link = made_by_process(factory, opening(next, sides, setup.restored))?;
        let mut cx = Cx::default();
        (cx.next_due, cx.wall) = (Timestamp::MAX, at(0));
        Ok(Script { link, cx, log: log.clone(), slow })
    }

    /// A record; `i64::MIN` for one without a timestamp.
    pub(super) fn record(&mut self, key: u64, time: i64, commands: &str) -> &mut Self {
        let mut batch = Batch::new();
        let hash = HASHER.hash(&key, &mut Vec::new()).unwrap();
        batch.push(Keyed { hash, key, value: commands.to_owned() }, at(time));
        self.push(batch)
    }

    pub(super) fn watermark(&mut self, time: i64) -> &mut Self {
        let mut batch = Batch::new();
        batch.mark(at(time));
        self.push(batch)
    }

    fn push(&mut self, mut batch: Batch<Keyed<u64, String>>) -> &mut Self {
        while self.link.push(&mut batch, &mut self.cx).unwrap() == Flow::Full {}
        self
    }

    /// The wall clock has come to this time: as the task does it.
    pub(super) fn clock(&mut self, now: i64) -> &mut Self {
        self.cx.wall = at(now);
        while self.cx.next_due <= self.cx.wall {
            self.cx.next_due = Timestamp::MAX;
            self.signal(Signal::Due(at(now)));
        }
        self
    }

    pub(super) fn signal(&mut self, signal: Signal) -> &mut Self {
        while self.link.signal(signal, &mut self.cx).unwrap() == Flow::Full {}
        self
    }

    pub(super) fn said(&mut self) -> Vec<String> {
        self.log.take()
    }

    /// What a checkpoint would hold of it.
    pub(super) fn snapshot(&mut self) -> RestoredOperator {
        self.signal(Signal::Snapshot(CheckpointId(1)));
        let [part] = <[OperatorPart; 1]>::try_from(std::mem::take(&mut self.cx.parts)).unwrap();
        assert_eq!(part.uid.as_str(), "probe");
        let mut states = RestoredStates::default();
        for view in part.views {
            let mut blocks = Vec::new();
            view.write(&mut |block| {
                blocks.push(block.clone());
                Ok(())
            })
            .unwrap();
            states.states.insert(view.descriptor().name.clone(), (view.descriptor().clone(), blocks.into()));
        }
        RestoredOperator { states, ..RestoredOperator::nothing() }
    }
}

/// The link of an operator, made as a job makes it.
fn made_by_process<O>(
    factory: impl Fn(&mut OpenContext<'_, u64>) -> Result<O, BoxError> + Send + Sync + 'static,
    opening: Opening,
) -> Result<Next<Keyed<u64, String>>, BoxError>
where
    O: KeyedOperator<Key = u64, In = String, Out = String>,
{
    let flow = FlowRef::default();
    KeyedStream::<u64, String>::new(Stream::new(flow.clone(), NodeId(0), 0)).process("probe", factory);
    let node = flow.take().nodes.pop().unwrap();
    assert_eq!((node.verb, node.name.as_deref()), ("process", Some("probe")));
    let NodeKind::Operator { make } = node.kind else { unreachable!() };
    unlink(make(opening)?)
}

fn opening(next: crate::plan::AnyLink, sides: Sides, restored: Option<RestoredOperator>) -> Opening {
    Opening {
        context: TaskContext {
            job: "job".into(),
            task: TaskId { chain: 1, index: 0 },
            parallelism: 1,
            attempt: Attempt { epoch: 1, n: 2 },
            restored: None,
            groups: KeyGroups::new(8),
            hasher: HASHER,
            opened: Timestamp::from_millis(0),
        },
        operator: OpId(0),
        uid: Uid::new("probe"),
        next: Some(next),
        sides,
        metrics: OperatorMetrics::default(),
        restored: restored.unwrap_or_else(RestoredOperator::nothing),
        hooks: crate::hook::Hooks::default(),
    }
}
