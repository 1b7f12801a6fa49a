//! Conformance suites: what every source, sink and store must do, asked of a user's own.
//!
//! Each suite is one call in a test. It asks all that its contract says and that can be asked from outside, and panics with a
//! sentence that names the rule that is broken, and says how.
//!
//! ```
//! use tidegate::Store;
//! use tidegate::testing::{Scripted, suites};
//!
//! suites::source(|| Scripted::new([(0..100).collect::<Vec<u64>>(), (100..150).collect()]).batches(7));
//! let memory = Store::memory();
//! suites::store(move || memory.clone());
//! ```

mod sink;
mod sink_bench;
mod source;
mod split;
mod store;
mod watch;

pub use sink::sink;
pub use source::source;
pub use store::store;

/// Says which rule is broken, and how.
#[track_caller]
fn broken(rule: &str, how: impl std::fmt::Display) -> ! {
    panic!("the rule \"{rule}\" is broken: {how}")
}

/// The rule, unless it holds.
#[track_caller]
fn holds(rule: &str, holds: bool, how: impl FnOnce() -> String) {
    if !holds {
        broken(rule, how());
    }
}
