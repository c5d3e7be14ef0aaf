//! Fibers inside of tokio, on its own thread: tokio waits for both, tasks wait for fibers and fibers for tasks. Run it with
//! `cargo run -p becket-fiber --example fibers_inside_tokio`.

use becket_fiber::{Runtime, block_on, sleep};
use futures_lite::future::or;
use std::error::Error;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

fn main() -> Result<(), Box<dyn Error>> {
    let mut fibers = Runtime::new()?;
    let (sender, mut words) = mpsc::channel(1);
    // A fiber waits for a channel of tokio's, and for time by itself.
    let reader = fibers.spawn(move || {
        let mut all = Vec::new();
        while let Some(word) = block_on(words.recv())? {
            println!("fiber: {word}");
            sleep(Duration::from_millis(5))?;
            all.push(word);
        }
        Ok::<_, std::io::Error>(all)
    })?;
    let tasks = async {
        for word in ["rope", "is made", "of fibers"] {
            tokio::time::sleep(Duration::from_millis(2)).await;
            println!("tokio: sends");
            sender.send(word).await?;
        }
        drop(sender);
        Ok(reader.await??) // a task waits for a fiber
    };
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let all: Vec<&str> = tokio.block_on(or(tasks, async { Err(turn(&mut fibers).await) }))?;
    assert_eq!(all, ["rope", "is made", "of fibers"]);
    Ok(())
}

/// Turns the runtime whenever it has anything to do, until that fails.
#[allow(unsafe_code, reason = "tokio does not know that a descriptor stays open")]
async fn turn(fibers: &mut Runtime) -> Box<dyn Error> {
    let turns = async {
        // SAFETY: it owns one descriptor as long as it lives.
        let embedded = unsafe { AsyncFd::register_with_interest(fibers.embed()?, Interest::READABLE)? };
        loop {
            let mut guard = embedded.readable().await?;
            fibers.turn(Some(Duration::ZERO))?;
            // tokio hears of what becomes ready, not of what a turn has left.
            if !guard.get_inner().is_ready()? {
                guard.clear_ready();
            }
        }
    };
    let failed: Result<(), std::io::Error> = turns.await;
    failed.map_or_else(Into::into, |()| "it ended".into())
}
