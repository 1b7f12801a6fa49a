//! What the fuzz targets share: their bodies by name, each run within the bound of memory that its input allows, and the samples
//! that they begin with.

use std::path::Path;
use std::{env, fs};

use tidegate::testing::fuzzing::{TARGETS, samples};

#[path = "../../tests/bounded/mod.rs"]
mod bounded;

#[global_allocator]
static ALLOCATOR: bounded::Counted = bounded::Counted;

/// Writes what the engine writes itself into the corpus that the command line names, before it is read.
///
/// # Panics
/// Where the corpus cannot be written.
pub fn seed(target: &str) {
    let corpus = env::args().skip(1).find(|arg| Path::new(arg).is_dir());
    let Some(corpus) = corpus else { return };
    let samples = samples().into_iter().filter(|(name, _)| *name == target);
    for (at, (_, bytes)) in samples.enumerate() {
        fs::write(Path::new(&corpus).join(format!("written-{at}")), bytes).expect("the corpus can be written");
    }
}

/// Runs a target on some bytes.
///
/// # Panics
/// Where there is no such target, it allocates beyond its input, or a machine differs from its model.
pub fn run(target: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (name, body) = found.unwrap_or_else(|| panic!("there is no target '{target}'"));
    bounded::within_bounds(name, bytes, *body);
}
