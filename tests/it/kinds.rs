//! The five kinds of keyed state in whole operators, with a time to live and without one.

use std::time::Duration;

use tidegate::testing::{Kit, OperatorHarness, Scripted, check_exactly_once};
use tidegate::{
    AggregatingState, BoxError, Context, Job, KeyedOperator, ListState, MapState, OpenContext, ReducingState, Stream, Timer,
    Timestamp, Ttl, ValueState, hours, millis,
};

use crate::common::Mean;

/// A state of each kind.
#[derive(Clone, Copy)]
struct Kinds {
    value: ValueState<u64>,
    list: ListState<u64>,
    map: MapState<String, u64>,
    reducing: ReducingState<u64>,
    aggregating: AggregatingState<Mean>,
}

impl Kinds {
    fn lasting(ctx: &mut OpenContext<'_, u64>) -> Result<Kinds, BoxError> {
        Ok(Kinds {
            value: ctx.value("value")?,
            list: ctx.list("list")?,
            map: ctx.map("map")?,
            reducing: ctx.reducing("reducing", |a: &u64, b| b.max(*a))?,
            aggregating: ctx.aggregating("aggregating", Mean)?,
        })
    }

    fn expiring(ctx: &mut OpenContext<'_, u64>, prefix: &str, ttl: Ttl) -> Result<Kinds, BoxError> {
        let name = |kind: &str| format!("{prefix} {kind}");
        Ok(Kinds {
            value: ctx.with_ttl(ttl).value(&name("value"))?,
            list: ctx.with_ttl(ttl).list(&name("list"))?,
            map: ctx.with_ttl(ttl).map(&name("map"))?,
            reducing: ctx.with_ttl(ttl).reducing(&name("reducing"), |a: &u64, b| b.max(*a))?,
            aggregating: ctx.with_ttl(ttl).aggregating(&name("aggregating"), Mean)?,
        })
    }

    /// Takes a number in.
    fn take<O: KeyedOperator<Key = u64>>(self, n: u64, ctx: &mut Context<'_, O>) {
        ctx.state.update(self.value, |count| *count += 1);
        let mut list = ctx.state.list(self.list);
        list.push(n);
        if list.len() > 12 {
            list.retain(|n| n % 2 == 0);
        }
        let mut map = ctx.state.map(self.map);
        *map.get_or_insert_with(&format!("by {}", n % 5), || 0) += n;
        if n.is_multiple_of(7) {
            map.remove("by 1");
        }
        ctx.state.add(self.reducing, n);
        ctx.state.add(self.aggregating, n);
    }

    /// What is there, in a line.
    fn tell<O: KeyedOperator<Key = u64>>(self, ctx: &mut Context<'_, O>) -> String {
        let list: Vec<u64> = ctx.state.list(self.list).iter().copied().collect();
        let mut map: Vec<(String, u64)> = ctx.state.map(self.map).iter().map(|(key, n)| (key.clone(), *n)).collect();
        map.sort();
        let state = &ctx.state;
        format!("{:?} {list:?} {map:?} {:?} {:?}", state.get(self.value), state.get(self.reducing), state.get(self.aggregating))
    }
}

/// Keeps each number in three sets of states, and tells what is in those of which that does not depend on the clock.
struct Everything {
    lasting: Kinds,
    long: Kinds,
    short: Kinds,
}

impl KeyedOperator for Everything {
    type Key = u64;
    type In = u64;
    type Out = String;

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        for kinds in [self.lasting, self.long, self.short] {
            kinds.take(n, ctx);
        }
        let (lasting, long) = (self.lasting.tell(ctx), self.long.tell(ctx));
        if lasting != long {
            return Err(format!("what expires in a thousand hours is not what lasts: {long}, {lasting}").into());
        }
        let _depends_on_the_clock = self.short.tell(ctx);
        ctx.out.emit(format!("{}: {lasting}", ctx.key()));
        Ok(())
    }
}

fn everything(kit: &Kit) -> Job {
    let job = Job::new("everything");
    let numbers = Scripted::new([(0..60u64).collect()]).batches(3).pause_every(5, millis(4));
    let states = job.source("numbers", numbers).key_by(|n| n % 3).process("everything", |ctx| {
        Ok(Everything {
            lasting: Kinds::lasting(ctx)?,
            long: Kinds::expiring(ctx, "long", Ttl::of(hours(1000)).on_read_too())?,
            short: Kinds::expiring(ctx, "short", Ttl::of(millis(6)).return_expired_until_cleaned())?,
        })
    });
    states.sink("out", kit.sink("out"));
    job
}

#[test]
fn c1_c3_c4_c5_c6_c27_all_kinds_are_exactly_once_with_and_without_a_time_to_live() {
    check_exactly_once(everything, 150);
}

/// Keeps numbers for a while, and says what is left when a timer fires.
struct Fading(Kinds);

impl KeyedOperator for Fading {
    type Key = u64;
    type In = u64;
    type Out = String;

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        self.0.take(n, ctx);
        ctx.timers.processing_time(ctx.processing_time().plus(millis(99)));
        Ok(())
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let told = self.0.tell(ctx);
        ctx.out.emit(format!("{} at {}: {told}", ctx.key(), ctx.processing_time().millis()));
        Ok(())
    }
}

fn fading() -> OperatorHarness<u64, String> {
    OperatorHarness::of(|numbers: &Stream<u64>| {
        let keyed = numbers.key_by(|n| n % 2);
        keyed.process("fading", |ctx| Ok(Fading(Kinds::expiring(ctx, "fading", Ttl::of(millis(150)))?)))
    })
    .wall_clock(Timestamp::from_millis(1000))
}

#[test]
fn c2_c23_c26_timers_see_what_is_left_of_their_key() {
    let mut open = fading().open().unwrap();
    open.push(2).unwrap();
    open.push(3).unwrap();
    open.advance_clock(millis(60)).unwrap();
    open.push(4).unwrap();
    open.advance_clock(Duration::from_secs(1)).unwrap();
    let both = r#"0 at 1100: Some(2) [2, 4] [("by 2", 2), ("by 4", 4)] Some(4) Some(3)"#;
    let one = r#"1 at 1100: Some(1) [3] [("by 3", 3)] Some(3) Some(3)"#;
    let later = r#"0 at 1160: Some(2) [4] [("by 4", 4)] Some(4) Some(3)"#;
    assert_eq!(open.output(), [both, one, later]);
}

#[test]
fn c27_the_time_between_a_snapshot_and_its_restore_counts() {
    let mut open = fading().open().unwrap();
    open.push(2).unwrap();
    let snapshot = open.snapshot().unwrap();
    let told = |start: i64| {
        let harness = fading().wall_clock(Timestamp::from_millis(start));
        let mut restored = harness.restore(&snapshot).unwrap();
        restored.advance_clock(Duration::from_secs(1)).unwrap();
        restored.output()
    };
    assert_eq!(told(1149), [r#"0 at 1149: Some(1) [2] [("by 2", 2)] Some(2) Some(2)"#]);
    assert_eq!(told(1150), ["0 at 1150: None [] [] None None"]);
}

#[test]
fn c13_c28_lists_and_maps_move_with_their_keys_and_without_what_has_expired() {
    let mut open = fading().open().unwrap();
    (0..40).for_each(|n| open.push(n).unwrap());
    open.advance_clock(millis(80)).unwrap();
    (40..60).for_each(|n| open.push(n).unwrap());
    let before = open.snapshot().unwrap();
    let wide = fading().parallelism(2).wall_clock(Timestamp::from_millis(1155));
    let mut wide = wide.restore(&before).unwrap();
    let mut lists = wide.states::<u64, Vec<(Timestamp, u64)>>("fading list").unwrap();
    lists.sort();
    let at = Timestamp::from_millis(1080);
    let written = |numbers: &[u64]| numbers.iter().map(|n| (at, *n)).collect::<Vec<_>>();
    let even: Vec<u64> = (40..60).step_by(2).collect();
    assert_eq!(lists, [(0, written(&even)), (1, written(&[53, 55, 57, 59]))], "what was written at 1000 has expired");
    wide.advance_clock(millis(75)).unwrap();
    assert_eq!(wide.states::<u64, Vec<(Timestamp, u64)>>("fading list").unwrap(), [], "at 1230");
}
