//! Waiting for the first of several things at once: a message, a descriptor, an end of a fiber, a tick, a time. Run it
//! with `cargo run -p becket-fiber --example select_the_first`.

use becket_fiber::sync::channel;
use becket_fiber::{Io, Ready, Runtime, interval, select, sleep, spawn};
use std::io::{self, Read, Write};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let (commands, command) = channel(0);
        let (reader, mut writer) = io::pipe()?;
        let mut reader = Io::new(reader)?;
        let script = spawn(move || {
            sleep(20 * MS)?;
            commands.send("calibrate")?; // without room in the channel: until it is taken
            sleep(20 * MS)?;
            writer.write_all(b"21.53")?;
            Ok::<_, io::Error>(writer)
        })?;
        let mut beat = interval(15 * MS);
        let mut beats = 0;
        let mut open = true;
        loop {
            // An arm that is not chosen takes nothing, so that arms may be made anew each time.
            select! {
                biased; // the first of those that are ready; without it one of them by chance
                command = command.on_recv(), if open => match command {
                    Some(command) => println!("command: {command}"),
                    None => open = false, // closed: it would be chosen for ever
                },
                _ = reader.on_ready(Ready::READ) => {
                    let mut text = [0; 16];
                    let n = reader.read(&mut text)?;
                    println!("from the pipe: {}", String::from_utf8_lossy(&text[..n]));
                },
                () = script.on_end() => break,
                tick = beat.on_tick() => beats += 1 + tick.missed,
                () = select::after(3600 * 1000 * MS) => println!("nothing in an hour"),
            }?;
        }
        println!("the script has ended, the heart beats: {}", beats > 0);
        script.join()?.map(drop)
    })?
}
