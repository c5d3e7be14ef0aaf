//! A password, asked for without its being seen: the terminal's echo off, its line editing on.
//!
//! Run it with `cargo run -p becket-sys --example terminal_password`. Where standard input is no terminal, a
//! pseudoterminal plays one, with somebody who types.

use becket_sys::tty::{Tty, is_terminal};
use becket_sys::{Ready, pty};
use std::error::Error;
use std::io::{self, Write, stdin};
use std::thread;

fn ask(terminal: &Tty, prompt: &str) -> Result<String, Box<dyn Error>> {
    let quiet = terminal.no_echo()?.restore_on_panic()?; // before the prompt: some are quick to type
    (&*terminal).write_all(prompt.as_bytes())?;
    terminal.wait_ready(Ready::READ, None)?; // readable at the end of a line
    let mut buf = [0; 4096];
    let n = terminal.try_read(&mut buf)?.unwrap_or(0);
    quiet.restore()?;
    Ok(str::from_utf8(&buf[..n])?.trim_end_matches('\n').to_owned())
}

fn main() -> Result<(), Box<dyn Error>> {
    if is_terminal(stdin()) {
        let terminal = Tty::reopen(stdin())?;
        return Ok(println!("{} characters", ask(&terminal, "password: ")?.chars().count()));
    }
    let (player, terminal) = pty::pair()?;
    let typing = || -> io::Result<String> {
        let (mut seen, mut buf) = (String::new(), [0; 64]);
        while !seen.ends_with("password: ") {
            player.wait_ready(Ready::READ, None)?;
            let n = player.try_read(&mut buf)?.unwrap_or(0);
            seen.push_str(&String::from_utf8_lossy(&buf[..n]));
        }
        (&player).write_all(b"secred\x7ft\n")?; // with a typing error, taken back
        Ok(seen)
    };
    thread::scope(|scope| {
        let typing = scope.spawn(typing);
        println!("password: {:?}", ask(&terminal, "password: ")?);
        println!("seen before: {:?}", typing.join().expect("who types does not panic")?);
        let n = player.try_read(&mut [0; 64])?;
        Ok(println!("seen after: {n:?} bytes, the line's end"))
    })
}
