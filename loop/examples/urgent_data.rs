//! Priority events apart from ordinary data: `Ready::PRI` alone, here for the urgent byte of a TCP connection.
//!
//! The same interest is that of sysfs attributes, mount tables and pressure: never add `READ` to it, which those have
//! always. `cargo run -p becket-loop --example urgent_data`

use becket_loop::{Loop, Mode, Next, Ready};
use becket_sys::tcp::{Listener, Stream};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let listener = Listener::bind(([127, 0, 0, 1], 0))?;
    let client = Stream::connect(listener.local_addr()?)?.finish(None)?;
    listener.wait_ready(Ready::READ, None)?;
    let (server, _) = listener.try_accept()?.ok_or("nobody has come")?;

    let mut event_loop: Loop<u32> = Loop::new()?;
    event_loop.add(server, Ready::PRI, Mode::Level, |seen, ctx, server, ready| {
        // By level it is told until it is received. ERR beside PRI would be no failure.
        assert!(ready.is_priority());
        let Some(byte) = server.try_recv_urgent()? else { return Ok(Next::Keep) };
        *seen += 1;
        println!("urgent: {}", char::from(byte));
        if *seen == 2 {
            ctx.exit(0);
        }
        Ok(Next::Keep)
    })?;
    let mut seen = 0;
    client.try_write(b"ordinary data, of which nobody is told here")?;
    client.try_send_urgent(b"!")?;
    while seen == 0 {
        event_loop.turn(&mut seen, None)?;
    }
    client.try_send_urgent(b"?")?;
    event_loop.run(&mut seen)?;
    Ok(())
}
