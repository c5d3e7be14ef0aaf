//! Compiles what stands in front of a part of the vendored libmosquitto.

fn main() {
    println!("cargo:rerun-if-changed=src/ffi/log.c");
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "vendored")]
    cc::Build::new().file("src/ffi/log.c").compile("becket_mosquitto_log");
}
