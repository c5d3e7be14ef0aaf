//! What the tests across the crates share: example programs as children, a broker to kill, restart and freeze,
//! devices to plug in and pull out.
//!
//! Everything here panics with what went wrong: it is for tests.

pub mod broker;
pub mod browser;
pub mod device;
pub mod examples;
pub mod metadata;
pub mod mqtt;
pub mod program;
pub mod random;
pub mod tools;
