//! The example that guards programs, by itself: it makes the programs, which no other test's child may hold open.

#[path = "common/descriptors.rs"]
mod descriptors;

#[path = "../examples/guard_exec.rs"]
mod guard_exec;

#[test]
fn the_example_keeps_a_program_from_starting() {
    guard_exec::main().unwrap();
}
