//! What happens in a folder, by fanotify(7) and without privileges: each event names its folder by a handle.
//!
//! Run it with `cargo run -p becket-sys --example watch_by_handle`. It watches two temporary folders. Where the file
//! system has no handles or the kernel is older than 5.13, it says so; the exit status is 0 then, too.

use becket_sys::EventBuf;
use becket_sys::fanotify::{Event, Fanotify, FileId, Mask, Options, Record, Report, Scope};
use std::collections::HashMap;
use std::{env, fs, io, process};

fn main() -> io::Result<()> {
    let dir = env::temp_dir().join(format!("becket-watch-by-handle-{}", process::id()));
    let mut folders = HashMap::new();
    let group = match Fanotify::builder().report(Report::DFID_NAME).open() {
        Err(e) => return Ok(println!("SKIP: watch_by_handle: fanotify_init: {e}")),
        Ok(group) => group,
    };
    for name in ["inbox", "outbox"] {
        let folder = dir.join(name);
        fs::create_dir_all(&folder)?;
        let mask = Mask::CREATE | Mask::DELETE | Mask::MOVED_FROM | Mask::MOVED_TO;
        if let Err(e) = group.add(Scope::Inode, &folder, mask, Options::ONLYDIR) {
            println!("SKIP: watch_by_handle: fanotify_mark: {e}");
            return fs::remove_dir_all(&dir);
        }
        folders.insert(FileId::of(&folder)?, name);
    }

    fs::write(dir.join("inbox/letter"), "dear")?;
    fs::rename(dir.join("inbox/letter"), dir.join("outbox/letter"))?;
    fs::remove_file(dir.join("outbox/letter"))?;

    // What follows each other on one name is one event with several bits, and their order is lost.
    let mut buf = EventBuf::new();
    while let Some(events) = group.read_events(&mut buf)? {
        for event in events {
            let Event::Notice(notice) = event else {
                println!("events were lost: look at all folders again");
                continue;
            };
            for record in notice.records() {
                let Record::Entry(entry) = record else { continue };
                let folder = folders.get(&entry.directory).ok_or(io::ErrorKind::NotFound)?;
                println!("{:?} {} in {folder}", notice.mask, entry.name.display());
            }
        }
    }
    fs::remove_dir_all(&dir)
}
