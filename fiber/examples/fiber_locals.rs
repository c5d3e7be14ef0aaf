//! Values of which each fiber has its own: the request that a log line belongs to. Run it with
//! `cargo run -p becket-fiber --example fiber_locals`.
//!
//! A `thread_local!` is the thread's, and so all fibers'. Never keep a `RefCell` of one borrowed across a wait.

use becket_fiber::{Runtime, fiber_local, scope, sleep};
use std::cell::Cell;
use std::io;
use std::time::Duration;

fiber_local! {
    static REQUEST: Cell<u32> = Cell::new(0);
}

fn log(text: &str) {
    println!("request {}: {text}", REQUEST.with(Cell::get));
}

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        scope(|s| {
            for request in 1..=2 {
                s.spawn(move || {
                    REQUEST.with(|current| current.set(request));
                    log("begins");
                    sleep(Duration::from_millis(10 * u64::from(request)))?; // the other one runs
                    log("ends");
                    Ok::<_, io::Error>(())
                })?;
            }
            log("all begun"); // the main fiber has its own, too
            Ok(())
        })
    })?
}
