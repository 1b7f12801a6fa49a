//! The scheduler: one future that owns all drivers of a process, and polls those that were woken, in a drawn order.
//!
//! Always: between polls the runtime gets turns of its own, so that actors interleave with tasks. When nothing was woken, and
//! before time goes far, each sleeping driver is polled once: one that finds something to do has lost a wake-up, and that is
//! reported as a failure.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::time::Sleep;

use super::process::{Halt, Process};
use super::trace::Happening;
use crate::executor::Running;
use crate::ids::TaskId;

/// Of polls in one go, at most.
const BURST: usize = 4;
/// One turn in so many, unless set otherwise, a driver is held up instead, as a slow thread would be; for so many milliseconds at
/// most.
pub(super) const STALL_ONE_IN: usize = 24;
const STALL_MS: usize = 12;

/// All drivers of a process.
pub(super) struct Scheduler {
    process: Arc<Process>,
    drivers: Vec<Driven>,
    quiet: Quiet,
}

/// How far the scheduler is with looking for lost wake-ups.
enum Quiet {
    /// Something was done since the last look.
    No,
    /// Nothing is left to do now: the time comes only when nobody has anything to do.
    Waiting(Pin<Box<Sleep>>),
    /// Every sleeping driver was looked at.
    Looked,
}

struct Driven {
    task: TaskId,
    future: Running,
    woken: Arc<Woken>,
    waker: Waker,
    /// Held up until this rings.
    stall: Option<Pin<Box<Sleep>>>,
}

impl Driven {
    fn is_eligible(&self) -> bool {
        self.stall.is_none() && self.woken.flag.load(Ordering::SeqCst)
    }
}

/// Whether a driver was woken.
struct Woken {
    flag: AtomicBool,
    process: Arc<Process>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.flag.store(true, Ordering::SeqCst);
        self.process.scheduler.wake();
    }
}

impl Scheduler {
    pub(super) fn new(process: Arc<Process>) -> Self {
        Scheduler { process, drivers: Vec::new(), quiet: Quiet::No }
    }

    fn take_arrived(&mut self) {
        for (task, future) in self.process.take_arrived() {
            let woken = Arc::new(Woken { flag: AtomicBool::new(true), process: self.process.clone() });
            let waker = Waker::from(woken.clone());
            self.drivers.push(Driven { task, future, woken, waker, stall: None });
        }
    }

    /// Lets those go on whose time has come.
    fn end_stalls(&mut self, cx: &mut Context<'_>) {
        for driver in &mut self.drivers {
            if driver.stall.as_mut().is_some_and(|stall| stall.as_mut().poll(cx).is_ready()) {
                driver.stall = None;
            }
        }
    }

    /// Polls one of the drivers that were woken, or holds it up; false if there is none.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let eligible = self.drivers.iter().enumerate().filter(|(_, driver)| driver.is_eligible());
        let eligible: Vec<usize> = eligible.map(|(at, _)| at).collect();
        let Some(at) = eligible.get(self.process.draw(eligible.len())).copied() else { return false };
        if self.process.draw(self.process.stall_one_in()) > 0 {
            self.poll(at);
        } else if let Some(driver) = self.drivers.get_mut(at) {
            let stall = Duration::from_millis(1 + self.process.draw(STALL_MS) as u64);
            driver.stall = Some(Box::pin(tokio::time::sleep(stall)));
            self.end_stalls(cx);
        }
        true
    }

    /// Polls a driver; true if it found something to do.
    fn poll(&mut self, at: usize) -> bool {
        let Some(driver) = self.drivers.get_mut(at) else { return false };
        if !self.process.step(Happening::Stepped(driver.task)) {
            driver.woken.flag.store(false, Ordering::SeqCst);
            return false;
        }
        driver.woken.flag.store(false, Ordering::SeqCst);
        let polled = driver.future.as_mut().poll(&mut Context::from_waker(&driver.waker));
        if polled.is_ready() {
            let driver = self.drivers.remove(at);
            self.process.note(Happening::Ended(driver.task));
            return true;
        }
        driver.woken.flag.load(Ordering::SeqCst)
    }

    /// Polls a driver that sleeps; true if it found something to do.
    fn probe(&mut self, at: usize) -> bool {
        self.process.probes(true);
        let found = self.poll(at);
        self.process.probes(false);
        found
    }

    /// Nothing was woken: waits until everyone else has come to rest, then looks at those that sleep.
    fn rest(&mut self, cx: &mut Context<'_>) {
        if let Quiet::No = self.quiet {
            self.quiet = Quiet::Waiting(Box::pin(tokio::time::sleep(Duration::from_millis(1))));
        }
        let Quiet::Waiting(waiting) = &mut self.quiet else { return };
        if waiting.as_mut().poll(cx).is_pending() {
            return;
        }
        self.quiet = Quiet::Looked;
        for at in 0..self.drivers.len() {
            let Some(task) = self.drivers.get(at).map(|driver| driver.task) else { return };
            if self.drivers.get(at).is_some_and(|driver| driver.stall.is_none()) && self.probe(at) {
                return self.process.halt(Halt::Stuck(format!("task {task} slept though it could go on: a lost wake-up")));
            }
        }
    }
}

impl Future for Scheduler {
    type Output = Infallible;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Infallible> {
        self.process.scheduler.register(cx.waker());
        self.take_arrived();
        self.end_stalls(cx);
        let burst = 1 + self.process.draw(BURST);
        let polled = (0..burst).take_while(|_| self.turn(cx)).count();
        if polled > 0 {
            self.quiet = Quiet::No;
            cx.waker().wake_by_ref();
        } else {
            self.rest(cx);
        }
        Poll::Pending
    }
}
