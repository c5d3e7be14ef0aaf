//! A child process with pipes: written, read and waited for, with a deadline for the whole. Run it with
//! `cargo run -p becket-fiber --example pipe_through_a_child`.

use becket_fiber::process::{Command, Stdio};
use becket_fiber::{Runtime, scope, timeout};
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let mut sort = Command::new("sort").arg("-n").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (sort.stdin.take(), sort.stdout.take());
        let mut sorted = String::new();
        scope(|s| {
            // Beside the reading: a child that is neither read nor fed stands still, as soon as its pipes are full.
            s.spawn(move || input.map_or(Ok(()), |mut input| input.write_all(b"30\n4\n100\n")))?; // and closed
            output.map_or(Ok(0), |mut output| output.read_to_string(&mut sorted))
        })?;
        println!("{sorted:?}, {}", sort.wait()?);

        let sleeper = Command::new("sleep").arg("60").kill_on_drop(true).spawn()?; // by default a child goes on
        let late = timeout(Duration::from_millis(10), || sleeper.wait());
        println!("too late: {}", late.is_err_and(|e| e.kind() == ErrorKind::TimedOut));
        sleeper.kill()?;
        println!("{}", sleeper.wait()?);
        let output = Command::new("sh").args(["-c", "echo $WORD; exit 3"]).env("WORD", "becket").output()?;
        println!("{:?}, {}", String::from_utf8_lossy(&output.stdout), output.status);
        Ok(())
    })?
}
