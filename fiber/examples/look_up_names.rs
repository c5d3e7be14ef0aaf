//! Names become addresses while other fibers run, several at once. Run it with
//! `cargo run -p becket-fiber --example look_up_names -- example.org:80 ...`; without names it looks up this machine's.
//!
//! Each lookup is the C library's, on a thread of its own; `net::Resolver`, with the feature c-ares, needs no threads: see
//! the example `resolver`.

use becket_fiber::net::resolve;
use becket_fiber::{Runtime, scope, timeout};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        names = ["localhost:1883", "[::1]:80", "no-port"].map(Into::into).into();
    }
    Runtime::new()?.run(|| {
        scope(|s| {
            let lookups = names.iter().map(|name| s.spawn(move || timeout(Duration::from_secs(10), || resolve(name))));
            let lookups = lookups.collect::<Result<Vec<_>, _>>()?;
            for (name, lookup) in names.iter().zip(lookups) {
                match lookup.join()? {
                    Ok(addresses) => println!("{name}: {addresses:?}"),
                    Err(e) => println!("{e}"), // says which name
                }
            }
            Ok(())
        })
    })?
}
