//! A panic ends its fiber alone: it comes out of `join`, and the others go on. Run it with
//! `cargo run -p becket-fiber --example panic_comes_out_of_join`.

use becket_fiber::{JoinError, Runtime, spawn_named};
use std::io;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let parser = spawn_named("parser", || {
            let frame: &[u8] = &[1, 2];
            frame[2] // a bug; the message of the panic goes to standard error, as ever
        })?;
        let other = spawn_named("other", || "and the other fiber goes on")?;
        match parser.join() {
            Ok(byte) => println!("the third byte is {byte}"),
            // `into_inner` of other libraries is the payload here: raise it again, or tell it.
            Err(e @ JoinError::Panicked(_)) => println!("parser: {e}"),
            Err(e) => return Err(e.into()),
        }
        println!("{}", other.join()?);
        Ok(())
    })?
}
