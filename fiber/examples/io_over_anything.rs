//! Any descriptor becomes one that a fiber waits for: of std, of another library, of one's own. Run it with
//! `cargo run -p becket-fiber --example io_over_anything`.

use becket_fiber::{Io, Ready, Runtime, sleep, spawn};
use becket_sys::event::Event;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        // What reads and writes does so as before, but for the waiting.
        let (reader, writer) = io::pipe()?;
        let (mut reader, mut writer) = (Io::new(reader)?, Io::new(writer)?);
        let sender = spawn(move || {
            sleep(Duration::from_millis(5))?;
            writer.write_all(b"through a pipe of std's")
        })?;
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        sender.join()??;
        println!("{text}");

        // What has calls of its own: try; where it would block, wait; try again.
        let event = Event::new()?;
        let other = event.try_clone()?;
        spawn(move || other.add(42))?.detach();
        let event = Io::new(event)?;
        let n = event.attempt(Ready::READ, |event| event.try_read()?.ok_or(ErrorKind::WouldBlock.into()))?;
        println!("through an eventfd: {n}");
        Ok(())
    })?
}
