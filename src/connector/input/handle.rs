//! The service's end of an input.

use std::fmt;
use std::sync::Arc;

use super::kept::Phase;
use super::receipt::Receipt;
use super::shared::Shared;
use crate::error::Result;

/// Hands records to a job, each for a [`Receipt`]. Made by [`Job::input`](crate::Job::input), which has an example.
///
/// Clones are handles on the same input: a service gives one to each of its request handlers. What one handle sends is read in the order
/// in which it was sent. When the last handle is dropped the input is closed: that is the
/// end of the data, after which the job finishes for good. So a service that is to go on at its next start keeps one until the job has
/// ended.
pub struct Input<T> {
    shared: Arc<Shared<T>>,
    /// Closes the input when the last handle goes.
    _open: Arc<Opened<T>>,
}

/// Whose drop closes the input.
struct Opened<T>(Arc<Shared<T>>);

impl<T> Drop for Opened<T> {
    fn drop(&mut self) {
        self.0.close(Phase::Closed);
    }
}

impl<T> Clone for Input<T> {
    fn clone(&self) -> Self {
        Input { shared: self.shared.clone(), _open: self._open.clone() }
    }
}

impl<T> fmt::Debug for Input<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl<T> Input<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        let open = Arc::new(Opened(shared.clone()));
        Input { shared, _open: open }
    }

    /// How many records are kept, because no complete checkpoint covers them.
    pub fn kept(&self) -> usize {
        self.shared.kept().len()
    }

    /// Ends the data: the job handles what was sent, takes its final checkpoint, and finishes unless other sources go on.
    pub fn close(&self) {
        self.shared.close(Phase::Closed);
    }
}

impl<T: Send + 'static> Input<T> {
    /// Hands over a record, whose receipt resolves when its effect is durable. Records may be sent before the job is started.
    ///
    /// Where as many records are kept as may be, it asks the job for a checkpoint and waits until that has made room. Dropped before it
    /// is ready it has sent nothing.
    ///
    /// # Errors
    /// [`Error::InputClosed`](crate::Error::InputClosed), and [`Error::Ended`](crate::Error::Ended) where the job has ended: the record
    /// was not sent.
    pub async fn send(&self, record: T) -> Result<Receipt> {
        let number = self.shared.send(vec![record]).await?;
        Ok(Receipt::new(&self.shared, number))
    }

    /// Hands over many records; the receipt is for all of them, and none where there are none.
    ///
    /// # Errors
    /// Those of [`Input::send`]. Some of the records may have been sent, always the first ones; the same holds where it is dropped
    /// before it is ready.
    pub async fn send_all(&self, records: Vec<T>) -> Result<Option<Receipt>> {
        let (at_once, mut left, mut last) = (self.shared.at_once(), records.into_iter(), None);
        loop {
            let some: Vec<T> = left.by_ref().take(at_once).collect();
            if some.is_empty() {
                return Ok(last.map(|number| Receipt::new(&self.shared, number)));
            }
            last = Some(self.shared.send(some).await?);
        }
    }
}
