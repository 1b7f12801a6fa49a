//! Any bytes as a task's snapshot file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate::testing::fuzzing::snapshot_file(bytes));
