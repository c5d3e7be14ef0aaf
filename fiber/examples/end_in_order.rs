//! The end of a runtime: all fibers are cancelled, get the time to finish, and those that would not end are named. Run
//! it with `cargo run -p becket-fiber --example end_in_order`.

use becket_fiber::{Runtime, shield, sleep, spawn_named, yield_now};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    let mut runtime = Runtime::builder().grace(Duration::from_millis(500)).build()?;
    runtime.run(|| {
        spawn_named("saver", || {
            let _ = sleep(Duration::from_secs(3600)); // ended by the cancel
            let _ = shield(|| sleep(Duration::from_millis(5)));
            println!("saved");
        })?;
        spawn_named("deaf", || {
            while sleep(Duration::from_secs(3600)).is_ok() {}
            let _ = shield(|| sleep(Duration::from_secs(3600))); // longer than the grace: it is aborted
            println!("not printed");
        })?;
        yield_now();
        Ok::<_, io::Error>(())
    })??; // `run` returns when its own fiber does; the others go on in the next, or end here:
    println!("ended: {:?}", runtime.shutdown().map_err(|e| e.to_string()));
    Ok(())
}
