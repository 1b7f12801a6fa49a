//! What happened in a watched process, for people: who did what, when, around what went wrong.
//!
//! Always: operators are named as the user knows them; what is far from any failure is left out. Notes are only taken in a watched
//! simulation, where texts may cost something.

use std::fmt;

use super::simulation::{End, Run};

/// Lines that are shown before and after one that matters.
const BEFORE: usize = 26;
const AFTER: usize = 22;
/// Lines that are shown of a process, at most: what begins it and what ends it.
const AT_START: usize = 3;
const AT_END: usize = 12;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// When, in virtual milliseconds of the process.
    pub at_ms: u64,
    /// To whom: the last operator of a task and the task's index, or an actor.
    pub who: String,
    /// What.
    pub what: String,
    /// Whether it is what a reader looks for: a fault that strikes, a failure.
    pub matters: bool,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.matters { '!' } else { ' ' };
        write!(f, "{mark}{:>6} ms  {:<14} {}", self.at_ms, self.who, self.what)
    }
}

/// All processes of a case.
pub(super) struct Timeline<'a>(pub(super) &'a [Run]);

impl fmt::Display for Timeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, run) in (1..).zip(self.0) {
            writeln!(f, "process {number}:")?;
            excerpt(&run.notes, f)?;
            writeln!(f, "  {}, after {} steps and {:?}", told(&run.end), run.steps, run.took)?;
        }
        Ok(())
    }
}

fn told(end: &End) -> String {
    match end {
        End::Finished(_) => "the job has finished".into(),
        End::Failed(error) => format!("the job failed: {error}"),
        End::Cancelled => "the job was cancelled".into(),
        End::Died => "the process died".into(),
        End::Hung(text) => format!("it hangs: {text}"),
        End::Broken(text) => format!("what always holds does not: {text}"),
    }
}

fn excerpt(notes: &[Note], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut left_out = 0;
    for (at, note) in notes.iter().enumerate() {
        if !is_shown(notes, at) {
            left_out += 1;
            continue;
        }
        if std::mem::take(&mut left_out) > 0 {
            writeln!(f, "           …")?;
        }
        writeln!(f, "{note}")?;
    }
    Ok(())
}

fn is_shown(notes: &[Note], at: usize) -> bool {
    let near = at.saturating_sub(AFTER)..(at + BEFORE + 1).min(notes.len());
    let near_what_matters = notes.get(near).is_some_and(|near| near.iter().any(|note| note.matters));
    near_what_matters || at < AT_START || at + AT_END >= notes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_a_failure_is_shown() {
        let note = |i: u64| Note { at_ms: i, who: "a[0]".into(), what: "works".into(), matters: i == 100 };
        let notes: Vec<Note> = (0..200).map(note).collect();
        let shown: Vec<usize> = (0..200).filter(|at| is_shown(&notes, *at)).collect();
        let expected: Vec<usize> = (0..3).chain(74..=122).chain(188..200).collect();
        assert_eq!(shown, expected);
    }
}
