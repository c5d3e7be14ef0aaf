//! Plays a terminal for a shell: types an answer, shows what comes back, interrupts it by Ctrl-C, and sees the end.
//!
//! Run it with `cargo run -p becket-sys --example pty_shell`.

use becket_sys::pty::Controller;
use becket_sys::tty::WindowSize;
use becket_sys::{Ready, wait};
use std::io::{self, Write};
use std::process::Command;
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let controller = Controller::open()?;
    controller.set_window_size(WindowSize { rows: 33, columns: 100, ..WindowSize::default() })?;

    let mut command = Command::new("sh");
    let work = "trap 'exit 7' INT; echo working; while :; do sleep 0.05; done";
    command.args(["-c", &format!("tty; stty size; echo 'your name?'; read name; echo \"hello $name\"; {work}")]);
    let shell = controller.spawn(command)?;

    // What to wait for, and what to type then.
    let script: [(&str, &[u8]); 2] = [
        ("name?\r\n", b"Becket\n"),
        ("working\r\n", b"\x03"), // Ctrl-C: an interrupt, for the terminal is in cooked mode
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
