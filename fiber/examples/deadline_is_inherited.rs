//! A timeout bounds every wait inside of it, in whatever library, and those of the children of scopes. Run it with
//! `cargo run -p becket-fiber --example deadline_is_inherited`.

use becket_fiber::net::UnixStream;
use becket_fiber::{Runtime, all, current_deadline, sleep, spawn, timeout};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let (device, mut far) = UnixStream::pair()?;
        let trickle = spawn(move || -> io::Result<()> {
            loop {
                far.write_all(b".")?; // never a line; a timeout of each read would never end it
                sleep(Duration::from_millis(5))?;
            }
        })?;
        let begun = Instant::now();
        let line = timeout(Duration::from_millis(50), || {
            BufReader::new(&device).lines().next() // std's own, which knows nothing of deadlines
        });
        let ended = line.and_then(Result::err).map(|e| e.kind());
        println!("a line: {ended:?}, not early: {}", begun.elapsed() >= Duration::from_millis(50));
        trickle.cancel();

        // Children of a scope, and the tasks of `all` are such, have their parent's deadline; a `spawn` has none.
        let at = timeout(Duration::from_secs(1), || all([(), ()].map(|()| || Ok::<_, io::Error>(current_deadline()))))?;
        println!("children have it: {}", at[0].is_some() && at[0] == at[1]);
        println!("spawned fibers do not: {:?}", timeout(Duration::from_secs(1), || spawn(current_deadline))?.join()?);
        // The earliest counts, so nobody inside can wait for longer than the caller allows.
        let late = timeout(Duration::ZERO, || timeout(Duration::from_secs(60), || sleep(Duration::from_secs(60))));
        println!("the earliest counts: {}", late.is_err_and(|e| e.kind() == ErrorKind::TimedOut));
        Ok(())
    })?
}
