//! How deep the stacks of fibers were, by name: what `stack_size` should be. Run it with
//! `cargo run -p becket-fiber --example measure_stacks`.

use becket_fiber::{Runtime, spawn_named, stack_use, yield_now};
use std::hint::black_box;
use std::io;

fn main() -> io::Result<()> {
    let mut runtime = Runtime::builder().measure_stacks(true).build()?;
    runtime.run(|| {
        for _ in 0..3 {
            spawn_named("idle", yield_now)?.join()?;
            spawn_named("parser", || {
                black_box([1_u8; 50_000]); // on the stack, where it is seldom meant to be: `vec![1; 50_000]` is not
                yield_now();
            })?
            .join()?;
        }
        for used in stack_use().iter().filter(|used| used.name.as_deref() != Some("main")) {
            println!("{used}");
        }
        Ok(())
    })?
}
