//! What happened in a simulated process, in order: enough to compare two runs, and to see what was going on when one hung.

use std::fmt;
use std::sync::Arc;

use super::disk::DiskCall;
use crate::hook::{Callback, Control, CrashPoint, Role};
use crate::ids::{Attempt, TaskId, Uid};

/// How many of the last happenings are shown.
const SHOWN: usize = 40;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// A task of an attempt is opened.
    Opening(TaskId, Attempt),
    /// A task began to be driven.
    Started(TaskId),
    /// A task made a step, or looked for one.
    Stepped(TaskId),
    /// A task ended.
    Ended(TaskId),
    /// Nothing of a task of an attempt is left.
    Gone(TaskId, Attempt),
    /// This piece of blocking work was handed over.
    Offloaded(u64),
    /// It was done.
    Worked(u64),
    /// An actor took a message up.
    Handled(Role),
    /// A callback was called, other than for a record, a watermark or a poll.
    Called(Uid, Callback),
    /// The store was called.
    Stored(DiskCall, Arc<str>),
    /// A crash point was come to.
    Reached(CrashPoint),
    /// A message that may be lost was sent.
    Sent(Control),
    /// The fault with this place in the plan struck.
    Struck(usize),
    /// A restart that could do either took its state from memory.
    FromMemory,
    /// It took its state from files.
    FromFiles,
}

/// All that happened, each with its virtual time in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace(pub Vec<(u64, Happening)>);

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happening::Opening(task, attempt) => write!(f, "task {task} of attempt {attempt} is opened"),
            Happening::Started(task) => write!(f, "task {task} starts"),
            Happening::Stepped(task) => write!(f, "task {task} steps"),
            Happening::Ended(task) => write!(f, "task {task} ends"),
            Happening::Gone(task, attempt) => write!(f, "task {task} of attempt {attempt} is gone"),
            Happening::Offloaded(work) => write!(f, "work {work} is handed over"),
            Happening::Worked(work) => write!(f, "work {work} is done"),
            Happening::FromMemory => write!(f, "a region restores from memory"),
            Happening::FromFiles => write!(f, "a region restores from files"),
            Happening::Handled(role) => write!(f, "{role:?} takes a message up"),
            Happening::Called(uid, callback) => write!(f, "{callback:?} of '{uid}' is called"),
            Happening::Stored(call, path) => write!(f, "the store's {call:?} is called for {path}"),
            Happening::Reached(point) => write!(f, "at {point}"),
            Happening::Sent(control) => write!(f, "{control:?} is sent"),
            Happening::Struck(fault) => write!(f, "fault {fault} of the plan strikes"),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = self.0.len().saturating_sub(SHOWN);
        if left_out > 0 {
            writeln!(f, "  … {left_out} before")?;
        }
        self.0.iter().skip(left_out).try_for_each(|(at_ms, happening)| writeln!(f, "  {at_ms} ms  {happening}"))
    }
}
