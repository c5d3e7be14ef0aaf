//! Devices that come, go and change, as the kernel tells udev: uevents over netlink.
//!
//!     cargo run -p becket-sys --example device_events            asks the kernel to tell of /dev/null, as root
//!     cargo run -p becket-sys --example device_events -- 10      ten seconds; plug something in
//!
//! Where one may not ask, it says so; the exit status is 0 then, too.

use becket_sys::netlink::uevent::{KERNEL_GROUP, Uevent};
use becket_sys::netlink::{Incoming, Protocol, Socket};
use becket_sys::{EventBuf, Ready};
use std::error::Error;
use std::time::{Duration, Instant};
use std::{env, fs};

/// Writing here makes the kernel tell of a device that was there before.
const NULL: &str = "/sys/devices/virtual/mem/null/uevent";

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = env::args().nth(1);
    let socket = Socket::new(Protocol::KOBJECT_UEVENT)?;
    socket.join(KERNEL_GROUP)?;
    if seconds.is_none()
        && let Err(e) = fs::write(NULL, "change")
    {
        return Ok(println!("SKIP: device_events: {NULL}: {e}"));
    }
    let end = Instant::now() + Duration::from_secs(seconds.as_deref().unwrap_or("2").parse()?);
    let mut buf = EventBuf::with_capacity(8192);
    while socket.wait_ready(Ready::READ, Some(end))?.is_some() {
        match socket.try_recv(&mut buf)? {
            Some(Incoming::Datagram(datagram)) => {
                let Some(event) = Uevent::parse(datagram.as_bytes()) else { continue };
                let subsystem = event.get("SUBSYSTEM").unwrap_or_default().display();
                println!("{} {subsystem} {}", event.action().display(), event.path().display());
                if seconds.is_none() && event.get("DEVNAME") == Some("null".as_ref()) {
                    return Ok(());
                }
            }
            Some(_) => println!("events were lost: look at sysfs again"),
            None => {}
        }
    }
    // The kernel tells only the first user namespace, and of network devices their own network namespace.
    Ok(if seconds.is_none() {
        println!("SKIP: device_events: the kernel has told nothing")
    })
}
