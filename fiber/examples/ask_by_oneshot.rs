//! A fiber that owns something, and answers questions about it: each question brings the channel for its answer. Run it
//! with `cargo run -p becket-fiber --example ask_by_oneshot`.

use becket_fiber::sync::{OneshotSender, channel, oneshot};
use becket_fiber::{Runtime, spawn};
use std::collections::BTreeMap;
use std::io;

enum Request {
    Set(&'static str, f64),
    Get(&'static str, OneshotSender<Option<f64>>),
}

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let (requests, received) = channel(8);
        let store = spawn(move || {
            let mut values = BTreeMap::new();
            for request in received.iter() {
                match request {
                    Request::Set(name, value) => drop(values.insert(name, value)),
                    // Who asked may be gone: then the answer comes back, and is dropped.
                    Request::Get(name, answer) => drop(answer.send(values.get(name).copied())),
                }
            }
            values.len()
        })?;
        requests.send(Request::Set("boiler", 61.5))?;
        for name in ["boiler", "attic"] {
            let (sender, answer) = oneshot();
            requests.send(Request::Get(name, sender))?;
            println!("{name}: {:?}", answer.recv()?); // an error where the other side is gone without an answer
        }
        drop(requests); // the store ends when nobody can ask any more
        println!("values: {}", store.join()?);
        Ok(())
    })?
}
