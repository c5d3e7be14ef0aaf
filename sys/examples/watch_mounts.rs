//! What is mounted, and what is mounted and unmounted meanwhile: /proc/PID/mountinfo, which tells of its changes.
//!
//!     cargo run -p becket-sys --example watch_mounts               for five seconds; mount something elsewhere
//!     cargo run -p becket-sys --example watch_mounts -- 60 1234    for a minute, where process 1234 sees it

use becket_sys::Ready;
use becket_sys::mounts::{Change, Mount, Watcher};
use std::time::{Duration, Instant};

fn print(sign: char, mount: &Mount) {
    let (source, target) = (mount.source.display(), mount.target.display());
    println!("{sign} {} {source} at {target} ({})", mount.fs_type.display(), mount.options.as_os_str().display());
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let end = Instant::now() + Duration::from_secs(args.next().as_deref().unwrap_or("5").parse()?);
    let watcher = match args.next() {
        Some(pid) => Watcher::of_process(pid.parse()?)?,
        None => Watcher::new()?,
    };
    let mut table = watcher.read()?;
    table.iter().for_each(|mount| print(' ', mount));

    // Looking takes the readiness, so read each time: under a loop, after each registration, too.
    while watcher.wait_ready(Ready::PRI, Some(end))?.is_some() {
        let newer = watcher.read()?;
        for change in table.changes(&newer) {
            match change {
                Change::Added(mount) => print('+', mount),
                Change::Removed(mount) => print('-', mount),
                Change::Changed { to, .. } => print('*', to),
            }
        }
        table = newer;
    }
    Ok(())
}
