//! The window operator: an accumulator for each key and window, fired and cleaned up by event time.
//!
//! Always: a record costs one look-up for each of its windows; a window fires by a walk over its own table, in pieces, and is
//! dropped as a whole: there is no timer for a key. Which windows have fired follows from the watermark, so it is no state.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Drain;

use super::assign::{Assigner, Window};
use super::live::{Due, LiveWindow, LiveWindows};
use super::pane::Pane;
use super::trigger::{Trigger, TriggerContext};
use super::windowed::Windowed;
use crate::chain::{Folding, Outs, Stepwise};
use crate::error::{BoxError, Result};
use crate::frame::Keyed;
use crate::hook::Callback;
use crate::ids::Uid;
use crate::key::{Key, KeyGroups};
use crate::metrics::Counter;
use crate::operator::{Cx, OpId, OperatorPart, Side, Signal};
use crate::snapshot::RestoredOperator;
use crate::state::{Counted, KeyHasher, KeyedState, LATE_DROPPED, MarkedTables};
use crate::time::Timestamp;

/// The name of the state that keeps the panes of all windows.
const WINDOWS: &str = "windows";

/// What the user has chosen.
pub(crate) struct Rules<F, A, G> {
    pub(crate) folding: Arc<F>,
    pub(crate) assigner: Arc<A>,
    pub(crate) trigger: Arc<G>,
    pub(crate) lateness: Duration,
}

/// Where records go that are too late for all their windows.
pub(crate) struct Late<T> {
    /// None: they are dropped and counted.
    pub(crate) side: Option<Side<T>>,
    pub(crate) dropped: Counter,
}

/// Which operator it is.
pub(crate) struct Name {
    pub(crate) operator: OpId,
    pub(crate) uid: Uid,
}

/// Which keys the instance owns, and how they are hashed.
pub(crate) struct Keys<K> {
    pub(crate) groups: KeyGroups,
    pub(crate) owned: Range<u16>,
    pub(crate) hasher: KeyHasher<K>,
}

type PaneOf<F, G> = Pane<<F as Folding>::Acc, <G as Trigger>::State>;
/// What comes out.
type Results<K, F> = Outs<Windowed<K, <F as Folding>::Out>>;

/// Keeps the windows of one instance.
pub(crate) struct WindowOperator<K: 'static, F: Folding, A, G: Trigger> {
    name: Name,
    rules: Rules<F, A, G>,
    live: LiveWindows<K, PaneOf<F, G>>,
    late: Option<Side<F::In>>,
    dropped: Counted,
    tables: MarkedTables<K>,
    /// What a checkpoint kept under other names.
    others: KeyedState<K>,
}

impl<K: Key, F: Folding, A: Assigner, G: Trigger> WindowOperator<K, F, A, G>
where
    F::In: Clone,
{
    /// With the windows that a checkpoint kept, at the watermark that it kept.
    ///
    /// # Errors
    /// [`crate::Error::StateMismatch`] where what was stored cannot be read.
    pub(crate) fn open(
        name: Name,
        rules: Rules<F, A, G>,
        late: Late<F::In>,
        keys: Keys<K>,
        mut restored: RestoredOperator,
    ) -> Result<Self> {
        let Keys { groups, owned, hasher } = keys;
        let tables = MarkedTables::new(WINDOWS, groups, owned.clone(), hasher.clone());
        let mut live = LiveWindows::new(rules.lateness, restored.watermark);
        match tables.take(&mut restored.states) {
            Some(kept) => kept.into_iter().for_each(|(span, table)| live.take_up(span, table)),
            None => {
                tables.restore(&mut restored.states, |span, hash, key, pane| put(&mut live, &tables, span, (hash, key), pane))?
            }
        }
        let dropped = Counted::open(LATE_DROPPED, late.dropped, &mut restored.states)?;
        let others = KeyedState::new(groups, owned, hasher, restored.states);
        Ok(WindowOperator { name, rules, live, late: late.side, dropped, tables, others })
    }

    /// Adds a record to a window that is alive or comes alive.
    fn add(&mut self, window: Window, record: Keyed<K, F::In>, time: Timestamp, outs: &mut Results<K, F>) {
        let (watermark, tables) = (self.live.watermark, &self.tables);
        if let Some(live) = self.live.at(window, || tables.table()) {
            add(&self.rules, live, record, (time, watermark), outs);
        }
    }

    /// Adds a record to all its windows that are not late.
    fn assign(&mut self, record: Keyed<K, F::In>, time: Timestamp, outs: &mut Results<K, F>) -> Result<(), BoxError> {
        if !time.is_some() {
            return Err(self.no_timestamp());
        }
        let (mut open, mut late) = (None, false);
        for window in self.rules.assigner.windows(time) {
            if self.live.is_late(window) {
                late = true;
            } else if let Some(earlier) = open.replace(window) {
                self.add(earlier, record.clone(), time, outs);
            }
        }
        match open {
            Some(window) => self.add(window, record, time, outs),
            None if late => self.too_late(record.value, time, outs),
            None => {}
        }
        Ok(())
    }

    #[cold]
    fn too_late(&mut self, value: F::In, time: Timestamp, outs: &mut Results<K, F>) {
        match self.late {
            Some(side) => outs.sides.push(side, value, time),
            None => self.dropped.one(),
        }
    }

    #[cold]
    fn no_timestamp(&self) -> BoxError {
        format!(
            "a record without a timestamp reached the windows of '{}': they go by event time, so give the source .watermarks(…)",
            self.name.uid
        )
        .into()
    }

    /// Does a piece of a window's firing.
    fn fire(&mut self, watermark: Timestamp, outs: &mut Results<K, F>) {
        let Some((live, cursor, last_time)) = self.live.firing(watermark) else { return };
        let (window, time) = (live.window, live.window.max_timestamp());
        let Rules { folding, trigger, .. } = &self.rules;
        let cx = TriggerContext { window, time, watermark };
        let mut emit = |key: &K, value: Option<F::Out>| {
            if let Some(value) = value {
                outs.main.push(Windowed { key: key.clone(), window, value }, time);
            }
            !outs.main_is_full()
        };
        let done = if last_time {
            live.table.walk(cursor, |key, pane| {
                let decided = trigger.on_event_time(&mut pane.trigger.clone(), &cx);
                emit(key, pane.fire(decided, |acc| folding.out(acc)))
            })
        } else {
            live.table.walk_mut(cursor, |key, pane| {
                let decided = trigger.on_event_time(&mut pane.trigger, &cx);
                emit(key, pane.obey(decided, |acc| folding.out(acc)))
            })
        };
        if done {
            self.live.has_fired();
        }
    }

    fn snapshot(&mut self, cx: &mut Cx) {
        let tables = self.live.iter_mut().map(|live| ((live.window.start, live.window.end), live.table.view())).collect();
        let mut views = self.others.view();
        views.push(self.tables.view(tables));
        views.extend(self.dropped.view());
        cx.parts.push(OperatorPart { uid: self.name.uid.clone(), views, prepare: None });
    }
}

/// Adds a record to a window, and does what the trigger decides then.
#[inline]
fn add<K: Key, F: Folding, A, G: Trigger>(
    rules: &Rules<F, A, G>,
    live: &mut LiveWindow<K, PaneOf<F, G>>,
    record: Keyed<K, F::In>,
    (time, watermark): (Timestamp, Timestamp),
    outs: &mut Results<K, F>,
) {
    let Rules { folding, trigger, .. } = rules;
    let Keyed { hash, key, value } = record;
    let mut value = Some(value);
    let mut first = || value.take().map(|value| folding.first(value));
    let pane = live.table.get_or_insert_with(hash, &key, || Pane { acc: first(), trigger: G::State::default() });
    match (&mut pane.acc, value) {
        (Some(acc), Some(value)) => folding.add(acc, value),
        (purged, Some(value)) => *purged = Some(folding.first(value)),
        (_, None) => {}
    }
    let cx = TriggerContext { window: live.window, time, watermark };
    let decided = trigger.on_record(&mut pane.trigger, &cx);
    if let Some(value) = pane.obey(decided, |acc| folding.out(acc)) {
        outs.main.push(Windowed { key, window: live.window, value }, live.window.max_timestamp());
    }
}

/// Puts a restored pane into its window's table, unless the window is over by now.
fn put<K: Key, P: Clone>(
    live: &mut LiveWindows<K, P>,
    tables: &MarkedTables<K>,
    (start, end): (Timestamp, Timestamp),
    (hash, key): (u64, K),
    pane: P,
) -> Result<(), BoxError> {
    let window = Window { start, end };
    if live.is_late(window) {
        return Ok(());
    }
    let there = live.restored(window, || tables.table()).and_then(|live| live.table.insert(hash, &key, pane));
    if there.is_some() { Err(format!("its key was there before in the window {window}").into()) } else { Ok(()) }
}

impl<K: Key, F: Folding, A: Assigner, G: Trigger> Stepwise for WindowOperator<K, F, A, G>
where
    F::In: Clone,
{
    type In = Keyed<K, F::In>;
    type Out = Windowed<K, F::Out>;

    /// Records of the last record's window, where they belong to no other.
    #[inline]
    fn run(&mut self, times: &[Timestamp], values: &mut Drain<'_, Self::In>, outs: &mut Results<K, F>, cx: &mut Cx) -> usize {
        let watermark = self.live.watermark;
        let Some(live) = self.live.last().filter(|_| A::DISJOINT) else { return 0 };
        cx.enter(self.name.operator, "window");
        let window = live.window;
        let mut taken = 0;
        for time in times {
            if !window.contains(*time) || outs.is_full() {
                break;
            }
            let Some(record) = values.next() else { break };
            add(&self.rules, live, record, (*time, watermark), outs);
            taken += 1;
        }
        taken
    }

    fn record(
        &mut self,
        record: Keyed<K, F::In>,
        time: Timestamp,
        outs: &mut Results<K, F>,
        cx: &mut Cx,
    ) -> Result<(), BoxError> {
        cx.enter(self.name.operator, "window");
        self.assign(record, time, outs)
    }

    fn advance(&mut self, watermark: Timestamp, outs: &mut Results<K, F>, cx: &mut Cx) -> Result<bool, BoxError> {
        cx.enter(self.name.operator, "window");
        match self.live.due(watermark) {
            Some(Due::Fire) => {
                cx.reach(self.name.operator, Callback::Timer)?;
                self.fire(watermark, outs);
            }
            Some(Due::CleanUp) => self.live.clean_up(),
            None => {
                self.live.watermark = self.live.watermark.max(watermark);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn checkpoint(&mut self, signal: Signal, cx: &mut Cx) -> Result<(), BoxError> {
        if let Signal::Snapshot(_) = signal {
            self.snapshot(cx);
        }
        Ok(())
    }
}
