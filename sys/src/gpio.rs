//! GPIO lines: single wires that are high or low.

pub mod sysfs;
