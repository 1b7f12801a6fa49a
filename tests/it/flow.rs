//! What a flow does with its records, and which flows are refused.

use tidegate::testing::{End, Fault, RecordingSink, Run, Scripted, Simulation, SinkEvent};
use tidegate::{Checkpoints, Error, Job, OnError, SideOutput, Store, Timestamp, Tumbling, Watermarks, Windowed, millis};

use crate::common::{counted, finished, job, numbers, sound};

/// The problem for which a flow is refused.
fn refused(job: Job) -> String {
    match job.check() {
        Err(Error::InvalidFlow { problem, advice }) => {
            assert!(!advice.is_empty());
            problem
        }
        other => panic!("it should be refused: {other:?}"),
    }
}

#[test]
fn h9_side_outputs_carry_what_the_main_output_carries() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        let (main, one, two, fault) = (sim.sink(), sim.sink(), sim.sink(), Fault::panic_at(70));
        let job = job(&sim).parallelism(2).checkpoints(Checkpoints::every(millis(2)));
        let (odd, check) = (SideOutput::new("odd"), fault.clone());
        let even = job.source("numbers", numbers(100)).try_map_or(OnError::to(&odd), move |n: &u64| {
            check.trip();
            if n.is_multiple_of(2) { Ok(*n) } else { Err("odd") }
        });
        even.key_by(|n| n % 7).count().sink("main", main.clone());
        even.side(&odd).map(|letter| letter.record).sink("one", one.clone());
        even.side(&odd).map(|letter| letter.record).key_by(|n| n % 7).count().sink("two", two.clone());
        let run = sim.run(job);
        assert!(finished(&run).checkpoints > 1 && fault.fired(), "{run}");
        assert_eq!(main.sorted(), counted((0..100).step_by(2), 7));
        assert_eq!(one.sorted(), (1..100).step_by(2).collect::<Vec<_>>());
        assert_eq!(two.sorted(), counted((1..100).step_by(2), 7));
        sound(&one);
    }
}

#[test]
fn h9_every_consumer_of_a_stream_gets_its_watermarks() {
    let sim = Simulation::new(2);
    let outs = [sim.sink(), sim.sink(), sim.sink()];
    let job = job(&sim);
    let timed = Watermarks::bounded(millis(0)).on(|n: &u64| Timestamp::from_millis(*n as i64)).step(millis(1));
    // The last one is late, and by the end of data alone nobody could tell.
    let numbers = job.source("numbers", Scripted::new([(0..60).chain([5]).collect::<Vec<u64>>()])).watermarks(timed);
    for (n, out) in outs.iter().enumerate() {
        let windows = numbers.key_by(|_| 0u64).window(Tumbling::of(millis(20))).count().uid(&format!("windows-{n}"));
        let counts = windows.map(|of: Windowed<u64, u64>| (of.window.start.millis(), of.value));
        counts.sink(&format!("out-{n}"), out.clone());
    }
    finished(&sim.run(job));
    outs.iter().for_each(|out| assert_eq!(out.sorted(), [(0, 20), (20, 20), (40, 20)]));
}

#[test]
fn h9_consumers_of_one_stream_get_copies() {
    let sim = Simulation::new(1);
    let (one, two) = (sim.sink(), sim.sink());
    let job = job(&sim);
    let words = job.source("words", Scripted::new([vec![vec![1u8], vec![2]]]));
    let changed = words.map(|mut word: Vec<u8>| {
        word.push(0);
        word
    });
    changed.sink("one", one.clone());
    words.sink("two", two.clone());
    finished(&sim.run(job));
    assert_eq!(one.committed(), [vec![1, 0], vec![2, 0]]);
    assert_eq!(two.committed(), [vec![1], vec![2]]);
}

#[test]
fn h9_a_side_output_of_two_types_is_refused() {
    let sim = Simulation::new(1);
    let job = job(&sim);
    let stream = job.source("numbers", numbers(1)).map(|n: u64| n);
    stream.side(&SideOutput::<u64>::new("side")).sink("one", sim.sink());
    stream.side(&SideOutput::<u32>::new("side")).sink("two", sim.sink());
    stream.sink("main", sim.sink());
    assert!(refused(job).contains("two types"));
}

#[test]
fn h10_a_union_of_a_stream_with_itself_keeps_both_copies() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::panic_at(70));
        let job = job(&sim).parallelism(1 + seed as u32 % 3);
        let (source, check) = (job.source("numbers", numbers(60)), fault.clone());
        let twice = source.union(&source).map(move |n: u64| {
            check.trip();
            n
        });
        twice.key_by(|n| n % 7).count().sink("out", out.clone());
        let run = sim.run(job);
        assert!(finished(&run).checkpoints > 0 && fault.fired(), "{run}");
        assert_eq!(out.sorted(), counted((0..60).chain(0..60), 7));
    }
}

/// How often the writers of a sink were told to open, to finish and to close.
fn lifecycle(out: &RecordingSink<u64>) -> (usize, usize, usize) {
    let count = |wanted: fn(&SinkEvent) -> bool| out.events().iter().filter(|event| wanted(event)).count();
    let opened = count(|event| matches!(event, SinkEvent::Opened(..)));
    let finished = count(|event| matches!(event, SinkEvent::Finished(_)));
    (opened, finished, count(|event| matches!(event, SinkEvent::Closed(_))))
}

fn pass(sim: &Simulation, script: Scripted<u64>, out: &RecordingSink<u64>) -> Job {
    let job = job(sim).parallelism(2);
    job.source("numbers", script).map(|n: u64| n).parallelism(1).sink("out", out.clone());
    job
}

#[test]
fn h14_a_writer_is_closed_once_however_it_ends() {
    let sim = Simulation::new(2);
    let out = sim.sink();
    finished(&sim.run(pass(&sim, numbers(20), &out)));
    assert_eq!(lifecycle(&out), (2, 2, 2), "natural end");
    let (sim, fault) = (Simulation::new(3), Fault::error_at(2));
    let out = sim.sink();
    out.plan(tidegate::testing::SinkCall::Write, &fault);
    finished(&sim.run(pass(&sim, numbers(20), &out)));
    let (opened, _, closed) = lifecycle(&out);
    assert_eq!((opened, closed), (4, 4), "failed in write, then natural end");
    let (sim, fault) = (Simulation::new(4), Fault::error_at(2));
    let out = sim.sink();
    out.plan(tidegate::testing::SinkCall::Open, &fault);
    finished(&sim.run(pass(&sim, numbers(20), &out)));
    let (opened, _, closed) = lifecycle(&out);
    assert_eq!((opened, closed), (3, 3), "one failed in open, so that three were opened");
}

#[test]
fn d8_d11_tasks_without_splits_hold_no_window_back_and_cancelling_fires_none() {
    let sim = Simulation::new(7);
    let out = sim.sink();
    let job = job(&sim).parallelism(4);
    let script = Scripted::new([(0..25).collect(), (0..35).collect()]).endless();
    let timed = Watermarks::bounded(millis(0)).on(|n: &u64| Timestamp::from_millis(*n as i64)).step(millis(1));
    let windows = job.source("numbers", script).watermarks(timed).key_by(|_: &u64| 0u64).window(Tumbling::of(millis(10)));
    windows.count().map(|counted: Windowed<u64, u64>| counted.value).sink("out", out.clone());
    let run = sim.run_with(job, |job| async move {
        tokio::time::sleep(millis(100)).await;
        drop(job.cancel().await);
    });
    assert!(matches!(run.end, End::Cancelled), "{run}");
    assert_eq!(out.committed(), vec![20, 20], "two windows are over in both splits, two are not");
    sound(&out);
}

#[test]
fn h15_the_end_of_data_is_told_once_and_not_on_cancel_or_behind_the_end() {
    let sim = Simulation::new(5);
    let out = sim.sink();
    let run = sim.run_with(pass(&sim, numbers(20).endless(), &out), |job| async move {
        tokio::time::sleep(millis(100)).await;
        drop(job.cancel().await);
    });
    assert!(matches!(run.end, End::Cancelled), "{run}");
    assert_eq!(lifecycle(&out), (2, 0, 2), "cancelled");
    let sim = Simulation::new(6);
    let out = sim.sink();
    out.plan(tidegate::testing::SinkCall::Commit, &Fault::error_at(1).times(3));
    let job = pass(&sim, numbers(20), &out).checkpoints(Checkpoints::manual());
    let run: Run = sim.run(job);
    assert_eq!(finished(&run).restarts, 1);
    assert_eq!(lifecycle(&out), (4, 2, 4), "restored as finished: not told again");
}

#[test]
fn h18_nothing_is_emitted_after_the_end() {
    for seed in 0..30 {
        let sim = Simulation::new(seed);
        let out = sim.sink();
        finished(&sim.run(pass(&sim, numbers(50), &out)));
        assert_eq!(out.sorted(), (0..50).collect::<Vec<_>>());
        sound(&out);
    }
}

#[test]
fn a_job_with_a_name_that_no_directory_can_have_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for name in ["", "..", "a/b", "a\0b"] {
        let job = Job::new(name).store(Store::memory());
        job.source("numbers", numbers(1)).sink("out", RecordingSink::new());
        let refused = runtime.block_on(job.start()).map(drop).unwrap_err();
        assert!(matches!(refused, Error::InvalidFlow { .. }), "{name:?}: {refused}");
    }
}

#[test]
fn flows_that_cannot_run_are_refused_before_anything_starts() {
    let sim = Simulation::new(7);
    let fresh = || Job::new("job").store(Store::memory());
    assert!(refused(fresh()).contains("no source"));

    let job = fresh();
    job.source("numbers", numbers(1));
    assert!(refused(job).contains("no sink"));

    let job = fresh();
    let stream = job.source("numbers", numbers(1));
    stream.sink("out", sim.sink());
    stream.map(|n: u64| n);
    assert!(refused(job).contains("goes nowhere"));

    let job = fresh();
    job.source("numbers", numbers(1)).map(|n: u64| n).uid("one").filter(|_| true).uid("one").sink("out", sim.sink());
    assert!(refused(job).contains("one"));

    let job = fresh().parallelism(200);
    job.source("numbers", numbers(1)).sink("out", sim.sink());
    assert!(refused(job).contains("200"));

    let job = fresh().parallelism(0);
    job.source("numbers", numbers(1)).sink("out", sim.sink());
    assert!(refused(job).contains('0'));

    let job = fresh();
    let side = SideOutput::new("bad");
    job.source("numbers", numbers(1)).try_map_or(OnError::to(&side), |n: &u64| Ok::<_, String>(*n)).sink("out", sim.sink());
    assert!(refused(job).contains("bad"));

    let job = Job::new("job").checkpoints(Checkpoints::every(millis(5)));
    job.source("numbers", numbers(1)).sink("out", sim.sink());
    assert!(refused(job).contains("no store"));

    let (job, other) = (fresh(), fresh());
    let there = other.source("numbers", numbers(1));
    job.source("numbers", numbers(1)).union(&there).sink("out", sim.sink());
    assert!(refused(job).contains("different jobs"));

    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let job = fresh();
        job.source("numbers", numbers(1)).max_rate(rate).sink("out", sim.sink());
        assert!(refused(job).contains("records a second"), "{rate}");
    }

    let job = fresh().checkpoints(Checkpoints::every(millis(0)));
    job.source("numbers", numbers(1)).sink("out", sim.sink());
    assert!(refused(job).contains("interval"));
}
