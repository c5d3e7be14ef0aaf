//! A tool that waits for edges of a GPIO line by sysfs, and prints each: a program over becket-sys alone.
//!
//! Exit status 0 after the edges asked for, 1 where the time was up before, 2 where something was wrong with the
//! arguments or the line. SIGINT and SIGTERM end it by 130 and 143; a line that was not exported before is
//! unexported in any case.

use becket_sys::Ready;
use becket_sys::gpio::sysfs::{Class, Edge, Line};
use becket_sys::poll::Poll;
use becket_sys::signal::{Signal, Signals};
use lexopt::prelude::*;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: wait_gpio_edge N[:rising|falling|both] [--count K] [--timeout 10s] [--root DIR]
  N          the line's number in sysfs; both edges where none is named
  --count    how many edges to wait for, 1 by default
  --timeout  how long to wait for all of them, such as 10s or 500ms; without end by default
  --root     the folder of the lines, /sys/class/gpio by default";

struct Args {
    number: u32,
    edge: Edge,
    count: u64,
    timeout: Option<Duration>,
    class: Class,
}

fn main() -> ExitCode {
    let done = args().map_err(|e| e.to_string()).and_then(|args| args.map_or(Ok(0), |args| run(&args)));
    match done {
        Ok(status) => ExitCode::from(status),
        Err(e) => {
            eprintln!("wait_gpio_edge: {e}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<u8, String> {
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    // Before the export, so that a signal cannot end the program between it and its undoing.
    let signals = Signals::new([Signal::INT, Signal::TERM]).map_err(|e| format!("signals: {e}"))?;
    let line = args.class.export(args.number, deadline).map_err(|e| e.to_string())?;
    wait_for_edges(&line, &signals, args, deadline).map_err(|e| format!("line {}: {e}", args.number))
}

fn wait_for_edges(line: &Line, signals: &Signals, args: &Args, deadline: Option<Instant>) -> io::Result<u8> {
    let mut out = io::stdout();
    line.set_input()?;
    let active = line.watch(args.edge)?;
    writeln!(out, "line {} is {}, waiting", args.number, state(active))?;

    let mut set = Poll::new();
    set.add(line, 0, Ready::PRI)?;
    set.add(signals, 1, Ready::READ)?;
    for edge in 1..=args.count {
        if set.wait(deadline)? == 0 {
            return Ok(1);
        }
        if let Some(info) = signals.try_read()? {
            return Ok(128 + info.signal().as_raw() as u8);
        }
        writeln!(out, "edge {edge}: line {} is {}", args.number, state(line.value()?))?;
    }
    Ok(0)
}

fn state(active: bool) -> &'static str {
    if active { "active" } else { "inactive" }
}

/// `None` where only help was asked for.
fn args() -> Result<Option<Args>, lexopt::Error> {
    let (mut line, mut count, mut timeout, mut class) = (None, 1, None, Class::new());
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Value(value) if line.is_none() => line = Some(value.parse_with(parse_line)?),
            Long("count") => count = parser.value()?.parse()?,
            Long("timeout") => timeout = Some(parser.value()?.parse_with(parse_duration)?),
            Long("root") => class = Class::at(parser.value()?),
            Short('h') | Long("help") => {
                println!("{USAGE}");
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    let (number, edge) = line.ok_or("missing argument N: the line's number (see --help)")?;
    Ok(Some(Args { number, edge, count, timeout, class }))
}

fn parse_line(text: &str) -> Result<(u32, Edge), String> {
    let (number, edge) = text.split_once(':').unwrap_or((text, "both"));
    let number = number.parse().map_err(|_| format!("{number:?} is not the number of a line"))?;
    let edge = match edge {
        "rising" => Edge::Rising,
        "falling" => Edge::Falling,
        "both" => Edge::Both,
        other => return Err(format!("{other:?} is none of rising, falling, both")),
    };
    Ok((number, edge))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| "not a duration such as 10s or 500ms")?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err("not a duration such as 10s or 500ms".to_owned()),
    }
}
