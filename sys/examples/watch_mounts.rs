//! Prints what is mounted and unmounted, for ten seconds; with a number, in the namespace of that process. Run it with
//! `cargo run -p becket-sys --example watch_mounts`, and mount something elsewhere.

use becket_sys::Ready;
use becket_sys::mounts::{Change, Mount, Watcher};
use std::time::{Duration, Instant};

fn print(sign: char, mount: &Mount) {
    let (source, target) = (mount.source.display(), mount.target.display());
    println!("{sign} {} {source} at {target} ({})", mount.fs_type.display(), mount.options.as_os_str().display());
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let watcher = match std::env::args().nth(1) {
        Some(pid) => Watcher::of_process(pid.parse()?)?,
        None => Watcher::new()?,
    };
    let mut table = watcher.read()?;
    table.iter().for_each(|mount| print(' ', mount));

    let end = Instant::now() + Duration::from_secs(10);
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
