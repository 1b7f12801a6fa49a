//! State that one build of a program wrote and another one reads: fields that come and go, versions, and what is refused.

use serde::{Deserialize, Serialize};
use tidegate::testing::{
    Calamity, CrashPoint, End, FaultPlan, Kit, PlannedFault, RecordingSink, Run, Scripted, Simulation, SinkEvent, simulate,
};
use tidegate::{
    BoxError, Context, Error, Job, Key, KeyedOperator, OpenContext, Restart, SinkRef, Store, Stored, Stream, Timestamp, Tumbling,
    ValueState, Versions, Watermarks, millis,
};

use crate::common::{numbers, take};

/// What a key has come to, and how the next number is added.
trait Total: Stored + Default {
    fn add(&mut self, n: u64);
    fn told(&self) -> String;
}

/// The first build's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct First {
    sum: u64,
    unused: String,
}

/// A field is gone, and one has come, with a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Fielded {
    sum: u64,
    #[serde(default)]
    added: u64,
}

/// The sum is a text: a change that serde cannot read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Second {
    text: String,
}

/// The same, and how many numbers there were since.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Third {
    sum: u64,
    upgrades: Vec<String>,
}

impl Total for First {
    fn add(&mut self, n: u64) {
        self.sum += n;
    }

    fn told(&self) -> String {
        self.sum.to_string()
    }
}

impl Total for Fielded {
    fn add(&mut self, n: u64) {
        (self.sum, self.added) = (self.sum + n, self.added + 1);
    }

    fn told(&self) -> String {
        self.sum.to_string()
    }
}

impl Total for Second {
    fn add(&mut self, n: u64) {
        self.text = (self.text.parse::<u64>().unwrap_or(0) + n).to_string();
    }

    fn told(&self) -> String {
        self.text.clone()
    }
}

impl Total for Third {
    fn add(&mut self, n: u64) {
        self.sum += n;
    }

    fn told(&self) -> String {
        self.sum.to_string()
    }
}

/// The last build's versions.
fn versions() -> Versions<Third> {
    Versions::first::<First>().then(|old| Second { text: old.sum.to_string() }).try_then(|old| {
        let sum = old.text.parse::<u64>().map_err(|_| format!("'{}' is no sum", old.text))?;
        Ok::<_, BoxError>(Third { sum, upgrades: vec![old.text] })
    })
}

struct Totals<K, T> {
    total: ValueState<T>,
    key: std::marker::PhantomData<fn(K)>,
}

impl<K: Key, T: Total> KeyedOperator for Totals<K, T> {
    type Key = K;
    type In = u64;
    type Out = String;

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let total = ctx.state.get_or_insert_with(self.total, T::default);
        total.add(n);
        let told = total.told();
        ctx.out.emit(format!("{} {told}", n % 7));
        Ok(())
    }
}

/// How a build registers the state.
type Register<K, T> = fn(&mut OpenContext<'_, K>) -> tidegate::Result<ValueState<T>>;

/// The job of a build, with checkpoints when asked for, and many restarts.
fn describe<K: Key, T: Total>(
    job: Job,
    script: Scripted<u64>,
    key: fn(&u64) -> K,
    register: Register<K, T>,
) -> (Job, Stream<String>) {
    let job = job.restart(Restart::fixed_delay(5, millis(1)));
    let open = move |ctx: &mut OpenContext<'_, K>| Ok(Totals { total: register(ctx)?, key: std::marker::PhantomData });
    let totals = job.source("numbers", script).key_by(key).process("totals", open);
    (job, totals)
}

fn by_u64(n: &u64) -> u64 {
    n % 7
}

/// One build after the other on the same store.
struct Builds {
    sim: Simulation,
    out: RecordingSink<String>,
}

impl Builds {
    fn new(seed: u64) -> Self {
        let sim = Simulation::new(seed);
        let out = sim.sink();
        Builds { sim, out }
    }

    fn job<K: Key, T: Total>(&self, end: u64, key: fn(&u64) -> K, register: Register<K, T>) -> Job {
        let job = Job::new("job").store(self.sim.disk().store());
        let (job, totals) = describe(job, numbers(end).endless(), key, register);
        totals.sink("out", self.out.clone());
        job
    }

    /// Runs a build up to a number, with a checkpoint there.
    fn build<T: Total>(&self, end: u64, register: Register<u64, T>) -> Run {
        take(&self.sim, self.job(end, by_u64, register), 1).0
    }

    /// What is stored.
    fn stored<T: Total>(&self) -> Vec<(u64, T)> {
        let mut totals = self.sim.disk().keyed("job", "totals", "total").unwrap();
        totals.sort_by_key(|(key, _): &(u64, T)| *key);
        totals
    }

    fn entries(&self) -> usize {
        let (_, state) = self.sim.disk().state("job").unwrap().unwrap();
        state[&("totals".to_owned(), "total".to_owned())].len()
    }

    /// A build is refused before it sees a record, and is not tried again.
    #[track_caller]
    fn refused<K: Key, T: Total>(&self, key: fn(&u64) -> K, register: Register<K, T>) -> String {
        let before = (self.out.events().len(), self.sim.disk().state("job").unwrap());
        let run = self.sim.run(self.job(1000, key, register));
        let End::Failed(error @ Error::RestartsExhausted { .. }) = &run.end else { panic!("{run}") };
        let more: Vec<SinkEvent> = self.out.events().split_off(before.0);
        assert!(!more.iter().any(|event| matches!(event, SinkEvent::Written(..))), "{more:?}");
        assert_eq!(self.sim.disk().state("job").unwrap(), before.1, "nothing of what was stored has changed");
        let text = error.to_string();
        assert!(text.contains("not restarted (a restart would find the same)") && text.contains("operator 'totals'"), "{text}");
        text
    }
}

/// What is emitted for the numbers below `end`, sorted.
fn expected(end: u64) -> Vec<String> {
    let mut sums = [0u64; 7];
    let mut all: Vec<String> = (0..end)
        .map(|n| {
            let key = (n % 7) as usize;
            sums[key] += n;
            format!("{key} {}", sums[key])
        })
        .collect();
    all.sort();
    all
}

#[test]
fn c21_fields_come_and_go_under_serdes_defaults() {
    let store = Builds::new(1);
    store.build::<First>(60, |ctx| ctx.value("total"));
    store.build::<Fielded>(80, |ctx| ctx.value("total"));
    assert_eq!(store.out.sorted(), expected(80));
    let added: u64 = store.stored::<Fielded>().iter().map(|(_, total)| total.added).sum();
    assert_eq!(added, 20, "the new field counts from its default on");
}

#[test]
fn c21_older_versions_are_made_into_the_newest_step_by_step_all_of_them_at_once() {
    for from in [1, 2] {
        let store = Builds::new(from);
        store.build::<First>(60, |ctx| ctx.value("total"));
        if from == 2 {
            store.build::<Second>(60, |ctx| {
                ctx.value_versioned("total", Versions::first::<First>().then(|old| Second { text: old.sum.to_string() }))
            });
        }
        let before = store.entries();
        assert_eq!(before, 7);
        // Not one record comes: what nobody touches is made anew as well.
        store.build::<Third>(60, |ctx| ctx.value_versioned("total", versions()));
        let totals = store.stored::<Third>();
        assert!(totals.len() == 7 && totals.iter().all(|(_, total)| total.upgrades == [total.sum.to_string()]), "{totals:?}");
        store.build::<Third>(90, |ctx| ctx.value_versioned("total", versions()));
        assert!(store.stored::<Third>().iter().all(|(_, total)| total.upgrades.len() == 1), "and once only");
        assert_eq!(store.out.sorted(), expected(90));
    }
}

#[test]
fn c21_a_value_that_cannot_be_read_is_refused_with_both_shapes() {
    let store = Builds::new(3);
    store.build::<First>(60, |ctx| ctx.value("total"));
    let text = store.refused::<u64, Second>(by_u64, |ctx| ctx.value("total"));
    for part in ["state 'total'", "{sum: integer, unused: string}", "evolution::Second ({text: string})", "say with Versions how"]
    {
        assert!(text.contains(part), "it does not say {part}: {text}");
    }
    // Nothing is lost: the build that can read it goes on.
    store.build::<First>(90, |ctx| ctx.value("total"));
    assert_eq!(store.out.sorted(), expected(90));
}

#[test]
fn c21_versions_that_are_not_known_are_refused() {
    let store = Builds::new(4);
    store.build::<First>(60, |ctx| ctx.value("total"));
    let text = store.refused::<u64, Third>(by_u64, |ctx| {
        let later = Versions::beginning_at::<Second>(2);
        ctx.value_versioned("total", later.then(|old| Third { sum: 0, upgrades: vec![old.text] }))
    });
    for part in ["state 'total' is stored in version 1, as {sum: integer, unused: string}", "registered in version 3", "is 2"] {
        assert!(text.contains(part), "it does not say {part}: {text}");
    }
    store.build::<Third>(60, |ctx| ctx.value_versioned("total", versions()));
    let text = store.refused::<u64, Second>(by_u64, |ctx| {
        ctx.value_versioned("total", Versions::first::<First>().then(|old| Second { text: old.sum.to_string() }))
    });
    let shape = "is stored in version 3, as {sum: integer, upgrades: [string]}, and is registered in version 2";
    assert!(text.contains(shape) && text.contains("or a later one"), "{text}");
    let text = store.refused::<u64, Third>(by_u64, |ctx| ctx.value("total"));
    assert!(text.contains("stored as Value in version 3"), "{text}");
}

#[test]
fn c21_an_upgrade_that_fails_is_refused_with_the_value_that_it_was_given() {
    let store = Builds::new(5);
    store.build::<First>(60, |ctx| ctx.value("total"));
    let text = store.refused::<u64, Second>(by_u64, |ctx| {
        let failing = |_| Err("the books are closed");
        ctx.value_versioned("total", Versions::first::<First>().try_then::<Second, _>(failing))
    });
    for part in ["version 1, {sum: integer, unused: string}", "into version 2", "the books are closed"] {
        assert!(text.contains(part), "it does not say {part}: {text}");
    }
}

#[test]
fn c21_another_type_of_key_is_always_refused() {
    let store = Builds::new(6);
    store.build::<First>(60, |ctx| ctx.value("total"));
    let text = store.refused::<i64, First>(|n| (n % 7) as i64, |ctx| ctx.value("total"));
    assert!(text.contains("stored as u64, and the stream is keyed by i64"), "{text}");
    let text = store.refused::<String, First>(|n| (n % 7).to_string(), |ctx| ctx.value("total"));
    assert!(text.contains("stored as u64, and the stream is keyed by string"), "{text}");
    let text = store.refused::<(u64,), First>(|n| (n % 7,), |ctx| ctx.value("another"));
    assert!(
        text.contains("state 'timers'") && text.contains("keyed by (u64)"),
        "also where only another state is registered: {text}"
    );
}

/// What a job that keys by another type is refused for.
#[track_caller]
fn keyed_anew(describe: impl Fn(&Job, bool) -> SinkRef) -> String {
    let sim = Simulation::new(7);
    let job = |anew: bool| {
        let job = Job::new("job").store(sim.disk().store());
        describe(&job, anew);
        job
    };
    take(&sim, job(false), 1);
    let run = sim.run(job(true));
    let End::Failed(error) = &run.end else { panic!("{run}") };
    error.to_string()
}

#[test]
fn c21_another_type_of_key_is_refused_by_folds_and_windows_too() {
    let sim = Simulation::new(8);
    let out = sim.sink::<u64>();
    let text = keyed_anew(|job, anew| {
        let numbers = job.source("numbers", numbers(60).endless());
        let out = out.clone();
        match anew {
            false => numbers.key_by(|n| (n % 7) as i32).count().uid("counts").map(|(_, n)| n).sink("out", out),
            true => numbers.key_by(|n| (n % 7) as i64).count().uid("counts").map(|(_, n)| n).sink("out", out),
        }
    });
    assert!(text.contains("operator 'counts'") && text.contains("stored as i32, and the stream is keyed by i64"), "{text}");
    let out = sim.sink::<u64>();
    let text = keyed_anew(|job, anew| {
        let timed = Watermarks::bounded(millis(1000)).on(|n: &u64| Timestamp::from_millis(*n as i64));
        let numbers = job.source("numbers", numbers(60).endless()).watermarks(timed);
        let (size, out) = (Tumbling::of(millis(10)), out.clone());
        match anew {
            false => numbers.key_by(|n| (n % 7) as i32).window(size).count().uid("windows").map(|w| w.value).sink("out", out),
            true => numbers.key_by(|n| (n % 7) as i64).window(size).count().uid("windows").map(|w| w.value).sink("out", out),
        }
    });
    assert!(text.contains("operator 'windows'") && text.contains("keys of state 'windows' are stored as i32"), "{text}");
}

/// The first process is of the first build, all others of the last one; each dies in mid-run.
#[test]
fn c21_an_upgrade_is_made_exactly_once_whatever_goes_wrong() {
    let mut upgraded = 0;
    for seed in 0..60 {
        let points = [CrashPoint::CompleteToSome, CrashPoint::Restored, CrashPoint::ManifestDurable];
        let death = |nth: u64| PlannedFault::at(points[(seed + nth) as usize % 3], 1 + nth, Calamity::Death);
        let deaths: FaultPlan = (1..=3).map(death).collect();
        let builds = std::cell::Cell::new(0);
        let report = simulate(
            |kit: &Kit| {
                builds.set(builds.get() + 1);
                let (job, script) = (Job::new("job"), numbers(90));
                let (job, totals) = if builds.get() == 1 {
                    describe::<u64, First>(job, script, by_u64, |ctx| ctx.value("total"))
                } else {
                    describe::<u64, Third>(job, script, by_u64, |ctx| ctx.value_versioned("total", versions()))
                };
                totals.sink("out", kit.sink("out"));
                job
            },
            seed,
            &deaths,
        );
        assert!(report.finished(), "{report}");
        assert_eq!(report.sink::<String>("out").sorted(), expected(90), "{report}");
        if builds.get() > 1 {
            // An instance that had ended is not opened again: its state stays as it is.
            let Ok(totals) = report.disk().keyed::<u64, Third>("job", "totals", "total") else { continue };
            assert!(totals.iter().all(|(_, total)| total.upgrades.len() <= 1), "{totals:?}");
            upgraded += usize::from(totals.iter().any(|(_, total)| !total.upgrades.is_empty()));
        }
    }
    assert!(upgraded > 10, "only {upgraded} runs had something to make anew");
}

#[tokio::test]
async fn c21_a_start_is_refused_where_the_state_cannot_be_read() {
    let store = Store::memory();
    let first = Job::new("job").store(store.clone());
    let sim = Simulation::new(9);
    let out = sim.sink();
    let (first, totals) =
        describe::<u64, First>(first, Scripted::new([vec![1, 2, 3]]).endless(), by_u64, |ctx| ctx.value("total"));
    totals.sink("out", out.clone());
    let running = first.start().await.unwrap();
    while running.status().operators["numbers"].records < 3 {
        tokio::time::sleep(millis(1)).await;
    }
    running.checkpoint().await.unwrap();
    running.cancel().await.unwrap();
    let again = Job::new("job").store(store.clone());
    let (again, totals) = describe::<u64, Second>(again, Scripted::new([vec![]]), by_u64, |ctx| ctx.value("total"));
    totals.sink("out", out.clone());
    let error = again.start().await.unwrap_err().to_string();
    assert!(error.contains("operator 'totals'") && error.contains("state 'total'") && error.contains("sum: integer"), "{error}");
    // What the refused start held is free again.
    let fixed = Job::new("job").store(store);
    let (fixed, totals) = describe::<u64, First>(fixed, Scripted::new([vec![1, 2, 3]]), by_u64, |ctx| ctx.value("total"));
    totals.sink("out", out.clone());
    assert_eq!(fixed.start().await.unwrap().wait().await.unwrap().restarts, 0);
}
