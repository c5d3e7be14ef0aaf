//! Which ports accept connections: many at a time, each with a deadline of its own, however slow the others are. Run it
//! with `cargo run --example port_scan_timeout -- 192.0.2.1 1-1024`; without arguments it scans three ports of its own.

use becket_fiber::net::TcpStream;
use becket_fiber::sync::Semaphore;
use becket_fiber::{Runtime, scope, timeout};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const AT_ONCE: usize = 200; // each takes a descriptor, of which there are 1024 by default
const PATIENCE: Duration = Duration::from_millis(500);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    Runtime::new()?.run(|| match &args[..] {
        [] => show(),
        [host, ports] => {
            let host: IpAddr = host.parse()?;
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let ports = first.parse::<u16>()?..=last.parse()?;
            Ok(scan(ports.map(|port| (host, port).into()), |at, found| println!("{at} {found}"))?)
        }
        _ => Err("usage: port_scan_timeout [ADDRESS FIRST-LAST]".into()),
    })?
}

fn scan(addresses: impl Iterator<Item = SocketAddr>, tell: impl Fn(SocketAddr, &str)) -> io::Result<()> {
    let places = Semaphore::new(AT_ONCE);
    scope(|s| {
        for address in addresses {
            let place = places.acquire()?; // before the fiber is made: 65,536 ports are not 65,536 fibers
            let tell = &tell;
            s.spawn(move || {
                let _place = place;
                match timeout(PATIENCE, || TcpStream::connect_addr(address)) {
                    Ok(_) => tell(address, "is open"),
                    Err(e) if e.kind() == ErrorKind::ConnectionRefused => {} // closed, as most are
                    Err(e) if e.kind() == ErrorKind::TimedOut => tell(address, "does not answer"),
                    Err(e) => tell(address, &e.to_string()),
                }
            })?;
        }
        Ok(())
    })
}

/// One that is open, one that is closed, and one that is deaf, for its queue is full.
fn show() -> Result<(), Box<dyn Error>> {
    let listen = || becket_sys::tcp::Listener::builder().backlog(1).bind((Ipv4Addr::LOCALHOST, 0));
    let (open, deaf, closed) = (listen()?, listen()?, listen()?.local_addr()?); // the last one is dropped
    let (is_open, is_deaf) = (open.local_addr()?, deaf.local_addr()?);
    let connect = || timeout(PATIENCE, || TcpStream::connect_addr(is_deaf)).ok();
    let _queue: Vec<_> = std::iter::from_fn(connect).collect();
    let name = |at| if at == is_open { "the first" } else { "the other" };
    Ok(scan([is_open, closed, is_deaf].into_iter(), |at, found| println!("{} {found}", name(at)))?)
}
