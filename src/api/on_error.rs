//! What becomes of records that cannot be handled.

use std::fmt;

use crate::chain::{DeadLetter, Poison};
use crate::error::BoxError;
use crate::operator::{SideOutput, Sides};

/// What becomes of a record for which a fallible function of a stateless operator returns an error. Panics always fail the region.
pub struct OnError<T>(pub(crate) Choice<T>);

pub(crate) enum Choice<T> {
    Fail,
    Skip,
    Side(SideOutput<DeadLetter<T>>),
}

impl<T> OnError<T> {
    /// The region fails, and with it, unless it is restarted, the job.
    pub fn fail() -> Self {
        OnError(Choice::Fail)
    }

    /// The record is dropped and counted.
    pub fn skip() -> Self {
        OnError(Choice::Skip)
    }

    /// The record goes to a side output, with the operator's name and the error.
    pub fn to(side: &SideOutput<DeadLetter<T>>) -> Self {
        OnError(Choice::Side(side.clone()))
    }
}

impl<T: Send + 'static> OnError<T> {
    /// As the operator's link knows it.
    pub(crate) fn open(&self, sides: &mut Sides, operator: &str) -> Result<Poison<T>, BoxError> {
        Ok(match &self.0 {
            Choice::Fail => Poison::Fail,
            Choice::Skip => Poison::Skip,
            Choice::Side(side) => Poison::Dead(sides.open(side)?, operator.into()),
        })
    }
}

impl<T> fmt::Debug for OnError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Choice::Fail => "OnError::fail()",
            Choice::Skip => "OnError::skip()",
            Choice::Side(_) => "OnError::to(…)",
        })
    }
}
