//! A UDP server on all addresses of the loopback interface (127.0.0.1 to 127.255.255.254) that answers each datagram
//! from the address that it was sent to, many by one call. Bound to another interface, or to none, it would serve a
//! network.
//!
//! Without an argument it listens on a port of the system's choice, asks itself a thousand times and ends; with a port
//! it serves others.

use becket_sys::cmsg::{Batch, Message, Outgoing, Packet};
use becket_sys::udp::Socket;
use becket_sys::{Ready, wait};
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const QUESTIONS: usize = 1000;

fn main() -> io::Result<()> {
    match std::env::args().nth(1) {
        Some(port) => serve(&listen(port.parse().map_err(io::Error::other)?)?, usize::MAX),
        None => ask_itself(),
    }
}

fn listen(port: u16) -> io::Result<Socket> {
    // All addresses, but only of this interface: nobody from outside comes in.
    let builder = Socket::builder().device("lo").recv_buffer_size(1 << 20);
    let server = builder.bind((Ipv4Addr::UNSPECIFIED, port))?;
    server.set_packet_info(true)?;
    println!("listening at {} of the loopback interface", server.local_addr()?);
    Ok(server)
}

pub(crate) fn ask_itself() -> io::Result<()> {
    let server = listen(0)?;
    let client = Socket::builder().recv_buffer_size(1 << 20).bind((Ipv4Addr::LOCALHOST, 0))?;
    client.connect(([127, 0, 0, 42], server.local_addr()?.port()))?;
    let mut batch = Batch::new(64, 1500, 0);
    let (mut asked, mut answered) = (0, 0);
    while answered < QUESTIONS {
        let questions: Vec<_> = (asked..QUESTIONS.min(asked + 64)).map(|i| i.to_string()).collect();
        let packets: Vec<_> = questions.iter().map(|text| Packet::new(text.as_bytes())).collect();
        asked += if packets.is_empty() { 0 } else { client.try_send_batch(&packets)?.unwrap_or(0) };
        serve(&server, asked - answered)?;
        // The client is connected: it hears 127.0.0.42 alone.
        while answered < asked {
            let soon = Instant::now() + Duration::from_secs(10);
            wait(&client, Ready::READ, Some(soon))?.ok_or(io::ErrorKind::TimedOut)?;
            answered += client.try_recv_batch(&mut batch)?.unwrap_or(0);
        }
    }
    println!("{answered} answers");
    Ok(())
}

/// Answers this many datagrams.
fn serve(socket: &Socket, count: usize) -> io::Result<()> {
    let mut batch = Batch::new(64, 1500, 64);
    let mut served = 0;
    while served < count {
        socket.wait_ready(Ready::READ, None)?;
        let Some(n) = socket.try_recv_batch(&mut batch)? else { continue };
        served += n;

        // Where each was sent to is where its answer comes from.
        let from = batch.messages().iter().map(|slot| {
            let mut out = Outgoing::new();
            for message in slot.control().messages() {
                if let Message::PacketInfo(info) = message
                    && let Some(address) = info.reply_from
                {
                    out.push_source(address, info.interface);
                }
            }
            out
        });
        let from: Vec<_> = from.collect();
        let answers = batch
            .messages()
            .iter()
            .zip(&from)
            .filter_map(|(slot, out)| Some(Packet::new(slot.data()).to(slot.control().sender()?).control(out)));
        let answers: Vec<_> = answers.collect();
        let mut rest = &answers[..];
        while !rest.is_empty() {
            match socket.try_send_batch(rest) {
                Ok(Some(sent)) => rest = &rest[sent..],
                Ok(None) => _ = socket.wait_ready(Ready::WRITE, None)?,
                // To one of them it does not go: the others shall have theirs.
                Err(e) => {
                    eprintln!("an answer is lost: {e}");
                    rest = &rest[1..];
                }
            }
        }
    }
    Ok(())
}
