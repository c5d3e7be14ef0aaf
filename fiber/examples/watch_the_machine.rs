//! Sources of the kernel's, each watched by a fiber that reads top to bottom: mounts and the pressure of memory. Run it with
//! `cargo run -p becket-fiber --example watch_the_machine -- 60`: for a minute; by default for a tenth of a second.
//!
//! GPIO lines, input devices, netlink, fanotify and attributes of sysfs are waited for likewise: `next()`, in a loop.

use becket_fiber::psi::{Kind, Resource, Trigger};
use becket_fiber::{Runtime, mounts::Watcher, scope, timeout};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let time = match std::env::args().nth(1) {
        Some(seconds) => Duration::from_secs(seconds.parse()?),
        None => Duration::from_millis(100),
    };
    Runtime::new()?.run(|| {
        // The deadline is the end of both, and each is free to fail by itself: not every system accounts for pressure.
        timeout(time, || {
            scope(|s| {
                s.spawn(|| tell("mounts", watch_mounts()))?;
                s.spawn(|| tell("memory", watch_memory()))?;
                Ok(())
            })
        })
    })?
}

fn tell(name: &str, ended: io::Result<()>) {
    match ended {
        Err(e) if e.kind() == ErrorKind::TimedOut => println!("{name}: the time is up"),
        ended => println!("{name}: {ended:?}"),
    }
}

fn watch_mounts() -> io::Result<()> {
    let watcher = Watcher::new()?;
    let mut table = watcher.read()?;
    println!("mounts: {}", table.iter().count());
    loop {
        let newer = watcher.next()?;
        table.changes(&newer).iter().for_each(|change| println!("mounts: {change:?}"));
        table = newer;
    }
}

fn watch_memory() -> io::Result<()> {
    let (stall, window) = (Duration::from_millis(200), Duration::from_secs(2));
    let trigger = Trigger::open(Resource::Memory.path(), Kind::Some, stall, window)?;
    loop {
        println!("memory: {:?}", trigger.next()?);
    }
}
