//! Broadcast operators: rules for all keys, at restarts, at other parallelisms, under faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tidegate::testing::{Fault, Kit, OperatorHarness, Restores, Scripted, Simulation, check_exactly_once};
use tidegate::{
    BoxError, BroadcastContext, BroadcastOpenContext, BroadcastOperator, BroadcastState, Checkpoints, Error, Job,
    KeyedSideContext, Stream, Timer, Timestamp, ValueState, Watermarks, millis,
};

use crate::common::{finished, job, sound, take};

/// A rule: its name and what it says.
type Rule = (u64, u64);
/// By instance, the rules in the order in which they came.
type Heard = Arc<Mutex<BTreeMap<u32, Vec<Rule>>>>;

/// Says for each number all rules that hold, and how often its key has come.
struct Rules {
    rules: BroadcastState<u64, u64>,
    seen: ValueState<u64>,
    index: u32,
    heard: Heard,
}

impl BroadcastOperator for Rules {
    type Key = u64;
    type In = u64;
    type Broadcast = Rule;
    type Out = (u64, Vec<Rule>);

    fn on_record(&mut self, n: u64, ctx: &mut KeyedSideContext<'_, Self>) -> Result<(), BoxError> {
        ctx.state.update(self.seen, |seen| *seen += 1);
        let rules = ctx.broadcast.map(self.rules);
        ctx.out.emit((n, rules.iter().map(|(name, what)| (*name, *what)).collect()));
        Ok(())
    }

    fn on_broadcast(&mut self, (name, what): Rule, ctx: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError> {
        ctx.broadcast.map_mut(self.rules).insert(name, what);
        self.heard.lock().unwrap().entry(self.index).or_default().push((name, what));
        Ok(())
    }
}

fn rules(numbers: &Stream<u64>, broadcast: &Stream<Rule>, heard: &Heard) -> Stream<(u64, Vec<Rule>)> {
    let heard = heard.clone();
    numbers.key_by(|n| n % 100).connect_broadcast(broadcast).process("rules", move |ctx: &mut BroadcastOpenContext<'_, u64>| {
        Ok(Rules { rules: ctx.broadcast_state("rules")?, seen: ctx.value("seen")?, index: ctx.index(), heard: heard.clone() })
    })
}

fn script<T>(splits: usize, all: Vec<T>) -> Scripted<T> {
    let mut dealt: Vec<Vec<T>> = (0..splits).map(|_| Vec::new()).collect();
    all.into_iter().enumerate().for_each(|(at, record)| dealt[at % splits].push(record));
    Scripted::new(dealt).batches(3)
}

#[test]
fn c16_every_instance_has_all_rules_at_any_parallelism() {
    let sim = Simulation::new(41);
    let (out, heard) = (sim.sink::<(u64, Vec<Rule>)>(), Heard::default());
    let twenty: Vec<Rule> = (0..20).map(|name| (name, name * 10)).collect();
    let describe = |parallelism: u32, numbers: Vec<u64>| {
        let job = Job::new("job").store(sim.disk().store()).parallelism(parallelism);
        let broadcast = job.source("broadcast", script(1, twenty.clone()).endless()).parallelism(1);
        let numbers = job.source("numbers", script(4, numbers).endless());
        rules(&numbers, &broadcast, &heard).sink("out", out.clone());
        job
    };
    // The rules first, then numbers that come when no rule does any more.
    take(&sim, describe(2, Vec::new()), 1);
    assert_eq!(heard.lock().unwrap().len(), 2);
    for (round, parallelism) in (1..).zip([2, 3, 1, 5, 2]) {
        heard.lock().unwrap().clear();
        let (run, answers) = take(&sim, describe(parallelism, (0..round * 100).collect()), 1);
        assert!(answers[0].is_ok(), "{run}");
        let committed = out.committed();
        assert_eq!(committed.len() as u64, round * 100);
        assert!(committed.iter().all(|(_, rules)| *rules == twenty), "every key knows every rule, at {parallelism}");
        assert!(heard.lock().unwrap().is_empty(), "they came from the checkpoint, not from the source");
        let mut stored = sim.disk().keyed::<u64, u64>("job", "rules", "rules").unwrap();
        stored.sort();
        assert_eq!(stored, twenty, "one copy, not one for each instance");
        let seen = sim.disk().keyed::<u64, u64>("job", "rules", "seen").unwrap();
        assert!(seen.len() == 100 && seen.iter().all(|(_, seen)| *seen == round));
    }
    sound(&out);
}

#[test]
fn c17_what_one_task_broadcasts_reaches_all_instances_in_its_order() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        let (out, heard) = (sim.sink::<(u64, Vec<Rule>)>(), Heard::default());
        // A rule is set again and again: another order would leave another map.
        let sent: Vec<Rule> = (0..200).map(|at| (at % 7, at)).collect();
        let job = Job::new("job").store(sim.disk().store()).parallelism(4);
        let broadcast = job.source("broadcast", script(1, sent.clone()).pause_every(9, millis(1))).parallelism(1);
        let numbers = job.source("numbers", script(4, (0..400).collect()).pause_every(5, millis(1)));
        rules(&numbers, &broadcast, &heard).sink("out", out.clone());
        finished(&sim.run(job));
        let heard = heard.lock().unwrap();
        assert_eq!(heard.len(), 4);
        assert!(heard.values().all(|heard| *heard == sent), "{heard:?}");
        assert_eq!(out.committed().len(), 400);
        sound(&out);
    }
}

#[test]
fn c17_after_each_checkpoint_all_instances_hold_the_same_map() {
    type Mixed = Result<u64, Rule>;
    let harness = OperatorHarness::of(|mixed: &Stream<Mixed>| {
        let numbers = mixed.flat_map(Result::ok);
        let broadcast = mixed.flat_map(|mixed: Mixed| mixed.err()).parallelism(1);
        rules(&numbers, &broadcast, &Heard::default())
    });
    let mut open = harness.parallelism(4).open().unwrap();
    let mut expected = BTreeMap::new();
    for round in 0..5 {
        for name in 0..20 {
            open.push(Err((name, round))).unwrap();
            expected.insert(name, round);
        }
        let snapshot = open.snapshot().unwrap();
        assert_eq!(snapshot.broadcast::<u64, u64>("rules").unwrap(), expected.clone().into_iter().collect::<Vec<_>>());
        let mut again = harness.parallelism(4).restore(&snapshot).unwrap();
        (0..100).for_each(|n| again.push(Ok(n)).unwrap());
        let held = again.output();
        assert_eq!(held.len(), 100);
        assert!(held.iter().all(|(_, rules)| rules.iter().copied().eq(expected.iter().map(|(name, what)| (*name, *what)))));
    }
}

/// Joins each number with the rule for its remainder: waits for it, if it has to.
struct Join {
    rules: BroadcastState<u64, u64>,
    waiting: ValueState<Vec<u64>>,
}

impl Join {
    fn rule_of(n: u64) -> u64 {
        n % 3
    }
}

impl BroadcastOperator for Join {
    type Key = u64;
    type In = u64;
    type Broadcast = Rule;
    type Out = (u64, u64);

    fn on_record(&mut self, n: u64, ctx: &mut KeyedSideContext<'_, Self>) -> Result<(), BoxError> {
        match ctx.broadcast.map(self.rules).get(&Join::rule_of(n)) {
            Some(what) => ctx.out.emit((n, *what)),
            None => ctx.state.update(self.waiting, |waiting| waiting.push(n)),
        }
        Ok(())
    }

    fn on_broadcast(&mut self, (name, what): Rule, ctx: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError> {
        ctx.broadcast.map_mut(self.rules).insert(name, what);
        ctx.keys.retain(self.waiting, move |_, waiting, out| {
            let (ready, rest): (Vec<u64>, Vec<u64>) = waiting.drain(..).partition(|n| Join::rule_of(*n) == name);
            ready.into_iter().for_each(|n| out.emit((n, what)));
            *waiting = rest;
            Ok(!waiting.is_empty())
        });
        Ok(())
    }
}

fn join(numbers: &Stream<u64>, broadcast: &Stream<Rule>) -> Stream<(u64, u64)> {
    numbers.key_by(|n| n % 40).connect_broadcast(broadcast).process("join", |ctx: &mut BroadcastOpenContext<'_, u64>| {
        Ok(Join { rules: ctx.broadcast_state("rules")?, waiting: ctx.value("waiting")? })
    })
}

fn joined(upto: u64) -> Vec<(u64, u64)> {
    (0..upto).map(|n| (n, Join::rule_of(n) + 100)).collect()
}

#[test]
fn c17_a_broadcast_record_walks_over_all_keys_before_anything_else_comes() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        let out = sim.sink::<(u64, u64)>();
        let job = Job::new("job").store(sim.disk().store()).parallelism(1 + seed as u32 % 3);
        let job = job.checkpoints(Checkpoints::every(millis(1)));
        let broadcast = script(1, vec![(0, 100), (1, 101), (2, 102)]).batches(1).pause_every(1, millis(4));
        let broadcast = job.source("broadcast", broadcast).parallelism(1);
        let numbers = job.source("numbers", script(4, (0..300).collect()).pause_every(20, millis(1)));
        join(&numbers, &broadcast).sink("out", out.clone());
        assert!(finished(&sim.run(job)).checkpoints > 1);
        assert_eq!(out.sorted(), joined(300));
        assert_eq!(sim.disk().keyed::<u64, Vec<u64>>("job", "join", "waiting").unwrap(), [], "those that wait no more are gone");
        sound(&out);
    }
}

#[test]
fn c16_c17_a_join_with_rules_is_exactly_once() {
    check_exactly_once(
        |kit: &Kit| {
            let job = Job::new("join").parallelism(2);
            let broadcast = script(1, vec![(1, 101), (0, 100), (2, 102)]).batches(1).pause_every(1, millis(9));
            let broadcast = job.source("broadcast", broadcast).parallelism(1);
            let numbers = job.source("numbers", script(2, (0..61).collect()).batches(4).pause_every(8, millis(3)));
            join(&numbers, &broadcast).sink("out", kit.sink("out"));
            job
        },
        80,
    );
}

/// Walks that do everything a walk may do.
struct Walker {
    seen: ValueState<u64>,
}

impl BroadcastOperator for Walker {
    type Key = u64;
    type In = u64;
    type Broadcast = &'static str;
    type Out = (u64, u64);

    fn on_record(&mut self, _: u64, ctx: &mut KeyedSideContext<'_, Self>) -> Result<(), BoxError> {
        ctx.state.update(self.seen, |seen| *seen += 1);
        Ok(())
    }

    fn on_broadcast(&mut self, word: &'static str, ctx: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError> {
        match word {
            "fail" => ctx.keys.for_each(self.seen, |key, _, _| if *key == 77 { Err("77 is odd".into()) } else { Ok(()) }),
            "panic" => ctx.keys.update_each(self.seen, |key, _, _| if *key == 77 { panic!("told to") } else { Ok(()) }),
            "drop" => ctx.keys.retain(self.seen, |key, _, _| Ok(key % 2 == 0)),
            _ => {
                ctx.keys.update_each(self.seen, |_, seen, _| {
                    *seen += 1000;
                    Ok(())
                });
                ctx.keys.for_each(self.seen, |key, seen, out| {
                    out.emit((*key, *seen));
                    Ok(())
                });
            }
        }
        Ok(())
    }

    fn finish(&mut self, ctx: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError> {
        ctx.keys.for_each(self.seen, |key, seen, out| {
            out.emit((*key, *seen));
            Ok(())
        });
        Ok(())
    }
}

fn walker() -> OperatorHarness<Result<u64, &'static str>, (u64, u64)> {
    OperatorHarness::of(|mixed: &Stream<Result<u64, &'static str>>| {
        let numbers = mixed.flat_map(Result::ok).key_by(|n| *n);
        let words = mixed.flat_map(|mixed: Result<u64, &'static str>| mixed.err()).parallelism(1);
        let open = |ctx: &mut BroadcastOpenContext<'_, u64>| Ok(Walker { seen: ctx.value("seen")? });
        numbers.connect_broadcast(&words).process("walker", open)
    })
}

#[test]
fn c17_walks_visit_every_key_once_in_the_order_in_which_they_were_asked_for() {
    for parallelism in [1, 3] {
        let mut open = walker().parallelism(parallelism).open().unwrap();
        // More keys than a batch has records, and than one piece of a walk looks at.
        let n = 20_000;
        (0..n).for_each(|key| open.push(Ok(key)).unwrap());
        let snapshot = open.snapshot().unwrap();
        open.push(Err("walk")).unwrap();
        let sorted = |mut rows: Vec<(u64, u64)>| {
            rows.sort();
            rows
        };
        assert_eq!(sorted(open.output()), (0..n).map(|key| (key, 1001)).collect::<Vec<_>>());
        open.push(Err("drop")).unwrap();
        open.push(Ok(1)).unwrap();
        open.end().unwrap();
        let left = (0..n).filter_map(|key| if key == 1 { Some((1, 1)) } else { (key % 2 == 0).then_some((key, 1001)) });
        assert_eq!(sorted(open.output()), left.collect::<Vec<_>>());
        assert_eq!(snapshot.state("seen", &5u64).unwrap(), Some(1u64), "a view is not changed by a walk");
    }
}

#[test]
fn c17_what_goes_wrong_in_a_walk_names_the_operator() {
    for (word, what) in [("fail", "77 is odd"), ("panic", "told to")] {
        let mut open = walker().open().unwrap();
        (0..100).for_each(|key| open.push(Ok(key)).unwrap());
        let error = open.push(Err(word)).unwrap_err().to_string();
        assert!(error.contains("'walker'") && error.contains(what), "{error}");
    }
}

/// Sends a timer's time when it fires, and how many rules there are.
struct Timed {
    rules: BroadcastState<u64, u64>,
}

impl BroadcastOperator for Timed {
    type Key = u64;
    type In = u64;
    type Broadcast = Rule;
    type Out = (u64, i64, usize);

    fn on_record(&mut self, n: u64, ctx: &mut KeyedSideContext<'_, Self>) -> Result<(), BoxError> {
        ctx.timers.event_time(Timestamp::from_millis(n as i64 + 10));
        Ok(())
    }

    fn on_broadcast(&mut self, (name, what): Rule, ctx: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError> {
        ctx.broadcast.map_mut(self.rules).insert(name, what);
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedSideContext<'_, Self>) -> Result<(), BoxError> {
        ctx.out.emit((*ctx.key(), timer.time.millis(), ctx.broadcast.map(self.rules).len()));
        Ok(())
    }
}

fn timed(numbers: &Stream<u64>, broadcast: &Stream<Rule>) -> Stream<(u64, i64, usize)> {
    numbers
        .key_by(|n| n % 7)
        .connect_broadcast(broadcast)
        .process("timed", |ctx: &mut BroadcastOpenContext<'_, u64>| Ok(Timed { rules: ctx.broadcast_state("rules")? }))
}

#[test]
fn d6_timers_follow_both_inputs_and_see_the_rules_of_their_time() {
    for restores in [Restores::FromMemory, Restores::FromFiles] {
        for seed in 0..10 {
            let sim = Simulation::new(seed).restores(restores);
            let (out, fault) = (sim.sink(), Fault::panic_at(60));
            let job = job(&sim).parallelism(2).checkpoints(Checkpoints::every(millis(2)));
            let at = |n: &u64| Timestamp::from_millis(*n as i64);
            let script_of_rules = script(1, (0..10).map(|name| (name, name * 10)).collect()).batches(1).pause_every(2, millis(3));
            let rule_times =
                Watermarks::bounded(millis(0)).on(|(_, when): &Rule| Timestamp::from_millis(*when as i64)).step(millis(1));
            let broadcast = job.source("broadcast", script_of_rules).watermarks(rule_times).parallelism(1);
            let number_times = Watermarks::bounded(millis(0)).on(at).step(millis(1));
            let numbers = script(2, (0..100).collect()).pause_every(10, millis(2));
            let numbers = job.source("numbers", numbers).watermarks(number_times);
            let check = fault.clone();
            let numbers = numbers.map(move |n: u64| {
                check.trip();
                n
            });
            timed(&numbers, &broadcast).sink("out", out.clone());
            let run = sim.run(job);
            assert!(finished(&run).checkpoints > 0 && fault.fired(), "{run}");
            // The rule of time t has come when the watermark passes t; rules may be ahead, numbers never are.
            let fired: Vec<(u64, i64)> = out.sorted().into_iter().map(|(key, time, _)| (key, time)).collect();
            let mut expected: Vec<(u64, i64)> = (0..100u64).map(|n| (n % 7, n as i64 + 10)).collect();
            expected.sort();
            assert_eq!(fired, expected);
            assert!(
                out.committed().iter().all(|(_, time, rules)| *rules as i64 >= (time / 10 + 1).min(10)),
                "{:?}",
                out.committed()
            );
            sound(&out);
        }
    }
}

#[test]
fn c9_a_broadcast_state_and_a_state_of_keys_have_names_of_their_own() {
    struct Nothing;
    impl BroadcastOperator for Nothing {
        type Key = u64;
        type In = u64;
        type Broadcast = u64;
        type Out = u64;

        fn on_record(&mut self, _: u64, _: &mut KeyedSideContext<'_, Self>) -> Result<(), BoxError> {
            Ok(())
        }

        fn on_broadcast(&mut self, _: u64, _: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError> {
            Ok(())
        }
    }
    type Open = fn(&mut BroadcastOpenContext<'_, u64>) -> Result<Nothing, BoxError>;
    let harness = |open: Open| {
        OperatorHarness::of(move |numbers: &Stream<u64>| {
            numbers.key_by(|n| *n).connect_broadcast(numbers).process("nothing", open)
        })
    };
    let as_broadcast: Open = |ctx| {
        ctx.broadcast_state::<u64, u64>("x")?;
        Ok(Nothing)
    };
    let as_value: Open = |ctx| {
        ctx.value::<u64>("x")?;
        Ok(Nothing)
    };
    let value_first: Open = |ctx| {
        ctx.value::<u64>("x")?;
        ctx.broadcast_state::<u64, u64>("x")?;
        Ok(Nothing)
    };
    let broadcast_first: Open = |ctx| {
        ctx.broadcast_state::<u64, u64>("x")?;
        ctx.value::<u64>("x")?;
        Ok(Nothing)
    };
    for both in [value_first, broadcast_first] {
        let Err(error) = harness(both).open() else { panic!("two states of one name") };
        assert!(error.to_string().contains("'x' twice"), "{error}");
    }
    for (stored, registered) in [(as_broadcast, as_value), (as_value, as_broadcast)] {
        let snapshot = harness(stored).open().unwrap().snapshot().unwrap();
        let Err(error) = harness(registered).restore(&snapshot) else { panic!("stored as another kind") };
        assert!(error.to_string().contains("'x' was stored as"), "{error}");
        harness(stored).restore(&snapshot).unwrap();
    }
}

#[test]
fn streams_of_two_jobs_are_not_joined() {
    let (job, other) = (Job::new("job"), Job::new("other"));
    let broadcast = other.source("broadcast", script(1, vec![(1, 1)]));
    let sim = Simulation::new(1);
    join(&job.source("numbers", script(1, vec![1])), &broadcast).sink("out", sim.sink());
    let Err(Error::InvalidFlow { problem, .. }) = job.check() else { panic!("it should be refused") };
    assert!(problem.contains("different jobs"), "{problem}");
}
