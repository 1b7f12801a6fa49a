//! What a service gets for a record: word of when its effect is durable.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::shared::{Coverage, Shared};
use crate::error::{Error, Result};

/// The receipt for a record that was sent to an [`Input`](crate::Input).
#[must_use = "what was sent is durable only once its receipt says so"]
pub struct Receipt {
    input: Arc<str>,
    /// How many records of the input came before it in this process.
    number: u64,
    coverage: watch::Receiver<Coverage>,
}

impl Receipt {
    pub(super) fn new<T>(shared: &Shared<T>, number: u64) -> Self {
        Receipt { input: shared.name.clone(), number, coverage: shared.coverage() }
    }

    /// Waits until a complete checkpoint covers the record. Whatever happens from then on, the record counts, and counts once; until
    /// then it waits through as many restarts inside the process as it takes.
    ///
    /// # Errors
    /// [`Error::ReceiptUnknown`] where the job ended before: a checkpoint that was under way may have been completed all the same, so
    /// nobody knows whether the record counts. Send it again, with an id by which the flow knows a record that it has seen.
    pub async fn durable(mut self) -> Result<()> {
        let number = self.number;
        let told = self.coverage.wait_for(|coverage| coverage.records > number || coverage.over).await;
        match told {
            Ok(coverage) if coverage.records > number => Ok(()),
            _ => Err(Error::ReceiptUnknown { input: self.input.to_string() }),
        }
    }

    /// Whether a complete checkpoint covers the record by now.
    pub fn is_durable(&self) -> bool {
        self.coverage.borrow().records > self.number
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("input", &self.input).field("number", &self.number).finish_non_exhaustive()
    }
}
