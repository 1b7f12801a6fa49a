//! Fault plans as text that fits into an environment variable, so that a failing case can be replayed.
//!
//! Always: what is written is read back as the same plan. Names are those of the types' variants.

use std::fmt::{Debug, Write};
use std::time::Duration;

use super::disk::{DiskCall, DiskFault};
use super::plan::{Calamity, Failure, FaultPlan, PlannedFault};
use crate::hook::{Callback, Control, CrashPoint, Role};

const FAILURES: [Failure; 2] = [Failure::Error, Failure::Panic];
const EFFECTS: [DiskFault; 5] =
    [DiskFault::Refused, DiskFault::Torn, DiskFault::Unsynced, DiskFault::MaybeDone, DiskFault::Forgotten];
/// Stands for any operator.
const ANY: &str = "*";
/// What a plan is written as in which nothing goes wrong.
const NOTHING: &str = "nothing";

/// The plan as text.
pub(super) fn written(plan: &FaultPlan) -> String {
    if plan.faults.is_empty() {
        return NOTHING.into();
    }
    plan.faults.iter().map(fault).collect::<Vec<_>>().join(";")
}

fn fault(fault: &PlannedFault) -> String {
    match fault {
        PlannedFault::Callback { operator, callback, nth, failure } => {
            let operator = operator.as_ref().map_or(ANY.into(), |uid| escaped(uid));
            format!("callback:{operator}:{callback:?}:{nth}:{failure:?}")
        }
        PlannedFault::Store { call, path, nth, effect } => format!("store:{call:?}:{}:{nth}:{effect:?}", escaped(path)),
        PlannedFault::Actor { role, nth } => format!("actor:{role:?}:{nth}"),
        PlannedFault::Lost { message, nth } => format!("lost:{message:?}:{nth}"),
        PlannedFault::Late { message, nth, by } => format!("late:{message:?}:{nth}:{}", by.as_millis()),
        PlannedFault::Stall { nth, lasts } => format!("stall:{nth}:{}", lasts.as_millis()),
        PlannedFault::Death { step } => format!("death:{step}"),
        PlannedFault::At { point, nth, calamity } => format!("at:{point:?}:{nth}:{calamity:?}"),
    }
}

/// The plan that a text stands for.
///
/// # Errors
/// With the part that is none.
pub(super) fn read(text: &str) -> Result<FaultPlan, String> {
    if text == NOTHING {
        return Ok(FaultPlan::new());
    }
    text.split(';').map(|part| read_fault(part).ok_or_else(|| format!("'{part}' is no planned fault"))).collect()
}

fn read_fault(text: &str) -> Option<PlannedFault> {
    let parts: Vec<&str> = text.split(':').collect();
    Some(match *parts.as_slice() {
        ["callback", operator, callback, nth, failure] => PlannedFault::Callback {
            operator: if operator == ANY { None } else { Some(unescaped(operator)?) },
            callback: named(&Callback::ALL, callback)?,
            nth: nth.parse().ok()?,
            failure: named(&FAILURES, failure)?,
        },
        ["store", call, path, nth, effect] => PlannedFault::Store {
            call: named(&DiskCall::ALL, call)?,
            path: unescaped(path)?,
            nth: nth.parse().ok()?,
            effect: named(&EFFECTS, effect)?,
        },
        ["actor", role, nth] => PlannedFault::Actor { role: named(&Role::ALL, role)?, nth: nth.parse().ok()? },
        ["lost", message, nth] => PlannedFault::Lost { message: named(&Control::ALL, message)?, nth: nth.parse().ok()? },
        ["late", message, nth, by] => {
            PlannedFault::Late { message: named(&Control::ALL, message)?, nth: nth.parse().ok()?, by: millis(by)? }
        }
        ["stall", nth, lasts] => PlannedFault::Stall { nth: nth.parse().ok()?, lasts: millis(lasts)? },
        ["death", step] => PlannedFault::Death { step: step.parse().ok()? },
        ["at", point, nth, calamity] => PlannedFault::At {
            point: named(&CrashPoint::ALL, point)?,
            nth: nth.parse().ok()?,
            calamity: named(&Calamity::ALL, calamity)?,
        },
        _ => return None,
    })
}

fn named<T: Copy + Debug>(all: &[T], name: &str) -> Option<T> {
    all.iter().find(|one| format!("{one:?}") == name).copied()
}

fn millis(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_millis)
}

/// Without what separates, and what a shell would take for its own.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_./()#".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02x}");
        }
    }
    out
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = after.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plan_is_read_as_it_was_written(plan in FaultPlan::strategy(0..6), uid in "[ -~é]{0,12}") {
            let plan = plan.and(PlannedFault::callback(Callback::Poll, 3, Failure::Error).of(&uid));
            prop_assert_eq!(read(&written(&plan)), Ok(plan));
        }
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        assert_eq!(read(&written(&FaultPlan::new())), Ok(FaultPlan::new()));
        for text in ["", "death:x", "death:1;", "callback:%zz:Open:1:Panic", "at:P0:1:Death"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
