//! Fuzzes `surfaces::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookhand_fuzz::surfaces::config::check(data));
