//! Fibers have names, which reports and panics bear, and priorities, which say who runs first of those who can. Run it
//! with `cargo run -p becket-fiber --example names_and_priorities`.

use becket_fiber::sync::Event;
use becket_fiber::{Builder, Priority, Runtime, current_name, scope, yield_now};
use std::io;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let go = Event::new();
        scope(|s| {
            for (name, priority) in [("log", Priority::Low), ("web", Priority::Normal), ("alarm", Priority::High)] {
                let builder = Builder::new().name(name).priority(priority);
                let go = &go;
                s.spawn_with(builder, move || {
                    go.wait()?;
                    println!("{} runs", current_name().unwrap_or_default());
                    Ok::<_, io::Error>(())
                })?;
            }
            yield_now();
            go.set(); // all three can run now
            Ok(())
        })
    })?
}
