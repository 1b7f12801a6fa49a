//! The one public error, and the box in which the errors of users and of foreign crates travel.
//!
//! Every variant carries its evidence, and its text is a sentence that says what to do where something can be done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use crate::ids::CheckpointId;

/// An error of the user's own code, or of a foreign crate.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A `Result` with tidegate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that no restart mends: a job in which it comes fails at once, whatever its restart strategy.
///
/// ```
/// use tidegate::{BoxError, Fatal};
///
/// fn authorised(status: u16) -> Result<(), BoxError> {
///     match status {
///         401 | 403 => Err(Fatal::new("the token is refused: give the job a valid one").into()),
///         500.. => Err("the service is down".into()), // restarted
///         _ => Ok(()),
///     }
/// }
/// ```
///
/// It is found through the sources of the error that a callback returns, however deep.
#[derive(Debug)]
pub struct Fatal(BoxError);

impl Fatal {
    /// Marks an error.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Fatal(error.into())
    }
}

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Fatal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// What can go wrong with a flow, a job or its stored state.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The flow cannot run; nothing was started.
    #[error("the flow cannot run: {problem}; {advice}")]
    InvalidFlow {
        /// What is wrong, and where.
        problem: String,
        /// What to change.
        advice: String,
    },
    /// A callback of an operator, a source or a sink returned an error.
    #[error("operator '{operator}' (task {task}) failed in {callback}: {cause}")]
    Operator {
        /// The operator's name.
        operator: String,
        /// The task that ran it.
        task: String,
        /// The callback that returned the error.
        callback: &'static str,
        /// The error's text, its sources included.
        cause: String,
        /// The error itself.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A callback of an operator, a source or a sink panicked.
    #[error("operator '{operator}' (task {task}) panicked: {message}")]
    Panic {
        /// The operator's name.
        operator: String,
        /// The task that ran it.
        task: String,
        /// The panic's message.
        message: String,
    },
    /// A task does not come back from a callback.
    #[error("task {task} ({operators}) is stuck: {what}")]
    Stuck {
        /// The task.
        task: String,
        /// The operators of its chain; it is in one of them.
        operators: String,
        /// Since when, and what became of it.
        what: String,
    },
    /// The store could not be read or written.
    #[error("cannot {action} '{path}': {cause}")]
    Store {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: String,
        /// Whether the write may have taken effect all the same.
        maybe_done: bool,
    },
    /// A stored file is damaged.
    #[error("'{path}' is damaged: {what}{}", usable_text(usable))]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found, and what was expected; names the operator and the section where known.
        what: String,
        /// Older checkpoints that can still be read, newest first.
        usable: Vec<CheckpointId>,
    },
    /// Another process runs this job on the same store, or this one did and a call to the store has not come back yet.
    #[error(
        "'{path}' is locked: another process runs this job on the same store, or this one has, and a call to the store still hangs; stop \
         the other process, or see why the store does not answer, or use another store"
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A newer start of the job has taken over while this process held it to be its own: it can complete no checkpoint any more.
    #[error(
        "'{path}' was changed by another process: a newer start of the job has taken it over; leave it to that, or stop that first"
    )]
    Fenced {
        /// The file by which processes know who runs the job.
        path: PathBuf,
    },
    /// The stored state does not fit the flow.
    #[error("the stored state does not fit the flow: {problem}; {advice}")]
    StateMismatch {
        /// What does not fit.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// State was not written for a job.
    #[error("the state is not written: {problem}; {advice}")]
    StateRefused {
        /// What is wrong, and where.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// A checkpoint was not taken.
    #[error("checkpoint {id} was not completed: {reason}")]
    CheckpointFailed {
        /// The checkpoint.
        id: CheckpointId,
        /// Why.
        reason: String,
    },
    /// A checkpoint was refused before it began.
    #[error("no checkpoint was started: {reason}")]
    CheckpointRefused {
        /// Why.
        reason: String,
    },
    /// The job failed, and the restart strategy gave up.
    #[error("the job failed and is not restarted ({strategy}): {cause}")]
    RestartsExhausted {
        /// What the strategy said.
        strategy: String,
        /// The root cause of the last failure.
        #[source]
        cause: Box<Error>,
    },
    /// The job was being stopped with a savepoint, and failed after the savepoint was complete. It is not restarted, because what the
    /// savepoint holds may be committed.
    #[error(
        "the job was stopped with the savepoint '{savepoint}', which is complete, and then failed, so that not all of it may be \
         committed: {cause}; start from the savepoint, which commits it"
    )]
    FailedAfterSavepoint {
        /// Where the savepoint lies.
        savepoint: PathBuf,
        /// Why the job failed.
        #[source]
        cause: Box<Error>,
    },
    /// A savepoint was not completed. Nothing is wrong with the job.
    #[error("no savepoint is complete in '{}': {reason}", place.display())]
    SavepointFailed {
        /// Where it was to lie.
        place: PathBuf,
        /// Why.
        reason: String,
    },
    /// A question to a running operator got no answer. It may be asked again.
    #[error("operator '{operator}' did not answer: {reason}")]
    Unanswered {
        /// The operator's uid.
        operator: String,
        /// Why.
        reason: String,
    },
    /// A question that the job has no answer to, however often it is asked.
    #[error("the job cannot be asked this: {problem}; {advice}")]
    InvalidQuestion {
        /// What is wrong with it, and what there is.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// An input was closed, so it takes no record any more.
    #[error("the input '{input}' is closed: it takes no record any more")]
    InputClosed {
        /// The input's name.
        input: String,
    },
    /// The job ended before a checkpoint covered a record of an input.
    #[error(
        "the job ended before a complete checkpoint covered the record of the input '{input}', so it is unknown whether it counts: \
         send it again, with an id by which the flow knows what it has seen"
    )]
    ReceiptUnknown {
        /// The input's name.
        input: String,
    },
    /// The job was cancelled.
    #[error("the job was cancelled")]
    Cancelled,
    /// The job has ended, so it cannot be asked.
    #[error("the job has ended")]
    Ended,
    /// A fault of the engine itself. Please report it.
    #[error("fault of the engine: {0}; please report it")]
    Engine(String),
}

impl Error {
    /// The operator that is to blame, and the task that ran it, where one is.
    pub(crate) fn blames(&self) -> Option<(&str, &str)> {
        match self {
            Error::Operator { operator, task, .. } | Error::Panic { operator, task, .. } => Some((operator, task)),
            Error::Stuck { task, operators, .. } => Some((operators, task)),
            Error::RestartsExhausted { cause, .. } => cause.blames(),
            _ => None,
        }
    }

    /// The same of a store, for what had partly been done before it failed: nobody knows whether that has an effect.
    pub(crate) fn maybe_done(self) -> Self {
        match self {
            Error::Store { action, path, cause, .. } => Error::Store { action, path, cause, maybe_done: true },
            error => error,
        }
    }

    /// Whether it would come again at every restart: stored state that is damaged or does not fit the flow, and what a user has marked
    /// as [`Fatal`].
    pub(crate) fn is_for_good(&self) -> bool {
        match self {
            Error::StateMismatch { .. } | Error::Corrupt { .. } | Error::Fenced { .. } => true,
            Error::RestartsExhausted { cause, .. } => cause.is_for_good(),
            Error::Operator { source, .. } => for_good_within(&**source),
            _ => false,
        }
    }
}

/// Whether a user's error is for good, or comes from one that is.
fn for_good_within(error: &(dyn std::error::Error + 'static)) -> bool {
    let ours = error.is::<Fatal>() || error.downcast_ref::<Error>().is_some_and(Error::is_for_good);
    ours || error.source().is_some_and(for_good_within)
}

/// Calls code of a user's, and blames the operator for the error or the panic that comes of it.
pub(crate) fn blamed<T>(
    operator: &str,
    task: &str,
    callback: &'static str,
    call: impl FnOnce() -> Result<T, BoxError>,
) -> Result<T> {
    let (operator, task) = (operator.to_owned(), task.to_owned());
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::Operator { operator, task, callback, cause: chain_text(&*error), source: Arc::from(error) }),
        Err(panic) => Err(Error::Panic { operator, task, message: panic_text(&*panic) }),
    }
}

fn usable_text(usable: &[CheckpointId]) -> String {
    if usable.is_empty() {
        return "; no older checkpoint is usable: bring the file back from a copy, or begin anew with another store".into();
    }
    let ids: Vec<String> = usable.iter().map(CheckpointId::to_string).collect();
    format!(
        "; older usable checkpoints: {} (going back to one repeats output that was already committed: StateWriter::repair makes it the \
         latest)",
        ids.join(", ")
    )
}

/// An error's text with the texts of its sources, outermost first.
pub(crate) fn chain_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let inner = source.to_string();
        if !text.contains(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
        next = source.source();
    }
    text
}

/// The kind of the system's error at the bottom of `error`, where there is one.
pub(crate) fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

/// The message of a caught panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mismatch() -> Error {
        Error::StateMismatch { problem: "it is another".into(), advice: "take it".into() }
    }

    fn of_operator(error: BoxError) -> Error {
        let cause = chain_text(&*error);
        Error::Operator { operator: "counts".into(), task: "1.0".into(), callback: "open", cause, source: Arc::from(error) }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the states cannot be registered")]
    struct Wrapped(#[source] Error);

    #[test]
    fn state_that_does_not_fit_is_for_good_however_it_is_told() {
        let exhausted = Error::RestartsExhausted { strategy: "never".into(), cause: Box::new(mismatch()) };
        let told = [mismatch(), of_operator(mismatch().into()), of_operator(Wrapped(mismatch()).into()), exhausted];
        assert!(told.iter().all(Error::is_for_good));
        let others = [Error::Cancelled, of_operator("no such table".into()), of_operator(Wrapped(Error::Ended).into())];
        assert!(!others.iter().any(Error::is_for_good));
    }
}
