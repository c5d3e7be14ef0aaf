//! Keys as they are typed, in raw mode, which ends whatever happens: on return, by an error, in a panic.
//!
//! Run it with `cargo run -p becket-sys --example terminal_raw`, and press `q` to end it. Where standard input is no
//! terminal, a pseudoterminal plays one.

use becket_sys::pty::Controller;
use becket_sys::tty::{Tty, is_terminal};
use becket_sys::{Ready, SetupError};
use std::error::Error;
use std::io::Write;

fn keyboard() -> Result<(Tty, Option<Controller>), SetupError> {
    if is_terminal(std::io::stdin()) {
        // Opened anew: to make standard input non-blocking would make it so for the shell as well.
        return Ok((Tty::reopen(std::io::stdin())?, None));
    }
    let (controller, terminal) = becket_sys::pty::pair()?;
    Ok((terminal, Some(controller)))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (terminal, player) = keyboard()?;
    let raw = terminal.raw_mode()?.restore_on_panic()?;
    if let Some(mut player) = player.as_ref() {
        player.write_all(b"a\x03\x1b[A\rq")?; // Ctrl-C, an arrow, Enter
    }
    let mut buf = [0; 32];
    let mut over = false;
    while !over {
        terminal.wait_ready(Ready::READ, None)?;
        let Some(n) = terminal.try_read(&mut buf)? else { continue };
        // A key can be several bytes, and a read can bring several keys, or a part of one.
        print!("keys {:?}\r\n", String::from_utf8_lossy(&buf[..n])); // nobody adds the \r in raw mode
        over = n == 0 || buf[..n].contains(&b'q'); // 0: the terminal hung up
    }
    raw.restore()?; // dropping it does so as well, and keeps errors to itself

    if let Some(mut player) = player.as_ref() {
        player.write_all(b"cooked\n")?;
        terminal.wait_ready(Ready::READ, None)?; // at the end of a line, as ever
        let n = terminal.try_read(&mut buf)?.unwrap_or(0);
        println!("line {:?}", String::from_utf8_lossy(&buf[..n]));
    }
    Ok(())
}
