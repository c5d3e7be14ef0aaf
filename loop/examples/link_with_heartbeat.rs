//! A source made of several: a connection and a timer as one `External`, which asks when nothing comes, and gives up when
//! that does not help. A library in C joins the loop in the same way.
//!
//! `cargo run -p becket-loop --example link_with_heartbeat`

use becket_loop::{Cause, External, Loop, Mode, Next, Ready, RunError, Wishes};
use becket_sys::unix::Stream;
use std::os::fd::AsFd;
use std::time::Duration;

struct Link {
    stream: Stream,
    asked: bool,
    event: Option<Vec<u8>>,
}

impl External for Link {
    type Event = Vec<u8>;

    /// A bounded piece of work, which never blocks. What is wanted of the loop is said by wishes.
    fn step(&mut self, wishes: &mut Wishes<'_>, cause: Cause) {
        let mut buf = [0; 64];
        match cause {
            Cause::Joined if wishes.watch(0, self.stream.as_fd(), Ready::READ, Mode::Level).is_err() => wishes.leave(),
            Cause::Timeout if self.asked => {
                self.event = Some("nothing more is heard".into());
                wishes.leave();
            }
            Cause::Timeout => self.asked = self.stream.try_write(b"ping").is_ok(),
            Cause::Ready { .. } => match self.stream.try_read(&mut buf) {
                Ok(Some(n @ 1..)) => (self.asked, self.event) = (false, Some(buf[..n].to_vec())),
                Ok(None) => {}
                _ => wishes.leave(), // the peer is gone
            },
            _ => {}
        }
        wishes.timeout(Some(wishes.now() + Duration::from_millis(100)));
    }

    /// Handed to the callback when `step` has returned: no code of the user's runs inside it.
    fn next_event(&mut self) -> Option<Vec<u8>> {
        self.event.take()
    }
}

fn main() -> Result<(), RunError> {
    let (near, far) = Stream::pair()?;
    let mut event_loop: Loop<()> = Loop::new()?;
    event_loop.join(Link { stream: near, asked: false, event: None }, |(), _, said| {
        println!("{}", String::from_utf8_lossy(&said));
        Ok(Next::Keep)
    });
    far.try_write(b"hello")?;
    event_loop.run(&mut ())?; // until the link leaves
    let mut asked = [0; 4];
    far.try_read(&mut asked)?;
    println!("the peer was asked: {}", String::from_utf8_lossy(&asked));
    Ok(())
}
