//! A form of several parts, and what its content type says of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hostel::fuzzing::form(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        hostel::fuzzing::boundary(text);
    }
});
