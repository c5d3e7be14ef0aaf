//! A fiber runs a future that needs no runtime of its own, and waits for it as for anything else. Run it with
//! `cargo run -p becket-fiber --example block_on_a_future`.

use becket_fiber::{Runtime, block_on, sleep, spawn, timeout};
use futures_lite::future::{pending, zip};
use std::io::{self, ErrorKind};
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        // A fiber's handle is a future, so both worlds mix.
        let tasks = [(2, "rope"), (1, "fibers")].map(|(ms, word)| {
            spawn(move || {
                sleep(Duration::from_millis(ms))?;
                Ok::<_, io::Error>(word)
            })
        });
        let [a, b] = tasks;
        let (a, b) = (a?.into_future(), b?.into_future());
        let both = block_on(zip(a, b))?; // one error is the wait's, those inside are the tasks'
        println!("{} is made of {}", both.0??, both.1??);

        let never = timeout(Duration::from_millis(5), || block_on(pending::<()>()));
        println!("a deadline ends it: {}", never.is_err_and(|e| e.kind() == ErrorKind::TimedOut));
        Ok(())
    })?
}
