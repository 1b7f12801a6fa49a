//! Any bytes as the entries of a section, restored as every kind of state.
#![no_main]

libfuzzer_sys::fuzz_target!(init: tidegate_fuzz::seed("blocks"), |bytes: &[u8]| tidegate_fuzz::run("blocks", bytes));
