//! One datagram to many: a group that two sockets join and one leaves, on the loopback interface.
//!
//! Run it with `cargo run -p becket-sys --example udp_multicast`. Nothing of it leaves the machine.

use becket_sys::Ready;
use becket_sys::udp::{Socket, interface_index};
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 83, 17); // of those for private use

fn main() -> io::Result<()> {
    let lo = interface_index("lo")?;
    // Bound to the group's address, they get nothing else; both may have the port.
    let first = Socket::builder().reuse_address(true).bind((GROUP, 0))?;
    let port = first.local_addr()?.port();
    let second = Socket::builder().reuse_address(true).bind((GROUP, port))?;
    for member in [&first, &second] {
        member.join_multicast(GROUP.into(), lo)?;
        // Otherwise a group that any program of the machine has joined comes here, too.
        member.set_multicast_all(false)?;
    }
    let sender = Socket::bind((Ipv4Addr::LOCALHOST, 0))?;
    sender.set_multicast_interface(lo)?; // the default is the one of the default route

    let mut buf = [0; 64];
    for text in ["to both", "to the first"] {
        sender.try_send_to(text.as_bytes(), (GROUP, port))?;
        let soon = Some(Instant::now() + Duration::from_secs(20));
        first.wait_ready(Ready::READ, soon)?.ok_or(ErrorKind::TimedOut)?;
        let (received, _) = first.try_recv_from(&mut buf)?.ok_or(ErrorKind::WouldBlock)?;
        println!("the first: {}", String::from_utf8_lossy(&buf[..received.len()]));
        // On the loopback interface it has come to all by then.
        println!("the second: {}", second.try_recv_from(&mut buf)?.is_some());
        if text == "to both" {
            second.leave_multicast(GROUP.into(), lo)?;
        }
    }
    Ok(())
}
