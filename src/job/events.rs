//! The events of a job, for who listens.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::JobHandle;
use crate::actor::{Heard, JobEvent, JobStatus};

/// The events of a job, the oldest first. Made by [`JobHandle::events`].
pub struct Events {
    status: Arc<JobStatus>,
    count: watch::Receiver<u64>,
    /// How many were heard, or lost.
    heard: u64,
    over: bool,
}

impl Events {
    /// The next event; none after the last one, which says how the job ended.
    ///
    /// Dropped before it is ready it has lost nothing.
    pub async fn next(&mut self) -> Option<JobEvent> {
        while !self.over {
            self.count.borrow_and_update();
            match self.status.chronicle.hear(self.heard) {
                Heard::Event(event) => {
                    self.heard += 1;
                    self.over = event.is_last();
                    return Some(event);
                }
                Heard::Missed(events) => {
                    self.heard += events;
                    return Some(JobEvent::Missed { events });
                }
                Heard::Nothing => self.count.changed().await.ok()?,
            }
        }
        None
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("heard", &self.heard).field("over", &self.over).finish_non_exhaustive()
    }
}

impl JobHandle {
    /// What happens to the job, from its start on: checkpoints, failures, restarts, and how it ends.
    ///
    /// The last thousand or so are kept, whether anybody listens or not; the job never waits for who does. Who is slower than that
    /// hears how many were lost, and goes on with those that are left.
    ///
    /// ```
    /// use tidegate::testing::{RecordingSink, Scripted};
    /// use tidegate::{Job, JobEvent};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> tidegate::Result<()> {
    /// let job = Job::new("numbers");
    /// job.source("numbers", Scripted::new([vec![1, 2, 3]])).sink("out", RecordingSink::new());
    /// let running = job.start().await?;
    /// let (mut events, mut complete) = (running.events(), 0);
    /// while let Some(event) = events.next().await {
    ///     println!("{event}");
    ///     complete += usize::from(matches!(event, JobEvent::CheckpointCompleted { .. }));
    /// }
    /// assert_eq!(complete, 1, "the final one");
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self) -> Events {
        Events { status: self.status.clone(), count: self.status.chronicle.count(), heard: 0, over: false }
    }
}
