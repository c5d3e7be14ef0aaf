//! The network links of this machine with their addresses, and what changes of them: netlink(7).
//!
//!     cargo run -p becket-sys --example link_monitor          for five seconds; pull a cable
//!     cargo run -p becket-sys --example link_monitor -- 60    for a minute

use becket_sys::netlink::route::{self, Event, Link, LinkFlags, Monitor, Watch};
use becket_sys::netlink::{Protocol, Socket};
use becket_sys::{EventBuf, Ready};
use std::time::{Duration, Instant};

fn print(sign: char, link: &Link) {
    let up = if link.flags.contains(LinkFlags::UP) { "up" } else { "down" };
    let mac: Vec<_> = link.address.iter().map(|byte| format!("{byte:02x}")).collect();
    let (name, mtu) = (link.name.display(), link.mtu.unwrap_or_default());
    println!("{sign} {}: {name} is {up} ({:?}), mtu {mtu}, {}", link.index, link.state, mac.join(":"));
}

fn list() -> Result<(), Box<dyn std::error::Error>> {
    let socket = Socket::new(Protocol::ROUTE)?; // one of its own: the monitor's is told of changes meanwhile
    let soon = Some(Instant::now() + Duration::from_secs(5));
    route::links(&socket, soon)?.iter().for_each(|link| print(' ', link));
    for address in route::addresses(&socket, soon)? {
        println!("  {}: {}/{}", address.link, address.address, address.prefix);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let monitor = Monitor::new(Watch::LINKS | Watch::ADDRESSES)?; // before the list, so that nothing is missed
    list()?;
    let seconds = std::env::args().nth(1);
    let end = Instant::now() + Duration::from_secs(seconds.as_deref().unwrap_or("5").parse()?);
    let mut buf = EventBuf::with_capacity(32 * 1024);
    while monitor.wait_ready(Ready::READ, Some(end))?.is_some() {
        let Some(events) = monitor.read_events(&mut buf)? else { continue };
        for event in events {
            match event {
                Event::Link(link) => print('*', &link),
                Event::LinkGone(link) => print('-', &link),
                Event::Address(address) => println!("+ {}: {}/{}", address.link, address.address, address.prefix),
                Event::AddressGone(gone) => println!("- {}: {}/{}", gone.link, gone.address, gone.prefix),
                Event::Overflow => list()?, // something was lost: look again
                _ => {}
            }
        }
    }
    Ok(())
}
