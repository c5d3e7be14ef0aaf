//! What happens to a terminal beside its data: a pseudoterminal in packet mode, which tells by `Ready::PRI`.
//!
//! Run it with `cargo run -p becket-sys --example pty_status`. It plays both ends; a terminal's user stops the output.

use becket_sys::Ready;
use becket_sys::pty::{Packet, Status, pair};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let (controller, terminal) = pair()?;
    controller.set_packet_mode(true)?; // from now on each read brings either data or a status
    terminal.try_write(b"text")?;
    controller.try_write(b"\x13")?; // Ctrl-S: stop

    let mut buf = [0; 64];
    let mut next = || -> io::Result<Packet> {
        loop {
            // Not PRI alone: of a stop and a start the kernel wakes only those who wait for reading.
            let soon = Some(Instant::now() + Duration::from_secs(20));
            controller.wait_ready(Ready::READ | Ready::PRI, soon)?.ok_or(ErrorKind::TimedOut)?;
            let Some(packet) = controller.try_read_packet(&mut buf)? else { continue };
            println!("{packet:?}");
            return Ok(packet);
        }
    };
    while !matches!(next()?, Packet::Status(status) if status.contains(Status::STOP)) {} // it overtakes the data
    println!("the program writes: {:?}", terminal.try_write(b"more")?);

    controller.try_write(b"\x11")?; // Ctrl-Q: go on
    while !matches!(next()?, Packet::Status(status) if status.contains(Status::START)) {}
    terminal.wait_ready(Ready::WRITE, None)?;
    println!("and now: {:?}", terminal.try_write(b"more")?);
    Ok(())
}
