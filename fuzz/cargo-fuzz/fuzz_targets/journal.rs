//! `baton_fuzz::journal::journal` under libFuzzer; nothing else is here. Run by `cargo fuzz`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| baton_fuzz::journal::journal(data));
