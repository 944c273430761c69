//! `baton_fuzz::resp::frames` under libFuzzer; nothing else is here. Run by `cargo fuzz`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| baton_fuzz::resp::frames(data));
