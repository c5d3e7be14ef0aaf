//! Prints what happens on an input device: keys, axes, switches.
//!
//!     cargo run --example read_input                          lists the devices
//!     cargo run --example read_input -- /dev/input/event3     prints events for ten seconds, or until it is unplugged
//!
//! Reading input devices takes root, or the group `input` on most systems.

use becket_sys::input::{Device, Input, Kind, Tracker, devices};
use becket_sys::timer::Clock;
use becket_sys::{EventBuf, Ready};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, io};

const WITHIN: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run(env::args().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("read_input: {e}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn run(path: Option<&str>) -> Result<(), Box<dyn Error>> {
    match path {
        None => Ok(list()?),
        Some(path) => Ok(print(&Device::open(path)?)?),
    }
}

fn list() -> io::Result<()> {
    let mut none = true;
    for device in devices()? {
        none = false;
        match device {
            Ok(device) => {
                let place = device.physical_path()?.unwrap_or_default();
                println!("{}, {:?}", device.name()?.display(), place);
                for kind in device.kinds()?.into_iter().filter(|kind| *kind != Kind::SYN) {
                    println!("  {kind:?}: {} codes", device.codes(kind)?.len());
                }
            }
            Err(e) => println!("{e}"),
        }
    }
    if none {
        println!("there is no input device: no /dev/input/eventN");
    }
    Ok(())
}

fn print(device: &Device) -> io::Result<()> {
    device.set_clock(Clock::Monotonic)?;
    let (mut tracker, mut buf) = (Tracker::new(device)?, EventBuf::new());
    println!("{}; held down: {:?}", device.name()?.display(), tracker.state().keys());
    let deadline = Instant::now() + WITHIN;
    while device.wait_ready(Ready::READ, Some(deadline))?.is_some() {
        match tracker.read(device, &mut buf)? {
            Some(Input::Events(events)) => events.iter().for_each(|event| println!("{:?} {event}", event.time)),
            Some(Input::Gone) => {
                println!("unplugged");
                return Ok(());
            }
            None => {}
        }
    }
    Ok(())
}
