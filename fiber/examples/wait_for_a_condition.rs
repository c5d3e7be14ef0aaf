//! A condition of several values: a condition variable, without a mutex, because fibers of a thread never run at the same
//! time. Run it with `cargo run -p becket-fiber --example wait_for_a_condition`.

use becket_fiber::sync::Condvar;
use becket_fiber::{Runtime, scope, yield_now};
use std::cell::Cell;
use std::io;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let (level, valve_open, changed) = (Cell::new(0), Cell::new(true), Condvar::new());
        scope(|s| {
            s.spawn(|| {
                changed.wait_while(|| level.get() < 5)?; // looked at anew each time
                valve_open.set(false);
                println!("the valve shuts at {}", level.get());
                changed.notify_all();
                Ok::<_, io::Error>(())
            })?;
            while valve_open.get() {
                level.set(level.get() + 1);
                changed.notify_all();
                yield_now();
            }
            println!("the level is {}", level.get());
            Ok(())
        })
    })?
}
