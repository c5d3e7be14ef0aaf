//! The serial ports of this machine, and what one of them is set to.
//!
//!     cargo run -p becket-sys --example serial_ports                    lists them
//!     cargo run -p becket-sys --example serial_ports -- /dev/ttyUSB0    opens that one
//!
//! Where there is none it says so; the exit status is 0.

use becket_sys::serial::{Port, ports};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(path) = std::env::args_os().nth(1) {
        let port = Port::open(&path, 115_200)?; // exclusively: a second program is told so
        println!("{}: {}", path.display(), port.settings()?);
        match port.modem_lines() {
            Ok(lines) => println!("lines {lines:?}"),
            Err(e) => println!("it has no modem lines: {e}"), // pseudoterminals, some adapters
        }
        return Ok(());
    }
    let ports = ports()?; // from sysfs: none is opened
    for port in &ports {
        let usb =
            port.usb.as_ref().map(|usb| format!("USB {:04x}:{:04x} at {}", usb.vendor, usb.product, usb.location));
        println!("{}: {}", port.path.display(), usb.or(port.bus.clone()).unwrap_or_default());
    }
    if ports.is_empty() {
        println!("SKIP: serial_ports: there is no serial port");
    }
    Ok(())
}
