//! A small DNS server on the same loop, over UDP, that knows three names and keeps silent about a fourth.

use becket_loop::{AnyId, Ctx, Mode, Next, Ready};
use becket_sys::udp::Socket;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses of a name; `None` where it does not exist.
pub(crate) fn addresses(name: &str) -> Option<Vec<IpAddr>> {
    let v4 = |last| IpAddr::from(Ipv4Addr::new(192, 0, 2, last));
    let v6 = |last| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
    match name {
        "one.test" => Some(vec![v4(1), v6(1)]),
        "two.test" => Some(vec![v4(2), v4(3), v6(2)]),
        "only-v4.test" => Some(vec![v4(4)]),
        _ => None,
    }
}

/// Answers queries for A and AAAA; those for `silent.test` never.
pub(crate) fn serve<S: 'static>(ctx: &mut Ctx<S>) -> io::Result<(SocketAddr, AnyId)> {
    let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    let id = ctx.add(socket, Ready::READ, Mode::Level, |_, _, socket, _| {
        let mut buffer = [0; 512];
        while let Some((received, from)) = socket.try_recv_from(&mut buffer)? {
            if let Some(answer) = answer(&buffer[..received.len()]) {
                socket.try_send_to(&answer, from)?; // what does not fit is asked for again
            }
        }
        Ok(Next::Keep)
    })?;
    Ok((address, id.into()))
}

/// The answer to a query (RFC 1035, section 4.1); `None` for what is none, and where there is to be none.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let &[kind_high, kind_low, ..] = query.get(at..at + 4)? else { return None };
    let kind = u16::from_be_bytes([kind_high, kind_low]);
    let name = labels.join(".");
    if name == "silent.test" {
        return None;
    }
    let found = addresses(&name);
    let mut records = Vec::new();
    let mut count: u16 = 0;
    for address in found.iter().flatten() {
        let data: &[u8] = match (kind, address) {
            (1, IpAddr::V4(address)) => &address.octets(),
            (28, IpAddr::V6(address)) => &address.octets(),
            _ => continue,
        };
        count += 1;
        // The name is the question's; class IN; valid for a minute.
        records.extend_from_slice(&[0xc0, HEADER as u8, kind_high, kind_low, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        records.extend_from_slice(data);
    }
    let code = if found.is_some() { 0 } else { 3 };
    let mut answer = query[..2].to_vec(); // its number
    answer.extend_from_slice(&[0x81, 0x80 | code, 0, 1]); // an answer to one question
    answer.extend_from_slice(&count.to_be_bytes());
    answer.extend_from_slice(&[0; 4]);
    answer.extend_from_slice(&query[HEADER..at + 4]);
    answer.extend_from_slice(&records);
    Some(answer)
}
