//! A tool: prints the lines of a serial device, by callbacks, `read_serial [PATH[:BAUD]] [COUNT]`.
//!
//! Without a path it reads a simulated sensor on a pseudoterminal. It ends after COUNT lines (default: 5 of the
//! simulated sensor, no end otherwise), or when the device hangs up.

use becket_loop::{Ctx, Loop, Mode, Next, Ready};
use becket_sys::pty::Controller;
use becket_sys::serial::Port;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// Longer lines are no lines of a sensor.
const LONGEST_LINE: usize = 4096;

struct State {
    line: Vec<u8>,
    /// How many lines are still asked for.
    left: Option<u64>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("read_serial: {e}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let device = args.next();
    let count = args.next().map(|count| count.parse().map_err(|e| format!("count {count}: {e}"))).transpose()?;
    let mut event_loop: Loop<State> = Loop::new()?;
    let (port, left) = match device {
        Some(device) => (open(&device)?, count),
        None => (simulate(&mut event_loop)?, count.or(Some(5))),
    };
    event_loop.add(port, Ready::READ, Mode::Level, |state, ctx, port, _| {
        let mut bytes = [0; 256];
        match port.try_read(&mut bytes)? {
            None => {}
            Some(0) => {
                eprintln!("read_serial: the device hung up");
                ctx.exit(0);
            }
            Some(n) => bytes[..n].iter().for_each(|byte| state.take(*byte, ctx)),
        }
        Ok(Next::Keep)
    })?;
    event_loop.run(&mut State { line: Vec::new(), left })?;
    Ok(())
}

impl State {
    fn take(&mut self, byte: u8, ctx: &mut Ctx<State>) {
        if byte != b'\n' && self.line.len() < LONGEST_LINE {
            return self.line.push(byte);
        }
        let line = std::mem::take(&mut self.line);
        if self.left == Some(0) {
            return;
        }
        println!("{}", String::from_utf8_lossy(&line).trim_end().escape_debug());
        self.left = self.left.map(|left| left - 1);
        if self.left == Some(0) {
            ctx.exit(0);
        }
    }
}

fn open(device: &str) -> Result<Port, Box<dyn Error>> {
    let (path, baud) = match device.rsplit_once(':') {
        Some((path, baud)) => (path, baud.parse().map_err(|e| format!("baud rate {baud}: {e}"))?),
        None => (device, 115_200),
    };
    Ok(Port::open(path, baud)?)
}

/// A sensor that is not there: the far end of a pseudoterminal, written to by a timer.
fn simulate(event_loop: &mut Loop<State>) -> Result<Port, Box<dyn Error>> {
    let controller = Controller::open()?;
    let port = Port::open(controller.terminal_path()?, 115_200)?;
    event_loop.every(Duration::from_millis(50), move |_, _, _| {
        controller.try_write(b"temp=21.53 hum=40\n")?;
        Ok(Next::Keep)
    });
    Ok(port)
}
