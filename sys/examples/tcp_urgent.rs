//! A byte that overtakes the stream: TCP's urgent data, told by `Ready::PRI`, and where in the stream it was sent.
//!
//! Run it with `cargo run -p becket-sys --example tcp_urgent`. Both ends are its own.

use becket_sys::Ready;
use becket_sys::tcp::{Listener, Stream};
use std::io::{Error, ErrorKind};
use std::time::{Duration, Instant};

fn main() -> Result<(), Error> {
    let soon = Some(Instant::now() + Duration::from_secs(20));
    let listener = Listener::bind(([127, 0, 0, 1], 0))?;
    let far = Stream::connect(listener.local_addr()?)?.finish(soon)?;
    listener.wait_ready(Ready::READ, soon)?;
    let (near, _) = listener.try_accept()?.ok_or(ErrorKind::WouldBlock)?;

    far.try_write(b"print 1000 pages")?;
    far.try_send_urgent(b"!")?; // the last byte is urgent; there is one at a time, and the next would replace it
    far.try_write(b"print 1 page")?;

    // PRI alone: ordinary data would wake us, too.
    let ready = near.wait_ready(Ready::PRI, soon)?.ok_or(ErrorKind::TimedOut)?;
    println!("urgent: {}", ready.is_priority());
    while let Some(byte) = near.try_recv_urgent()? {
        println!("taken first: {:?}", char::from(byte));
    }

    let (mut buf, mut read) = ([0; 64], 0);
    while read < 28 {
        near.wait_ready(Ready::READ, soon)?.ok_or(ErrorKind::TimedOut)?;
        // A read never crosses the mark, the place of the byte: all that was sent before it is void.
        let at_mark = near.is_at_mark()?;
        let Some(n) = near.try_read(&mut buf)? else { continue };
        read += n;
        println!("{:?}, begins at the mark: {at_mark}", String::from_utf8_lossy(&buf[..n]));
    }
    Ok(())
}
