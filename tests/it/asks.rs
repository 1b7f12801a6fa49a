//! A service that asks its job: what it hears while the job runs, fails, restarts and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::testing::{End, Fault, Run, Scripted, Simulation};
use tidegate::{
    Answers, AskContext, Askable, BoxError, CheckpointId, Context, Error, Job, JobHandle, KeyedOperator, OpenContext, Queryable,
    Restart, Sink, SinkContext, SinkWriter, Tumbling, ValueState, Watermarks, millis, secs,
};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::common::{Counted, count, finished, job, numbers, sound};

/// Sums the numbers of each key.
struct Sums {
    sum: ValueState<u64>,
    on_record: Fault,
}

impl KeyedOperator for Sums {
    type Key = u64;
    type In = u64;
    type Out = Counted;

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        self.on_record.trip();
        let key = *ctx.key();
        let sum = ctx.state.get_or_insert_with(self.sum, || 0);
        *sum += n;
        ctx.out.emit((key, *sum));
        Ok(())
    }
}

/// A key's sum, times this.
#[derive(Clone, Copy)]
struct Times(u64);

impl Answers<Times> for Sums {
    type Reply = (u64, u64);

    fn on_message(&self, Times(times): Times, ctx: &AskContext<'_, Self>) -> Result<(u64, u64), BoxError> {
        let sum = ctx.state.get(self.sum).ok_or("no number came")?;
        Ok((*ctx.key(), sum * times))
    }
}

/// What no operator survives.
#[derive(Clone, Copy)]
struct Poison;

impl Answers<Poison> for Sums {
    type Reply = ();

    fn on_message(&self, _: Poison, _: &AskContext<'_, Self>) -> Result<(), BoxError> {
        panic!("poisoned")
    }
}

fn never() -> Fault {
    Fault::panic_at(u64::MAX)
}

fn sums(on_record: &Fault) -> impl Fn(&mut OpenContext<'_, u64>) -> Result<Sums, BoxError> + Send + Sync + 'static {
    let on_record = on_record.clone();
    move |ctx| Ok(Sums { sum: ctx.value("sum")?, on_record: on_record.clone() })
}

/// A job that sums `script` by remainder of seven.
fn summing(sim: &Simulation, script: Scripted<u64>, on_record: &Fault, out: &tidegate::testing::RecordingSink<Counted>) -> Job {
    let job = job(sim);
    job.source("numbers", script).key_by(|n| n % 7).process("sums", sums(on_record)).sink("out", out.clone());
    job
}

const COUNTS: fn() -> Queryable<u64, u64> = || Queryable::accumulators("counts");
const SUMS: fn() -> Askable<Sums> = || Askable::new("sums");

/// What a script has heard.
struct Heard<T>(Arc<Mutex<Vec<T>>>);

impl<T> Heard<T> {
    fn new() -> Self {
        Heard(Arc::default())
    }

    fn note(&self, it: T) {
        self.0.lock().unwrap().push(it);
    }

    fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<T> Clone for Heard<T> {
    fn clone(&self) -> Self {
        Heard(self.0.clone())
    }
}

/// Runs a job with a script beside it and hands out what the script says at its end.
fn script<T: Send + 'static, F>(sim: &Simulation, job: Job, script: impl FnOnce(JobHandle) -> F) -> (Run, T)
where
    F: Future<Output = T> + Send + 'static,
{
    let heard = Heard::new();
    let told = heard.clone();
    let run = sim.run_with(job, |job| {
        let said = script(job);
        async move { told.note(said.await) }
    });
    match heard.take().pop() {
        Some(said) => (run, said),
        None => panic!("the script did not come to its end: {run}"),
    }
}

/// Asks until the tasks run.
async fn persist<O: Answers<A>, A: Copy + Send + 'static>(
    job: &JobHandle,
    operator: &Askable<O>,
    key: O::Key,
    ask: A,
) -> Result<O::Reply, Error> {
    loop {
        match job.ask(operator, &key, ask).await {
            Err(Error::Unanswered { .. }) => sleep(millis(1)).await,
            answer => return answer,
        }
    }
}

fn unanswered<T: std::fmt::Debug>(answer: &Result<T, Error>, reason: &str) -> bool {
    matches!(answer, Err(error @ Error::Unanswered { .. }) if error.to_string().contains(reason))
}

#[test]
fn a_service_asks_while_the_job_runs() {
    for (seed, parallelism) in (0..20).flat_map(|seed| [(seed, 1), (seed, 3)]) {
        let sim = Simulation::new(seed);
        let (out, counts) = (sim.sink(), sim.sink());
        let job = job(&sim).parallelism(parallelism);
        let keyed = job.source("numbers", numbers(210).endless()).key_by(|n| n % 7);
        keyed.process("sums", sums(&never())).sink("out", out.clone());
        keyed.count().uid("counts").sink("counts out", counts.clone());
        let (_, (early, late, sums)) = script(&sim, job, |job| async move {
            let (mut early, mut late, mut sums) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
            for _ in 0..10 {
                sleep(millis(5)).await;
                early.extend(job.query(&COUNTS(), &3).await.into_iter().flatten());
            }
            sleep(secs(1)).await;
            for key in 0..9u64 {
                late.insert(key, job.query(&COUNTS(), &key).await.unwrap());
                sums.insert(key, job.ask(&SUMS(), &key, Times(2)).await.map_err(|error| error.to_string()));
            }
            job.cancel().await.unwrap();
            (early, late, sums)
        });
        assert!(early.is_sorted() && early.len() > 1 && early[0] < 30, "it is asked while it counts: {early:?}");
        assert_eq!(late, (0..9).map(|key| (key, (key < 7).then_some(30))).collect(), "a key that never came has no value");
        let sum = |key| (0..210).filter(|n| n % 7 == key).sum::<u64>();
        assert!((0..7).all(|key| sums[&key] == Ok((key, 2 * sum(key)))), "{sums:?}");
        let error = sums[&8].as_ref().unwrap_err();
        assert!(error.contains("'sums'") && error.contains("failed in on_message: no number came"), "{error}");
    }
}

/// All pages of a scan, the keys of each with their counts.
async fn pages(job: &JobHandle, counts: &Queryable<u64, u64>, groups: std::ops::Range<u16>) -> Vec<Vec<Counted>> {
    let mut scan = job.scan(counts, groups);
    let mut pages = Vec::new();
    while let Some(page) = scan.next_page().await.unwrap() {
        pages.push(page);
    }
    assert_eq!(scan.next_page().await.unwrap(), None, "the end stays the end");
    pages
}

#[test]
fn the_pages_of_a_scan_have_each_key_once() {
    for parallelism in [1, 3] {
        let sim = Simulation::new(u64::from(parallelism));
        let out = sim.sink();
        let job = Job::new("job").parallelism(parallelism);
        let numbers = Scripted::new([(0..10_000u64).collect()]).endless();
        job.source("numbers", numbers).key_by(|n| *n % 5000).count().uid("counts").sink("out", out.clone());
        let (_, (all, parts, none)) = script(&sim, job, |job| async move {
            sleep(secs(1)).await;
            let all = pages(&job, &COUNTS(), 0..u16::MAX).await;
            let mut parts = Vec::new();
            for start in (0..128).step_by(10) {
                parts.extend(pages(&job, &COUNTS(), start..start + 10).await.concat());
            }
            let none = (pages(&job, &COUNTS(), 5..5).await, pages(&job, &COUNTS(), 128..200).await);
            job.cancel().await.unwrap();
            (all, parts, none)
        });
        assert!(all.len() >= 10 && all.iter().all(|page| !page.is_empty() && page.len() <= 512), "pages are bounded");
        let mut entries = all.concat();
        entries.sort();
        assert_eq!(entries, (0..5000).map(|key| (key, 2)).collect::<Vec<_>>());
        let mut parts = parts;
        parts.sort();
        assert_eq!(parts, entries, "ranges of key groups part the keys");
        assert_eq!(none, (Vec::new(), Vec::new()));
    }
}

#[test]
fn a_scan_goes_on_over_a_restart_and_misses_nothing_that_is_there_throughout() {
    let sim = Simulation::new(9);
    let (out, fault) = (sim.sink(), Fault::panic_at(3001));
    let job = job(&sim).parallelism(2);
    let numbers = Scripted::new([(0..3000).chain(7000..9000).collect()]).batches(100).pause_every(3000, secs(1));
    let keyed = job.source("numbers", numbers.endless()).key_by(|n: &u64| *n);
    keyed.process("sums", sums(&fault)).sink("out", out.clone());
    let (run, (seen, errors)) = script(&sim, job, |job| async move {
        let (mut seen, mut errors) = (Vec::new(), Vec::new());
        sleep(millis(600)).await;
        let state = Queryable::<u64, u64>::new("sums", "sum");
        let mut scan = job.scan(&state, ..);
        loop {
            sleep(millis(450)).await;
            match scan.next_page().await {
                Ok(Some(page)) => seen.extend(page.into_iter().map(|(key, _)| key)),
                Ok(None) => break,
                Err(error) => errors.push(error.to_string()),
            }
        }
        job.cancel().await.unwrap();
        (seen, errors)
    });
    assert!(fault.fired(), "{run}");
    let keys: BTreeSet<u64> = seen.iter().copied().collect();
    assert!((0..3000).all(|key| keys.contains(&key)) && keys.len() == seen.len(), "{} of {}: {errors:?}", keys.len(), seen.len());
    assert!(keys.iter().any(|key| *key >= 7000), "the scan was still on its way when more came");
}

#[test]
fn questions_during_a_restart_get_the_reason() {
    let sim = Simulation::new(3);
    let (out, fault) = (sim.sink(), Fault::panic_at(50));
    let job = summing(&sim, numbers(100).endless(), &fault, &out).restart(Restart::fixed_delay(1, secs(60)));
    let (_, (at_once, waited, before, after)) = script(&sim, job, |job| async move {
        let at_once = job.ask(&SUMS(), &1, Times(1)).await;
        sleep(secs(5)).await;
        let began = tokio::time::Instant::now();
        let before = (job.ask(&SUMS(), &1, Times(1)).await, job.query(&Queryable::<u64, u64>::new("sums", "sum"), &1).await);
        let waited = began.elapsed();
        sleep(secs(90)).await;
        let after = job.ask(&SUMS(), &1, Times(1)).await;
        job.cancel().await.unwrap();
        (at_once, waited, before, after)
    });
    assert!(unanswered(&at_once, "the job is being started"), "{at_once:?}");
    let why = "'sums' did not answer: it has failed and is being restarted: operator 'sums' (task ";
    assert!(unanswered(&before.0, why) && unanswered(&before.1, why) && unanswered(&before.0, "a planned panic"), "{before:?}");
    assert!(waited < secs(1), "{waited:?}");
    assert_eq!(after.unwrap(), (1, (0..100).filter(|n| n % 7 == 1).sum()));
}

#[test]
fn questions_after_the_end_say_that_it_has_ended() {
    let sim = Simulation::new(4);
    let out = sim.sink();
    for _ in 0..2 {
        let (run, answers) = script(&sim, count(&sim, numbers(20), &out), |job| async move {
            job.wait().await.unwrap();
            let scanned = job.scan(&COUNTS(), ..).next_page().await;
            (job.query(&COUNTS(), &1).await, scanned, job.ask(&SUMS(), &1, Times(1)).await)
        });
        finished(&run);
        assert!(matches!(answers.0, Err(Error::Ended)) && matches!(answers.1, Err(Error::Ended)), "{answers:?}");
        assert!(matches!(answers.2, Err(Error::Ended | Error::InvalidQuestion { .. })), "{answers:?}");
    }
}

#[test]
fn a_job_that_ends_meanwhile_leaves_no_question_open() {
    for seed in 0..30 {
        let sim = Simulation::new(seed);
        let out = sim.sink();
        let (_, (answered, refused)) = script(&sim, count(&sim, numbers(40), &out), |job| async move {
            let (mut answered, mut refused) = (0, BTreeSet::new());
            loop {
                match job.query(&COUNTS(), &1).await {
                    Ok(_) => answered += 1,
                    Err(Error::Ended) => return (answered, refused),
                    Err(error) => drop(refused.insert(error.to_string())),
                }
                sleep(millis(1)).await;
            }
        });
        assert!(answered > 0, "{refused:?}");
        let known = ["being started", "being ended", "was ended before it came"];
        assert!(refused.iter().all(|text| known.iter().any(|known| text.contains(known))), "{refused:?}");
    }
}

#[test]
fn a_question_that_has_no_answer_says_what_there_is() {
    let sim = Simulation::new(5);
    let out = sim.sink();
    let job = summing(&sim, numbers(40).endless(), &never(), &out);
    let (windows, timed) = (sim.sink(), Watermarks::bounded(millis(1)).on(|n: &u64| tidegate::Timestamp::from_millis(*n as i64)));
    let keyed = job.source("timed", numbers(40).endless()).watermarks(timed).key_by(|n| n % 7);
    keyed.window(Tumbling::of(secs(60))).count().uid("windows").sink("windows out", windows.clone());
    struct Other;
    impl KeyedOperator for Other {
        type Key = u64;
        type In = u64;
        type Out = u64;
        fn on_record(&mut self, _: u64, _: &mut Context<'_, Self>) -> Result<(), BoxError> {
            Ok(())
        }
    }
    impl Answers<()> for Other {
        type Reply = ();
        fn on_message(&self, _: (), _: &AskContext<'_, Self>) -> Result<(), BoxError> {
            Ok(())
        }
    }
    let (_, texts) = script(&sim, job, |job| async move {
        sleep(millis(200)).await;
        let texts = [
            job.query(&Queryable::<u64, u64>::new("sum", "sum"), &1).await.map(drop),
            job.query(&Queryable::<u64, u64>::new("numbers", "splits"), &1).await.map(drop),
            job.query(&Queryable::<u64, u64>::new("sums", "total"), &1).await.map(drop),
            job.query(&Queryable::<u64, String>::new("sums", "sum"), &1).await.map(drop),
            job.query(&Queryable::<String, u64>::new("sums", "sum"), &"1".into()).await.map(drop),
            job.scan(&Queryable::<u64, u32>::new("sums", "sum"), ..).next_page().await.map(drop),
            job.ask(&Askable::<Other>::new("sums"), &1, ()).await,
            job.query(&Queryable::<u64, u64>::new("windows", "windows"), &1).await.map(drop),
        ];
        job.cancel().await.unwrap();
        texts.map(|answer| answer.unwrap_err().to_string())
    });
    let says = |at: usize, parts: &[&str]| parts.iter().for_each(|part| assert!(texts[at].contains(part), "{}", texts[at]));
    says(0, &["no operator 'sum' that keeps state by key", "those that it has: 'sums', 'windows'"]);
    says(1, &["no operator 'numbers' that keeps state by key"]);
    says(2, &["the operator 'sums' has no state 'total'", "it has 'sum' (a u64 for each u64)"]);
    says(3, &["the state 'sum' of 'sums' is asked for as a alloc::string::String for each u64", "it is a u64 for each u64"]);
    says(4, &["a u64 for each alloc::string::String", "it is a u64 for each u64"]);
    says(5, &["as a u32 for each u64", "it is a u64 for each u64"]);
    says(6, &["'sums' is asked as a ", "Other", "it is a ", "Sums"]);
    says(7, &["'windows' did not answer", "windows cannot be asked"]);
}

#[test]
fn a_thousand_questions_at_once_are_bounded_and_none_is_left_open() {
    let sim = Simulation::new(6).bounds(1_000_000, secs(600));
    let out = sim.sink();
    let job = count(&sim, numbers(70).endless(), &out);
    let (_, (answered, refused, last)) = script(&sim, job, |job| async move {
        sleep(secs(1)).await;
        let mut asking = JoinSet::new();
        for key in 0..3000u64 {
            let job = job.clone();
            asking.spawn(async move { job.query(&COUNTS(), &(key % 8)).await });
        }
        let answers = asking.join_all().await;
        let answered = answers.iter().filter(|answer| matches!(answer, Ok(None | Some(10)))).count();
        let refused = answers.iter().filter(|answer| unanswered(answer, "1024 questions to it are under way")).count();
        let last = job.query(&COUNTS(), &1).await;
        job.cancel().await.unwrap();
        (answered, refused, last)
    });
    assert_eq!((answered + refused, last.unwrap()), (3000, Some(10)));
    assert!(answered >= 1024 && refused > 0, "{answered} were answered");
}

#[test]
fn an_error_of_on_message_is_for_the_asker_alone_and_a_panic_restarts_the_region() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        let out = sim.sink();
        let (run, (error, panic)) = script(&sim, summing(&sim, numbers(200), &never(), &out), |job| async move {
            let error = persist(&job, &SUMS(), 9, Times(1)).await;
            sleep(millis(5)).await;
            assert_eq!(job.status().restarts, 0, "an error has no other effect");
            (error, persist(&job, &SUMS(), 1, Poison).await)
        });
        assert_eq!(finished(&run).restarts, 1, "{run}");
        assert!(
            matches!(&error, Err(Error::Operator { callback: "on_message", cause, .. }) if cause == "no number came"),
            "{error:?}"
        );
        assert!(matches!(&panic, Err(Error::Panic { operator, message, .. }) if operator == "sums" && message == "poisoned"));
        let mut sums = BTreeMap::new();
        let mut expected: Vec<Counted> = (0..200)
            .map(|n| {
                let sum = sums.entry(n % 7).or_insert(0);
                *sum += n;
                (n % 7, *sum)
            })
            .collect();
        expected.sort();
        assert_eq!(out.sorted(), expected, "and its output is as if nothing had been asked");
        sound(&out);
    }
}

#[test]
fn questions_under_failures_disturb_nothing_and_are_the_same_at_each_run() {
    let play = |seed: u64| {
        let sim = Simulation::new(seed);
        let (out, fault) = (sim.sink(), Fault::panic_at(60 + seed));
        let job = summing(&sim, numbers(200), &fault, &out).parallelism(2);
        let (run, answers) = script(&sim, job, |job| async move {
            let mut answers = Vec::new();
            loop {
                let answer = job.ask(&SUMS(), &(answers.len() as u64 % 7), Times(1)).await;
                let end = matches!(answer, Err(Error::Ended));
                answers.push(answer.map_err(|error| error.to_string()));
                if end {
                    return answers;
                }
                sleep(millis(2)).await;
            }
        });
        assert_eq!(finished(&run).restarts, 1, "{run}");
        let last: BTreeMap<u64, u64> = out.sorted().into_iter().collect();
        assert_eq!((out.sorted().len(), last[&3]), (200, (0..200).filter(|n| n % 7 == 3).sum()));
        sound(&out);
        (run.trace, answers)
    };
    for seed in 0..15 {
        let (trace, answers) = play(seed);
        assert!(answers.iter().filter(|answer| answer.is_ok()).count() > 5, "{answers:?}");
        assert_eq!(play(seed), (trace, answers), "seed {seed}");
    }
}

/// A sink that takes nothing before it is told to.
#[derive(Clone)]
struct Shut(Arc<Mutex<Option<Receiver<()>>>>);

struct ShutWriter(Option<Receiver<()>>);

impl Sink for Shut {
    type Item = Counted;
    type Cut = ();
    type Handle = u8;
    type Writer = ShutWriter;

    fn recover(&self, _: &SinkContext, _: Vec<u8>) -> Result<(), BoxError> {
        Ok(())
    }

    fn make_durable(&self, (): ()) -> Result<Vec<u8>, BoxError> {
        Ok(Vec::new())
    }

    fn commit(&self, _: &u8) -> Result<(), BoxError> {
        Ok(())
    }

    fn open(&self, _: &SinkContext) -> Result<ShutWriter, BoxError> {
        Ok(ShutWriter(self.0.lock().unwrap().take()))
    }
}

impl SinkWriter for ShutWriter {
    type Item = Counted;
    type Cut = ();

    fn write(&mut self, records: &mut Vec<Counted>) -> Result<(), BoxError> {
        if let Some(open) = self.0.take() {
            assert!(open.recv().is_err(), "nothing is sent: its end is dropped");
        }
        records.clear();
        Ok(())
    }

    fn cut(&mut self, _: CheckpointId) -> Result<(), BoxError> {
        Ok(())
    }
}

/// A sink that is shut, and what opens it when it is dropped.
fn shut() -> (Shut, Sender<()>) {
    let (open, shut) = channel();
    (Shut(Arc::new(Mutex::new(Some(shut)))), open)
}

/// A job on real threads with so many numbers, whose counts go into a shut sink.
fn stuffed(numbers: u64) -> (Job, Sender<()>) {
    let (sink, open) = shut();
    let job = Job::new("stuffed").workers(4).parallelism(2);
    let counts = job.source("numbers", Scripted::new([(0..numbers).collect()]).batches(100)).key_by(|n| n % 7).count();
    counts.uid("counts").sink("out", sink).parallelism(1);
    (job, open)
}

#[tokio::test]
async fn tasks_with_full_outputs_answer() {
    const NUMBERS: u64 = 200_000;
    let (job, open) = stuffed(NUMBERS);
    let job = job.start().await.unwrap();
    let total = async || {
        let mut total = 0;
        for key in 0..7u64 {
            total += job.query(&COUNTS(), &key).await.ok().flatten().unwrap_or(0);
        }
        total
    };
    let (mut before, mut same) = (0, 0);
    while same < 5 {
        sleep(millis(20)).await;
        let now = total().await;
        same = if now == before && now > 0 { same + 1 } else { 0 };
        before = now;
    }
    assert!(before < NUMBERS, "everything stands still behind the full outputs, and {before} were counted");
    drop(open);
    job.wait().await.unwrap();
}

#[tokio::test]
async fn a_service_with_many_tasks_asks_a_busy_job() {
    let job = Job::new("busy").parallelism(3);
    let splits = (0..4).map(|split| (0..50_000).map(|n| n * 4 + split).collect());
    let counts = job.source("numbers", Scripted::new(splits).batches(500).endless()).key_by(|n| n % 1000).count();
    let (sink, open) = shut();
    drop(open);
    counts.uid("counts").sink("out", sink);
    let job = job.start().await.unwrap();
    let answered = Arc::new(AtomicU64::new(0));
    let mut asking = JoinSet::new();
    for task in 0..8u64 {
        let (job, answered) = (job.clone(), answered.clone());
        asking.spawn(async move {
            let (mut last, mut key) = (BTreeMap::new(), task);
            while last.values().filter(|count| **count == 200).count() < 100 {
                key = (key + 8) % 800;
                match job.query(&COUNTS(), &key).await {
                    Ok(count) => {
                        let before = last.insert(key, count.unwrap_or(0)).unwrap_or(0);
                        assert!(before <= last[&key], "counts rise");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(Error::Unanswered { .. }) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    while let Some(end) = asking.join_next().await {
        end.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) >= 800);
    let scanned: BTreeMap<u64, u64> = pages(&job, &COUNTS(), 0..128).await.concat().into_iter().collect();
    assert_eq!(scanned.len(), 1000);
    job.cancel().await.unwrap();
}

/// Waits at its first record until it is told, then panics.
struct Stuck(Arc<Mutex<Option<Receiver<()>>>>);

impl KeyedOperator for Stuck {
    type Key = u64;
    type In = u64;
    type Out = Counted;

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let wait = self.0.lock().unwrap().take();
        if let Some(wait) = wait {
            panic!("it wakes up badly: {:?}", wait.recv());
        }
        ctx.out.emit((*ctx.key(), n));
        Ok(())
    }
}

impl Answers<()> for Stuck {
    type Reply = &'static str;

    fn on_message(&self, _: (), _: &AskContext<'_, Self>) -> Result<&'static str, BoxError> {
        Ok("well")
    }
}

#[tokio::test]
async fn a_question_that_a_failing_task_does_not_come_to_gets_an_error() {
    let (wake, wait) = channel();
    let wait = Arc::new(Mutex::new(Some(wait)));
    let job = Job::new("stuck").restart(Restart::fixed_delay(1, Duration::ZERO));
    let numbers = job.source("numbers", Scripted::new([(0..10).collect()]).endless());
    let held = wait.clone();
    let stuck = numbers.key_by(|n: &u64| n % 7).process("stuck", move |_| Ok(Stuck(held.clone())));
    let (sink, open) = shut();
    drop(open);
    stuck.sink("out", sink);
    let (job, stuck) = (job.start().await.unwrap(), Askable::<Stuck>::new("stuck"));
    while wait.lock().unwrap().is_some() {
        sleep(millis(2)).await;
    }
    let asking = tokio::spawn({
        let (job, stuck) = (job.clone(), stuck.clone());
        async move { job.ask(&stuck, &1, ()).await }
    });
    sleep(millis(50)).await;
    assert!(!asking.is_finished(), "it waits for the task");
    drop(wake);
    let answer = tokio::time::timeout(secs(5), asking).await.unwrap().unwrap();
    assert!(unanswered(&answer, "it has failed or was ended before it came to the question"), "{answer:?}");
    let again = persist(&job, &stuck, 1, ()).await;
    assert_eq!(again.unwrap(), "well", "the next attempt answers");
    job.cancel().await.unwrap();
}

#[test]
fn a_failed_job_says_at_the_end_that_it_has_ended() {
    let sim = Simulation::new(8);
    let (out, fault) = (sim.sink(), Fault::panic_at(30));
    let job = summing(&sim, numbers(100), &fault, &out).restart(Restart::never());
    let (run, answer) = script(&sim, job, |job| async move {
        drop(job.wait().await);
        job.ask(&SUMS(), &1, Times(1)).await
    });
    assert!(matches!(run.end, End::Failed(_)) && matches!(answer, Err(Error::Ended)), "{answer:?}");
}
