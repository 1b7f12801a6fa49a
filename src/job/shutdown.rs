//! The graceful end of a job in a service that is told to stop.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{JobHandle, JobSummary};
use crate::actor::{RootMsg, post};
use crate::error::{Error, Result};
use crate::ids::CheckpointId;

/// How a job came to its end when it was shut down.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// It took a last checkpoint: a next start goes on there, and repeats nothing that came before.
    AtCheckpoint(CheckpointId),
    /// There was no time for one: a next start goes on from the latest that there is.
    Cut {
        /// The latest complete checkpoint of this process.
        latest: Option<CheckpointId>,
        /// Why there is no later one.
        reason: String,
    },
    /// Its data had come to an end before.
    Finished(JobSummary),
}

impl JobHandle {
    /// Ends the job gracefully: takes a last checkpoint, and cancels the job as soon as it is complete; where it is not complete within
    /// this time, the job is cancelled at once. Returns when the job has ended.
    ///
    /// While a region is being restarted, the checkpoint waits for it. What comes into the job after the checkpoint does not count, and
    /// is read again by the next start; receipts for it say that they are unknown. So a service stops taking requests first.
    ///
    /// # Errors
    /// The job's own error where it failed.
    pub async fn shutdown(&self, within: Duration) -> Result<Shutdown> {
        let (tell, told) = oneshot::channel();
        if let Some(root) = &self.leash.root {
            post(root, RootMsg::Shutdown { within, tell });
        }
        let last = told.await;
        match (self.wait().await, last) {
            (Ok(summary), _) => Ok(Shutdown::Finished(summary)),
            (Err(Error::Cancelled), Ok(Ok(id))) => Ok(Shutdown::AtCheckpoint(id)),
            (Err(Error::Cancelled), Ok(Err(reason))) => Ok(Shutdown::Cut { latest: self.status.latest(), reason }),
            (Err(Error::Cancelled), Err(_)) => {
                Ok(Shutdown::Cut { latest: self.status.latest(), reason: "it was cancelled meanwhile".into() })
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Waits until the signal comes or the job ends by itself; on the signal, [shuts the job down](JobHandle::shutdown) within this
    /// time.
    ///
    /// The signal is any future: that of a signal of the system, of a channel, or of tokio-util's token,
    /// `job.shutdown_on(token.cancelled_owned(), secs(10))`.
    ///
    /// ```
    /// use tidegate::testing::{RecordingSink, Scripted};
    /// use tidegate::{Job, Shutdown, Store, secs};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> tidegate::Result<()> {
    /// let job = Job::new("numbers").store(Store::memory());
    /// job.source("numbers", Scripted::new([vec![1, 2, 3]]).endless()).sink("out", RecordingSink::new());
    /// let running = job.start().await?;
    ///
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let ending = tokio::spawn(async move { running.shutdown_on(async { drop(stopped.await) }, secs(10)).await });
    /// stop.send(()).unwrap();
    /// let ended = ending.await.unwrap()?;
    /// assert!(matches!(ended, Shutdown::AtCheckpoint(_)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The job's own error where it failed, before the signal or after it.
    pub async fn shutdown_on(&self, signal: impl Future<Output = ()>, within: Duration) -> Result<Shutdown> {
        let (mut signal, mut end) = (pin!(signal), pin!(self.wait()));
        let ended = poll_fn(|cx| match end.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending => signal.as_mut().poll(cx).map(|()| None),
        });
        match ended.await {
            None => self.shutdown(within).await,
            Some(Ok(summary)) => Ok(Shutdown::Finished(summary)),
            Some(Err(Error::Cancelled)) => {
                Ok(Shutdown::Cut { latest: self.status.latest(), reason: "it was cancelled before".into() })
            }
            Some(Err(error)) => Err(error),
        }
    }
}
