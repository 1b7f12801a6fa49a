//! The conformance suites: our own sources, sinks and stores pass them, and for each rule one that breaks it is caught by name.

mod sinks;
mod sources;
pub mod stores;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The suite that `run` is says that this rule is broken.
#[track_caller]
fn catches(rule: &str, run: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(run)) else { panic!("nobody minds that \"{rule}\" is broken") };
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.starts_with(&format!("the rule \"{rule}\" is broken: ")), "it should have been \"{rule}\": {text}");
}
