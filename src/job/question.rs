//! What a service can ask for, and a question on its way: typed at its two ends, and only there.
//!
//! Always: whoever asks gets an answer or an error. A question that is dropped on its way drops its sender; one that gets no answer
//! in time is given up by its relay, which runs beside the job's actors.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::actor::Asking;
use crate::chain::ACCUMULATORS;
use crate::config::ANSWER_WITHIN;
use crate::error::{Error, Result, panic_text};
use crate::ids::{TaskId, Uid};
use crate::operator::Question;

/// A state that can be asked for while the job runs: a value of type `V` for each key of type `K`.
///
/// It is a name, and knows of no job: make it where the flow is described, or anywhere else, and share it. See
/// [`JobHandle::query`](crate::JobHandle::query), which has an example.
pub struct Queryable<K, V> {
    pub(super) operator: Uid,
    pub(super) state: Arc<str>,
    entry: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Queryable<K, V> {
    /// The state `state` of the operator with this uid: one that it registers with
    /// [`OpenContext::value`](crate::OpenContext::value).
    pub fn new(operator: &str, state: &str) -> Self {
        Queryable { operator: Uid::new(operator), state: state.into(), entry: PhantomData }
    }

    /// What a `count`, a `reduce` or an `aggregate` with this uid keeps: the count, the record, the accumulator of each key. It is
    /// the state `accumulators`.
    ///
    /// ```
    /// use tidegate::{KeyedStream, Queryable, Stream};
    ///
    /// fn visits(pages: &KeyedStream<String, ()>) -> (Stream<(String, u64)>, Queryable<String, u64>) {
    ///     (pages.count().uid("visits"), Queryable::accumulators("visits"))
    /// }
    /// ```
    pub fn accumulators(operator: &str) -> Self {
        Queryable::new(operator, ACCUMULATORS)
    }
}

impl<K, V> Clone for Queryable<K, V> {
    fn clone(&self) -> Self {
        Queryable { operator: self.operator.clone(), state: self.state.clone(), entry: PhantomData }
    }
}

impl<K, V> fmt::Debug for Queryable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queryable").field("operator", &self.operator).field("state", &self.state).finish()
    }
}

/// An operator that can be asked while the job runs. See [`JobHandle::ask`](crate::JobHandle::ask), which has an example.
pub struct Askable<O> {
    pub(super) operator: Uid,
    kind: PhantomData<fn() -> O>,
}

impl<O> Askable<O> {
    /// The operator with this uid: the name that it was given by [`KeyedStream::process`](crate::KeyedStream::process), unless it
    /// has another uid.
    pub fn new(operator: &str) -> Self {
        Askable { operator: Uid::new(operator), kind: PhantomData }
    }
}

impl<O> Clone for Askable<O> {
    fn clone(&self) -> Self {
        Askable { operator: self.operator.clone(), kind: PhantomData }
    }
}

impl<O> fmt::Debug for Askable<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Askable").field("operator", &self.operator).finish()
    }
}

/// The way of an answer back to whoever asks.
pub(super) struct Port<R> {
    pub(super) operator: Uid,
    pub(super) task: TaskId,
    pub(super) to: oneshot::Sender<Result<R>>,
    /// Its place among the questions that are under way, free again when the question is gone.
    pub(super) _place: OwnedSemaphorePermit,
}

impl<R> Port<R> {
    pub(super) fn send(self, answer: Result<R>) {
        // Whoever asked may have lost interest.
        drop(self.to.send(answer));
    }

    /// Runs what may be user code. Its panic is told to whoever asks, and goes on.
    pub(super) fn answer(self, find: impl FnOnce(&Self) -> Result<R>) {
        match catch_unwind(AssertUnwindSafe(|| find(&self))) {
            Ok(answer) => self.send(answer),
            Err(panic) => {
                let message = panic_text(&*panic);
                let error = Error::Panic { operator: self.operator.to_string(), task: self.task.to_string(), message };
                self.send(Err(error));
                resume_unwind(panic);
            }
        }
    }

    pub(super) fn refuse(self, reason: String) {
        let error = unanswered(&self.operator, reason);
        self.send(Err(error));
    }
}

/// A question that is ready to be sent, and where its answer comes.
pub(crate) struct Posed<R> {
    pub(crate) task: TaskId,
    pub(crate) question: Question,
    pub(crate) answer: oneshot::Receiver<Result<R>>,
    pub(super) operator: Uid,
}

impl<R: Send + 'static> Posed<R> {
    /// The same, with a relay that waits for the answer no longer than it may.
    pub(super) fn relayed(self) -> (Asking, oneshot::Receiver<Result<R>>) {
        let Posed { task, question, answer, operator } = self;
        let (tell, told) = oneshot::channel();
        let relay = async move {
            let answer = match tokio::time::timeout(ANSWER_WITHIN, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(unanswered(&operator, "it has failed or was ended before it came to the question".into())),
                Err(_) => Err(unanswered(&operator, format!("it did not come to the question within {ANSWER_WITHIN:?}"))),
            };
            drop(tell.send(answer));
        };
        (Asking { task, question, relay: Box::pin(relay) }, told)
    }
}

/// Why an operator gave no answer.
pub(super) fn unanswered(operator: &Uid, reason: String) -> Error {
    Error::Unanswered { operator: operator.to_string(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Ask, Asked, OpId};

    struct Mute(Port<u64>);

    impl Ask for Mute {
        fn callback(&self) -> &'static str {
            "query"
        }

        fn put(self: Box<Self>, _: &dyn Asked) {}

        fn refuse(self: Box<Self>, reason: String) {
            self.0.refuse(reason);
        }
    }

    fn posed(places: &Arc<tokio::sync::Semaphore>) -> Posed<u64> {
        let (to, answer) = oneshot::channel();
        let (operator, task) = (Uid::new("it"), TaskId { chain: 0, index: 0 });
        let place = places.clone().try_acquire_owned().unwrap();
        let question = Question::new(OpId(0), Mute(Port { operator: operator.clone(), task, to, _place: place }));
        Posed { task, question, answer, operator }
    }

    async fn told(posed: Posed<u64>, meanwhile: impl FnOnce(Question) -> Option<Question>) -> (String, Option<Question>) {
        let (Asking { question, relay, .. }, told) = posed.relayed();
        tokio::spawn(relay);
        let left = meanwhile(question);
        (told.await.unwrap().unwrap_err().to_string(), left)
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_gets_an_error_whatever_becomes_of_the_question() {
        let places = Arc::new(tokio::sync::Semaphore::new(2));
        let began = tokio::time::Instant::now();
        let (dropped, _) = told(posed(&places), |_| None).await;
        assert_eq!(dropped, "operator 'it' did not answer: it has failed or was ended before it came to the question");
        let refuse = |question: Question| {
            question.refuse("it rests");
            None
        };
        assert_eq!(told(posed(&places), refuse).await.0, "operator 'it' did not answer: it rests");
        assert_eq!((began.elapsed(), places.available_permits()), (std::time::Duration::ZERO, 2));
        let (late, question) = told(posed(&places), Some).await;
        assert_eq!(late, "operator 'it' did not answer: it did not come to the question within 10s");
        assert_eq!((began.elapsed(), places.available_permits()), (ANSWER_WITHIN, 1), "it is still under way");
        drop(question);
        assert_eq!(places.available_permits(), 2);
    }
}
