//! A serial port: a request, an answer of known length, a setting that the device refuses, and the hang-up.
//!
//! Run it with `cargo run -p becket-sys --example serial_loopback_pty`. A pseudoterminal plays the device.

use becket_sys::Ready;
use becket_sys::pty::Controller;
use becket_sys::serial::{Parity, Port, Refused, Settings};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Controller::open()?;
    let port = Port::builder(device.terminal_path()?, 250_000).open()?;
    println!("opened at {}", port.settings()?);

    let soon = Instant::now() + Duration::from_secs(5);
    port.try_write(b"?")?;
    let mut buf = [0; 8];
    device.wait_ready(Ready::READ, Some(soon))?.ok_or("no request")?;
    let n = device.try_read(&mut buf)?.unwrap_or(0);
    assert_eq!(&buf[..n], b"?");

    port.set_read_minimum(4, Duration::ZERO)?; // wake once, for the whole answer
    device.try_write(b"42")?;
    device.try_write(b".0")?;
    port.wait_ready(Ready::READ, Some(soon))?.ok_or("no answer")?;
    let n = port.try_read(&mut buf)?.unwrap_or(0);
    println!("the device says {}", String::from_utf8_lossy(&buf[..n]));

    if let Err(e) = port.set_settings(&Settings { parity: Parity::Even, ..Settings::new(250_000) }) {
        let refused = Refused::of(&e).ok_or("another error")?;
        println!("it refuses {} {}", refused.setting(), refused.wanted());
    }

    drop(device);
    port.wait_ready(Ready::READ, Some(soon))?;
    assert_eq!(port.try_read(&mut buf)?, Some(0));
    println!("it hung up: {}", port.is_hung_up()?);
    Ok(())
}
