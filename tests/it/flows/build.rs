//! From a shape to a job.

use std::collections::BTreeMap;

use tidegate::testing::{Kit, Scripted};
use tidegate::{
    Aggregate, Assigner, BoxError, Checkpoints, Context, Job, KeyedOperator, KeyedStream, OnError, OpenContext, SideOutput,
    Sliding, Stream, Timer, Timestamp, Tumbling, ValueState, Watermarks, Windowed, millis,
};

use super::shape::{Branch, End, Input, Op, Rec, Shape, Step, Windows};

/// A key, a span or moment of time, and the ids that were gathered, sorted.
pub type Gathered = (u64, i64, i64, Vec<u64>);

/// Describes the flow of a shape, with a sink of the kit at each end.
pub fn build(kit: &Kit, shape: &Shape) -> Job {
    let job = Job::new("flow").checkpoints(Checkpoints::manual().max_concurrent(shape.concurrent));
    let inputs: Vec<Stream<Rec>> = shape.inputs.iter().enumerate().map(|(i, input)| source(&job, i, input)).collect();
    let united = match inputs.as_slice() {
        [one, other] => one.union(other).parallelism(shape.inputs[0].parallelism),
        _ => inputs[0].clone(),
    };
    let stream = apply(kit, united, &shape.steps, "main");
    for (b, branch) in shape.branches.iter().enumerate() {
        let steps = apply(kit, stream.clone(), &branch.steps, &format!("b{b}"));
        end(kit, &steps, branch, b);
    }
    job
}

fn source(job: &Job, i: usize, input: &Input) -> Stream<Rec> {
    let splits = input.splits.iter().enumerate().map(|(s, split)| split.data(i, s));
    let mut script = Scripted::new(splits).batches(input.batch);
    if let Some((every, pause)) = input.pause {
        script = script.pause_every(every, millis(pause));
    }
    let timed = Watermarks::bounded(millis(input.bound as u64)).on(|record: &Rec| Timestamp::from_millis(record.at));
    let timed = timed.step(millis(input.step));
    let timed = if input.strict { timed.strict() } else { timed };
    let timed = input.idle_after.iter().fold(timed, |timed, ms| timed.idle_after(millis(*ms)));
    Stream::clone(&job.source(&format!("in{i}"), script).watermarks(timed).parallelism(input.parallelism))
}

fn apply(kit: &Kit, mut stream: Stream<Rec>, steps: &[Step], place: &str) -> Stream<Rec> {
    for (s, Step { op, parallelism }) in steps.iter().enumerate() {
        stream = match *op {
            Op::Map(n) => stream.map(move |record: Rec| Rec { value: record.value + n, ..record }),
            Op::Filter(n) => stream.filter(move |record| !record.id.is_multiple_of(n)),
            Op::FlatMap(n) => {
                stream.flat_map(move |record: Rec| (0..n).map(move |i| Rec { id: record.id * 8 + i, ..record.clone() }))
            }
            Op::Refuse { multiple, aside } => {
                let side = SideOutput::new("refused");
                let policy = if aside { OnError::to(&side) } else { OnError::skip() };
                let refuse = move |record: &Rec| {
                    if record.value.is_multiple_of(multiple) { Err("refused") } else { Ok(record.clone()) }
                };
                let rest = stream.try_map_or(policy, refuse);
                if aside {
                    rest.side(&side).map(|letter| letter.record).sink(&refused(place, s), kit.sink(&refused(place, s)));
                }
                rest
            }
        };
        stream = stream.parallelism(*parallelism);
    }
    stream
}

/// The sink of the records that a step refuses.
pub fn refused(place: &str, step: usize) -> String {
    format!("refused-{place}-{step}")
}

/// The operator at the end of a branch; with `out-` and `late-` before it, its sinks.
pub fn uid(branch: usize) -> String {
    format!("end{branch}")
}

fn out<T: tidegate::Record + std::fmt::Debug>(kit: &Kit, stream: &Stream<T>, branch: &Branch, b: usize) {
    let name = format!("out-{}", uid(b));
    stream.sink(&name, kit.sink::<T>(&name)).parallelism(branch.at_sink);
}

fn end(kit: &Kit, stream: &Stream<Rec>, branch: &Branch, b: usize) {
    let keyed = || stream.key_by(|record| record.key);
    let name = uid(b);
    let at_end = |stream: Stream<(u64, u64)>| out(kit, &stream.parallelism(branch.parallelism).uid(&name), branch, b);
    match branch.end {
        End::Plain => out(kit, &stream.map(|record| record).parallelism(branch.parallelism), branch, b),
        End::Count => at_end(keyed().count()),
        End::Sum => at_end(keyed().aggregate(Sum)),
        End::Max => {
            let pairs = stream.map(|record: Rec| (record.key, record.value)).key_by(|(key, _)| *key);
            let maxima = pairs.reduce(max).parallelism(branch.parallelism).uid(&name).map(|(_, max)| max);
            out(kit, &maxima.parallelism(branch.parallelism), branch, b);
        }
        End::Slots { slot } => {
            let open = move |ctx: &mut OpenContext<'_, u64>| Ok(Slots { slots: ctx.value("slots")?, slot });
            out(kit, &keyed().process(&name, open).parallelism(branch.parallelism), branch, b);
        }
        End::Delayed { by } => {
            let open = move |ctx: &mut OpenContext<'_, u64>| Ok(Delayed { waiting: ctx.value("waiting")?, by });
            out(kit, &keyed().process(&name, open).parallelism(branch.parallelism), branch, b);
        }
        End::Windows(windows) => {
            let size = millis(windows.size);
            match windows.slide {
                None => windowed(kit, &keyed(), Tumbling::of(size), windows, branch, b),
                Some(slide) => windowed(kit, &keyed(), Sliding::of(size, millis(slide)), windows, branch, b),
            }
        }
        End::KeysOfWindows { size } => {
            let windows = keyed().window(Tumbling::of(millis(size))).count().uid(&format!("windows-{name}"));
            let starts = windows.parallelism(branch.parallelism).key_by(|window| window.window.start.millis() as u64);
            at_end(starts.count());
        }
    }
}

fn windowed<A: Assigner>(kit: &Kit, keyed: &KeyedStream<u64, Rec>, assigner: A, windows: Windows, branch: &Branch, b: usize) {
    let late = SideOutput::new("late");
    let mut stream = keyed.window(assigner).allowed_lateness(millis(windows.lateness));
    if windows.aside {
        stream = stream.late_to(&late);
    }
    let results = stream.aggregate(Gather).uid(&uid(b)).parallelism(branch.parallelism);
    if windows.aside {
        let name = format!("late-{}", uid(b));
        results.side(&late).sink(&name, kit.sink::<Rec>(&name));
    }
    let flat =
        |Windowed { key, window, value }: Windowed<u64, Vec<u64>>| (key, window.start.millis(), window.end.millis(), value);
    out::<Gathered>(kit, &results.map(flat).parallelism(branch.parallelism), branch, b);
}

fn max(a: &(u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0, a.1.max(b.1))
}

struct Sum;

impl Aggregate for Sum {
    type In = Rec;
    type Acc = u64;
    type Out = u64;

    fn create(&self) -> u64 {
        0
    }

    fn add(&self, acc: &mut u64, record: Rec) {
        *acc += record.value;
    }

    fn merge(&self, acc: &mut u64, other: u64) {
        *acc += other;
    }

    fn result(&self, acc: &u64) -> u64 {
        *acc
    }
}

/// The ids of all records.
struct Gather;

impl Aggregate for Gather {
    type In = Rec;
    type Acc = Vec<u64>;
    type Out = Vec<u64>;

    fn create(&self) -> Vec<u64> {
        Vec::new()
    }

    fn add(&self, acc: &mut Vec<u64>, record: Rec) {
        acc.push(record.id);
    }

    fn merge(&self, acc: &mut Vec<u64>, mut other: Vec<u64>) {
        acc.append(&mut other);
    }

    fn result(&self, acc: &Vec<u64>) -> Vec<u64> {
        sorted(acc.clone())
    }
}

fn sorted(mut ids: Vec<u64>) -> Vec<u64> {
    ids.sort();
    ids
}

/// Gathers by slots of event time.
struct Slots {
    slots: ValueState<BTreeMap<i64, Vec<u64>>>,
    slot: i64,
}

impl KeyedOperator for Slots {
    type Key = u64;
    type In = Rec;
    type Out = Gathered;

    fn on_record(&mut self, record: Rec, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let at = ctx.timestamp().ok_or("no timestamp")?.millis();
        let end = at - at.rem_euclid(self.slot) + self.slot - 1;
        ctx.state.update(self.slots, |slots| slots.entry(end).or_default().push(record.id));
        ctx.timers.event_time(Timestamp::from_millis(end));
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let end = timer.time.millis();
        let ids = ctx.state.update(self.slots, |slots| slots.remove(&end)).ok_or("a timer without a slot")?;
        let key = *ctx.key();
        if ctx.state.get(self.slots).is_some_and(BTreeMap::is_empty) {
            ctx.state.clear(self.slots);
        }
        ctx.out.emit((key, end, end, sorted(ids)));
        Ok(())
    }
}

/// Gathers until a processing-time timer fires.
struct Delayed {
    waiting: ValueState<Vec<u64>>,
    by: u64,
}

impl KeyedOperator for Delayed {
    type Key = u64;
    type In = Rec;
    type Out = Gathered;

    fn on_record(&mut self, record: Rec, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let due = ctx.processing_time().plus(millis(self.by));
        let waiting = ctx.state.get_or_insert_with(self.waiting, Vec::new);
        if waiting.is_empty() {
            ctx.timers.processing_time(due);
        }
        waiting.push(record.id);
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let key = *ctx.key();
        let ids = ctx.state.clear(self.waiting).ok_or("a timer with nothing that waits")?;
        ctx.out.emit((key, 0, 0, sorted(ids)));
        Ok(())
    }
}
