//! The windows that are alive, each with a table of its panes.
//!
//! Always: windows are ordered by end, then by start; those at the front have fired, as many as `fired` says. What is due comes in
//! order of time: the next window to fire, or the first one to be cleaned up, and firing comes first where both are due at once.

use std::collections::VecDeque;
use std::time::Duration;

use super::assign::Window;
use crate::state::{Cursor, KeyedTable};
use crate::time::Timestamp;

/// Emptied tables that are kept for the next windows, with what was allocated for them: growing a table costs more than filling
/// it. As many as are closed between two openings, as a rule.
const SPARE_TABLES: usize = 2;

/// A window and its panes.
pub(super) struct LiveWindow<K, P> {
    pub(super) window: Window,
    pub(super) table: KeyedTable<K, P>,
}

/// All windows that are alive.
pub(super) struct LiveWindows<K, P> {
    windows: VecDeque<LiveWindow<K, P>>,
    /// How many have fired.
    fired: usize,
    /// The window of the last record, as the assigner gives it; restored windows may be another assigner's.
    last: Option<usize>,
    /// How far the piece of work that is due first has come.
    cursor: Cursor,
    spare: Vec<KeyedTable<K, P>>,
    lateness: Duration,
    /// What event time has come to, everything that was due then being done.
    pub(super) watermark: Timestamp,
}

/// What is due next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The next window that has not fired.
    Fire,
    /// The end of the first window's allowed lateness.
    CleanUp,
}

impl<K, P> LiveWindows<K, P> {
    /// None, at the watermark that a checkpoint kept.
    pub(super) fn new(lateness: Duration, watermark: Timestamp) -> Self {
        let (windows, spare) = (VecDeque::new(), Vec::new());
        LiveWindows { windows, fired: 0, last: None, cursor: Cursor::default(), spare, lateness, watermark }
    }

    /// When a window is cleaned up.
    fn gone_at(&self, window: Window) -> Timestamp {
        window.max_timestamp().plus(self.lateness)
    }

    /// When a window is cleaned up, if `watermark` has come to it. A window whose lateness ends with time itself stays.
    fn gone_by(&self, window: Window, watermark: Timestamp) -> Option<Timestamp> {
        Some(self.gone_at(window)).filter(|gone| *gone <= watermark && *gone < Timestamp::MAX)
    }

    /// Whether a record that belongs to the window comes too late for it.
    #[inline]
    pub(super) fn is_late(&self, window: Window) -> bool {
        self.gone_at(window) <= self.watermark
    }

    /// The window of the last record.
    #[inline]
    pub(super) fn last(&mut self) -> Option<&mut LiveWindow<K, P>> {
        self.windows.get_mut(self.last?)
    }

    /// The window of a record, alive; if it wasn't, with a table that was emptied or is made new.
    pub(super) fn at(&mut self, window: Window, new: impl FnOnce() -> KeyedTable<K, P>) -> Option<&mut LiveWindow<K, P>> {
        let at = self.enliven(window, new);
        self.last = Some(at);
        self.windows.get_mut(at)
    }

    /// The same for a window that is restored.
    pub(super) fn restored(&mut self, window: Window, new: impl FnOnce() -> KeyedTable<K, P>) -> Option<&mut LiveWindow<K, P>> {
        let at = self.enliven(window, new);
        self.windows.get_mut(at)
    }

    /// A window of which the whole table is still there.
    pub(super) fn take_up(&mut self, (start, end): (Timestamp, Timestamp), table: KeyedTable<K, P>) {
        let window = Window { start, end };
        if !self.is_late(window) {
            self.enliven(window, || table);
        }
    }

    fn enliven(&mut self, window: Window, new: impl FnOnce() -> KeyedTable<K, P>) -> usize {
        match self.find(window) {
            Ok(at) => at,
            Err(at) => {
                let table = self.spare.pop().unwrap_or_else(new);
                self.windows.insert(at, LiveWindow { window, table });
                self.fired += usize::from(window.max_timestamp() <= self.watermark);
                at
            }
        }
    }

    /// Where the window is or belongs. Windows of one record, and of records one after another, are mostly neighbours.
    fn find(&self, window: Window) -> Result<usize, usize> {
        for near in self.last.map_or(0..0, |last| last.saturating_sub(1)..last + 2) {
            if self.windows.get(near).is_some_and(|live| live.window == window) {
                return Ok(near);
            }
        }
        self.windows.binary_search_by_key(&(window.end, window.start), |live| (live.window.end, live.window.start))
    }

    /// What is due first at `watermark`.
    pub(super) fn due(&self, watermark: Timestamp) -> Option<Due> {
        let fire = self.windows.get(self.fired).map(|live| live.window.max_timestamp());
        let gone = self.windows.front().and_then(|live| self.gone_by(live.window, watermark));
        match (fire.filter(|at| *at <= watermark), gone) {
            (Some(fire), Some(gone)) if gone < fire => Some(Due::CleanUp),
            (Some(_), _) => Some(Due::Fire),
            (None, Some(_)) => Some(Due::CleanUp),
            (None, None) => None,
        }
    }

    /// The window that fires next and how far its firing has come, and whether it is needed no more afterwards.
    pub(super) fn firing(&mut self, watermark: Timestamp) -> Option<(&mut LiveWindow<K, P>, &mut Cursor, bool)> {
        let last_time = self.windows.get(self.fired).is_some_and(|live| self.gone_by(live.window, watermark).is_some());
        Some((self.windows.get_mut(self.fired)?, &mut self.cursor, last_time))
    }

    /// The window has fired for all its keys.
    pub(super) fn has_fired(&mut self) {
        self.fired += 1;
        self.cursor = Cursor::default();
    }

    /// Does a piece of the cleaning up of the first window.
    pub(super) fn clean_up(&mut self) {
        let Some(first) = self.windows.front_mut() else { return };
        if !first.table.clear_some(&mut self.cursor) {
            return;
        }
        self.cursor = Cursor::default();
        self.fired = self.fired.saturating_sub(1);
        self.last = self.last.and_then(|last| last.checked_sub(1));
        if let Some(LiveWindow { table, .. }) = self.windows.pop_front()
            && self.spare.len() < SPARE_TABLES
        {
            self.spare.push(table);
        }
    }

    /// All of them, by rising end.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut LiveWindow<K, P>> {
        self.windows.iter_mut()
    }
}
