//! Any bytes as MessagePack objects.
#![no_main]

libfuzzer_sys::fuzz_target!(init: tidegate_fuzz::seed("objects"), |bytes: &[u8]| tidegate_fuzz::run("objects", bytes));
