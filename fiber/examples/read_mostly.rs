//! What many read and one changes, across waits: a lock for readers and writers, in the order of asking. Run it with
//! `cargo run -p becket-fiber --example read_mostly`.
//!
//! Without a wait inside a `RefCell` does the same for less.

use becket_fiber::sync::RwLock;
use becket_fiber::{Runtime, scope, yield_now};
use std::io;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let routes = RwLock::new(vec!["boiler"]);
        scope(|s| {
            let print = |name: &str| {
                let routes = routes.read()?;
                println!("{name} reads {routes:?}");
                yield_now(); // as if it sent them, one after the other: nobody changes them meanwhile
                println!("{name} has read {} of them", routes.len());
                Ok::<_, io::Error>(())
            };
            for name in ["first", "second"] {
                s.spawn(move || print(name))?; // both at a time
            }
            yield_now();
            routes.write()?.push("attic"); // after those who read already, before those who come later
            println!("changed");
            print("third")
        })
    })?
}
