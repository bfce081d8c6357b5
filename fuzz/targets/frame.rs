//! libFuzzer on `fuzz::frame`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::frame::check(input));
