#![no_main]

#[path = "../kinds.rs"]
mod kinds;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kinds::netlink(bytes));
