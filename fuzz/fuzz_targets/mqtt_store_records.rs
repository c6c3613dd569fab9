#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lunix_fuzz::mqtt_store::records(data));
