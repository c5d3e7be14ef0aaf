//! Several tasks at once, of which the first counts, the first success, or all; the others are cancelled, and gone. Run
//! it with `cargo run -p becket-fiber --example race_and_all`.

use becket_fiber::{Runtime, all, first_ok, race, sleep};
use std::io;
use std::time::Duration;

fn ask(server: u64) -> io::Result<u64> {
    sleep(Duration::from_millis(20 * server))?;
    if server == 1 { Err(io::Error::other("server 1 is out of order")) } else { Ok(server) }
}

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let servers = || [3, 1, 2].map(|server| move || ask(server));
        println!("the first: {:?}", race(servers())?.map_err(|e| e.to_string()));
        println!("the first success: {}", first_ok(servers())?);
        println!("all: {}", all(servers()).unwrap_err());
        println!("all: {:?}", all([2, 3].map(|server| move || ask(server)))?);
        Ok(())
    })?
}
