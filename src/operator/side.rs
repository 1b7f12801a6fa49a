//! Side outputs: further streams of one operator, each with a type of its own.
//!
//! Always: watermarks, barriers and the end of data go to every side output as they go to the main one. A side output without a
//! consumer does not exist: whoever asks for it is told so before any record flows.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::link::{Cx, Flow, Halt, Next, Signal};
use super::stage::Stage;
use crate::config::BATCH_RECORDS;
use crate::error::BoxError;
use crate::time::Timestamp;

/// The name and the type of a side output: `SideOutput::<Reading>::new("late")`.
pub struct SideOutput<T> {
    name: Arc<str>,
    record: PhantomData<fn() -> T>,
}

impl<T> SideOutput<T> {
    /// The side output with this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        SideOutput { name: name.into(), record: PhantomData }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T> Clone for SideOutput<T> {
    fn clone(&self) -> Self {
        SideOutput { name: self.name.clone(), record: PhantomData }
    }
}

impl<T> fmt::Debug for SideOutput<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SideOutput({:?})", self.name)
    }
}

/// The right to emit to a side output of the operator that opened it.
pub struct Side<T> {
    port: usize,
    record: PhantomData<fn() -> T>,
}

impl<T> Clone for Side<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Side<T> {}

impl<T> fmt::Debug for Side<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Side({})", self.port)
    }
}

/// One side output, whatever its type.
pub(crate) trait Port: Send {
    fn deliver(&mut self, cx: &mut Cx) -> Result<Flow, Halt>;
    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt>;
    fn mark(&mut self, watermark: Timestamp);
    fn as_any(&mut self) -> &mut dyn Any;
}

struct TypedPort<T> {
    stage: Stage<T>,
}

impl<T: Send + 'static> Port for TypedPort<T> {
    fn deliver(&mut self, cx: &mut Cx) -> Result<Flow, Halt> {
        self.stage.deliver(cx)
    }

    fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        self.stage.signal(signal, cx)
    }

    fn mark(&mut self, watermark: Timestamp) {
        self.stage.out.mark(watermark);
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// A side output in front of `next`.
pub(crate) fn side_port<T: Send + 'static>(next: Next<T>) -> Box<dyn Port> {
    Box::new(TypedPort { stage: Stage::new(next) })
}

/// All side outputs of one operator.
pub(crate) struct Sides {
    ports: Vec<(Arc<str>, Box<dyn Port>)>,
    /// Some port holds a full batch.
    full: bool,
    /// Records of a full batch.
    batch: usize,
}

impl Default for Sides {
    fn default() -> Self {
        Sides::new(BATCH_RECORDS)
    }
}

impl Sides {
    /// None, for an operator whose batches are full with this many records.
    pub(crate) fn new(batch: usize) -> Self {
        Sides { ports: Vec::new(), full: false, batch }
    }

    /// How many records make a batch of the operator full.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// Adds the side output `name`.
    pub(crate) fn add(&mut self, name: Arc<str>, port: Box<dyn Port>) {
        self.ports.push((name, port));
    }

    /// The right to emit to `output`.
    ///
    /// # Errors
    /// Where nothing consumes it.
    pub(crate) fn open<T: Send + 'static>(&mut self, output: &SideOutput<T>) -> Result<Side<T>, BoxError> {
        for (port, (name, sink)) in self.ports.iter_mut().enumerate() {
            if **name == *output.name && sink.as_any().is::<TypedPort<T>>() {
                return Ok(Side { port, record: PhantomData });
            }
        }
        Err(format!("nothing consumes the side output '{}': attach a sink with .side(&…), or don't emit to it", output.name)
            .into())
    }

    /// Emits a record with the timestamp of the record or the timer that is being handled.
    pub(crate) fn push<T: Send + 'static>(&mut self, side: Side<T>, value: T, time: Timestamp) {
        let port = self.ports.get_mut(side.port).and_then(|(_, port)| port.as_any().downcast_mut::<TypedPort<T>>());
        let Some(port) = port else { unreachable!("a Side is made by the operator that emits to it") };
        port.stage.out.push(value, time);
        self.full |= port.stage.out.len() >= self.batch;
    }

    /// Hands on what is held.
    pub(crate) fn deliver(&mut self, cx: &mut Cx) -> Result<Flow, Halt> {
        let flow = self.each(|port| port.deliver(cx))?;
        self.full = flow == Flow::Full;
        Ok(flow)
    }

    /// Whether some port holds as much as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Passes a signal on to all.
    pub(crate) fn signal(&mut self, signal: Signal, cx: &mut Cx) -> Result<Flow, Halt> {
        self.each(|port| port.signal(signal, cx))
    }

    /// Passes a watermark on to all.
    pub(crate) fn mark(&mut self, watermark: Timestamp) {
        for (_, port) in &mut self.ports {
            port.mark(watermark);
        }
    }

    fn each(&mut self, mut act: impl FnMut(&mut dyn Port) -> Result<Flow, Halt>) -> Result<Flow, Halt> {
        let mut flow = Flow::Drained;
        for (_, port) in &mut self.ports {
            if act(port.as_mut())? == Flow::Full {
                flow = Flow::Full;
            }
        }
        Ok(flow)
    }
}

impl fmt::Debug for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ports.iter().map(|(name, _)| name)).finish()
    }
}
