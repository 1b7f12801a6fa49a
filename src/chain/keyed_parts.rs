//! What an instance of an operator with keyed state has beside the user's own: its states, its timers, and what it copies of them while
//! a view shares them.
//!
//! Always: timers fire in the order of their times, and are gone before they do; what callbacks copy, and what sweeps look at, counts
//! towards the step's share of work. Used by the links around such operators, on the task's thread.

use std::sync::Arc;

use crate::config::PIECES_PER_COPY;
use crate::error::BoxError;
use crate::hook::Callback;
use crate::key::Key;
use crate::operator::{Cx, OpId};
use crate::state::{DueTimer, KeyState, KeyTimers, KeyedState, StateView, Timers, passed};
use crate::time::Timestamp;
use crate::timer::{TimeDomain, Timer};

/// Callbacks in a row that copy nothing after which so little is left to be copied that it is no longer counted.
const QUIET_CALLBACKS: u32 = 256;

/// Places that a piece of a sweep looks at: some ten microseconds' worth.
const PLACES_PER_PIECE: usize = 1024;

/// What writes copy of state that a view shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Copying {
    /// Nothing: no view was taken, or what is left to be copied is little.
    #[default]
    Nothing,
    /// A view was taken. So many pieces had been copied before, and so many callbacks more have to copy nothing.
    Until { copies: u64, quiet: u32 },
    /// The same, and the step has copied enough.
    Enough { copies: u64, quiet: u32 },
}

/// The states and the timers of one instance.
pub(crate) struct KeyedParts<K: 'static> {
    pub(super) states: KeyedState<K>,
    timers: Timers<K>,
    /// Up to where event time is worked off.
    pub(super) watermark: Timestamp,
    copying: Copying,
}

impl<K: Key> KeyedParts<K> {
    /// As they were registered; `watermark` is the one that was restored.
    pub(crate) fn new(states: KeyedState<K>, timers: Timers<K>, watermark: Timestamp) -> Self {
        KeyedParts { states, timers, watermark, copying: Copying::Nothing }
    }

    /// What a callback sees of a key.
    #[inline]
    pub(super) fn of_key<'a>(&'a mut self, (hash, key): (u64, &'a K), cx: &'a mut Cx) -> (KeyState<'a, K>, KeyTimers<'a, K>) {
        let state = KeyState::new(self.states.at(cx.wall), hash, key);
        (state, KeyTimers::new(&mut self.timers, hash, key, &mut cx.next_due))
    }

    /// Takes out the first timer that is due at `up_to`, to be fired by this operator.
    pub(super) fn pop_due(
        &mut self,
        operator: OpId,
        (domain, up_to): (TimeDomain, Timestamp),
        cx: &mut Cx,
    ) -> Result<Option<DueTimer<K>>, BoxError> {
        let Some(due) = self.timers.pop_due(domain, up_to) else { return Ok(None) };
        cx.enter(operator, "on_timer");
        cx.reach(operator, Callback::Timer)?;
        Ok(Some(due))
    }

    /// No timer has fired, or one has: cleans up a piece of what has expired if none has, and says when there is more to do. It is said
    /// each time, because a full output may keep the loop from asking again.
    pub(super) fn after_due(&mut self, fired: bool, cx: &mut Cx) {
        if let Some(time) = self.timers.next_due(TimeDomain::Processing) {
            cx.due_at(passed(time));
        }
        if !fired {
            self.states.at(cx.wall).sweep(PLACES_PER_PIECE);
            self.due_to_sweep(cx);
        }
    }

    /// Says when there is something to clean up.
    pub(super) fn due_to_sweep(&self, cx: &mut Cx) {
        let next = self.states.sweep_at();
        if next < Timestamp::MAX {
            cx.due_at(next.max(cx.wall));
        }
    }

    /// All states and the timers, frozen; from now on, what is copied of them is counted.
    pub(super) fn views(&mut self, cx: &Cx) -> Vec<Arc<dyn StateView>> {
        self.copying = Copying::Until { copies: self.states.copies(), quiet: QUIET_CALLBACKS };
        let mut views = self.states.at(cx.wall).view();
        views.push(self.timers.view());
        views
    }

    /// A callback is over.
    #[inline]
    pub(super) fn count_copies(&mut self, cx: &mut Cx) {
        if self.copying != Copying::Nothing {
            self.count(cx);
        }
    }

    /// Counts what the last callback has copied towards the step's share of work.
    #[cold]
    fn count(&mut self, cx: &mut Cx) {
        let (Copying::Until { copies, quiet } | Copying::Enough { copies, quiet }) = self.copying else { return };
        let copied = self.states.copies();
        let pieces = i32::try_from(copied.saturating_sub(copies)).unwrap_or(i32::MAX).saturating_mul(PIECES_PER_COPY);
        let quiet = if pieces > 0 { QUIET_CALLBACKS } else { quiet - 1 };
        self.copying = match quiet {
            0 => Copying::Nothing,
            _ if pieces > 0 && !cx.spend(pieces) => Copying::Enough { copies: copied, quiet },
            _ => Copying::Until { copies: copied, quiet },
        };
    }

    /// Whether the step may go on: one that has copied enough of the state stops, once.
    #[inline]
    pub(super) fn may_go_on(&mut self) -> bool {
        if let Copying::Enough { copies, quiet } = self.copying {
            self.copying = Copying::Until { copies, quiet };
            return false;
        }
        true
    }
}

/// The timestamp of what is emitted when a timer fires.
pub(super) fn emits_at(timer: Timer) -> Timestamp {
    match timer.domain {
        TimeDomain::Event => timer.time,
        TimeDomain::Processing => Timestamp::NONE,
    }
}
