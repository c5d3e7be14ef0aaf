//! Fibers over the becket loop: straight-line code that waits without blocking its thread.

#[allow(unsafe_code, reason = "switches stacks, and maps and guards them")]
#[allow(dead_code, unused_imports, reason = "the scheduler over it follows")]
mod context;
