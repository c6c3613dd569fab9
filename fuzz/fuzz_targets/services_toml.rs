#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lunix_fuzz::services::toml(data));
