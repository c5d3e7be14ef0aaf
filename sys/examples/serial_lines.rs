//! The modem lines of a serial port, and their changes as something to wait for: a helper thread asks the kernel.
//!
//!     cargo run -p becket-sys --example serial_lines -- /dev/ttyUSB0 10    for ten seconds; pull the other end's plug
//!
//! Without arguments it touches nothing, and refers to serial_ports; the exit status is 0.

use becket_sys::Ready;
use becket_sys::serial::{ModemLines, Port};
use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let Some(path) = args.next() else {
        return Ok(println!("which port? The example serial_ports shows what there is"));
    };
    let end = Instant::now() + Duration::from_secs(args.next().as_deref().unwrap_or("10").parse()?);

    let port = Port::open(path, 9600)?; // asserts DTR and RTS, as every opening does
    let watch = port.watch_lines(ModemLines::CTS | ModemLines::DSR | ModemLines::DCD | ModemLines::RI)?;
    println!("{:?}", port.modem_lines()?);
    while watch.wait_ready(Ready::READ, Some(end))?.is_some() {
        let Some(change) = watch.try_read()? else { continue };
        // One that went and came back counts twice: not the same as nothing.
        println!("{:?}; {:?} changed, CTS {} times", change.lines, change.changed, change.cts());
    }
    Ok(())
}
