//! Keeps programs running: who ends is started again, after a pause that grows while that keeps happening; all are ended
//! at the end. Run it with `cargo run --example supervise -- "COMMAND ARG" "COMMAND"`, and end it by SIGTERM or SIGINT;
//! without commands it has two of its own, and ends by itself.

use becket_fiber::process::{Child, Command};
use becket_fiber::signal::{Signal, Signals, raise};
use becket_fiber::{Runtime, is_cancelled, scope, shield, sleep, timeout};
use std::io;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(10); // who ran for so long begins with the first pause again
const GRACE: Duration = Duration::from_secs(5); // how long it has to end when it is told to

fn main() -> io::Result<()> {
    let mut commands: Vec<String> = std::env::args().skip(1).collect();
    let shows_itself = commands.is_empty();
    commands.extend(["false", "sleep 1000"].into_iter().filter(|_| shows_itself).map(String::from));
    let signals = Signals::new([Signal::INT, Signal::TERM])?; // before any other thread is there
    Runtime::new()?.run(|| {
        scope(|s| {
            for command in &commands {
                s.spawn_named(command, move || keep_running(command))?;
            }
            if shows_itself {
                s.spawn(|| sleep(Duration::from_millis(500)).and_then(|()| raise(Signal::TERM)))?;
            }
            println!("ends by {:?}", signals.next()?.signal());
            Ok(s.cancel())
        })
    })?
}

fn keep_running(command: &str) -> io::Result<()> {
    let mut words = command.split_whitespace();
    let mut program = Command::new(words.next().unwrap_or_default());
    program.args(words).kill_on_drop(true);
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        match program.spawn() {
            Ok(child) => match child.wait() {
                Err(e) if is_cancelled(&e) => return end(command, &child),
                status => println!("{command}: {}", status?),
            },
            Err(e) => println!("{e}"), // it says which; the program may be there the next time
        }
        pause = if begun.elapsed() < LONG { (2 * pause).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
        sleep(pause)?;
    }
}

/// Asks it to end, and makes it where it does not: shielded, for it is a cancel that led here.
fn end(command: &str, child: &Child) -> io::Result<()> {
    child.send_signal(Signal::TERM)?;
    let status = shield(|| timeout(GRACE, || child.wait()).or_else(|_| child.kill().and_then(|()| child.wait())))?;
    Ok(println!("{command}: ended: {status}"))
}
