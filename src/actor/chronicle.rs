//! What has happened to a job: its last events, for those who listen, and what is known from all of them.
//!
//! Always: telling an event never waits for a listener; so many events are kept at most, and a listener that falls behind further is told
//! how many it has lost. Told by the actors, a few times a checkpoint; read on any thread.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::event::JobEvent;
use super::known::Known;
use crate::config::EVENTS_KEPT;
use crate::time::Moment;

/// A job's events.
#[derive(Debug)]
pub(crate) struct Chronicle {
    told: Mutex<Told>,
    /// How many events there were: changes with each.
    count: watch::Sender<u64>,
}

#[derive(Debug)]
struct Told {
    events: VecDeque<JobEvent>,
    /// How many came before the first one that is kept.
    dropped: u64,
    known: Known,
}

/// What there is for a listener.
pub(crate) enum Heard {
    /// The next event.
    Event(JobEvent),
    /// So many were lost before the next one.
    Missed(u64),
    /// None for now.
    Nothing,
}

impl Chronicle {
    pub(super) fn new(known: Known) -> Self {
        let told = Told { events: VecDeque::new(), dropped: 0, known };
        Chronicle { told: Mutex::new(told), count: watch::Sender::new(0) }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of an event.
    pub(super) fn tell(&self, event: JobEvent, now: Moment) {
        let mut told = self.told();
        told.known.learn(&event, now);
        told.events.push_back(event);
        if told.events.len() > EVENTS_KEPT {
            told.events.pop_front();
            told.dropped += 1;
        }
        let count = told.dropped + told.events.len() as u64;
        drop(told);
        self.count.send_replace(count);
    }

    /// The event with this number, for a listener that has heard all before it.
    pub(crate) fn hear(&self, number: u64) -> Heard {
        let told = self.told();
        match number.checked_sub(told.dropped) {
            None => Heard::Missed(told.dropped - number),
            Some(at) => {
                let event = usize::try_from(at).ok().and_then(|at| told.events.get(at));
                event.map_or(Heard::Nothing, |event| Heard::Event(event.clone()))
            }
        }
    }

    /// Changes with each event.
    pub(crate) fn count(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// What is known by now.
    pub(crate) fn known(&self) -> Known {
        self.told().known.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CheckpointId;

    fn begun(id: u64) -> JobEvent {
        JobEvent::CheckpointBegun { id: CheckpointId(id) }
    }

    #[test]
    fn a_slow_listener_loses_the_oldest_and_hears_how_many() {
        let chronicle = Chronicle::new(Known::new(0, Moment::default()));
        assert!(matches!(chronicle.hear(0), Heard::Nothing));
        let all = EVENTS_KEPT as u64 + 7;
        (0..all).for_each(|id| chronicle.tell(begun(id), Moment::default()));
        assert!(matches!(chronicle.hear(2), Heard::Missed(5)));
        assert!(matches!(chronicle.hear(7), Heard::Event(JobEvent::CheckpointBegun { id: CheckpointId(7) })));
        assert!(matches!(chronicle.hear(all - 1), Heard::Event(JobEvent::CheckpointBegun { id }) if id.0 == all - 1));
        assert!(matches!(chronicle.hear(all), Heard::Nothing));
        assert_eq!(*chronicle.count().borrow(), all);
    }
}
