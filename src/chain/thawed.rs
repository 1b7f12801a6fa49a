//! A view that is not frozen: [`Canary::ViewNotFrozen`].
//!
//! Always: what is written of it is the newest view that its operator has let out. Made by the stage in front of an operator, and
//! by nobody in production.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::checked::Watch;
use crate::error::BoxError;
use crate::hook::Canary;
use crate::ids::CheckpointId;
use crate::operator::{Cx, Halt, Link, OperatorPart, Signal};
use crate::state::{Block, StateDescriptor, StateView};

/// What a view shows, whenever it is looked at.
type Shown = Arc<Mutex<Arc<dyn StateView>>>;

/// The views that an operator has let out at its last barrier, where they are not frozen.
#[derive(Default)]
pub(super) struct Leak {
    barrier: Option<CheckpointId>,
    shown: Vec<Shown>,
}

impl Leak {
    /// The operator has taken its view: it is among these parts.
    pub(super) fn thaw(&mut self, id: CheckpointId, watch: &Watch, parts: &mut [OperatorPart]) {
        if !watch.hooks.breaks(Canary::ViewNotFrozen) {
            return;
        }
        *self = Leak { barrier: Some(id), shown: Vec::new() };
        let own = parts.iter_mut().find(|part| part.uid == watch.uid && part.prepare.is_none());
        for view in own.into_iter().flat_map(|part| &mut part.views) {
            let shown = Arc::new(Mutex::new(view.clone()));
            self.shown.push(shown.clone());
            *view = Arc::new(Thawed { taken: view.clone(), shown });
        }
    }

    /// Whether this barrier's view was taken already.
    pub(super) fn has_seen(&self, signal: Signal) -> bool {
        matches!(signal, Signal::Snapshot(id) if self.barrier == Some(id))
    }

    /// The operator has gone on: its views show it.
    pub(super) fn show<T>(&self, next: &mut dyn Link<T>, cx: &mut Cx) -> Result<(), Halt> {
        let Some(id) = self.barrier.filter(|_| !self.shown.is_empty()) else { return Ok(()) };
        let before = cx.parts.len();
        let _unaffected = next.signal(Signal::Snapshot(id), cx)?;
        let views = cx.parts.drain(before..).next().map_or_else(Vec::new, |part| part.views);
        for (shown, view) in self.shown.iter().zip(views) {
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = view;
        }
        Ok(())
    }
}

/// Pretends to be the view that was taken.
struct Thawed {
    taken: Arc<dyn StateView>,
    shown: Shown,
}

impl StateView for Thawed {
    fn descriptor(&self) -> &StateDescriptor {
        self.taken.descriptor()
    }

    fn held_bytes(&self) -> u64 {
        self.taken.held_bytes()
    }

    fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    fn write(&self, emit: &mut dyn FnMut(&mut Block) -> Result<(), BoxError>) -> Result<(), BoxError> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        shown.write(emit)
    }
}

impl fmt::Debug for Thawed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.taken.fmt(f)
    }
}
