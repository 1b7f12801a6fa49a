//! How a command ends: with what it has found, or without having been able to look.

use std::fmt;
use std::io;

/// What a command has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing wrong, and no difference.
    Nothing,
    /// Damage, or a difference.
    Something,
}

impl Found {
    /// Something, where there is any.
    pub(super) fn any(any: bool) -> Found {
        if any { Found::Something } else { Found::Nothing }
    }
}

/// Why a command could not do what it was asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// What it was given is not what it takes; the text says what to do.
    Asked(String),
    /// The state could not be read.
    State(tidegate::Error),
    /// Its output could not be written.
    Output(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Asked(text) => f.write_str(text),
            Failure::State(error) => write!(f, "{error}"),
            Failure::Output(error) => write!(f, "the output cannot be written: {error}"),
        }
    }
}

impl From<tidegate::Error> for Failure {
    fn from(error: tidegate::Error) -> Self {
        Failure::State(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Failure::Output(error.into())
    }
}
