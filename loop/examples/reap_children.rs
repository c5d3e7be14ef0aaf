//! Children that end are heard of one by one, each with its status; and those that this process did not start as well, as
//! process 1 or a subreaper has them.
//!
//! Never `waitpid(-1)`, which takes the status that somebody else waits for.
//! `cargo run -p becket-loop --example reap_children`

use becket_loop::{Loop, Next};
use becket_sys::process::{AnyChild, Child};
use rustix::process::{getpid, set_child_subreaper};
use std::error::Error;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let any = AnyChild::new()?; // blocks SIGCHLD: in the main thread, before there is another
    set_child_subreaper(Some(getpid()))?;
    let mut event_loop: Loop<u32> = Loop::new()?;

    // One's own: a source that is removed once it has told of the end.
    let mut shell = Command::new("sh");
    let own = Child::spawn(shell.args(["-c", "(sleep 0.1; exit 7) & exit 3"]))?;
    let own_id = own.id();
    event_loop.on(own, |ended, _, status| {
        *ended += 1;
        println!("own child: {status}");
        Ok(Next::Keep)
    })?;
    // All of them. The shell has left a child behind, which is ours now, and nobody else's to wait for.
    event_loop.on(any, move |ended, ctx, child| {
        if child.pid() != own_id
            && let Some(status) = child.take()?
        {
            *ended += 1;
            println!("orphan: {status}");
        }
        if *ended == 2 {
            ctx.exit(0);
        }
        Ok(Next::Keep)
    })?;
    event_loop.run(&mut 0)?;
    Ok(())
}
