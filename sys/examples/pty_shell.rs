//! Plays a terminal for a shell: types commands, shows what comes back, interrupts a command by Ctrl-C, and sees the
//! end.

use becket_sys::pty::Controller;
use becket_sys::tty::WindowSize;
use becket_sys::{Ready, wait};
use std::io::{self, Write};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) fn main() -> io::Result<()> {
    let controller = Controller::open()?;
    controller.set_window_size(WindowSize { rows: 33, columns: 100, ..WindowSize::default() })?;

    let mut command = Command::new("sh");
    command.env("PS1", "$ ").arg("-i");
    let shell = controller.spawn(command)?;

    // What to type, and what to wait for before.
    let script: [(&str, &[u8]); 4] = [
        ("$ ", b"stty size; sleep 100\n"),
        ("33 100\r\n", b"\x03"), // Ctrl-C: an interrupt, for the shell's terminal is in cooked mode
        ("$ ", b"tty\n"),
        ("$ ", b"exit 7\n"),
    ];
    let mut script = script.iter();
    let mut next = script.next();
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut seen, mut buf) = (String::new(), [0; 1024]);
    loop {
        wait(&controller, Ready::READ, Some(deadline))?.ok_or(io::ErrorKind::TimedOut)?;
        let Some(n) = controller.try_read(&mut buf)? else { continue };
        if n == 0 {
            break; // nobody has the terminal open any more
        }
        io::stdout().write_all(&buf[..n])?;
        seen.push_str(&String::from_utf8_lossy(&buf[..n]));
        if let Some((prompt, typed)) = next
            && seen.contains(prompt)
        {
            seen.clear();
            (&controller).write_all(typed)?;
            next = script.next();
        }
    }
    println!("the shell ended: {}", shell.wait(None)?.expect("waited without a deadline"));
    Ok(())
}
