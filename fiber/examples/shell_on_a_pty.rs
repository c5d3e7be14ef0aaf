//! A program that wants a terminal gets a pseudoterminal, and is talked to line by line. Run it with
//! `cargo run -p becket-fiber --example shell_on_a_pty`.

use becket_fiber::process::Command;
use becket_fiber::pty::Controller;
use becket_fiber::{BufReader, Runtime, timeout};
use std::io::{self, BufRead, Write};
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let terminal = Controller::open()?;
        let mut shell = Command::new("sh");
        shell.args(["-c", "test -t 0 && echo a terminal; read name; echo hello $name"]).kill_on_drop(true);
        let child = terminal.spawn(shell)?;
        timeout(Duration::from_secs(20), || {
            (&terminal).write_all(b"becket\n")?;
            // To the end, which comes when nobody has the terminal open any more. What is typed is echoed.
            BufReader::new(&terminal).lines().try_for_each(|line| line.map(|line| println!("{}", line.trim_end())))
        })?;
        println!("{}", child.wait()?);
        Ok(())
    })?
}
