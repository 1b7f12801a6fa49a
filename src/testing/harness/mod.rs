//! The harness for one operator: a piece of a flow, alone, fed and looked at by a unit test.
//!
//! Always: the piece is planned, wired, opened, stepped, snapshotted and restored by the code that does it in a job; the harness only
//! stands at its ends, and moves the clock.

mod bench;
mod hand_clock;
mod inlet;
mod open;
mod outlet;
mod taken;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use open::OpenOperator;
pub use outlet::Emitted;
pub use taken::TakenSnapshot;

use crate::api::{FlowRef, Record, Stream, plain_port};
use crate::error::Result;
use crate::key::KeyGroups;
use crate::operator::SideOutput;
use crate::plan::{Node, NodeKind, Plan, compile};
use crate::state::{StateDescriptor, StateKind};
use crate::time::Timestamp;

use bench::{Bench, Setup};
use inlet::{Inbox, Inlet};
use open::{AnyOutlet, Ends};
use outlet::Outlet;

/// The names of what stands at the ends of the piece.
const INPUT: &str = "the harness's input";
const OUTPUT: &str = "the harness's output";

/// Describes the operator, given the stream of what comes in.
type Describe<In, Out> = Arc<dyn Fn(&Stream<In>) -> Stream<Out> + Send + Sync>;
/// Listens to a side output.
type Tap<Out> = Arc<dyn Fn(&Stream<Out>) -> (String, Box<dyn AnyOutlet>) + Send + Sync>;

/// Tests one operator, alone: describe it as in a flow, open it, push records and watermarks, look at what comes out and at what
/// it remembers.
///
/// The description is any piece of a flow from one stream to another: a [`KeyedOperator`](crate::KeyedOperator) behind its
/// `key_by`, or a map, a window, an aggregate. It runs on the thread of the test, in the same tasks, with the same state and
/// timers and through the same snapshot files as in a job. Time stands still unless the test moves it.
///
/// An operator that says how much each shop has sold, an hour after its first sale:
///
/// ```
/// use tidegate::testing::OperatorHarness;
/// use tidegate::{BoxError, Context, KeyedOperator, OpenContext, Stream, Timer, Timestamp, ValueState, hours, minutes};
///
/// struct Sums {
///     sum: ValueState<u64>,
/// }
///
/// impl KeyedOperator for Sums {
///     type Key = String;
///     type In = (String, u64);
///     type Out = (String, u64);
///
///     fn on_record(&mut self, (_, amount): (String, u64), ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
///         let now = ctx.timestamp().ok_or("a sale has no timestamp")?;
///         if ctx.state.get(self.sum).is_none() {
///             ctx.timers.event_time(now.plus(hours(1)));
///         }
///         ctx.state.update(self.sum, |sum| *sum += amount);
///         Ok(())
///     }
///
///     fn on_timer(&mut self, _: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
///         let sum = ctx.state.clear(self.sum).unwrap_or(0);
///         ctx.out.emit((ctx.key().clone(), sum));
///         Ok(())
///     }
/// }
///
/// fn sums(sales: &Stream<(String, u64)>) -> Stream<(String, u64)> {
///     let open = |ctx: &mut OpenContext<'_, String>| Ok(Sums { sum: ctx.value("sum")? });
///     sales.key_by(|(shop, _)| shop.clone()).process("sums", open)
/// }
///
/// # fn main() -> tidegate::Result<()> {
/// let start = Timestamp::from_millis(0);
/// let harness = OperatorHarness::of(sums);
/// let mut sums = harness.open()?;
/// sums.push_at(("north".into(), 5), start)?;
/// sums.push_at(("south".into(), 1), start.plus(minutes(10)))?;
/// sums.push_at(("north".into(), 2), start.plus(minutes(20)))?;
/// assert_eq!(sums.state("sum", &"north".to_string())?, Some(7u64));
/// assert_eq!(sums.timers::<String>()?.len(), 2);
///
/// // What it remembers moves to three instances, which share the keys.
/// let snapshot = sums.snapshot()?;
/// let mut sums = harness.parallelism(3).restore(&snapshot)?;
/// sums.watermark(start.plus(hours(1)))?;
/// assert_eq!(sums.output(), [("north".to_string(), 7)]);
/// sums.end()?;
/// assert_eq!(sums.output(), [("south".to_string(), 1)]);
/// # Ok(())
/// # }
/// ```
///
/// A window of the engine's, with its late records:
///
/// ```
/// use tidegate::testing::{Emitted, OperatorHarness};
/// use tidegate::{SideOutput, Stream, Timestamp, Tumbling, secs};
///
/// # fn main() -> tidegate::Result<()> {
/// let at = Timestamp::from_millis;
/// let late = SideOutput::<u64>::new("late");
/// let to = late.clone();
/// let harness = OperatorHarness::of(move |numbers: &Stream<u64>| {
///     let counts = numbers.key_by(|n| n % 2).window(Tumbling::of(secs(1))).late_to(&to).count();
///     counts
/// });
/// let mut counts = harness.side(&late).open()?;
/// counts.push_at(3, at(100))?;
/// counts.push_at(5, at(200))?;
/// counts.watermark(at(999))?;
/// counts.push_at(7, at(300))?;
/// let events = counts.events();
/// assert!(matches!(&events[0], Emitted::Record(result, Some(time)) if result.value == 2 && *time == at(999)));
/// assert_eq!(events[1], Emitted::Watermark(at(999)));
/// assert_eq!(counts.side(&late), [7]);
/// # Ok(())
/// # }
/// ```
pub struct OperatorHarness<In, Out> {
    describe: Describe<In, Out>,
    taps: Vec<Tap<Out>>,
    parallelism: u32,
    groups: KeyGroups,
    wall: Timestamp,
}

impl<In, Out> Clone for OperatorHarness<In, Out> {
    fn clone(&self) -> Self {
        OperatorHarness {
            describe: self.describe.clone(),
            taps: self.taps.clone(),
            parallelism: self.parallelism,
            groups: self.groups,
            wall: self.wall,
        }
    }
}

impl<In, Out> fmt::Debug for OperatorHarness<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorHarness")
            .field("parallelism", &self.parallelism)
            .field("wall", &self.wall)
            .finish_non_exhaustive()
    }
}

impl<In: Record, Out: Record> OperatorHarness<In, Out> {
    /// For the operator that `describe` adds to a stream. It is described anew each time that it is opened.
    pub fn of(describe: impl Fn(&Stream<In>) -> Stream<Out> + Send + Sync + 'static) -> Self {
        OperatorHarness {
            describe: Arc::new(describe),
            taps: Vec::new(),
            parallelism: 1,
            groups: KeyGroups::default(),
            wall: Timestamp::from_millis(0),
        }
    }

    /// With so many instances of the operator side by side. Records with a key go to the instance that owns it. Default: 1.
    #[must_use]
    pub fn parallelism(&self, parallelism: u32) -> Self {
        OperatorHarness { parallelism, ..self.clone() }
    }

    /// With another maximum parallelism than 128: the number of key groups in which keyed state is kept.
    #[must_use]
    pub fn max_parallelism(&self, max_parallelism: u16) -> Self {
        OperatorHarness { groups: KeyGroups::new(max_parallelism), ..self.clone() }
    }

    /// With a wall clock that begins at this time. Default: 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn wall_clock(&self, start: Timestamp) -> Self {
        OperatorHarness { wall: start, ..self.clone() }
    }

    /// Listens to a side output of the operator: see [`OpenOperator::side`].
    #[must_use]
    pub fn side<S: Record>(&self, side: &SideOutput<S>) -> Self {
        let mut harness = self.clone();
        let side = side.clone();
        harness.taps.push(Arc::new(move |stream: &Stream<Out>| {
            let outlet = Outlet::<S>::new();
            outlet.attach(&stream.side(&side), format!("{OUTPUT} '{}'", side.name()));
            (side.name().to_owned(), Box::new(outlet) as Box<dyn AnyOutlet>)
        }));
        harness
    }

    /// Opens the operator as a job's first start does.
    ///
    /// # Errors
    /// [`Error::InvalidFlow`](crate::Error::InvalidFlow) where the description can't run; what the operator says when it opens.
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn open(&self) -> Result<OpenOperator<In, Out>> {
        self.begin(None)
    }

    /// Opens the operator with what a snapshot holds, as a restarted job does: with its state, its timers and its watermark. What
    /// has come due by the wall clock meanwhile fires at once.
    ///
    /// # Errors
    /// Those of [`OperatorHarness::open`]; [`Error::StateMismatch`](crate::Error::StateMismatch) where the snapshot is that of
    /// another operator, or holds what this one cannot read.
    ///
    /// # Panics
    /// Where the operator never comes to rest.
    #[track_caller]
    pub fn restore(&self, snapshot: &TakenSnapshot) -> Result<OpenOperator<In, Out>> {
        self.begin(Some(snapshot))
    }

    #[track_caller]
    fn begin(&self, from: Option<&TakenSnapshot>) -> Result<OpenOperator<In, Out>> {
        let (plan, ends) = self.plan()?;
        let bench = Bench::open(Setup { plan, wall: self.wall, from })?;
        Ok(OpenOperator::new(bench, ends, from.map_or(Timestamp::NONE, input_watermark)))
    }

    fn plan(&self) -> Result<(Plan, Ends<In, Out>)> {
        let (flow, inbox, out) = (FlowRef::default(), Inbox::new(), Outlet::new());
        let stream = (self.describe)(&input(&flow, &inbox));
        if !stream.flow.same(&flow) {
            flow.fault("the harness's description returns a stream of another flow".into(), "return what it makes of its stream");
        }
        out.attach(&stream, OUTPUT.into());
        let sides: BTreeMap<_, _> = self.taps.iter().map(|tap| tap(&stream)).collect();
        let plan = compile(flow.take(), self.parallelism, self.groups)?;
        Ok((plan, Ends { inbox, out, sides }))
    }
}

/// The stream of what the test pushes.
fn input<T: Record>(flow: &FlowRef, inbox: &Inbox<T>) -> Stream<T> {
    let inbox = inbox.clone();
    let kind = NodeKind::Source {
        make: Box::new(move |mut opening| {
            let (chain, restored) = (opening.take_next()?, &opening.restored);
            Ok(Box::new(Inlet::<T>::new(inbox.clone(), chain, restored.watermark, restored.ended)))
        }),
        // It keeps nothing: what was pushed and is not in a snapshot is for the test to push again.
        discover: Box::new(|| Ok((StateDescriptor::new("none", StateKind::List, 1), Vec::new()))),
    };
    let node = Node {
        verb: "source",
        name: Some(INPUT.into()),
        uid: None,
        parallelism: Some(1),
        stateful: false,
        kind,
        inputs: Vec::new(),
        ports: vec![plain_port::<T>()],
    };
    let node = flow.lock().add(node);
    Stream::new(flow.clone(), node, 0)
}

/// What event time had come to at the input.
fn input_watermark(snapshot: &TakenSnapshot) -> Timestamp {
    let operators = &snapshot.manifest.operators;
    operators.iter().find(|(uid, _)| uid.as_str() == INPUT).map_or(Timestamp::NONE, |(_, operator)| operator.watermark)
}
