//! What a keyed operator is: an actor that keeps state for each key and reacts to records and to timers.
//!
//! Always: calls come from one thread at a time and none overlaps another. Instances are made by a factory, one for each task and
//! attempt; what an instance keeps in its own fields is gone with the attempt, what it keeps in its states is not.

use super::context::{Context, FinishContext};
use crate::error::BoxError;
use crate::ids::CheckpointId;
use crate::key::Key;
use crate::timer::Timer;

/// An operator that keeps state for each key.
///
/// It is added to a flow by [`KeyedStream::process`](crate::KeyedStream::process), with a factory that registers its states. Then,
/// on one thread at a time: records and timers, each with the state of its key; `finish`, where the data ends; and in any case
/// `close`. An error that a callback returns, or a panic in it, fails the operator's region, which is then restarted from its last
/// checkpoint: so a callback never runs on the state of an attempt that has failed.
///
/// Two transactions above the limit within a minute make an alert; a note of the first is forgotten when the minute is over:
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidegate::{BoxError, Context, KeyedOperator, OpenContext, Timer, Timestamp, ValueState, minutes};
///
/// #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
/// struct AccountId(u64);
///
/// #[derive(Clone)]
/// struct Transaction {
///     account: AccountId,
///     amount: f64,
/// }
///
/// #[derive(Clone)]
/// struct Alert {
///     account: AccountId,
///     first: Timestamp,
/// }
///
/// struct FraudDetector {
///     flagged: ValueState<Timestamp>,
///     limit: f64,
/// }
///
/// impl KeyedOperator for FraudDetector {
///     type Key = AccountId;
///     type In = Transaction;
///     type Out = Alert;
///
///     fn on_record(&mut self, tx: Transaction, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
///         if tx.amount < self.limit {
///             return Ok(());
///         }
///         if let Some(first) = ctx.state.clear(self.flagged) {
///             ctx.timers.delete_event_time(first.plus(minutes(1)));
///             ctx.out.emit(Alert { account: tx.account, first });
///         } else {
///             let now = ctx.timestamp().ok_or("a transaction has no timestamp")?;
///             ctx.state.set(self.flagged, now);
///             ctx.timers.event_time(now.plus(minutes(1)));
///         }
///         Ok(())
///     }
///
///     fn on_timer(&mut self, _: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
///         ctx.state.clear(self.flagged);
///         Ok(())
///     }
/// }
///
/// # fn flow(transactions: tidegate::Stream<Transaction>) {
/// let alerts = transactions.key_by(|tx| tx.account.clone()).process("fraud", |ctx: &mut OpenContext<'_, AccountId>| {
///     Ok(FraudDetector { flagged: ctx.value("flagged")?, limit: 500.0 })
/// });
/// # }
/// ```
///
/// The service that the job runs in may ask it about an account at any time, where it [`Answers`](crate::Answers); what it remembers
/// can also be read [without its help](crate::JobHandle::query):
///
/// ```
/// use tidegate::{Answers, AskContext, Askable, BoxError, JobHandle, Queryable};
/// # use tidegate::{Context, KeyedOperator, Timestamp, ValueState};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
/// # struct AccountId(u64);
/// # struct FraudDetector { flagged: ValueState<Timestamp> }
/// # impl KeyedOperator for FraudDetector {
/// #     type Key = AccountId;
/// #     type In = ();
/// #     type Out = ();
/// #     fn on_record(&mut self, _: (), _: &mut Context<'_, Self>) -> Result<(), BoxError> { Ok(()) }
/// # }
///
/// struct IsFlagged;
///
/// impl Answers<IsFlagged> for FraudDetector {
///     type Reply = bool;
///
///     fn on_message(&self, _: IsFlagged, ctx: &AskContext<'_, Self>) -> Result<bool, BoxError> {
///         Ok(ctx.state.get(self.flagged).is_some())
///     }
/// }
///
/// // In a request handler of the service:
/// async fn may_pay(job: &JobHandle, account: &AccountId) -> tidegate::Result<bool> {
///     let flagged = job.ask(&Askable::<FraudDetector>::new("fraud"), account, IsFlagged).await?;
///     Ok(!flagged)
/// }
///
/// async fn flagged_since(job: &JobHandle, account: &AccountId) -> tidegate::Result<Option<Timestamp>> {
///     job.query(&Queryable::new("fraud", "flagged"), account).await
/// }
/// ```
pub trait KeyedOperator: Send + Sized + 'static {
    /// What records are keyed by.
    type Key: Key;
    /// The records that come in.
    type In: Send + 'static;
    /// The records that go out.
    type Out: Send + 'static;

    /// Takes a record.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn on_record(&mut self, record: Self::In, ctx: &mut Context<'_, Self>) -> Result<(), BoxError>;

    /// A timer of a key has come due. It is no longer registered, and may be registered again.
    ///
    /// An operator that uses timers must implement this: unless it does, a timer is an error, also one that an earlier version of
    /// the operator registered.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<'_, Self>) -> Result<(), BoxError> {
        let _ = ctx;
        let Timer { domain, time } = timer;
        Err(format!("a timer came due ({domain:?} time, {time}), and the operator does not implement on_timer: implement it")
            .into())
    }

    /// The data has ended: the last chance to emit. Called once, after the last record and the last event-time timer, and only
    /// where the data ends by itself; not at a cancel, nor after a failure. Processing-time timers that are left do not fire.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn finish(&mut self, ctx: &mut FinishContext<'_, Self>) -> Result<(), BoxError> {
        let _ = ctx;
        Ok(())
    }

    /// This checkpoint is complete, and with it every earlier one: everything up to its barrier is durable. Ids rise; some may be
    /// left out.
    ///
    /// # Errors
    /// Any error fails the operator's region.
    fn on_checkpoint_complete(&mut self, id: CheckpointId) -> Result<(), BoxError> {
        let _ = id;
        Ok(())
    }

    /// The instance's last call, however its attempt ends. Called exactly once; a panic in it is logged and goes no further.
    fn close(&mut self) {}
}
