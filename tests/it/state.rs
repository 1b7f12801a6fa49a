//! What a restart finds of state: in the same flow, in another one, at another parallelism.

use tidegate::testing::{End, Fault, Scripted, Simulation, SinkCall};
use tidegate::{Error, Job, Restart, millis};

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
