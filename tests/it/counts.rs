//! What is left out is counted exactly once, whatever fails: late records, records that cannot be handled or decoded.

use std::task::Waker;

use tidegate::testing::{Fault, Scripted, Simulation, SinkCall};
use tidegate::{
    BoxError, Job, OnError, OperatorSummary, Poll, Records, Rejected, Source, SplitReader, Timestamp, Tumbling, Watermarks,
    millis,
};

use crate::common::{finished, job};

/// What an operator has counted at the end of a run in which the n-th record makes the sink fail.
#[track_caller]
fn counted(n: u64, uid: &str, describe: impl Fn(&Job, &Simulation, &Fault)) -> (OperatorSummary, bool) {
    let sim = Simulation::new(n);
    let (job, fault) = (job(&sim), Fault::error_at(n));
    describe(&job, &sim, &fault);
    let run = sim.run(job);
    (finished(&run).operators[uid], fault.fired())
}

/// Runs with a failure at each write, as many as there are; each must count the same.
fn at_each_write(uid: &str, describe: impl Fn(&Job, &Simulation, &Fault)) -> (u64, OperatorSummary) {
    let (whole, _) = counted(u64::MAX, uid, &describe);
    let mut n = 1;
    loop {
        let (again, fired) = counted(n, uid, &describe);
        assert_eq!(again, whole, "with a failure at write {n}");
        if !fired {
            return (n, whole);
        }
        n += 1;
    }
}

#[test]
fn late_records_that_are_dropped_count_exactly_once() {
    // Every fifth record is 100 ms late.
    let times: Vec<i64> = (0..60).map(|i| if i % 5 == 4 { 10 * i - 100 } else { 10 * i }).collect();
    let (writes, summary) = at_each_write("windows", |job, sim, fault| {
        let script = Scripted::new([times.clone()]).batches(3).pause_every(6, millis(4));
        let timed = Watermarks::bounded(millis(0)).on(|at: &i64| Timestamp::from_millis(*at)).step(millis(1)).strict();
        let out = sim.sink();
        out.plan(SinkCall::Write, fault);
        let windows = job.source("times", script).watermarks(timed).key_by(|at| at % 3).window(Tumbling::of(millis(20)));
        windows.count().uid("windows").sink("out", out);
    });
    assert_eq!(summary.late_dropped, 12);
    assert!(writes > 5, "{writes}");
}

#[test]
fn records_that_are_skipped_count_exactly_once() {
    let (writes, summary) = at_each_write("refusing", |job, sim, fault| {
        let script = Scripted::new([(0..60u64).collect()]).batches(3).pause_every(6, millis(4));
        let out = sim.sink();
        out.plan(SinkCall::Write, fault);
        let numbers = job.source("numbers", script);
        let odd = numbers.try_map_or(OnError::skip(), |n| if n % 2 == 0 { Err("even") } else { Ok(*n) });
        odd.uid("refusing").sink("out", out);
    });
    assert_eq!(summary.skipped, 30);
    assert!(writes > 5, "{writes}");
}

/// Cannot decode every third number.
struct Torn;

struct TornReader(u64);

impl Source for Torn {
    type Item = u64;
    type Position = u64;
    type Reader = TornReader;

    fn splits(&self) -> Result<Vec<(String, u64)>, BoxError> {
        Ok(vec![("0".into(), 0)])
    }

    fn open(&self, _: &str, position: u64) -> Result<TornReader, BoxError> {
        Ok(TornReader(position))
    }
}

impl SplitReader for TornReader {
    type Item = u64;
    type Position = u64;

    fn poll(&mut self, out: &mut Records<'_, u64>, _: &Waker) -> Result<Poll, BoxError> {
        for _ in 0..out.room().min(4).min((60 - self.0) as usize) {
            if self.0.is_multiple_of(3) {
                out.reject(Rejected { place: self.0.to_string(), raw: String::new(), error: "torn".into() });
            } else {
                out.push(self.0);
            }
            self.0 += 1;
        }
        Ok(if self.0 < 60 { Poll::Ready } else { Poll::Ended })
    }

    fn position(&self) -> u64 {
        self.0
    }
}

#[test]
fn records_that_cannot_be_decoded_count_exactly_once() {
    let (writes, summary) = at_each_write("torn", |job, sim, fault| {
        let out = sim.sink();
        out.plan(SinkCall::Write, fault);
        job.source("torn", Torn).max_rate(1000.0).skip_rejected().sink("out", out);
    });
    assert_eq!((summary.skipped, summary.records), (20, 40));
    assert!(writes > 5, "{writes}");
}
