//! Children without SIGCHLD: each waited for by its own descriptor, one stopped and continued, one killed by a drop.
//!
//! Run it with `cargo run -p becket-sys --example pidfd`.

use becket_sys::poll::Poll;
use becket_sys::process::{Change, Child, CommandProcessExt, PidFd, WaitFor};
use becket_sys::signal::Signal;
use becket_sys::{Ready, SetupError};
use std::process::Command;
use std::time::{Duration, Instant};

fn sleep(seconds: &str) -> Result<Child, SetupError> {
    Child::spawn(Command::new("sleep").arg(seconds).signal_on_parents_end(Signal::KILL))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let me = PidFd::open(std::process::id())?;
    match me.info() {
        Ok(info) => println!("I am {:?}, parent {:?}, user {:?}", info.pid(), info.parent(), info.user()),
        Err(e) => println!("I am {:?} (this kernel tells no more: {e})", me.pid()?),
    }

    let children = [sleep("0.2")?, sleep("0.1")?, sleep("1000")?.kill_on_drop(true)];
    let last = children[2].pid_fd().try_clone()?;
    last.send_signal(Signal::STOP)?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while last.try_wait_for(WaitFor::STOPPED)? != Some(Change::Stopped(Signal::STOP)) {
        assert!(Instant::now() < deadline); // of a stop the descriptor does not tell
        std::thread::sleep(Duration::from_millis(1));
    }
    last.send_signal(Signal::CONT)?;

    let mut set = Poll::new();
    for (i, child) in children.iter().enumerate() {
        set.add(child, i as u64, Ready::READ)?;
    }
    let mut running = children.len();
    while running > 1 {
        set.wait(Some(deadline))?;
        for (i, _) in set.ready().collect::<Vec<_>>() {
            let child = &children[i as usize];
            println!("child {i} ended: {}", child.try_wait()?.ok_or("ready, and not ended")?);
            set.delete(child)?;
            running -= 1;
        }
    }
    drop(children);
    println!("the last one has ended: {}", last.has_ended()?);
    Ok(())
}
