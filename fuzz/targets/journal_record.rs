//! libFuzzer on `fuzz::journal_record`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::journal_record::check(input));
