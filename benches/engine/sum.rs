//! A sink that adds up what its records say, and is done with them at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate::{BoxError, CheckpointId, Sink, SinkContext, SinkWriter};

/// Adds `of(record)` to the sum, wrapping.
pub struct Sum<T, F> {
    of: Arc<F>,
    sum: Arc<AtomicU64>,
    record: std::marker::PhantomData<fn() -> T>,
}

impl<T, F: Fn(&T) -> u64> Sum<T, F> {
    /// Adds to `sum`.
    pub fn new(sum: &Arc<AtomicU64>, of: F) -> Self {
        Sum { of: Arc::new(of), sum: sum.clone(), record: std::marker::PhantomData }
    }
}

/// The sum of one task, added to the whole at the end.
pub struct Writer<T, F> {
    of: Arc<F>,
    sum: Arc<AtomicU64>,
    own: u64,
    record: std::marker::PhantomData<fn() -> T>,
}

impl<T: Send + 'static, F: Fn(&T) -> u64 + Send + Sync + 'static> Sink for Sum<T, F> {
    type Item = T;
    type Cut = ();
    type Handle = ();
    type Writer = Writer<T, F>;

    fn recover(&self, _: &SinkContext, _: Vec<()>) -> Result<(), BoxError> {
        Ok(())
    }

    fn open(&self, _: &SinkContext) -> Result<Writer<T, F>, BoxError> {
        Ok(Writer { of: self.of.clone(), sum: self.sum.clone(), own: 0, record: std::marker::PhantomData })
    }

    fn make_durable(&self, (): ()) -> Result<Vec<()>, BoxError> {
        Ok(Vec::new())
    }

    fn commit(&self, (): &()) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<T: Send + 'static, F: Fn(&T) -> u64 + Send + Sync + 'static> SinkWriter for Writer<T, F> {
    type Item = T;
    type Cut = ();

    fn write(&mut self, records: &mut Vec<T>) -> Result<(), BoxError> {
        let of = &*self.of;
        self.own = records.iter().fold(self.own, |sum, record| sum.wrapping_add(of(record)));
        Ok(())
    }

    fn cut(&mut self, _: CheckpointId) -> Result<(), BoxError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        self.sum.fetch_add(self.own, Ordering::Relaxed);
        Ok(())
    }
}
