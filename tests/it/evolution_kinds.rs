//! State of every kind that one build of a program wrote in an older version, and another one reads: made anew, or refused.

use std::collections::BTreeMap;

use tidegate::testing::{End, RecordingSink, Scripted, Simulation};
use tidegate::{
    AggregatingState, BoxError, BroadcastContext, BroadcastOpenContext, BroadcastOperator, BroadcastState, Context, Error, Job,
    KeyedOperator, KeyedSideContext, ListState, MapState, OpenContext, Operator, OperatorContext, OperatorList,
    OperatorOpenContext, ReducingState, Restart, Stored, Ttl, Versions, hours, millis,
};

use crate::common::{numbers, take};
use crate::versions::{First, Kept, Latest, Second, Third};

/// Keeps each number in a state of each kind, and tells how many it knows of.
struct Kinds<E: Kept> {
    list: ListState<E>,
    by_number: MapState<u64, E>,
    by_text: MapState<String, E>,
    most: ReducingState<E>,
    latest: AggregatingState<Latest<E>>,
    expiring_list: ListState<E>,
    expiring_map: MapState<u64, E>,
}

impl<E: Kept> Kinds<E> {
    fn open(ctx: &mut OpenContext<'_, u64>) -> Result<Self, BoxError> {
        let greater = |a: &E, b: E| if a.number() > b.number() { a.clone() } else { b };
        let long = Ttl::of(hours(1000));
        Ok(Kinds {
            list: ctx.list_versioned("list", E::versions())?,
            by_number: ctx.map_versioned("by number", E::versions())?,
            by_text: ctx.map_versioned("by text", E::versions())?,
            most: ctx.reducing_versioned("most", E::versions(), greater)?,
            latest: ctx.aggregating_versioned("latest", E::versions(), Latest::new())?,
            expiring_list: ctx.with_ttl(long).list_versioned("expiring list", E::versions())?,
            expiring_map: ctx.with_ttl(long).map_versioned("expiring map", E::versions())?,
        })
    }
}

impl<E: Kept> KeyedOperator for Kinds<E> {
    type Key = u64;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, n: u64, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        ctx.state.list(self.list).push(E::of(n));
        ctx.state.list(self.expiring_list).push(E::of(n));
        ctx.state.map(self.by_number).insert(n, E::of(n));
        ctx.state.map(self.by_text).insert(n.to_string(), E::of(n));
        ctx.state.map(self.expiring_map).insert(n, E::of(n));
        ctx.state.add(self.most, E::of(n));
        ctx.state.add(self.latest, n);
        let sum: u64 = ctx.state.list(self.list).iter().map(Kept::number).sum();
        let by_number: u64 = ctx.state.map(self.by_number).iter().map(|(_, kept)| kept.number()).sum();
        let same = sum == by_number && ctx.state.get(self.latest) == Some(n);
        if !same {
            return Err(format!("the states disagree: {sum}, {by_number}").into());
        }
        ctx.out.emit(sum);
        Ok(())
    }
}

/// Keeps each number in a list and a union list.
struct Lists<E: Kept> {
    list: OperatorList<E>,
    union: OperatorList<E>,
}

impl<E: Kept> Lists<E> {
    fn open(ctx: &mut OperatorOpenContext<'_>) -> Result<Self, BoxError> {
        let lists = Lists {
            list: ctx.list_state_versioned("list", E::versions())?,
            union: ctx.union_list_state_versioned("union", E::versions())?,
        };
        let (index, parallelism) = (u64::from(ctx.index()), u64::from(ctx.parallelism()));
        ctx.state().list_mut(lists.union).retain(|kept| kept.number() % parallelism == index);
        Ok(lists)
    }
}

impl<E: Kept> Operator for Lists<E> {
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, n: u64, ctx: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
        ctx.state.list_mut(self.list).push(E::of(n));
        ctx.state.list_mut(self.union).push(E::of(n));
        Ok(())
    }
}

/// Keeps each number that is broadcast.
struct Rules<E: Kept>(BroadcastState<u64, E>);

impl<E: Kept> Rules<E> {
    fn open(ctx: &mut BroadcastOpenContext<'_, u64>) -> Result<Self, BoxError> {
        Ok(Rules(ctx.broadcast_state_versioned("rules", E::versions())?))
    }
}

impl<E: Kept> BroadcastOperator for Rules<E> {
    type Key = u64;
    type In = u64;
    type Broadcast = u64;
    type Out = u64;

    fn on_record(&mut self, _: u64, _: &mut KeyedSideContext<'_, Self>) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_broadcast(&mut self, n: u64, ctx: &mut BroadcastContext<'_, Self>) -> Result<(), BoxError> {
        ctx.broadcast.map_mut(self.0).insert(n, E::of(n));
        Ok(())
    }
}

/// Opens a keyed state, and is refused.
type Open = fn(&mut OpenContext<'_, u64>) -> tidegate::Result<()>;
/// Opens a list, and is refused.
type OpenLists = fn(&mut OperatorOpenContext<'_>) -> tidegate::Result<()>;

/// One build after the other on the same store.
struct Builds {
    sim: Simulation,
    out: RecordingSink<u64>,
}

impl Builds {
    fn new(seed: u64) -> Self {
        let sim = Simulation::new(seed);
        let out = sim.sink();
        Builds { sim, out }
    }

    fn job(&self, end: u64) -> (Job, Scripted<u64>) {
        let job = Job::new("job").store(self.sim.disk().store()).restart(Restart::fixed_delay(5, millis(1)));
        (job, numbers(end).endless())
    }

    /// Runs a build at a parallelism up to a number, with a checkpoint there.
    fn build<E: Kept>(&self, end: u64, parallelism: u32) {
        let (job, script) = self.job(end);
        let job = job.parallelism(parallelism);
        let numbers = job.source("numbers", script).parallelism(1);
        let broadcast = job.source("broadcast", self.job(end).1).parallelism(1);
        numbers.key_by(|n| n % 7).process("kinds", Kinds::<E>::open).sink("out", self.out.clone());
        numbers.process("lists", Lists::<E>::open).sink("none", self.sim.sink());
        numbers.key_by(|n| n % 7).connect_broadcast(&broadcast).process("rules", Rules::<E>::open).sink("no", self.sim.sink());
        let (run, answers) = take(&self.sim, job, 1);
        assert!(answers[0].is_ok(), "{run}");
    }

    fn keyed<V: Stored>(&self, uid: &str, state: &str) -> Vec<V> {
        let mut all = self.sim.disk().keyed::<u64, V>("job", uid, state).unwrap();
        all.sort_by_key(|(key, _)| *key);
        all.into_iter().map(|(_, value)| value).collect()
    }

    /// All that is kept, by state.
    fn kept<E: Kept>(&self) -> BTreeMap<&'static str, Vec<E>> {
        let values = |map: BTreeMap<u64, E>| map.into_values();
        let untimed = |(_, kept): (u64, E)| kept;
        let expiring_list = self.keyed::<Vec<(u64, E)>>("kinds", "expiring list").concat();
        let expiring_map = self.keyed::<BTreeMap<u64, (u64, E)>>("kinds", "expiring map");
        BTreeMap::from([
            ("list", self.keyed::<Vec<E>>("kinds", "list").concat()),
            ("by number", self.keyed("kinds", "by number").into_iter().flat_map(values).collect()),
            (
                "by text",
                self.keyed::<BTreeMap<String, E>>("kinds", "by text").into_iter().flat_map(BTreeMap::into_values).collect(),
            ),
            ("most", self.keyed("kinds", "most")),
            ("latest", self.keyed("kinds", "latest")),
            ("expiring list", expiring_list.into_iter().map(untimed).collect()),
            ("expiring map", expiring_map.into_iter().flat_map(BTreeMap::into_values).map(untimed).collect()),
            ("items", self.sim.disk().list("job", "lists", "list").unwrap()),
            ("union", self.sim.disk().list("job", "lists", "union").unwrap()),
            ("rules", self.keyed("rules", "rules")),
        ])
    }

    /// What a build that only opens the state says why it does not start. Nothing changes by it.
    #[track_caller]
    fn refused(&self, describe: impl FnOnce(Job, Scripted<u64>, RecordingSink<u64>) -> Job) -> String {
        let before = self.sim.disk().state("job").unwrap();
        let (job, script) = self.job(1000);
        let allowed = job.allow_lost_state(["kinds", "lists", "rules", "broadcast", "out", "none", "no"]);
        let run = self.sim.run(describe(allowed, script, self.sim.sink()));
        let End::Failed(error @ Error::RestartsExhausted { .. }) = &run.end else { panic!("{run}") };
        assert_eq!(self.sim.disk().state("job").unwrap(), before, "nothing of what was stored has changed");
        error.to_string()
    }

    #[track_caller]
    fn keyed_refused(&self, open: Open) -> String {
        self.refused(|job, script, out| {
            let open = move |ctx: &mut OpenContext<'_, u64>| open(ctx).map(|()| Opened).map_err(Into::into);
            job.source("numbers", script).key_by(|n| n % 7).process("kinds", open).sink("nowhere", out);
            job
        })
    }

    #[track_caller]
    fn list_refused(&self, open: OpenLists) -> String {
        self.refused(|job, script, out| {
            let open = move |ctx: &mut OperatorOpenContext<'_>| open(ctx).map(|()| OpenedLists).map_err(Into::into);
            job.source("numbers", script).process("lists", open).sink("nowhere", out);
            job
        })
    }

    #[track_caller]
    fn broadcast_refused<E: Kept>(
        &self,
        open: fn(&mut BroadcastOpenContext<'_, u64>) -> tidegate::Result<BroadcastState<u64, E>>,
    ) -> String {
        self.refused(|job, script, out| {
            let numbers = job.source("numbers", script);
            let open = move |ctx: &mut BroadcastOpenContext<'_, u64>| open(ctx).map(Rules).map_err(Into::into);
            numbers.key_by(|n| n % 7).connect_broadcast(&numbers).process("rules", open).sink("nowhere", out);
            job
        })
    }
}

/// Opens its states, and is never to get a record.
struct Opened;

impl KeyedOperator for Opened {
    type Key = u64;
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, n: u64, _: &mut Context<'_, Self>) -> Result<(), BoxError> {
        panic!("{n} came, though the state was refused")
    }
}

struct OpenedLists;

impl Operator for OpenedLists {
    type In = u64;
    type Out = u64;

    fn on_record(&mut self, n: u64, _: &mut OperatorContext<'_, Self>) -> Result<(), BoxError> {
        panic!("{n} came, though the state was refused")
    }
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "it does not say '{part}': {text}");
    }
}

#[test]
fn c21_state_of_every_kind_is_made_into_the_newest_version_step_by_step() {
    for (seed, by_second, parallelism) in [(1, false, 1), (2, true, 1), (3, false, 3), (4, true, 2)] {
        let store = Builds::new(seed);
        store.build::<First>(60, 2);
        let first = store.kept::<First>();
        assert!(first.values().all(|kept| kept.len() >= 7), "{first:?}");
        if by_second {
            store.build::<Second>(60, 2);
        }
        // Not one record comes: what nobody touches is made anew as well.
        store.build::<Third>(60, parallelism);
        for (state, kept) in store.kept::<Third>() {
            let made: Vec<u64> = kept.iter().map(|kept| kept.made_of.as_ref().unwrap().parse().unwrap()).collect();
            assert!(kept.iter().map(Kept::number).eq(made.iter().copied()), "{state}");
            if parallelism == 2 || !["items", "union"].contains(&state) {
                assert_eq!(made, first[state], "{state} is in the order that it was in");
            }
        }
        store.build::<Third>(90, parallelism);
        for (state, kept) in store.kept::<Third>().into_iter().filter(|(state, _)| !["most", "latest"].contains(state)) {
            let mut numbers: Vec<u64> = kept.iter().map(Kept::number).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..90).collect::<Vec<_>>(), "{state} has each number once, whichever build has put it there");
            let made = kept.iter().filter(|kept| kept.made_of.is_some()).count();
            assert_eq!(made, 60, "{state}: what came afterwards was never of an older version");
        }
        assert_eq!(store.out.committed().len(), 90);
    }
}

#[test]
fn c21_what_cannot_be_read_is_refused_with_both_shapes_whatever_its_kind() {
    let store = Builds::new(5);
    store.build::<First>(60, 2);
    let of_values = ["versions::Third", "number: u64"];
    let keyed: [(&str, &str, Open); 5] = [
        ("list", "[integer, …]", |ctx| ctx.list::<Third>("list").map(drop)),
        ("by number", "integer", |ctx| ctx.map::<u64, Third>("by number").map(drop)),
        ("most", "integer", |ctx| ctx.reducing::<Third>("most", |_, b| b).map(drop)),
        ("latest", "integer", |ctx| ctx.aggregating("latest", Latest::<Third>::new()).map(drop)),
        ("expiring list", "integer", |ctx| ctx.with_ttl(Ttl::of(hours(1))).list::<Third>("expiring list").map(drop)),
    ];
    for (state, stored, open) in keyed {
        let text = store.keyed_refused(open);
        says(&text, &["operator 'kinds'", &format!("state '{state}'"), stored]);
        says(&text, &of_values);
    }
    let lists: [(&str, OpenLists); 2] = [
        ("list", |ctx| ctx.list_state::<Third>("list").map(drop)),
        ("union", |ctx| ctx.union_list_state::<Third>("union").map(drop)),
    ];
    for (state, open) in lists {
        let text = store.list_refused(open);
        says(&text, &["operator 'lists'", &format!("state '{state}'"), "stored as integer"]);
        says(&text, &of_values);
    }
    let text = store.broadcast_refused::<Third>(|ctx| ctx.broadcast_state("rules"));
    says(&text, &["operator 'rules'", "state 'rules'", "stored as integer"]);
    says(&text, &of_values);
    // Nothing is lost: the build that can read it goes on.
    store.build::<Third>(90, 2);
}

#[test]
fn c21_a_missing_step_is_refused_whatever_the_kind() {
    let store = Builds::new(6);
    store.build::<First>(60, 2);
    fn later() -> Versions<Third> {
        Versions::beginning_at::<Second>(2).then(|text| Third { number: text.number(), made_of: Some(text) })
    }
    let unknown =
        ["is stored in version 1, as integer", "registered in version 3, as", "Third", "the oldest version that is known is 2"];
    let keyed: [(&str, Open); 6] = [
        ("list", |ctx| ctx.list_versioned("list", later()).map(drop)),
        ("by number", |ctx| ctx.map_versioned::<u64, _>("by number", later()).map(drop)),
        ("by text", |ctx| ctx.map_versioned::<String, _>("by text", later()).map(drop)),
        ("most", |ctx| ctx.reducing_versioned("most", later(), |_, b| b).map(drop)),
        ("latest", |ctx| ctx.aggregating_versioned("latest", later(), Latest::new()).map(drop)),
        ("expiring map", |ctx| ctx.with_ttl(Ttl::of(hours(1))).map_versioned::<u64, _>("expiring map", later()).map(drop)),
    ];
    for (state, open) in keyed {
        let text = store.keyed_refused(open);
        says(&text, &["operator 'kinds'", &format!("state '{state}'")]);
        says(&text, &unknown);
    }
    let text = store.list_refused(|ctx| ctx.list_state_versioned("list", later()).map(drop));
    says(&text, &["operator 'lists'", "state 'list'"]);
    says(&text, &unknown);
    let text = store.list_refused(|ctx| ctx.union_list_state_versioned("union", later()).map(drop));
    says(&text, &["operator 'lists'", "state 'union'"]);
    says(&text, &unknown);
    let text = store.broadcast_refused(|ctx| ctx.broadcast_state_versioned("rules", later()));
    says(&text, &["operator 'rules'", "state 'rules'"]);
    says(&text, &unknown);
    // A program that is too old is told so.
    store.build::<Third>(60, 2);
    let text = store.list_refused(|ctx| ctx.list_state_versioned("list", Second::versions()).map(drop));
    says(&text, &["is stored in version 3, as {number: integer, made_of: string}", "registered in version 2", "a later one"]);
    let text = store.list_refused(|ctx| ctx.list_state::<First>("list").map(drop));
    says(&text, &["stored as List in version 3", "registered as List in version 1"]);
}

#[test]
fn c21_the_keys_of_maps_and_another_kind_are_not_upgraded() {
    let store = Builds::new(7);
    store.build::<First>(60, 1);
    let text = store.keyed_refused(|ctx| ctx.map_versioned::<String, _>("by number", Third::versions()).map(drop));
    says(&text, &["operator 'kinds'", "state 'by number'", "integer", "string"]);
    let text = store.keyed_refused(|ctx| ctx.list_versioned("by number", Third::versions()).map(drop));
    says(&text, &["stored as Map in version 1", "registered as KeyedList in version 3"]);
    let text = store.list_refused(|ctx| ctx.union_list_state_versioned("list", Third::versions()).map(drop));
    says(&text, &["stored as List in version 1", "registered as UnionList in version 3"]);
}
