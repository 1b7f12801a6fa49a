//! Machines of the engine that fuzzers drive, each beside a model that is plain enough to be right.
//!
//! Bytes are a script: each event takes three of them, and what is left over is ignored. Always: a machine does what its model
//! does, or the call panics saying where they part. Called by [`super::fuzzing`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{BoxError, Result};
use crate::gate::model::{Model, Told};
use crate::gate::{Alignment, Step};
use crate::key::KeyGroups;
use crate::state::{Block, StateView, TIMERS, Timers};
use crate::time::Timestamp;
use crate::timer::{TimeDomain, Timer};

/// Channels at most.
const CHANNELS: u8 = 5;

/// Ids lie at most so far from each other, so that barriers of one checkpoint meet.
const NEAR: u8 = 12;

/// Tells alignment whatever the bytes say, in any order: the first one decides how many channels there are.
///
/// # Panics
/// Where alignment does something else than its model, an id falls back, or every channel is blocked.
pub fn alignment(bytes: &[u8]) {
    let Some((first, script)) = bytes.split_first() else { return };
    let channels = usize::from(first % (CHANNELS + 1));
    let (mut alignment, mut model) = (Alignment::new(channels), Model::new(channels));
    let (mut base, mut last) = (0, 0);
    for event in script.as_chunks::<3>().0 {
        let Some(told) = told(event, &mut base) else { continue };
        let steps: Vec<Step> = told.tell(&mut alignment).into_iter().collect();
        assert_eq!(steps, model.told(told), "after {told:?}");
        for step in steps {
            let (Step::Snapshot(id) | Step::Abort(id, _)) = step;
            assert!(id.0 > last, "{id} after {last}");
            last = id.0;
        }
        let blocked: BTreeSet<usize> = (0..channels).filter(|channel| alignment.is_blocked(*channel)).collect();
        assert_eq!(blocked, model.blocked(), "after {told:?}");
        assert!(blocked.is_empty() || blocked.len() < channels, "after {told:?} nothing can be read any more");
    }
}

/// An event; ids lie near a base that some events raise.
fn told(&[what, channel, id]: &[u8; 3], base: &mut u64) -> Option<Told> {
    let (channel, id) = (usize::from(channel % CHANNELS), *base + u64::from(id % NEAR));
    Some(match what % 8 {
        0..=2 => Told::Barrier(channel, id),
        3 => Told::Cancel(id),
        4 => Told::Trigger(id),
        5 => Told::Ended(channel),
        6 => Told::Aborted(id),
        _ => {
            *base = id;
            return None;
        }
    })
}

/// What is known of all timers: when each is due, since which event it is registered, and its key.
type Registered = BTreeMap<(TimeDomain, i64, usize), u64>;

const GROUPS: KeyGroups = KeyGroups::new(8);

/// Registers, deletes and fires timers as the bytes say, and now and then restores them from their own view.
///
/// # Panics
/// Where the timers do something else than a sorted map.
pub fn timers(bytes: &[u8]) {
    let mut timers = restored(None);
    let mut model = Registered::new();
    for (turn, [what, key, time]) in bytes.as_chunks::<3>().0.iter().enumerate() {
        let (key, time) = (u64::from(key % 11), i64::from(*time as i8));
        let domain = if what & 8 == 0 { TimeDomain::Event } else { TimeDomain::Processing };
        let (timer, hash) = (Timer { domain, time: Timestamp::from_millis(time) }, spread(&key));
        let same = model.iter().find(|((d, t, _), k)| (*d, *t, **k) == (domain, time, key)).map(|(at, _)| *at);
        match what % 8 {
            0..=2 => {
                assert_eq!(timers.register(hash, &key, timer), same.is_none(), "{timer:?} of {key}");
                model.entry(same.unwrap_or((domain, time, turn))).or_insert(key);
            }
            3 => {
                assert_eq!(timers.delete(hash, &key, timer), same.is_some(), "{timer:?} of {key}");
                model.retain(|at, _| Some(*at) != same);
            }
            4 => timers = restored(Some(blocks(&*timers.view()))),
            _ => fire(&mut timers, &mut model, timer),
        }
        let next = model.range((domain, i64::MIN, 0)..=(domain, i64::MAX, 0)).next();
        assert_eq!(timers.next_due(domain).map(Timestamp::millis), next.map(|((_, time, _), _)| *time));
    }
}

/// Takes out what is due first.
fn fire(timers: &mut Timers<u64>, model: &mut Registered, up_to: Timer) {
    let domain = up_to.domain;
    let due = model.range((domain, i64::MIN, 0)..=(domain, up_to.time.millis(), usize::MAX)).next();
    let due = due.map(|(at, key)| (*at, *key));
    let fired = timers.pop_due(domain, up_to.time).map(|due| (due.timer.time.millis(), due.key));
    assert_eq!(fired, due.map(|((_, time, _), key)| (time, key)), "up to {up_to:?}");
    if let Some((at, _)) = due {
        model.remove(&at);
    }
}

fn spread(key: &u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn restored(stored: Option<Vec<Block>>) -> Timers<u64> {
    let stored = stored.map(|blocks| (super::fuzzing::described(TIMERS, crate::state::StateKind::Timers), blocks.into()));
    let timers = Timers::new(GROUPS, 0..GROUPS.max(), &(Arc::new(spread) as _), stored);
    timers.unwrap_or_else(|error| panic!("timers cannot be restored from their own view: {error}"))
}

fn blocks(view: &dyn StateView) -> Vec<Block> {
    let mut blocks = Vec::new();
    let written: Result<(), BoxError> = view.write(&mut |block| {
        blocks.push(block.clone());
        Ok(())
    });
    written.unwrap_or_else(|error| panic!("timers cannot be written: {error}"));
    blocks
}
