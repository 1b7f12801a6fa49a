//! A fault plan under way: each fault counts the events that it is about, and strikes at its own.
//!
//! Always: every fault counts for itself, also where another one strikes; each strikes once: at the event that it is planned for, or
//! at the next one, where several operators of a chain are meant and the record that was the planned one is on its way in another of
//! them. It outlives the processes of its simulation. Asked by the simulated process and by its disk.

use std::time::Duration;

use super::disk::DiskFault;
use super::plan::{Calamity, Failure, Fate, FaultPlan, PlannedFault};
use crate::hook::{Callback, Control, CrashPoint, Role, Route};
use crate::ids::Uid;
use crate::snapshot::Call;

/// The faults of a plan, with what each has counted.
#[derive(Debug, Default)]
pub(super) struct Armed {
    fates: Vec<Fate>,
    /// Which faults have struck since this was asked for.
    struck: Vec<usize>,
}

impl Armed {
    pub(super) fn new(plan: FaultPlan) -> Self {
        let fate = |fault| Fate { fault, seen: 0, fired: false };
        Armed { fates: plan.faults.into_iter().map(fate).collect(), struck: Vec::new() }
    }

    pub(super) fn fates(&self) -> Vec<Fate> {
        self.fates.clone()
    }

    /// The places in the plan of those faults that have struck since the last call.
    pub(super) fn take_struck(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.struck)
    }

    /// Counts an event for those faults of which `what` says something; returns that of the first that strikes.
    fn count<T>(&mut self, what: impl Fn(&PlannedFault) -> Option<(u64, T)>) -> Option<T> {
        let mut strikes = None;
        for (at, fate) in self.fates.iter_mut().enumerate() {
            let Some((nth, effect)) = what(&fate.fault) else { continue };
            fate.seen += 1;
            if fate.seen >= nth && !fate.fired {
                fate.fired = true;
                self.struck.push(at);
                strikes = strikes.or(Some(effect));
            }
        }
        strikes
    }

    /// A callback is called.
    pub(super) fn callback(&mut self, uid: &Uid, call: Callback) -> Option<Failure> {
        self.count(|fault| match fault {
            PlannedFault::Callback { operator, callback, nth, failure } if is_meant(operator, *callback, uid, call) => {
                Some((*nth, *failure))
            }
            _ => None,
        })
    }

    /// How many calls of a callback go well before one fails.
    pub(super) fn ahead(&self, uid: &Uid, call: Callback) -> usize {
        let left = |fate: &Fate| match &fate.fault {
            PlannedFault::Callback { operator, callback, nth, .. } if is_meant(operator, *callback, uid, call) => {
                Some(nth.saturating_sub(fate.seen + 1))
            }
            _ => None,
        };
        self.fates
            .iter()
            .filter(|fate| !fate.fired)
            .filter_map(left)
            .min()
            .map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// So many calls went well.
    pub(super) fn passed(&mut self, uid: &Uid, call: Callback, calls: usize) {
        for fate in &mut self.fates {
            if let PlannedFault::Callback { operator, callback, .. } = &fate.fault
                && is_meant(operator, *callback, uid, call)
            {
                fate.seen += calls as u64;
            }
        }
    }

    /// The fault with this place in the plan, for people.
    pub(super) fn named(&self, place: usize) -> String {
        self.fates.get(place).map(|fate| fate.fault.to_string()).unwrap_or_default()
    }

    /// The store is called.
    pub(super) fn store(&mut self, made: &Call<'_>) -> Option<DiskFault> {
        self.count(|fault| match fault {
            PlannedFault::Store { call, path, nth, effect } if call.covers(made.kind) && made.path.contains(path.as_str()) => {
                Some((*nth, *effect))
            }
            _ => None,
        })
    }

    /// An actor takes a message up; true if it crashes.
    pub(super) fn actor(&mut self, taker: Role) -> bool {
        let crash = self.count(|fault| match fault {
            PlannedFault::Actor { role, nth } if *role == taker => Some((*nth, ())),
            _ => None,
        });
        crash.is_some()
    }

    /// A message is sent.
    pub(super) fn route(&mut self, sent: Control) -> Route {
        let route = self.count(|fault| match fault {
            PlannedFault::Lost { message, nth } if *message == sent => Some((*nth, Route::Lost)),
            PlannedFault::Late { message, nth, by } if *message == sent => Some((*nth, Route::Late(*by))),
            _ => None,
        });
        route.unwrap_or(Route::Deliver)
    }

    /// A frame is about to be taken.
    pub(super) fn stall(&mut self) -> Option<Duration> {
        self.count(|fault| match fault {
            PlannedFault::Stall { nth, lasts } => Some((*nth, *lasts)),
            _ => None,
        })
    }

    /// The process has come to a step; true if it dies. Of several deaths, each has a process of its own.
    pub(super) fn dies(&mut self, at: u64) -> bool {
        let next = self.fates.iter_mut().enumerate().find_map(|(place, fate)| match fate.fault {
            PlannedFault::Death { step } if !fate.fired => Some((place, step, fate)),
            _ => None,
        });
        let Some((place, step, fate)) = next else { return false };
        fate.seen = fate.seen.max(at);
        fate.fired = at == step;
        if fate.fired {
            self.struck.push(place);
        }
        at == step
    }

    /// A crash point is come to.
    pub(super) fn crash(&mut self, at: CrashPoint) -> Option<Calamity> {
        self.count(|fault| match fault {
            PlannedFault::At { point, nth, calamity } if *point == at => Some((*nth, *calamity)),
            _ => None,
        })
    }
}

fn is_meant(operator: &Option<String>, planned: Callback, uid: &Uid, call: Callback) -> bool {
    planned == call && operator.as_ref().is_none_or(|operator| operator == uid.as_str())
}
