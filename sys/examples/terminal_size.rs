//! The size of the terminal's window, and its changes: SIGWINCH, read from a signalfd.
//!
//! Run it with `cargo run -p becket-sys --example terminal_size` in a terminal, and drag the window, for ten seconds.
//! Where standard output is no terminal, it plays one for itself, and changes its size twice.

use becket_sys::pty::Controller;
use becket_sys::signal::{Signal, Signals};
use becket_sys::tty::{Tty, WindowSize, is_terminal};
use becket_sys::{Ready, wait};
use std::io::{ErrorKind, Write};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, io};

fn watch() -> io::Result<()> {
    let terminal = Tty::new(io::stdout())?;
    let changes = Signals::new([Signal::WINCH, Signal::TERM])?; // first, so that no change is missed
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let WindowSize { rows, columns, .. } = terminal.window_size()?;
        println!("{rows} rows, {columns} columns");
        if changes.wait_ready(Ready::READ, Some(end))?.is_none() {
            return Ok(());
        }
        while let Some(info) = changes.try_read()? {
            if info.signal() == Signal::TERM {
                return Ok(());
            }
        }
    }
}

fn main() -> io::Result<()> {
    if is_terminal(io::stdout()) {
        return watch();
    }
    let controller = Controller::open()?;
    let resize = |rows, columns| controller.set_window_size(WindowSize { rows, columns, ..WindowSize::default() });
    resize(24, 80)?;
    let child = controller.spawn(Command::new(env::current_exe()?))?;
    let mut sizes = [(40, 132), (50, 100)].into_iter();
    let (mut buf, soon) = ([0; 256], Instant::now() + Duration::from_secs(20));
    loop {
        wait(&controller, Ready::READ, Some(soon))?.ok_or(ErrorKind::TimedOut)?;
        let Some(n) = controller.try_read(&mut buf)? else { continue };
        io::stdout().write_all(&buf[..n])?;
        if n > 0 && !buf[..n].ends_with(b"\n") {
            continue; // a part of a line
        }
        match sizes.next() {
            _ if n == 0 => break, // the end: nobody has the terminal open any more
            Some((rows, columns)) => resize(rows, columns)?,
            None => child.send_signal(Signal::TERM)?,
        }
    }
    println!("{}", child.wait(Some(soon))?.ok_or(ErrorKind::TimedOut)?);
    Ok(())
}
