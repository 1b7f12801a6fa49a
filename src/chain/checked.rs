//! The stage in front of an operator's link in a job that is hooked into: faults of its callbacks strike here, and what always holds
//! of a stream of records and marks is checked.
//!
//! Always: it hands everything on in its order and holds nothing back itself; a batch is divided only where a callback is to fail,
//! so that everything before that record or watermark has been taken by the operator. Not there in production.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::thawed::Leak;
use crate::error::BoxError;
use crate::frame::Batch;
use crate::hook::{Callback, Hooks};
use crate::ids::{CheckpointId, Uid};
use crate::operator::{Cx, Flow, Halt, Link, Next, OpId, Signal};
use crate::time::Timestamp;

/// Which operator a stage stands in front of, and who hooks in.
pub(crate) struct Watch {
    pub(crate) operator: OpId,
    pub(crate) uid: Uid,
    pub(crate) hooks: Hooks,
}

/// Stands in front of the link of one operator.
pub(crate) struct Checked<T> {
    /// Dropped before the link is: the operator is closed when [`Closing`] is dropped.
    next: Next<T>,
    watch: Watch,
    /// Scratch: what comes before a callback that is to fail.
    front: Batch<T>,
    stream: StreamChecks,
    finished: bool,
    leak: Leak,
    _closing: Closing,
}

/// How far the stream has come.
struct StreamChecks {
    watermark: Timestamp,
    barrier: Option<CheckpointId>,
    ended: bool,
}

/// Dropped when the operator was.
struct Closing {
    uid: Uid,
    hooks: Hooks,
}

impl<T: Send + 'static> Checked<T> {
    /// In front of `next`.
    pub(crate) fn new(watch: Watch, next: Next<T>) -> Self {
        let closing = Closing { uid: watch.uid.clone(), hooks: watch.hooks.clone() };
        let (front, stream, leak) = (Batch::new(), StreamChecks::new(), Leak::default());
        Checked { next, watch, front, stream, finished: false, leak, _closing: closing }
    }

    /// Where in the batch the next call is that is to fail: the number of records before it, and which one it is.
    fn next_fault(&self, batch: &Batch<T>) -> Option<(usize, Callback)> {
        let hook = self.watch.hooks.get()?;
        let record = hook.ahead(&self.watch.uid, Callback::Record);
        let mark = hook.ahead(&self.watch.uid, Callback::Watermark);
        let at_record = (record < batch.len()).then_some((record, Callback::Record));
        let at_mark = batch.marks.get(mark).map(|mark| (mark.at, Callback::Watermark));
        match (at_record, at_mark) {
            (Some(record), Some(mark)) if record.0 < mark.0 => Some(record),
            (record, mark) => mark.or(record),
        }
    }

    /// Hands on all of `batch` that the link takes, and counts it.
    fn hand_on(&mut self, batch: &mut Batch<T>, cx: &mut Cx) -> Result<Flow, Halt> {
        let (records, marks) = (batch.len(), batch.marks.len());
        let flow = self.next.push(batch, cx)?;
        if let Some(hook) = self.watch.hooks.get() {
            hook.passed(&self.watch.uid, Callback::Record, records - batch.len());
            hook.passed(&self.watch.uid, Callback::Watermark, marks - batch.marks.len());
        }
        Ok(flow)
    }

    /// Hands on what comes before the call that is to fail; then it fails.
    fn run_into(&mut self, (at, callback): (usize, Callback), batch: &mut Batch<T>, cx: &mut Cx) -> Result<Flow, Halt> {
        let mut front = std::mem::take(&mut self.front);
        batch.split_front(at, &mut front);
        let mark = if callback == Callback::Watermark { front.marks.pop() } else { None };
        let flow = if front.is_empty() { Flow::Drained } else { self.hand_on(&mut front, cx)? };
        let stopped = !front.is_empty() || flow == Flow::Full;
        if let Some(mark) = mark {
            front.mark(mark.watermark);
        }
        // What the link did not take is again what comes first.
        front.append(batch);
        std::mem::swap(&mut front, batch);
        self.front = front;
        if stopped {
            return Ok(Flow::Full);
        }
        self.fail(callback, cx)?;
        Ok(flow)
    }

    fn fail(&self, callback: Callback, cx: &mut Cx) -> Result<(), BoxError> {
        let name = match callback {
            Callback::Record => "record",
            Callback::Watermark => "watermark",
            Callback::Snapshot => "snapshot",
            Callback::Complete => "on_checkpoint_complete",
            _ => "finish",
        };
        cx.enter(self.watch.operator, name);
        self.watch.hooks.callback(&self.watch.uid, callback)
    }

    fn check(&mut self, checked: Result<(), String>) {
        if let (Err(what), Some(hook)) = (checked, self.watch.hooks.get()) {
            hook.broken(format!("in front of '{}': {what}", self.watch.uid));
        }
    }
}

impl StreamChecks {
    fn new() -> Self {
        StreamChecks { watermark: Timestamp::NONE, barrier: None, ended: false }
    }

    fn batch<T>(&self, batch: &Batch<T>) -> Result<(), String> {
        if self.ended && !batch.is_empty() {
            return Err("a record or a watermark came behind the end of data".into());
        }
        let rising = batch.marks.is_sorted_by(|one, next| one.is_before(*next));
        match batch.marks.first() {
            Some(first) if !rising || first.watermark <= self.watermark => {
                Err(format!("watermarks fall: {:?} after {}", batch.marks, self.watermark))
            }
            _ => Ok(()),
        }
    }

    /// Of the marks that were handed on, the last: those of `batch` that are no longer in it.
    fn took(&mut self, watermark: Option<Timestamp>) {
        self.watermark = watermark.unwrap_or(self.watermark).max(self.watermark);
    }

    fn signal(&mut self, signal: Signal) -> Result<(), String> {
        match signal {
            Signal::Barrier(id) if self.barrier >= Some(id) => {
                let before = self.barrier.map_or(0, |id| id.0);
                return Err(format!("the barrier of checkpoint {id} came behind that of {before}"));
            }
            Signal::Barrier(id) => self.barrier = Some(id),
            Signal::Snapshot(id) if self.barrier != Some(id) => {
                return Err(format!("a view for checkpoint {id} is to be taken, and its barrier did not come before"));
            }
            Signal::End if self.ended => return Err("the end of data came twice".into()),
            Signal::End => self.ended = true,
            _ => {}
        }
        Ok(())
    }
}

impl<T: Send + 'static> Link<T> for Checked<T> {
    fn push(&mut self, batch: &mut Batch<T>, cx: &mut Cx) -> Result<Flow, Halt> {
        let checked = self.stream.batch(batch);
        self.check(checked);
        let marks: Vec<Timestamp> = batch.marks.iter().map(|mark| mark.watermark).collect();
        let flow = loop {
            let flow = match self.next_fault(batch) {
                Some(fault) => self.run_into(fault, batch, cx)?,
                None => break self.hand_on(batch, cx)?,
            };
            if flow == Flow::Full {
                break flow;
            }
        };
        let taken = marks.len() - batch.marks.len();
        self.stream.took(taken.checked_sub(1).and_then(|last| marks.get(last)).copied());
        self.leak.show(&mut *self.next, cx)?;
        Ok(flow)
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        if self.leak.has_seen(signal) {
            return Ok(Flow::Drained);
        }
        let checked = self.stream.signal(signal);
        self.check(checked);
        match signal {
            Signal::Snapshot(_) => self.fail(Callback::Snapshot, cx)?,
            Signal::Complete(_) => self.fail(Callback::Complete, cx)?,
            Signal::Finish if !std::mem::replace(&mut self.finished, true) => self.fail(Callback::Finish, cx)?,
            _ => {}
        }
        let flow = self.next.signal(signal, cx)?;
        if let Signal::Snapshot(id) = signal {
            self.leak.thaw(id, &self.watch, &mut cx.parts);
        }
        Ok(flow)
    }
}

impl Drop for Closing {
    /// As a panic of the operator in its `close` would be: logged, and no more.
    fn drop(&mut self) {
        let reached = catch_unwind(AssertUnwindSafe(|| self.hooks.callback(&self.uid, Callback::Close)));
        if !matches!(reached, Ok(Ok(()))) {
            tracing::warn!(uid = %self.uid, "an operator failed in close");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chain::script::{Out, Script};
    use crate::hook::scripted::Scripted;

    /// A stage before an output with so much room.
    fn script(hook: &Arc<Scripted>, room: usize) -> Script<u64> {
        let out = Out::default();
        let watch = Watch { operator: OpId(0), uid: Uid::new("it"), hooks: Hooks::new(hook.clone()) };
        Script::new(Checked::new(watch, out.link(room, u64::to_string)), &out, |text| text.parse().unwrap())
    }

    #[test]
    fn it_hands_everything_on_in_order() {
        for room in [1, 2, 100] {
            let hook = Arc::new(Scripted::default());
            let words = "1@5,w3,2@6,w6,3@9 w9 |1 4 |2 end";
            assert_eq!(script(&hook, room).run(words), words.replace(',', " "));
            assert_eq!(hook.take_broken(), Vec::<String>::new());
        }
    }

    #[test]
    fn a_callback_fails_when_everything_before_it_was_taken() {
        let cases = [
            (Callback::Record, 0, ""),
            (Callback::Record, 1, "1@5 w3"),
            (Callback::Record, 2, "1@5 w3 2@6 w6"),
            (Callback::Watermark, 0, "1@5"),
            (Callback::Watermark, 1, "1@5 w3 2@6"),
            (Callback::Watermark, 2, "1@5 w3 2@6 w6 3@9"),
        ];
        for room in [1, 2, 100] {
            for (callback, after, before) in cases {
                let out = Out::default();
                let hooks = Hooks::new(Scripted::failing(callback, after));
                let watch = Watch { operator: OpId(0), uid: Uid::new("it"), hooks };
                let link = Checked::new(watch, out.link(room, u64::to_string));
                let mut script = Script::new(link, &out, |text| text.parse().unwrap());
                let error = script.try_run("1@5,w3,2@6,w6,3@9,w9").unwrap_err();
                assert_eq!(error.to_string(), format!("{callback:?} of it fails"));
                assert_eq!(out.take().join(" "), before, "{callback:?} after {after}, room {room}");
            }
        }
    }

    #[test]
    fn what_must_never_be_is_seen() {
        let hook = Arc::new(Scripted::default());
        let mut cx = Cx::default();
        for words in ["w5 w4", "w5 w5", "|2 |1", "|1 |1", "end w9", "end 1"] {
            script(&hook, 100).run(words);
            assert!(!hook.take_broken().is_empty(), "{words}");
        }
        let out = Out::default();
        let watch = Watch { operator: OpId(0), uid: Uid::new("it"), hooks: Hooks::new(hook.clone()) };
        let mut checked = Checked::<u64>::new(watch, out.link(9, u64::to_string));
        assert_eq!(checked.signal(Signal::Snapshot(CheckpointId(1)), &mut cx).unwrap(), Flow::Drained);
        assert_eq!(hook.take_broken().len(), 1, "a view without its barrier");
    }
}
