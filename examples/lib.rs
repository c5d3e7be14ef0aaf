//! What the example programs share.

pub mod broker;
pub mod echo;

/// The program of the README, which is compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
