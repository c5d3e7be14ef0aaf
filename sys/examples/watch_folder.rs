//! What happens in one folder: inotify(7), with both halves of a rename brought together.
//!
//!     cargo run -p becket-sys --example watch_folder               a temporary folder, in which an editor saves a file
//!     cargo run -p becket-sys --example watch_folder -- FOLDER     that one, until it is gone

use becket_sys::inotify::{Event, Inotify, Mask, Options};
use becket_sys::{EventBuf, Ready};
use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

/// Saves a file as careful editors do: what watches the old one alone would never hear of the new one.
fn edit(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("settings.new"), "speed = 9600")?;
    fs::rename(folder.join("settings.new"), folder.join("settings"))?;
    fs::remove_dir_all(folder)
}

fn main() -> io::Result<()> {
    let inotify = Inotify::new()?;
    let mask = Mask::CREATE | Mask::CLOSE_WRITE | Mask::MOVE | Mask::DELETE;
    if let Some(folder) = env::args_os().nth(1).map(PathBuf::from) {
        inotify.add(folder, mask, Options::ONLYDIR)?;
    } else {
        let folder = env::temp_dir().join(format!("becket-watch-folder-{}", process::id()));
        fs::create_dir(&folder)?;
        inotify.add(&folder, mask, Options::ONLYDIR)?;
        edit(&folder)?;
    }

    let mut buf = EventBuf::new();
    let mut leaving = None; // the first half of a rename; there need not be a second
    loop {
        inotify.wait_ready(Ready::READ, None)?;
        for event in inotify.read_events(&mut buf)?.into_iter().flatten() {
            let Event::Change(change) = event else {
                println!("events were lost: look at the whole folder again");
                continue;
            };
            if change.ends_watch() {
                println!("the folder is gone");
                return Ok(());
            }
            let name = change.name.unwrap_or_default().display();
            println!("{:?} {name}", change.mask);
            if change.mask.contains(Mask::MOVED_FROM) {
                leaving = Some((change.cookie, name.to_string()));
            } else if let Some((_, old)) = leaving.take_if(|(cookie, _)| *cookie == change.cookie) {
                println!("  it was {old}");
            }
        }
    }
}
