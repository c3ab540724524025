//! Fuzzes `surfaces::summary`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookhand_fuzz::surfaces::summary::check(data));
