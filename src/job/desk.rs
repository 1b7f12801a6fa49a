//! Where questions are taken: each is checked, addressed, and gets a place among those that are under way.
//!
//! Always: so many questions to an operator are under way at most, whoever asks; a question keeps its place until it is gone, also
//! where nobody waits for its answer any more. Called by the job's handles, on any thread.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::question::{Askable, Port, Posed, Queryable, unanswered};
use crate::chain::Process;
use crate::config::{PAGE_ENTRIES, QUESTIONS_IN_FLIGHT};
use crate::error::{BoxError, Error, Result, chain_text};
use crate::ids::{TaskId, Uid};
use crate::key::Key;
use crate::operator::{Answers, Ask, Asked, KeyedOperator, Question};
use crate::plan::{Address, Addresses};
use crate::state::{OpenEntries, Page, holds};

/// Takes the questions to a job.
pub(crate) struct Desk {
    addresses: Addresses,
    /// For each operator the places that are free.
    places: BTreeMap<Uid, Arc<Semaphore>>,
}

impl Desk {
    /// For a job whose operators are there.
    pub(crate) fn new(addresses: Addresses) -> Self {
        let places = addresses.uids().map(|uid| (uid.clone(), Arc::new(Semaphore::new(QUESTIONS_IN_FLIGHT))));
        Desk { places: places.collect(), addresses }
    }

    /// Asks for the value of a key.
    pub(super) fn query<K: Key, V: Send + 'static>(&self, state: &Queryable<K, V>, key: K) -> Result<Posed<Option<V>>> {
        let address = self.addresses.operator(&state.operator)?;
        let hash = self.addresses.hash(&key)?;
        let read = move |entries: OpenEntries<'_, K, V>| entries.get(hash, &key);
        let (task, _) = self.addresses.task(address, hash);
        self.pose(&state.operator, address, task, |port| OfState { state: state.clone(), read, port })
    }

    /// Asks for the entries with such hashes, as many as one task has of them and one page holds; the last hash of the task's.
    pub(super) fn page<K: Key, V: Send + 'static>(
        &self,
        state: &Queryable<K, V>,
        hashes: RangeInclusive<u64>,
    ) -> Result<(Posed<Page<K, V>>, u64)> {
        let address = self.addresses.operator(&state.operator)?;
        let (task, last) = self.addresses.task(address, *hashes.start());
        let hashes = *hashes.start()..=last.min(*hashes.end());
        let read = move |entries: OpenEntries<'_, K, V>| entries.page(hashes, PAGE_ENTRIES);
        let posed = self.pose(&state.operator, address, task, |port| OfState { state: state.clone(), read, port })?;
        Ok((posed, last))
    }

    /// The hashes of keys in these key groups.
    pub(super) fn hashes(&self, groups: impl RangeBounds<u16>) -> Option<RangeInclusive<u64>> {
        let start = match groups.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.checked_add(1)?,
            Bound::Unbounded => 0,
        };
        let end = match groups.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u16::MAX,
        };
        self.addresses.hashes(start..end)
    }

    /// Asks an operator about a key.
    pub(crate) fn ask<O, A>(&self, operator: &Askable<O>, key: O::Key, ask: A) -> Result<Posed<O::Reply>>
    where
        O: Answers<A>,
        A: Send + 'static,
    {
        let address = self.addresses.operator(&operator.operator)?;
        let hash = self.addresses.hash(&key)?;
        let (task, _) = self.addresses.task(address, hash);
        let put = move |process: &Process<O>| process.look((hash, &key), |operator, ctx| operator.on_message(ask, ctx));
        self.pose(&operator.operator, address, task, |port| OfOperator { put, port, operator: operator.clone() })
    }

    fn pose<R, Q: Ask + 'static>(
        &self,
        operator: &Uid,
        address: Address,
        task: TaskId,
        question: impl FnOnce(Port<R>) -> Q,
    ) -> Result<Posed<R>> {
        let place = self.place(operator)?;
        let (to, answer) = oneshot::channel();
        let port = Port { operator: operator.clone(), task, to, _place: place };
        let question = Question::new(address.operator, question(port));
        Ok(Posed { task, question, answer, operator: operator.clone() })
    }

    fn place(&self, operator: &Uid) -> Result<OwnedSemaphorePermit> {
        let free = self.places.get(operator).and_then(|places| places.clone().try_acquire_owned().ok());
        free.ok_or_else(|| {
            unanswered(operator, format!("{QUESTIONS_IN_FLIGHT} questions to it are under way, and there may be no more"))
        })
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Asks for something of the entries of a state.
struct OfState<K, V, R, F> {
    state: Queryable<K, V>,
    read: F,
    port: Port<R>,
}

impl<K, V, R, F> Ask for OfState<K, V, R, F>
where
    K: Key,
    V: 'static,
    R: Send,
    F: FnOnce(OpenEntries<'_, K, V>) -> R + Send,
{
    fn callback(&self) -> &'static str {
        "query"
    }

    fn put(self: Box<Self>, asked: &dyn Asked) {
        let OfState { state, read, port } = *self;
        let states = asked.states();
        let found = states.iter().find(|open| *open.name == *state.state);
        let Some(found) = found else {
            let names: Vec<String> = states.iter().map(|open| format!("'{}' ({})", open.name, open.holds)).collect();
            let there = if names.is_empty() { "it has registered none".into() } else { format!("it has {}", names.join(", ")) };
            let problem = format!("the operator '{}' has no state '{}'", state.operator, state.state);
            return port.send(Err(Error::InvalidQuestion { problem, advice: there }));
        };
        match found.entries::<K, V>() {
            Some(entries) => port.answer(|_| Ok(read(entries))),
            None => port.send(Err(Error::InvalidQuestion {
                problem: format!("the state '{}' of '{}' is asked for as {}", state.state, state.operator, holds::<K, V>()),
                advice: format!("it is {}: ask for it with these types", found.holds),
            })),
        }
    }

    fn refuse(self: Box<Self>, reason: String) {
        self.port.refuse(reason);
    }
}

/// Asks an operator of the user's.
struct OfOperator<O, R, F> {
    operator: Askable<O>,
    put: F,
    port: Port<R>,
}

impl<O, R, F> Ask for OfOperator<O, R, F>
where
    O: KeyedOperator,
    R: Send,
    F: FnOnce(&Process<O>) -> Result<R, BoxError> + Send,
{
    fn callback(&self) -> &'static str {
        "on_message"
    }

    fn put(self: Box<Self>, asked: &dyn Asked) {
        let OfOperator { operator, put, port } = *self;
        let kind = asked.kind();
        match asked.as_any().downcast_ref::<Process<O>>() {
            Some(process) => port.answer(|port| put(process).map_err(|error| failed(port, error))),
            None => port.send(Err(Error::InvalidQuestion {
                problem: format!("the operator '{}' is asked as a {}", operator.operator, std::any::type_name::<O>()),
                advice: format!("it is a {kind}: ask it as that"),
            })),
        }
    }

    fn refuse(self: Box<Self>, reason: String) {
        self.port.refuse(reason);
    }
}

/// What `on_message` returned instead of an answer.
fn failed<R>(port: &Port<R>, error: BoxError) -> Error {
    Error::Operator {
        operator: port.operator.to_string(),
        task: port.task.to_string(),
        callback: "on_message",
        cause: chain_text(&*error),
        source: Arc::from(error),
    }
}
