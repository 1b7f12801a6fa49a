//! What a restart finds of state: in the same flow, in another one, at another parallelism.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tidegate::testing::{End, Fault, Scripted, Simulation, SinkCall};
use tidegate::{BoxError, Context, Error, Job, KeyedOperator, LineFiles, OpenContext, Restart, millis};

use crate::common::{Counted, count, counted, finished, numbers, sound, take};

#[test]
fn a31_checkpoints_go_on_when_some_inputs_have_ended() {
    let sim = Simulation::new(11);
    let out = sim.sink::<Counted>();
    let describe = |endless: bool| {
        let job = Job::new("job").store(sim.disk().store()).parallelism(2);
        let short = job.source("short", Scripted::new([(0..10).collect::<Vec<u64>>()]));
        let long = numbers(100);
        let long = job.source("long", if endless { long.endless() } else { long });
        short.union(&long).key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
        job
    };
    let (run, answers) = take(&sim, describe(true), 2);
    assert!(answers.iter().all(Result::is_ok), "{answers:?} {run}");
    finished(&sim.run(describe(false)));
    assert_eq!(out.sorted(), counted((0..10).chain(0..100), 7), "what had ended emitted nothing again");
    sound(&out);
}

#[test]
fn f13_a_split_that_has_ended_is_not_opened_again() {
    let (sim, dir) = (Simulation::new(24), tempfile::tempdir().unwrap());
    let (out, path) = (sim.sink::<String>(), dir.path().join("in.txt"));
    std::fs::write(&path, "a\nb\n").unwrap();
    let describe = |endless: bool| {
        let job = Job::new("job").store(sim.disk().store());
        let lines = job.source("lines", LineFiles::at(&path)).map(|line: String| line);
        let more = if endless { numbers(20).endless() } else { numbers(20) };
        let more = job.source("numbers", more).map(|_: u64| "n".to_owned());
        lines.union(&more).sink("out", out.clone());
        job
    };
    let (run, answers) = take(&sim, describe(true), 1);
    assert!(answers[0].is_ok(), "{run}");
    std::fs::remove_file(&path).unwrap();
    finished(&sim.run(describe(false)));
    assert_eq!(out.sorted().concat(), format!("ab{}", "n".repeat(20)));
}

#[test]
fn a36_a_failure_before_the_first_checkpoint_begins_anew() {
    let sim = Simulation::new(12);
    let (out, fault) = (sim.sink(), Fault::panic_at(50));
    let job = Job::new("job").store(sim.disk().store()).restart(Restart::fixed_delay(1, millis(1)));
    let check = fault.clone();
    let checked = job.source("numbers", numbers(60)).map(move |n: u64| {
        check.trip();
        n
    });
    checked.key_by(|n| n % 7).count().sink("out", out.clone());
    assert_eq!(finished(&sim.run(job)).restarts, 1);
    assert_eq!(out.sorted(), counted(0..60, 7));
}

#[test]
fn a36_a_failure_before_the_first_new_checkpoint_goes_back_to_the_one_it_began_from() {
    let sim = Simulation::new(13);
    let out = sim.sink();
    take(&sim, count(&sim, numbers(60).endless(), &out), 1);
    let fault = Fault::panic_at(1);
    out.plan(SinkCall::Finish, &fault);
    assert_eq!(finished(&sim.run(count(&sim, numbers(60), &out))).restarts, 1);
    assert!(fault.fired());
    assert_eq!(out.sorted(), counted(0..60, 7));
}

#[test]
fn c8_state_that_was_not_touched_is_in_the_next_checkpoint() {
    let sim = Simulation::new(16);
    let out = sim.sink();
    take(&sim, count(&sim, numbers(60).endless(), &out), 1);
    let before = sim.disk().state("job").unwrap().unwrap();
    take(&sim, count(&sim, numbers(60).endless(), &out), 1);
    let after = sim.disk().state("job").unwrap().unwrap();
    assert!(after.0 > before.0);
    let key = ("counts".to_owned(), "accumulators".to_owned());
    assert_eq!(before.1[&key].len(), 7);
    assert_eq!(before.1[&key], after.1[&key]);
}

#[test]
fn c13_state_moves_with_the_parallelism() {
    let sim = Simulation::new(17);
    let out = sim.sink::<Counted>();
    let describe = |parallelism: u32, upto: u64| {
        let job = Job::new("job").store(sim.disk().store()).parallelism(parallelism);
        let splits = (0..4).map(|split| (0..upto).map(|n| n * 4 + split).collect());
        let script = Scripted::new(splits).batches(9).endless();
        job.source("numbers", script).key_by(|n| n % 1000).count().uid("counts").sink("out", out.clone());
        job
    };
    for (round, parallelism) in (1..).zip([4, 3, 7, 1, 2]) {
        let (run, answers) = take(&sim, describe(parallelism, round * 250), 1);
        assert!(answers[0].is_ok(), "{run}");
    }
    assert_eq!(out.sorted(), counted(0..5000, 1000));
    sound(&out);
}

#[test]
fn c13_state_moves_up_to_the_maximum_parallelism_and_no_further() {
    let sim = Simulation::new(18);
    let out = sim.sink::<Counted>();
    let describe = |parallelism: u32, upto: u64| {
        let job = Job::new("job").store(sim.disk().store()).parallelism(parallelism).max_parallelism(7);
        let script = Scripted::new([(0..upto).collect::<Vec<u64>>()]).batches(9).endless();
        job.source("numbers", script).key_by(|n| n % 50).count().uid("counts").sink("out", out.clone());
        job
    };
    for (round, parallelism) in (1..).zip([1, 7, 3, 6]) {
        let (run, answers) = take(&sim, describe(parallelism, round * 100), 1);
        assert!(answers[0].is_ok(), "{run}");
    }
    assert_eq!(out.sorted(), counted(0..400, 50));
    let run = sim.run(describe(8, 500));
    let End::Failed(Error::InvalidFlow { problem, .. }) = &run.end else { panic!("{run}") };
    assert!(problem.contains("parallelism 8, above the maximum of 7"), "{problem}");
    sound(&out);
}

#[test]
fn c12_the_number_of_key_groups_is_that_of_the_first_start() {
    let sim = Simulation::new(23);
    let out = sim.sink();
    let describe = |max: Option<u16>, script: Scripted<u64>| {
        let job = Job::new("job").store(sim.disk().store()).parallelism(2);
        let job = if let Some(max) = max { job.max_parallelism(max) } else { job };
        job.source("numbers", script).key_by(|n| n % 50).count().uid("counts").sink("out", out.clone());
        job
    };
    let (run, answers) = take(&sim, describe(Some(7), numbers(200).endless()), 1);
    assert!(answers[0].is_ok(), "{run}");
    let run = sim.run(describe(Some(128), numbers(300)));
    assert!(matches!(&run.end, End::Failed(Error::StateMismatch { .. })), "{run}");
    finished(&sim.run(describe(None, numbers(300))));
    assert_eq!(out.sorted(), counted(0..300, 50));
    sound(&out);
}

#[test]
fn c18_an_operator_with_a_uid_finds_its_state_in_another_flow() {
    let sim = Simulation::new(18);
    let out = sim.sink();
    take(&sim, count(&sim, numbers(60).endless(), &out), 1);
    let job = Job::new("job").store(sim.disk().store());
    let source = job.source("numbers", numbers(90));
    source.map(|n: u64| n).filter(|_| true).key_by(|n| n % 7).count().uid("counts").sink("out", out.clone());
    finished(&sim.run(job));
    assert_eq!(out.sorted(), counted(0..90, 7));
}

#[test]
fn c19_state_without_an_operator_is_refused_by_name() {
    let sim = Simulation::new(19);
    let out = sim.sink();
    take(&sim, count(&sim, numbers(60).endless(), &out), 1);
    let job = Job::new("job").store(sim.disk().store());
    job.source("numbers", numbers(60)).key_by(|n| n % 7).count().uid("renamed").sink("out", out.clone());
    let run = sim.run(job);
    let End::Failed(error @ Error::StateMismatch { .. }) = &run.end else { panic!("{run}") };
    assert!(error.to_string().contains("'counts'"), "{error}");
    assert!(error.to_string().contains("Job::allow_lost_state([\"counts\"])"), "{error}");
}

#[test]
fn c19_positions_of_a_source_that_is_gone_are_state_as_well() {
    let sim = Simulation::new(19);
    let out = sim.sink();
    take(&sim, count(&sim, numbers(60).endless(), &out), 1);
    let job = Job::new("job").store(sim.disk().store()).allow_lost_state(["counts"]);
    job.source("others", numbers(60)).key_by(|n| n % 7).count().uid("renamed").sink("out", out.clone());
    let run = sim.run(job);
    let End::Failed(error @ Error::StateMismatch { .. }) = &run.end else { panic!("{run}") };
    let text = error.to_string();
    assert!(text.contains("state of 'numbers', and") && !text.contains("'counts'"), "{text}");
}

/// The operators with entries in the latest checkpoint.
fn with_state(sim: &Simulation) -> BTreeSet<String> {
    let (_, state) = sim.disk().state("job").unwrap().unwrap();
    state.into_iter().filter(|(_, entries)| !entries.is_empty()).map(|((uid, _), _)| uid).collect()
}

#[test]
fn c19_state_that_may_be_lost_is_logged_and_gone_from_the_next_checkpoint_on() {
    let sim = Simulation::new(19);
    let out = sim.sink();
    let describe = |uid: &str, script: Scripted<u64>| {
        let job = Job::new("job").store(sim.disk().store()).allow_lost_state(["counts", "renamed", "never there"]);
        job.source("numbers", script).key_by(|n| n % 7).count().uid(uid).sink("out", out.clone());
        job
    };
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        take(&sim, describe("counts", numbers(60).endless()), 1);
        assert!(with_state(&sim).contains("counts"));
        assert_eq!(warnings.naming("counts"), 0, "nothing is lost of an operator that is there");
        take(&sim, describe("renamed", numbers(80).endless()), 1);
        assert_eq!(warnings.naming("counts"), 1);
    });
    assert!(!with_state(&sim).contains("counts") && with_state(&sim).contains("renamed"));
    take(&sim, describe("counts", numbers(90).endless()), 1);
    let (before, empty) = (counted(0..60, 7), counted(60..80, 7));
    let mut wanted = [before, empty, counted(80..90, 7)].concat();
    wanted.sort();
    assert_eq!(out.sorted(), wanted, "each time the counts begin anew");
}

/// Collects what is logged as a warning.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn naming(&self, uid: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.contains(&format!("uid={uid} "))).count()
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl tracing::field::Visit for Line {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn c20_new_operators_start_empty_beside_restored_ones() {
    let sim = Simulation::new(20);
    let (out, more) = (sim.sink(), sim.sink());
    take(&sim, count(&sim, numbers(60).endless(), &out), 1);
    let job = count(&sim, numbers(80), &out);
    job.source("new", numbers(30)).key_by(|n| n % 7).count().uid("new counts").sink("more", more.clone());
    finished(&sim.run(job));
    assert_eq!(out.sorted(), counted(0..80, 7));
    assert_eq!(more.sorted(), counted(0..30, 7));
}

/// Emits what it is told when it opens, once a record has come.
struct Opened(String);

impl KeyedOperator for Opened {
    type Key = u64;
    type In = u64;
    type Out = String;

    fn on_record(&mut self, _: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        ctx.out.emit(self.0.clone());
        Ok(())
    }
}

#[test]
fn c20_an_operator_knows_whether_it_is_new_and_where_the_job_goes_on() {
    let sim = Simulation::new(20);
    let (out, fault) = (sim.sink(), Fault::panic_at(60));
    let describe = |uids: &[&str], end: u64| {
        let job = Job::new("job").store(sim.disk().store()).restart(Restart::fixed_delay(1, millis(1)));
        let check = fault.clone();
        let numbers = job.source("numbers", numbers(end).endless()).map(move |n: u64| {
            check.trip();
            n
        });
        for uid in uids {
            let name = (*uid).to_owned();
            let opened = numbers.key_by(|_| 0).process(uid, move |ctx: &mut OpenContext<'_, u64>| {
                let told = (ctx.is_restored(), ctx.restored_checkpoint().is_some(), ctx.attempt().n);
                Ok(Opened(format!("{name} {told:?}")))
            });
            opened.sink(&format!("out of {uid}"), out.clone());
        }
        job
    };
    take(&sim, describe(&["first"], 10), 1);
    assert_eq!(out.sorted(), vec!["first (false, false, 0)"; 10]);
    take(&sim, describe(&["first", "second"], 30), 1);
    assert_eq!(out.sorted()[10..30], vec!["first (true, true, 0)"; 20]);
    assert_eq!(out.sorted()[30..], vec!["second (false, true, 0)"; 20], "the job is restored, and the operator is new");
    // From its own first checkpoint on it is not new any more, nor at a restart.
    take(&sim, describe(&["first", "second"], 70), 2);
    assert!(fault.fired());
    assert!(out.sorted().contains(&"second (true, true, 1)".to_owned()), "{:?}", out.sorted());
    assert_eq!(out.sorted().iter().filter(|line| line.contains("(false")).count(), 10 + 20, "{:?}", out.sorted());
}
