//! The end of a harness's flow: notes what comes out, in order.
//!
//! Always: it takes everything at once, so it is never what an operator waits for.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Drain;

use crate::api::{Record, Stream};
use crate::frame::{Batch, Consumer, InputState, Took};
use crate::ids::CheckpointId;
use crate::operator::{Cx, Flow, Halt, Link, Signal};
use crate::plan::{Node, NodeKind, Routing, link};
use crate::time::Timestamp;

/// Something that came out of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Emitted<T> {
    /// A record, with its timestamp if it has one.
    Record(T, Option<Timestamp>),
    /// A watermark; [`Timestamp::MAX`] at the end of data.
    Watermark(Timestamp),
    /// No record is to be expected for now.
    Idle,
    /// After [`Emitted::Idle`]: records may come again.
    Active,
    /// The barrier of a checkpoint.
    Barrier(CheckpointId),
    /// The end of data.
    End,
}

/// What came out so far. Clones are the same outlet.
pub(super) struct Outlet<T>(Arc<Mutex<Vec<Emitted<T>>>>);

impl<T> Outlet<T> {
    pub(super) fn new() -> Self {
        Outlet(Arc::default())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Emitted<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes everything out.
    pub(super) fn events(&self) -> Vec<Emitted<T>> {
        std::mem::take(&mut *self.lock())
    }

    /// Takes everything out; the records of it.
    pub(super) fn records(&self) -> Vec<T> {
        let record = |event| if let Emitted::Record(value, _) = event { Some(value) } else { None };
        self.events().into_iter().filter_map(record).collect()
    }
}

impl<T> Clone for Outlet<T> {
    fn clone(&self) -> Self {
        Outlet(self.0.clone())
    }
}

impl<T> fmt::Debug for Outlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outlet({})", self.lock().len())
    }
}

/// An outlet, whatever it is of.
pub(super) trait Forgets {
    /// Forgets a barrier that nobody asked for.
    fn forget(&self, id: CheckpointId);
}

impl<T: Send> Forgets for Outlet<T> {
    fn forget(&self, id: CheckpointId) {
        self.lock().retain(|event| !matches!(event, Emitted::Barrier(barrier) if *barrier == id));
    }
}

impl<T: Record> Outlet<T> {
    /// Ends a stream here. All instances of its operator send to one task.
    pub(super) fn attach(&self, stream: &Stream<T>, name: String) {
        let outlet = self.clone();
        let kind = NodeKind::Sink {
            make: Box::new(move |_| Ok(link::<T>(Box::new(Collect { outlet: outlet.clone(), idle: false })))),
            recover: Box::new(|_, _| Ok(())),
        };
        let node = Node {
            verb: "sink",
            name: Some(name),
            uid: None,
            parallelism: Some(1),
            stateful: false,
            kind,
            inputs: vec![stream.input(Routing::Forward)],
            ports: Vec::new(),
        };
        stream.flow.lock().add(node);
    }
}

struct Collect<T> {
    outlet: Outlet<T>,
    /// That it is active at the very beginning is not worth a word.
    idle: bool,
}

impl<T> Collect<T> {
    fn note(&self, event: Emitted<T>) {
        self.outlet.lock().push(event);
    }

    fn state(&mut self, state: InputState) {
        let idle = state == InputState::Idle;
        if std::mem::replace(&mut self.idle, idle) != idle {
            self.note(if idle { Emitted::Idle } else { Emitted::Active });
        }
    }
}

impl<T> Consumer<T> for Collect<T> {
    type Error = Halt;

    fn records(&mut self, run: usize, values: &mut Drain<'_, T>, times: &[Timestamp]) -> Result<Took<T>, Halt> {
        for (at, value) in values.by_ref().take(run).enumerate() {
            self.note(Emitted::Record(value, times.get(at).copied().filter(|time| time.is_some())));
        }
        Ok(Took::All)
    }

    fn mark(&mut self, watermark: Timestamp) -> Result<bool, Halt> {
        self.note(Emitted::Watermark(watermark));
        Ok(true)
    }
}

impl<T: Send> Link<T> for Collect<T> {
    fn push(&mut self, batch: &mut Batch<T>, _: &mut Cx) -> Result<Flow, Halt> {
        batch.consume(self)?;
        Ok(Flow::Drained)
    }

    fn signal(&mut self, signal: Signal, _: &mut Cx) -> Result<Flow, Halt> {
        match signal {
            Signal::State(state) => self.state(state),
            Signal::Barrier(id) => self.note(Emitted::Barrier(id)),
            Signal::End => self.note(Emitted::End),
            _ => {}
        }
        Ok(Flow::Drained)
    }
}
