//! What happens on an input device, keys, axes, switches: for ten seconds, or until it is unplugged.
//!
//!     cargo run -p becket-sys --example read_input -- /dev/input/event3
//!
//! Without arguments it refers to input_list; the exit status is 0. Reading input devices takes root, or the group
//! `input` on most systems.

use becket_sys::input::{Device, Input, Tracker};
use becket_sys::timer::Clock;
use becket_sys::{EventBuf, Ready};
use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(path) = env::args_os().nth(1) else {
        return Ok(println!("which device? The example input_list shows what there is"));
    };
    let device = Device::open(path)?;
    device.set_clock(Clock::Monotonic)?;
    // Where the kernel's queue was full, it asks for the present state, and tells the difference as events.
    let (mut tracker, mut buf) = (Tracker::new(&device)?, EventBuf::new());
    println!("{}; held down: {:?}", device.name()?.display(), tracker.state().keys());

    let deadline = Instant::now() + Duration::from_secs(10);
    while device.wait_ready(Ready::READ, Some(deadline))?.is_some() {
        match tracker.read(&device, &mut buf)? {
            Some(Input::Events(events)) => events.iter().for_each(|event| println!("{:?} {event}", event.time)),
            Some(Input::Gone) => return Ok(println!("unplugged")),
            None => {}
        }
    }
    Ok(())
}
