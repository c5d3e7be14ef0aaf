//! What a callback's error does: its source alone is disabled, the rest of the turn goes on, and the error hook is told. A
//! panic removes its source, and goes on out of the turn; the loop stays usable.
//!
//! `cargo run -p becket-loop --example errors_and_panics`

use becket_loop::{Loop, RunError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn main() -> Result<(), RunError> {
    let mut event_loop: Loop<u32> = Loop::new()?;
    // Without a hook, `run` returns the first failure, and goes on where it is called again.
    event_loop.defer(|_, _| Err("no paper".into()));
    println!("run: {}", event_loop.run(&mut 0).err().map_or("nothing".into(), |e| e.to_string()));

    let printer = event_loop.every(MS, |failures, _, _| match failures {
        0 | 1 => Err("no more paper".into()),
        _ => {
            println!("printed");
            Ok(becket_loop::Next::Remove)
        }
    });
    event_loop.set_name(printer, "printer");
    event_loop.on_error(|failures, ctx, fault| {
        *failures += 1;
        println!("hook: {fault}");
        // What failed is disabled, not removed: it may be tried again, later.
        if let Some(id) = fault.id() {
            ctx.after(5 * MS, move |_, ctx| {
                ctx.enable(id, true);
                Ok(())
            });
        }
    });
    event_loop.run(&mut 0)?;

    event_loop.defer(|_, _| panic!("a mistake in the program"));
    event_loop.defer(|_, _| Ok(println!("what comes after it is called in the next turn")));
    let turn = catch_unwind(AssertUnwindSafe(|| event_loop.run(&mut 0)));
    println!("panicked: {}", turn.is_err());
    event_loop.run(&mut 0)?;
    Ok(())
}
