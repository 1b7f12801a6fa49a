//! Faults as data: what is to go wrong in a simulated job, and where.
//!
//! Always: a plan is a plain value that says everything; two simulations of one seed, one job and one plan are the same. Drawn by
//! [`FaultPlan::strategy`], carried out by the [`Simulation`](super::Simulation) that is given it.

use std::fmt;
use std::time::Duration;

use super::disk::{DiskCall, DiskFault};
use crate::hook::{Callback, Control, CrashPoint, Role};

/// What is to go wrong. Each fault counts for itself, over all processes of a simulation.
///
/// ```
/// use tidegate::testing::{Callback, Failure, FaultPlan, PlannedFault};
///
/// let plan = FaultPlan::new().and(PlannedFault::callback(Callback::Record, 60, Failure::Panic).of("counts"));
/// assert_eq!(plan.to_string(), "a panic in the 60th call of Record of 'counts'");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// The faults. Their order matters for deaths of the process only, which come one after the other.
    pub faults: Vec<PlannedFault>,
}

impl FaultPlan {
    /// In which nothing goes wrong.
    pub fn new() -> Self {
        FaultPlan::default()
    }

    /// With one more fault.
    #[must_use]
    pub fn and(mut self, fault: PlannedFault) -> Self {
        self.faults.push(fault);
        self
    }

    /// How many processes die by it.
    pub fn deaths(&self) -> usize {
        self.faults.iter().filter(|fault| fault.kills()).count()
    }
}

impl FromIterator<PlannedFault> for FaultPlan {
    fn from_iter<I: IntoIterator<Item = PlannedFault>>(faults: I) -> Self {
        FaultPlan { faults: faults.into_iter().collect() }
    }
}

/// How a callback fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// It returns an error. A callback that cannot panics.
    Error,
    /// It panics.
    Panic,
}

/// What comes over a job at a [`CrashPoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Calamity {
    /// Whoever is there panics: a task, an actor, or a piece of blocking work.
    Panic,
    /// The process dies.
    Death,
    /// The next call of the store is refused.
    StoreError,
    /// The user cancels the job.
    Cancel,
}

impl Calamity {
    /// All of them.
    pub const ALL: [Calamity; 4] = [Calamity::Panic, Calamity::Death, Calamity::StoreError, Calamity::Cancel];
}

/// One thing that goes wrong, once. Every `nth` counts from 1 those events that the other fields describe.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlannedFault {
    /// A callback fails.
    Callback {
        /// The uid of the operator, source or sink; any where none is given.
        operator: Option<String>,
        /// Which callback.
        callback: Callback,
        /// At which of its calls.
        nth: u64,
        /// How.
        failure: Failure,
    },
    /// A call of the store fails.
    Store {
        /// Which call.
        call: DiskCall,
        /// Part of the path that it is for; empty for any path.
        path: String,
        /// At which of these calls.
        nth: u64,
        /// How.
        effect: DiskFault,
    },
    /// An actor crashes.
    Actor {
        /// Which one; any of its kind.
        role: Role,
        /// At which message that it takes up.
        nth: u64,
    },
    /// A message is lost.
    Lost {
        /// What it says.
        message: Control,
        /// Which one of its kind.
        nth: u64,
    },
    /// A message comes late, when others have come before it.
    Late {
        /// What it says.
        message: Control,
        /// Which one of its kind.
        nth: u64,
        /// How much later, in virtual time.
        by: Duration,
    },
    /// An edge hands nothing out for a while: its frames wait, those of other edges do not.
    Stall {
        /// At which frame, of all edges of all tasks.
        nth: u64,
        /// How long, in virtual time.
        lasts: Duration,
    },
    /// The process dies, and everything that is not durable with it.
    Death {
        /// At which step of the process: a step of a task, a piece of blocking work, or a call of the store.
        step: u64,
    },
    /// Something happens at a crash point.
    At {
        /// Where.
        point: CrashPoint,
        /// At which time that it is come to.
        nth: u64,
        /// What.
        calamity: Calamity,
    },
}

impl PlannedFault {
    /// The `nth` call of a callback of any operator fails.
    pub fn callback(callback: Callback, nth: u64, failure: Failure) -> Self {
        PlannedFault::Callback { operator: None, callback, nth, failure }
    }

    /// Only for the operator, source or sink with this uid: of callbacks.
    #[must_use]
    pub fn of(mut self, uid: &str) -> Self {
        if let PlannedFault::Callback { operator, .. } = &mut self {
            *operator = Some(uid.to_owned());
        }
        self
    }

    /// Something happens when a crash point is come to for the `nth` time.
    pub fn at(point: CrashPoint, nth: u64, calamity: Calamity) -> Self {
        PlannedFault::At { point, nth, calamity }
    }

    /// The process dies at this step.
    pub fn death(step: u64) -> Self {
        PlannedFault::Death { step }
    }

    /// Whether the process dies by it.
    pub fn kills(&self) -> bool {
        matches!(self, PlannedFault::Death { .. } | PlannedFault::At { calamity: Calamity::Death, .. })
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.faults.is_empty() {
            return write!(f, "nothing goes wrong");
        }
        for (i, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if i > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlannedFault::Callback { operator, callback, nth, failure } => {
                let what = if *failure == Failure::Panic { "a panic" } else { "an error" };
                let whose = operator.as_ref().map_or("of any operator".to_owned(), |uid| format!("of '{uid}'"));
                write!(f, "{what} in the {} call of {callback:?} {whose}", ordinal(*nth))
            }
            PlannedFault::Store { call, path, nth, effect } => {
                let which = if path.is_empty() { String::new() } else { format!(" for a path with '{path}'") };
                write!(f, "the store's {} {call:?}{which} fails: {effect:?}", ordinal(*nth))
            }
            PlannedFault::Actor { role, nth } => write!(f, "a crash of the {role:?} at its {} message", ordinal(*nth)),
            PlannedFault::Lost { message, nth } => write!(f, "the {} {message:?} is lost", ordinal(*nth)),
            PlannedFault::Late { message, nth, by } => write!(f, "the {} {message:?} comes {by:?} late", ordinal(*nth)),
            PlannedFault::Stall { nth, lasts } => write!(f, "the edge of the {} frame stalls for {lasts:?}", ordinal(*nth)),
            PlannedFault::Death { step } => write!(f, "the process dies at step {step}"),
            PlannedFault::At { point, nth, calamity } => write!(f, "{calamity:?} at {point}, the {} time", ordinal(*nth)),
        }
    }
}

fn ordinal(n: u64) -> String {
    let suffix = match (n % 10, n % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}

/// What became of a planned fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The fault.
    pub fault: PlannedFault,
    /// How many of the events that it counts there were.
    pub seen: u64,
    /// Whether it struck.
    pub fired: bool,
}
