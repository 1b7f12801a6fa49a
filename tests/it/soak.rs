//! The soak, `examples/soak.rs`, for some seconds: kills, panics and errors, and every row is right.

use std::process::Command;

use crate::common::{drawn_seed, example};

#[test]
fn f2_a_job_that_is_hurt_all_the_time_comes_to_every_row_once() {
    let (seed, dir) = (drawn_seed(), tempfile::tempdir().unwrap());
    let mut command = Command::new(example("soak"));
    command.args(["--minutes", "0.1", "--rate", "20000", "--killed-within", "3", "--fault-every", "20000"]);
    command.arg("--seed").arg(seed.to_string()).arg("--directory").arg(dir.path());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "seed {seed}: {told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("windows: 168 rows are right, 0 are not"), "seed {seed}: {told}");
}
