//! Calls that block, on helper threads, with a deadline of one's own: who asks for the name of a host does not stop the
//! loop.
//!
//! An operation is cancelled where that is possible, and its end is told in any case. `cargo run -p becket-loop --example
//! blocking_calls`

use becket_loop::op::{Call, Read};
use becket_loop::{Loop, RunError};
use rustix::io::Errno;
use std::io::{self, pipe};
use std::net::ToSocketAddrs;
use std::time::Duration;

fn main() -> Result<(), RunError> {
    let mut event_loop: Loop<()> = Loop::new()?;
    event_loop.set_helper_threads(2); // four at most, unless it says otherwise
    let lookup = Call::new(|| "localhost:80".to_socket_addrs().map(Vec::from_iter));
    event_loop.submit(lookup, |(), _, found| {
        // The outer error is that of the operation, the inner one that of the call.
        let all_local = found??.iter().all(|address| address.ip().is_loopback());
        Ok(println!("localhost is here: {all_local}"))
    });
    event_loop.run(&mut ())?;

    // A read of a pipe into which nobody writes.
    let (reader, _writer) = pipe()?;
    let read = event_loop.submit(Read::new(reader, vec![0; 16], None), |(), _, end| {
        let cancelled = end.result.is_err_and(|e| Errno::from_io_error(&e) == Some(Errno::CANCELED));
        Ok(println!("the read was cancelled: {cancelled}; its buffer is back: {} bytes", end.buf.len()))
    });
    event_loop.after(Duration::from_millis(20), move |(), ctx| {
        ctx.cancel_op(read);
        Ok(())
    });
    event_loop.run(&mut ())?;

    // A panic in a call goes on in the loop's thread, as one of the callback; an error is a value.
    event_loop.submit(Call::new(|| Err::<(), _>(io::Error::other("no such thing"))), |(), _, result| Ok(result??));
    println!("{}", event_loop.run(&mut ()).err().map_or("no error".into(), |e| e.to_string()));
    Ok(())
}
