//! Names without threads, by servers of one's choice: c-ares in the runtime's own loop. Run it with
//! `cargo run -p becket-fiber --features c-ares --example resolver -- example.org:80`; without a name it looks up
//! `localhost`, in /etc/hosts.

use becket_fiber::net::Resolver;
use becket_fiber::{Runtime, all};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "localhost:1883".into());
    Runtime::new()?.run(|| {
        let resolver = Resolver::builder().timeout(Duration::from_secs(2)).tries(2).build()?;
        // A hundred at once are a hundred fibers, and no thread.
        let answers = all((0..100).map(|_| || Ok::<_, io::Error>(resolver.resolve(&name)?)))?;
        let addresses = answers.first().cloned().unwrap_or_default();
        println!("{name}: {} answers, the same: {}", answers.len(), answers.iter().all(|a| a.len() == addresses.len()));
        println!("{:?}", addresses.first());
        Ok(())
    })?
}
