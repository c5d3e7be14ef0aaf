//! Every receiver gets every value; who is too slow is told how many it has lost, and nobody waits for it. Run it with
//! `cargo run -p becket-fiber --example broadcast_news`.

use becket_fiber::sync::{BroadcastReceiver, Event, Received, broadcast};
use becket_fiber::{Runtime, scope, yield_now};
use std::io;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let (news, quick) = broadcast(3); // the last three are kept
        let (slow, all_sent) = (news.subscribe(), Event::new());
        scope(|s| {
            s.spawn(|| listen("quick", quick))?;
            s.spawn(|| {
                all_sent.wait()?;
                listen("slow", slow)
            })?;
            for n in 1..=6 {
                let receivers = news.send(n).unwrap_or(0); // never waits
                println!("sent {n} to {receivers}");
                yield_now();
            }
            drop(news);
            all_sent.set();
            Ok(())
        })
    })?
}

fn listen(name: &str, mut news: BroadcastReceiver<i32>) -> io::Result<()> {
    loop {
        match news.recv()? {
            Received::Value(n) => println!("{name}: {n}"),
            Received::Lagged(lost) => println!("{name}: {lost} lost"),
            Received::Closed => return Ok(()),
        }
    }
}
