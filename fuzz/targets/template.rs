//! Fuzzes `surfaces::template`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hookhand_fuzz::surfaces::template::check(data));
