//! The stream that an input gives.

use std::sync::Arc;

use super::job::Job;
use super::sources::SourceStream;
use super::stream::Record;
use crate::actor::Line;
use crate::config::INPUT_RECORDS;
use crate::connector::{Input, input};

impl Job {
    /// Adds a source whose records come from the service itself: the stream for the flow, and the [`Input`] for the service. `name` is
    /// its uid as well, unless one is given.
    ///
    /// Each record that is sent has a [`Receipt`](crate::Receipt), which resolves when a complete checkpoint covers the record: then,
    /// and not before, a service may tell whoever has sent it that it counts. So the interval of the checkpoints is how long a
    /// request waits, at most and about. Until then the record is kept in memory, and is read again after a restart inside the
    /// process; up to 65,536 records are, or as many as [`Job::input_bounded`] says. When the process dies, what has no receipt yet is
    /// unknown: callers send it again, with an id by which the flow knows what it has seen.
    ///
    /// ```
    /// use tidegate::testing::RecordingSink;
    /// use tidegate::{Checkpoints, Job, Store, millis};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> tidegate::Result<()> {
    /// let out = RecordingSink::new();
    /// let job = Job::new("orders").checkpoints(Checkpoints::every(millis(20))).store(Store::memory());
    /// let (orders, input) = job.input::<String>("orders");
    /// orders.map(|order| order.to_uppercase()).sink("out", out.clone());
    /// let running = job.start().await?;
    ///
    /// // In the handler of a request: each has a clone of the input.
    /// let receipt = input.send("tea".to_owned()).await?;
    /// receipt.durable().await?;
    ///
    /// input.close();
    /// running.wait().await?;
    /// assert_eq!(out.sorted(), ["TEA"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The job needs a store, or [`Job::start`] refuses it: without one nothing is ever durable. An input has one split, so its source
    /// is one task, whatever the parallelism of the job.
    pub fn input<T: Record>(&self, name: &str) -> (SourceStream<T>, Input<T>) {
        self.input_bounded(name, INPUT_RECORDS)
    }

    /// The same, where at most this many records, and at least one, are kept. With so many kept it asks for a checkpoint, and
    /// [`Input::send`] waits until that has made room.
    pub fn input_bounded<T: Record>(&self, name: &str, records: usize) -> (SourceStream<T>, Input<T>) {
        let line = Arc::new(Line::default());
        let (source, handle) = input(name, records, line.clone());
        self.add_line(line);
        (self.source(name, source).parallelism(1), handle)
    }
}
