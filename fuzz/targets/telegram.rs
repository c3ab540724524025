//! Fuzzes `surfaces::telegram`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookhand_fuzz::surfaces::telegram::check(data));
