//! fork(2) with a loop: in the child it refuses to turn, and leaves the parent's set alone, until it is told that it is the
//! child's own.
//!
//! Starting programs is no case of it: all descriptors are close-on-exec. `cargo run -p becket-loop --example
//! fork_with_a_loop`

#![allow(unsafe_code, reason = "forks")]

use becket_loop::{Loop, Mode, Next, Ready, RunError};
use becket_sys::event::Event;
use becket_sys::process::PidFd;
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<u32> = Loop::new()?;
    let shared = event_loop.add(Event::new()?, Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep))?;
    event_loop.after(Duration::from_millis(10), |calls, ctx| {
        *calls += 1;
        Ok(ctx.exit(0))
    });
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    match unsafe { libc::fork() } {
        -1 => return Err(std::io::Error::last_os_error().into()),
        0 => {
            let refused = matches!(event_loop.turn(&mut 0, None), Err(RunError::Forked));
            event_loop.remove(shared); // whoever reads it first has what there is to read: it is the parent's
            event_loop.after_fork()?;
            let mut calls = 0;
            event_loop.run(&mut calls)?; // timers go on in both
            println!("child: refused before: {refused}, {calls} call of the timer");
        }
        child => {
            event_loop.on(PidFd::open(child.cast_unsigned())?, |_, _, status| {
                println!("parent: the child has ended: {status}");
                Ok(Next::Keep)
            })?;
            let mut calls = 0;
            while event_loop.sources().count() > 1 {
                event_loop.turn(&mut calls, None)?;
            }
            println!("parent: {calls} call of the timer");
        }
    }
    Ok(())
}
