//! Follows the network: links and addresses that come and go, as typed events of netlink.
//!
//! It does so in a namespace of its own, where it may take the loopback link up; without the right to make one, it says SKIP.
//! `cargo run -p becket-loop --example watch_network`

use becket_loop::{Loop, Next};
use becket_sys::netlink::route::{Event, LinkFlags, Monitor, Watch};
use becket_sys::netlink::{Flags, Protocol, Request, Socket};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::error::Error;
use std::io::ErrorKind;

const RTM_NEWLINK: u16 = 16;

/// Asks for link 1, the loopback link, to be up: a `struct ifinfomsg` with the flag and the mask that changes it.
fn up() -> Request {
    let mut request = Request::new(RTM_NEWLINK, Flags::ACK);
    request.put([0; 4]);
    for number in [1, LinkFlags::UP.bits(), LinkFlags::UP.bits()] {
        request.put(number.to_ne_bytes());
    }
    request
}

#[allow(unsafe_code, reason = "a thread can part with what others think that they share")]
fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: the process has one thread, and shares its descriptors and its memory as before.
    match unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            return Ok(println!("SKIP: watch_network: {e}"));
        }
        done => done?,
    }
    let mut event_loop: Loop<()> = Loop::new()?;
    // Before anything is listed, so that nothing is missed in between.
    event_loop.on(Monitor::new(Watch::LINKS | Watch::ADDRESSES)?, |(), ctx, event| {
        match event {
            Event::Link(link) => println!("{} is up: {}", link.name.display(), link.flags.contains(LinkFlags::UP)),
            Event::Address(address) => {
                println!("{}/{}", address.address, address.prefix);
                ctx.exit(0);
            }
            Event::Overflow => println!("some were lost: list everything again"),
            _ => {}
        }
        Ok(Next::Keep)
    })?;
    Socket::new(Protocol::ROUTE)?.request(&up(), None)?;
    event_loop.run(&mut ())?;
    Ok(())
}
