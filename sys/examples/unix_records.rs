//! Records over a connection: a unix socket of the kind seqpacket keeps their bounds, and empty ones are not the end.
//!
//! Run it with `cargo run -p becket-sys --example unix_records`. Both ends are its own.

use becket_sys::Ready;
use becket_sys::cmsg::Incoming;
use becket_sys::unix::{Record, Seqpacket};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let (near, far) = Seqpacket::pair()?;
    // An empty record and the end both read as 0 bytes. A record brings its sender's credentials, the end does not.
    near.set_pass_credentials(true)?;
    for record in ["one", "", "a longer one than expected"] {
        far.try_send(record.as_bytes())?;
    }
    drop(far);

    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut buf, mut control) = ([0; 16], Incoming::new());
    loop {
        near.wait_ready(Ready::READ, Some(deadline))?.ok_or(ErrorKind::TimedOut)?;
        match near.try_recv_record(&mut buf, &mut control)? {
            Some(Record::Record(received)) => {
                let text = String::from_utf8_lossy(&buf[..received.len()]);
                // What did not fit is lost; how long it was is not.
                println!("{text:?} of {} bytes", received.datagram_len());
            }
            Some(Record::End) => break,
            None => {}
        }
    }
    println!("the end");
    Ok(())
}
