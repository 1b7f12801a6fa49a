//! Runs what may hang on a thread of its own, so that the test ends all the same.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often it is looked whether something goes on.
const LOOK: Duration = Duration::from_millis(100);
/// After so many looks at the same call it does not return: ten seconds, of which the machine's own pauses count as one look.
const LOOKS: u32 = 100;

/// What is being done, for whoever watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Doing(Arc<Mutex<(u64, String)>>);

impl Doing {
    /// Something else is being done now.
    pub(super) fn now(&self, what: impl Into<String>) {
        let mut doing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *doing = (doing.0 + 1, what.into());
    }

    fn get(&self) -> (u64, String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs the checks; hands their panic on, or calls `stuck` with what was being done when nothing went on any more.
pub(super) fn watched(checks: impl FnOnce(&Doing) + Send + 'static, stuck: impl FnOnce(String)) {
    let (doing, (done, outcome)) = (Doing::default(), channel());
    let watched = doing.clone();
    thread::spawn(move || {
        let checked = catch_unwind(AssertUnwindSafe(|| checks(&watched)));
        // Nobody listens any more where the checks were taken for stuck.
        let _ = done.send(checked);
    });
    let (mut before, mut looks) = (doing.get(), 0);
    loop {
        match outcome.recv_timeout(LOOK) {
            Ok(Ok(())) => return,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(RecvTimeoutError::Disconnected) => return stuck("it has ended without a word".into()),
            Err(RecvTimeoutError::Timeout) => {
                let now = doing.get();
                looks = if now.0 == before.0 { looks + 1 } else { 0 };
                if looks == LOOKS {
                    return stuck(now.1);
                }
                before = now;
            }
        }
    }
}
