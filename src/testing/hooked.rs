//! What a simulated process does at the points that the engine comes to: it notes them, and has planned faults strike.
//!
//! Always: in a process that is dead nothing goes on: callbacks and tasks unwind, actors wait for ever. Planned panics are raised
//! without the panic hook, so that they don't fill the log.

use std::panic::resume_unwind;
use std::time::Duration;

use super::plan::{Calamity, Failure};
use super::process::{Halt, Process};
use super::trace::Happening;
use crate::actor::{RootMsg, post};
use crate::error::BoxError;
use crate::hook::{Callback, Canary, Control, CrashPoint, Hook, Point, Role, Route, Who};
use crate::ids::{Attempt, RegionId, TaskId, Uid};

/// One message in so many, an actor takes its time; so many milliseconds at most.
const SLOW_ONE_IN: usize = 24;
const SLOW_MS: usize = 4;

/// What is planned has come.
fn strike(failure: Failure, what: &'static str) -> Result<(), BoxError> {
    match failure {
        Failure::Error => Err(format!("a planned error ({what})").into()),
        Failure::Panic => resume_unwind(Box::new("a planned panic")),
    }
}

impl Process {
    fn live_on(&self) {
        if self.is_dead() {
            resume_unwind(Box::new("the process is dead"));
        }
    }

    fn callback(&self, uid: &Uid, callback: Callback) -> Result<(), BoxError> {
        let goes_on = match callback {
            Callback::Poll if self.is_probing() => return Ok(()),
            Callback::Record | Callback::Watermark | Callback::Poll | Callback::Timer => true,
            // Off the task, and with effects that outlive the process.
            Callback::Splits | Callback::Recover | Callback::MakeDurable | Callback::Commit | Callback::Committed => {
                self.step(Happening::Called(uid.clone(), callback))
            }
            _ => {
                self.note(Happening::Called(uid.clone(), callback));
                true
            }
        };
        if !goes_on {
            self.live_on();
        }
        match self.strikes(|armed| armed.callback(uid, callback)) {
            None => Ok(()),
            Some(failure) => strike(failure, "callback"),
        }
    }

    fn crash_point(&self, point: CrashPoint) -> Result<(), BoxError> {
        match self.come_to(point) {
            None | Some(Calamity::Cancel | Calamity::StoreError) => Ok(()),
            Some(Calamity::Panic) => strike(Failure::Panic, "crash point"),
            Some(Calamity::Death) => {
                self.live_on();
                Ok(())
            }
        }
    }

    /// What comes over the job at a crash point; the death of the process, a cancel and an error of the store are under way then.
    pub(super) fn come_to(&self, point: CrashPoint) -> Option<Calamity> {
        self.note(Happening::Reached(point));
        let calamity = self.strikes(|armed| armed.crash(point));
        match calamity {
            Some(Calamity::Death) => self.halt(Halt::Died),
            Some(Calamity::StoreError) => self.disk().refuse_next(),
            Some(Calamity::Cancel) => {
                if let Some(root) = self.root() {
                    post(&root, RootMsg::Cancel);
                }
            }
            Some(Calamity::Panic) | None => {}
        }
        calamity
    }
}

impl Hook for Process {
    fn reach(&self, point: Point<'_>) -> Result<(), BoxError> {
        self.live_on();
        match point {
            Point::Callback(uid, callback) => self.callback(uid, callback),
            Point::Crash(point) => self.crash_point(point),
            Point::Message(role) => {
                self.note(Happening::Handled(role));
                if self.strikes(|armed| armed.actor(role).then_some(())).is_some() {
                    resume_unwind(Box::new(format!("a planned crash of the {role:?}")));
                }
                Ok(())
            }
        }
    }

    fn ahead(&self, uid: &Uid, callback: Callback) -> usize {
        self.disk().armed().ahead(uid, callback)
    }

    fn passed(&self, uid: &Uid, callback: Callback, calls: usize) {
        if calls > 0 {
            self.disk().armed().passed(uid, callback, calls);
        }
    }

    fn route(&self, message: Control) -> Route {
        if self.is_dead() {
            return Route::Lost;
        }
        self.note(Happening::Sent(message));
        self.strikes(|armed| Some(armed.route(message))).unwrap_or(Route::Deliver)
    }

    fn turn(&self, _: Role) -> Option<Duration> {
        if self.is_dead() {
            return None;
        }
        let slow = self.draw(SLOW_ONE_IN) == 0;
        Some(if slow { Duration::from_millis(1 + self.draw(SLOW_MS) as u64) } else { Duration::ZERO })
    }

    fn stall(&self) -> Option<Duration> {
        self.strikes(|armed| armed.stall())
    }

    /// What waits has had its turn drawn when it was handed over.
    fn pause(&self, _: Duration) {}

    fn came(&self, region: RegionId, task: TaskId, attempt: Attempt) {
        self.note(Happening::Opening(task, attempt));
        if let Some(other) = self.presence(|present| present.came(region, task, attempt)) {
            self.broken(format!(
                "task {task} of attempt {attempt} begins, and attempt {other} of region {region} is still there"
            ));
        }
    }

    fn gone(&self, region: RegionId, task: TaskId, attempt: Attempt) {
        self.note(Happening::Gone(task, attempt));
        self.presence(|present| present.gone(region, task, attempt));
    }

    fn named(&self, task: TaskId, name: String) {
        self.name(task, name);
    }

    fn told(&self, who: Who, failure: bool, what: &dyn Fn() -> String) {
        if !self.is_watched() || self.is_dead() {
            return;
        }
        let who = match who {
            Who::Task(task) => self.name_of(task),
            Who::Region(region) => format!("region {region}"),
            Who::Coordinator => "checkpoints".into(),
        };
        self.write_down(&who, failure, what);
    }

    fn broken(&self, what: String) {
        self.write_down("BROKEN", true, || what.clone());
        self.halt(Halt::Broken(what));
    }

    fn breaks(&self, canary: Canary) -> bool {
        self.is_broken_by(canary)
    }
}
