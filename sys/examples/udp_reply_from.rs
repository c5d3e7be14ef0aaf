//! A UDP server on many addresses that answers from the one it was asked at, and handles many datagrams by one call.
//!
//! Run it with `cargo run -p becket-sys --example udp_reply_from`. It asks itself, at an address of the loopback
//! interface, to which it is bound; bound to another interface, or to none, it would serve a network.

use becket_sys::Ready;
use becket_sys::cmsg::{Batch, Message, Outgoing, Packet, Slot};
use becket_sys::udp::Socket;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const QUESTIONS: usize = 100;

/// Where a datagram was sent to is where its answer comes from; otherwise the routes choose.
fn source(asked: &Slot) -> Outgoing<'static> {
    let mut out = Outgoing::new();
    for message in asked.control().messages() {
        if let Message::PacketInfo(info) = message
            && let Some(address) = info.reply_from
        {
            out.push_source(address, info.interface);
        }
    }
    out
}

/// Answers what is there.
fn serve(server: &Socket, batch: &mut Batch) -> io::Result<()> {
    server.try_recv_batch(batch)?;
    let asked = batch.messages();
    let sources: Vec<_> = asked.iter().map(source).collect();
    let answer = |(slot, out)| Some(Packet::new(Slot::data(slot)).to(slot.control().sender()?).control(out));
    let answers: Vec<_> = asked.iter().zip(&sources).filter_map(answer).collect();
    server.try_send_batch(&answers)?; // fewer than all where there is no room: UDP may lose them
    Ok(())
}

fn main() -> io::Result<()> {
    let soon = Instant::now() + Duration::from_secs(20);
    let server = Socket::builder().device("lo").bind((Ipv4Addr::UNSPECIFIED, 0))?;
    server.set_packet_info(true)?; // tells of each datagram where it was sent to
    let client = Socket::bind((Ipv4Addr::LOCALHOST, 0))?;
    client.connect(([127, 0, 0, 42], server.local_addr()?.port()))?; // it hears that address alone

    let (mut batch, mut answers) = (Batch::new(64, 1500, 64), Batch::new(64, 1500, 0));
    let (mut asked, mut answered) = (0, 0);
    while answered < QUESTIONS {
        let questions: Vec<_> = (asked..QUESTIONS.min(asked + 10)).map(|n| n.to_string()).collect();
        let packets: Vec<_> = questions.iter().map(|text| Packet::new(text.as_bytes())).collect();
        asked += if packets.is_empty() { 0 } else { client.try_send_batch(&packets)?.unwrap_or(0) };
        serve(&server, &mut batch)?;
        client.wait_ready(Ready::READ, Some(soon))?.ok_or(ErrorKind::TimedOut)?;
        answered += client.try_recv_batch(&mut answers)?.unwrap_or(0);
    }
    println!("{asked} questions, {answered} answers from {}", client.peer_addr()?.ip());
    Ok(())
}
