//! fork(2): the child has a runtime that runs nothing, until it is told that it is the child's; then there are two of
//! each fiber. Run it with `cargo run -p becket-fiber --example fork_with_fibers`.
//!
//! For starting programs there is `process::Command`, which needs nothing of this.

use becket_fiber::{Runtime, sleep};
use std::io::{self, Read, Write, pipe};
use std::time::Duration;

#[allow(unsafe_code, reason = "forks")]
fn main() -> io::Result<()> {
    let mut runtime = Runtime::new()?;
    let fiber = runtime.spawn(|| {
        sleep(Duration::from_millis(20))?;
        Ok::<_, io::Error>(std::process::id())
    })?;
    runtime.turn(Some(Duration::ZERO))?; // it has begun, and sleeps
    let (mut reader, mut writer) = pipe()?;
    // SAFETY: this process has one thread, so that nobody else holds a lock that the child would need.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = runtime.run(|| ()).is_err_and(|e| e.raw_os_error() == Some(libc::ECHILD));
        runtime.after_fork()?; // its own from here on
        let id = runtime.run(|| fiber.join())?.map_err(io::Error::from)??;
        writeln!(writer, "the child was refused: {refused}; its fiber runs in it: {}", id == std::process::id())?;
        return Ok(());
    }
    drop(writer);
    let id = runtime.run(|| fiber.join())?.map_err(io::Error::from)??;
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    println!("{text}the parent's runs in the parent: {}", id == std::process::id());
    // SAFETY: reaps the child that was made here.
    let reaped = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    println!("reaped: {}", reaped == child);
    Ok(())
}
