//! What happened in a simulated process, in order: enough to compare two runs, and to see what was going on when one hung.

use std::fmt;

use crate::ids::TaskId;

/// How many of the last happenings are shown.
const SHOWN: usize = 40;

/// Something that the simulation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// A task began to be driven.
    Started(TaskId),
    /// A task made a step, or looked for one.
    Stepped(TaskId),
    /// A task ended.
    Ended(TaskId),
    /// This piece of blocking work was handed over.
    Offloaded(u64),
    /// It was done.
    Worked(u64),
    /// A restart that could do either took its state from memory.
    FromMemory,
    /// It took its state from files.
    FromFiles,
}

/// All that happened, each with its virtual time in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace(pub Vec<(u64, Happening)>);

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = self.0.len().saturating_sub(SHOWN);
        if left_out > 0 {
            writeln!(f, "  … {left_out} before")?;
        }
        for (at_ms, happening) in self.0.iter().skip(left_out) {
            match happening {
                Happening::Started(task) => writeln!(f, "  {at_ms} ms  task {task} starts")?,
                Happening::Stepped(task) => writeln!(f, "  {at_ms} ms  task {task} steps")?,
                Happening::Ended(task) => writeln!(f, "  {at_ms} ms  task {task} ends")?,
                Happening::Offloaded(work) => writeln!(f, "  {at_ms} ms  work {work} is handed over")?,
                Happening::Worked(work) => writeln!(f, "  {at_ms} ms  work {work} is done")?,
                Happening::FromMemory => writeln!(f, "  {at_ms} ms  a region restores from memory")?,
                Happening::FromFiles => writeln!(f, "  {at_ms} ms  a region restores from files")?,
            }
        }
        Ok(())
    }
}
