//! A child with a time limit: SIGTERM when it is over, SIGKILL some time after that. Its output is read meanwhile.
//!
//! `cargo run -p becket-loop --example child_with_deadline`

use becket_loop::{Loop, Mode, Next, Ready};
use becket_sys::pipe::Reader;
use becket_sys::process::Child;
use becket_sys::signal::Signal;
use std::error::Error;
use std::process::{Command, Stdio};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let script = "trap 'echo not yet' TERM; echo started; while :; do sleep 0.05; done";
    let mut child = Child::spawn(Command::new("sh").args(["-c", script]).stdout(Stdio::piped()))?;
    let stdout = Reader::from(child.stdout.take().ok_or("no pipe")?);
    stdout.set_nonblocking(true)?; // the standard library opens its pipes blocking

    let mut event_loop: Loop<String> = Loop::new()?;
    let child = event_loop.on(child, |text, ctx, status| {
        println!("said: {:?}, ended by {status}", text.lines().collect::<Vec<_>>());
        ctx.exit(0);
        Ok(Next::Keep)
    })?;
    event_loop.add(stdout, Ready::READ, Mode::Level, move |text, ctx, pipe, _| {
        let mut buf = [0; 256];
        let Some(n) = pipe.try_read(&mut buf)? else { return Ok(Next::Keep) };
        // Its time runs from its first word on.
        for (after, signal) in [(50, Signal::TERM), (2000, Signal::KILL)] {
            if text.is_empty() {
                ctx.after(Duration::from_millis(after), move |_, ctx| {
                    // By its descriptor, never by its number; where it has ended, the id names nothing.
                    println!("{signal}");
                    Ok(ctx.get(child).map_or(Ok(()), |child| child.send_signal(signal))?)
                });
            }
        }
        text.push_str(&String::from_utf8_lossy(&buf[..n]));
        Ok(if n == 0 { Next::Remove } else { Next::Keep })
    })?;
    event_loop.run(&mut String::new())?;
    Ok(())
}
