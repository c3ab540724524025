//! Fuzzes `surfaces::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookhand_fuzz::surfaces::request::check(data));
