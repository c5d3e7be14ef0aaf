//! Fibers on several threads, each with a loop of its own: a pool that takes work from anywhere. Run it with
//! `cargo run -p becket-fiber --example pool_of_threads`; `echo_on_threads` has a server on each.

use becket_fiber::{Runtime, sleep};
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    let pool = Runtime::builder().threads(2).name("pool").start()?;
    let jobs = (0..6).map(|n| {
        // On one thread after the other, where it stays: nothing in a fiber needs `Send` but what it is given.
        pool.spawn(move || {
            sleep(Duration::from_millis(1))?;
            Ok::<_, io::Error>((std::thread::current().name().map(str::to_owned), n * n))
        })
    });
    let jobs = jobs.collect::<io::Result<Vec<_>>>()?;
    let (mut names, mut sum) = (BTreeSet::new(), 0);
    for job in jobs {
        let (name, square) = job.join()??;
        names.extend(name);
        sum += square;
    }
    println!("{sum} by {names:?}");
    pool.shutdown()
}
