//! Tells when work waits for memory for more than a tenth of the time, for ten seconds at most. Run it with
//! `cargo run -p becket-sys --example psi_alarm`; the word `cpu`, `io` or the path of a pressure file watches another.

use becket_sys::psi::{Event, Kind, Resource, Trigger};
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = match std::env::args().nth(1).as_deref() {
        None | Some("memory") => Resource::Memory.path(),
        Some("cpu") => Resource::Cpu.path(),
        Some("io") => Resource::Io.path(),
        Some(path) => PathBuf::from(path),
    };
    // Without CAP_SYS_RESOURCE, windows are multiples of two seconds.
    let (stall, window) = (Duration::from_millis(200), Duration::from_secs(2));
    let trigger = match Trigger::open(&path, Kind::Some, stall, window) {
        Ok(trigger) => trigger,
        Err(e) => return Ok(println!("no pressure to watch here: {e}")),
    };
    println!("{}: {:?}", path.display(), trigger.pressure()?);

    let end = Instant::now() + Duration::from_secs(10);
    while let Some(event) = trigger.wait_event(Some(end))? {
        match event {
            Event::Stalled => println!("stalled: {:?}", trigger.pressure()?.some),
            Event::Gone => return Ok(println!("the control group is gone")),
        }
    }
    println!("enough");
    Ok(())
}
