//! Any bytes as MessagePack objects.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate::testing::fuzzing::objects(bytes));
