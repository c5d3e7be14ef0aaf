//! Tells when work waits for memory for more than a tenth of the time: the kernel's pressure stall information.
//!
//!     cargo run -p becket-sys --example psi_alarm              for five seconds
//!     cargo run -p becket-sys --example psi_alarm -- 60 cpu    for a minute; or `io`, or the path of a pressure file
//!
//! Where there is none, or it is not ours to watch, it says so; the exit status is 0.

use becket_sys::psi::{Event, Kind, Resource, Trigger};
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let end = Instant::now() + Duration::from_secs(args.next().as_deref().unwrap_or("5").parse()?);
    let path = match args.next().as_deref() {
        None | Some("memory") => Resource::Memory.path(),
        Some("cpu") => Resource::Cpu.path(),
        Some("io") => Resource::Io.path(),
        Some(path) => PathBuf::from(path),
    };
    // Without CAP_SYS_RESOURCE, windows are multiples of two seconds.
    let (stall, window) = (Duration::from_millis(200), Duration::from_secs(2));
    let trigger = match Trigger::open(&path, Kind::Some, stall, window) {
        Ok(trigger) => trigger,
        Err(e) => return Ok(println!("SKIP: psi_alarm: {e}")),
    };
    println!("{}: {:?}", path.display(), trigger.pressure()?);

    while let Some(event) = trigger.wait_event(Some(end))? {
        match event {
            Event::Stalled => println!("stalled: {:?}", trigger.pressure()?.some),
            Event::Gone => return Ok(println!("the control group is gone")),
        }
    }
    println!("enough");
    Ok(())
}
