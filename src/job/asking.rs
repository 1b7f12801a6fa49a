//! What a service asks a running job: the value of a key, all entries of a state, an operator itself.
//!
//! Always: every question gets an answer or an error, after a bounded time; none changes anything. Called by whoever holds a handle, on
//! any runtime: the waiting is done by the job's own.

use std::ops::RangeBounds;

use super::question::{Askable, Posed, Queryable};
use super::{JobHandle, Scan};
use crate::actor::{RootMsg, post};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::operator::Answers;

impl JobHandle {
    /// The value that a state has for a key now; none where it has none.
    ///
    /// The answer is that of the running attempt at one moment between two records: what came before it is in, down to the last
    /// record, and nothing needs to be in a checkpoint yet. After a failure the state goes back to the last checkpoint, so that
    /// a later answer may be one of before. The question goes to the one task that has the key; records wait for the answer, some
    /// microseconds.
    ///
    /// ```
    /// use tidegate::testing::{RecordingSink, Scripted};
    /// use tidegate::{Job, Queryable};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> tidegate::Result<()> {
    /// let visits = Queryable::<String, u64>::new("visits", "accumulators");
    /// let job = Job::new("visits");
    /// let pages = Scripted::new([vec!["home", "about", "home"]]).endless();
    /// let counts = job.source("pages", pages).key_by(|page| page.to_string()).count().uid("visits");
    /// counts.sink("out", RecordingSink::new());
    ///
    /// // The handle of the job may be cloned into every request handler of a service.
    /// let running = job.start().await?;
    /// # let mut asked = 0;
    /// while running.query(&visits, &"home".to_string()).await.ok().flatten() != Some(2) {
    ///     tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    /// #   asked += 1;
    /// #   assert!(asked < 1000);
    /// }
    /// assert_eq!(running.query(&visits, &"nowhere".to_string()).await?, None);
    ///
    /// // What is wrong with a question is said, and what there is.
    /// let wrong = running.query(&Queryable::<String, String>::new("visits", "accumulators"), &"home".to_string()).await;
    /// assert!(wrong.unwrap_err().to_string().contains("a u64 for each alloc::string::String"));
    /// running.cancel().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidQuestion`] where there is no such state, with those that there are; [`Error::Unanswered`] with the reason
    /// where the operator is being started or restarted, has failed before it came to the question, does not come to it within ten
    /// seconds, or has 1,024 questions before it already; [`Error::Panic`] where making a copy of the value panics; [`Error::Ended`] where
    /// the job has ended.
    pub async fn query<K: Key, V: Send + 'static>(&self, state: &Queryable<K, V>, key: &K) -> Result<Option<V>> {
        let asked = self.desk.query(state, key.clone());
        self.answer(asked).await
    }

    /// All entries of a state, page by page, of the keys in these key groups: `..` for all of them.
    ///
    /// A page has some hundred entries, in no order that means anything, and is the state at one moment; from page to page the job
    /// goes on. A key that is there from the beginning to the end of the scan is in exactly one page, also over a restart.
    ///
    /// ```
    /// # async fn list(job: tidegate::JobHandle) -> tidegate::Result<()> {
    /// use tidegate::Queryable;
    ///
    /// let visits = Queryable::<String, u64>::new("visits", "accumulators");
    /// let mut pages = job.scan(&visits, ..);
    /// while let Some(entries) = pages.next_page().await? {
    ///     for (page, count) in entries {
    ///         println!("{page}: {count}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn scan<K: Key, V: Send + 'static>(&self, state: &Queryable<K, V>, key_groups: impl RangeBounds<u16>) -> Scan<'_, K, V> {
        Scan::new(self, state.clone(), self.desk.hashes(key_groups))
    }

    /// Asks an operator about a key: its [`Answers::on_message`] answers, between two records. As with a
    /// [query](JobHandle::query), the answer is that of the running attempt.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use tidegate::testing::{RecordingSink, Scripted};
    /// use tidegate::{Answers, AskContext, Askable, BoxError, Context, Job, KeyedOperator, OpenContext, ValueState};
    ///
    /// #[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
    /// struct AccountId(u64);
    ///
    /// struct Limits {
    ///     spent: ValueState<u64>,
    ///     limit: u64,
    /// }
    ///
    /// impl KeyedOperator for Limits {
    ///     type Key = AccountId;
    ///     type In = (AccountId, u64);
    ///     type Out = u64;
    ///
    ///     fn on_record(&mut self, (_, amount): Self::In, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
    ///         ctx.state.update(self.spent, |spent| *spent += amount);
    ///         ctx.out.emit(amount);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// /// How much more an account may spend.
    /// struct Left;
    ///
    /// impl Answers<Left> for Limits {
    ///     type Reply = u64;
    ///
    ///     fn on_message(&self, _: Left, ctx: &AskContext<'_, Self>) -> Result<u64, BoxError> {
    ///         let spent = ctx.state.get(self.spent).copied().unwrap_or(0);
    ///         Ok(self.limit.saturating_sub(spent))
    ///     }
    /// }
    ///
    /// # #[tokio::main]
    /// # async fn main() -> tidegate::Result<()> {
    /// let limits = Askable::<Limits>::new("limits");
    /// let job = Job::new("limits");
    /// let payments = Scripted::new([vec![(AccountId(1), 30), (AccountId(1), 50)]]).endless();
    /// let open = |ctx: &mut OpenContext<'_, AccountId>| Ok(Limits { spent: ctx.value("spent")?, limit: 100 });
    /// let payments = job.source("payments", payments).key_by(|(account, _)| account.clone());
    /// payments.process("limits", open).sink("out", RecordingSink::new());
    ///
    /// let running = job.start().await?;
    /// # let mut asked = 0;
    /// while running.ask(&limits, &AccountId(1), Left).await.ok() != Some(20) {
    ///     tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    /// #   asked += 1;
    /// #   assert!(asked < 1000);
    /// }
    /// assert_eq!(running.ask(&limits, &AccountId(2), Left).await?, 100);
    /// running.cancel().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Operator`] with the error that `on_message` returned, and [`Error::Panic`] where it panicked; else those of
    /// [`JobHandle::query`].
    pub async fn ask<O, A>(&self, operator: &Askable<O>, key: &O::Key, ask: A) -> Result<O::Reply>
    where
        O: Answers<A>,
        A: Send + 'static,
    {
        let asked = self.desk.ask(operator, key.clone(), ask);
        self.answer(asked).await
    }

    /// Sends a question to its task, and waits for what comes of it.
    pub(super) async fn answer<R: Send + 'static>(&self, posed: Result<Posed<R>>) -> Result<R> {
        let Some(root) = &self.leash.root else { return Err(Error::Ended) };
        let (asking, answer) = posed?.relayed();
        post(root, RootMsg::Ask(Box::new(asking)));
        match answer.await {
            Ok(Err(Error::Unanswered { .. })) | Err(_) if self.status.is_over() => Err(Error::Ended),
            Ok(answer) => answer,
            Err(_) => Err(Error::Engine("the job's actors are gone, and did not say how it ended".into())),
        }
    }
}
