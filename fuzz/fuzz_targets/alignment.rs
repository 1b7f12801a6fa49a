//! Any bytes as a script of marks and notices, told to alignment and to its model.
#![no_main]

libfuzzer_sys::fuzz_target!(init: tidegate_fuzz::seed("alignment"), |bytes: &[u8]| tidegate_fuzz::run("alignment", bytes));
