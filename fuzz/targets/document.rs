//! A document in JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostel::fuzzing::document(bytes));
