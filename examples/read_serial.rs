//! Prints the lines of a serial device, by callbacks: `read_serial [PATH [BAUD]]`.
//!
//! Without a path it reads five lines of a simulated sensor on a pseudoterminal; with one, until the device hangs up.

use becket_loop::{Ctx, Loop, Mode, Next, Ready};
use becket_sys::pty::Controller;
use becket_sys::serial::Port;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// Longer lines are no lines of a sensor.
const LONGEST_LINE: usize = 4096;

fn main() -> ExitCode {
    run().map_or_else(
        |e| {
            eprintln!("read_serial: {e}");
            ExitCode::from(2)
        },
        |()| ExitCode::SUCCESS,
    )
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (path, baud) = (args.next(), args.next().map_or(Ok(115_200), |baud| baud.parse())?);
    let mut event_loop: Loop<Vec<u8>> = Loop::new()?;
    let mut left = if path.is_some() { u64::MAX } else { 5 };
    let port = path.map_or_else(|| simulate(&mut event_loop), |path| Ok(Port::open(path, baud)?))?;
    event_loop.add(port, Ready::READ, Mode::Level, move |line, ctx, port, _| {
        let mut bytes = [0; 256];
        let Some(n) = port.try_read(&mut bytes)? else { return Ok(Next::Keep) };
        for byte in &bytes[..n] {
            line.push(*byte);
            if (*byte == b'\n' || line.len() > LONGEST_LINE) && left > 0 {
                println!("{}", String::from_utf8_lossy(line).trim_end().escape_debug());
                line.clear();
                left -= 1;
            }
        }
        if n == 0 || left == 0 {
            ctx.exit(0); // it hung up, or enough was read
        }
        Ok(Next::Keep)
    })?;
    event_loop.run(&mut Vec::new())?;
    Ok(())
}

/// A sensor that is not there: the far end of a pseudoterminal, written to by a timer.
fn simulate(ctx: &mut Ctx<Vec<u8>>) -> Result<Port, Box<dyn Error>> {
    let controller = Controller::open()?;
    let port = Port::open(controller.terminal_path()?, 115_200)?;
    ctx.every(Duration::from_millis(50), move |_, _, _| {
        controller.try_write(b"temp=21.53 hum=40\n")?;
        Ok(Next::Keep)
    });
    Ok(port)
}
