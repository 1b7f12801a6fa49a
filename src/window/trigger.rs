//! Triggers: when a window gives a result for a key.
//!
//! A trigger is asked at each record and, once, when the watermark passes the window's last millisecond. What it has to remember
//! is state of the key and the window, kept and restored with the accumulator.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::assign::Window;
use crate::time::Timestamp;

/// What a trigger decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerResult {
    /// Nothing happens.
    Continue,
    /// A result goes out; what was gathered stays.
    Fire,
    /// A result goes out, and what was gathered is forgotten.
    FireAndPurge,
    /// What was gathered is forgotten.
    Purge,
}

impl TriggerResult {
    #[inline]
    pub(super) fn fires(self) -> bool {
        matches!(self, TriggerResult::Fire | TriggerResult::FireAndPurge)
    }

    #[inline]
    pub(super) fn purges(self) -> bool {
        matches!(self, TriggerResult::Purge | TriggerResult::FireAndPurge)
    }
}

/// What a trigger is asked about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TriggerContext {
    /// The window.
    pub window: Window,
    /// The record's timestamp, or the point of event time that has come.
    pub time: Timestamp,
    /// How far event time has come.
    pub watermark: Timestamp,
}

/// Decides when a window gives a result.
pub trait Trigger: Send + Sync + 'static {
    /// What is kept for each key and window. `()` takes no room.
    type State: Default + Clone + Send + Sync + Serialize + DeserializeOwned + 'static;

    /// A record was added to the window.
    fn on_record(&self, state: &mut Self::State, cx: &TriggerContext) -> TriggerResult;

    /// The watermark has passed the window's last millisecond; called once for each key of the window.
    fn on_event_time(&self, state: &mut Self::State, cx: &TriggerContext) -> TriggerResult;
}

/// Fires when the watermark passes the window's last millisecond, and then at once for each record that is late but allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventTime;

impl Trigger for EventTime {
    type State = ();

    #[inline]
    fn on_record(&self, (): &mut (), cx: &TriggerContext) -> TriggerResult {
        if cx.window.max_timestamp() <= cx.watermark { TriggerResult::Fire } else { TriggerResult::Continue }
    }

    #[inline]
    fn on_event_time(&self, (): &mut (), _: &TriggerContext) -> TriggerResult {
        TriggerResult::Fire
    }
}

/// Fires at every n-th record of a key and window, and not when the window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    every: u64,
}

impl Count {
    /// Fires at every `n`-th record; 0 is taken as 1.
    pub fn of(n: u64) -> Self {
        Count { every: n.max(1) }
    }
}

impl Trigger for Count {
    type State = u64;

    #[inline]
    fn on_record(&self, seen: &mut u64, _: &TriggerContext) -> TriggerResult {
        *seen += 1;
        if *seen < self.every {
            return TriggerResult::Continue;
        }
        *seen = 0;
        TriggerResult::Fire
    }

    #[inline]
    fn on_event_time(&self, _: &mut u64, _: &TriggerContext) -> TriggerResult {
        TriggerResult::Continue
    }
}

/// Forgets what was gathered whenever another trigger fires, so that each result tells only what is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purging<T>(pub T);

impl<T> Purging<T> {
    fn purging(result: TriggerResult) -> TriggerResult {
        if result.fires() { TriggerResult::FireAndPurge } else { result }
    }
}

impl<T: Trigger> Trigger for Purging<T> {
    type State = T::State;

    #[inline]
    fn on_record(&self, state: &mut T::State, cx: &TriggerContext) -> TriggerResult {
        Self::purging(self.0.on_record(state, cx))
    }

    #[inline]
    fn on_event_time(&self, state: &mut T::State, cx: &TriggerContext) -> TriggerResult {
        Self::purging(self.0.on_event_time(state, cx))
    }
}
