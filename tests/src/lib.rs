//! What the tests across the crates share: example programs as children, and a broker to kill, restart and freeze.
//!
//! Everything here panics with what went wrong: it is for tests.

pub mod broker;
pub mod examples;
pub mod metadata;
pub mod mqtt;
pub mod program;
pub mod tools;
