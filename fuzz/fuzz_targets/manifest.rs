//! Any bytes as a checkpoint's manifest.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate::testing::fuzzing::manifest(bytes));
