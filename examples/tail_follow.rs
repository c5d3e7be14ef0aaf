//! Prints what is appended to a file, as `tail -n 0 -F` does: also to the next one of that name, where it is renamed or
//! removed, and from the beginning where it is truncated. Run it with `cargo run --example tail_follow -- FILE`; without
//! one it makes one for itself, and ends.

use becket_fiber::inotify::{Inotify, Mask, Options};
use becket_fiber::{File, Runtime, fs, scope, sync::channel};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| match std::env::args_os().nth(1) {
        Some(path) => follow(Path::new(&path), u64::MAX, |text| io::stdout().write_all(text)),
        None => show(),
    })?
}

fn follow(path: &Path, skip: u64, mut print: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    // The folder is watched, and before anything is looked at: a file that comes then is not missed.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let inotify = Inotify::new()?;
    inotify.add(folder, Mask::MODIFY | Mask::CREATE | Mask::MOVED_TO, Options::empty())?;
    let mut open = File::open(path)?;
    let mut at = open.metadata()?.len().min(skip); // from the end of what is there, at the latest
    loop {
        let data = open.metadata()?;
        at = if data.len() < at { 0 } else { at }; // truncated: what was not read before that is gone
        let mut buf = vec![0; 1 << 16];
        while let n @ 1.. = open.read_at(&mut buf, at)? {
            print(&buf[..n])?;
            at += n as u64;
        }
        // All of the old file first, then what has its name now, if anything has.
        match File::open(path).and_then(|other| Ok((other.metadata()?, other))) {
            Ok((new, other)) if (new.dev(), new.ino()) != (data.dev(), data.ino()) => (open, at) = (other, 0),
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => drop(inotify.read()?), // whatever it was: what counts is what the files are now
        }
    }
}

fn show() -> io::Result<()> {
    let folder = std::env::temp_dir().join(format!("becket-tail-{}", std::process::id()));
    let log = folder.join("log");
    fs::create_dir(&folder)?;
    fs::write(&log, "there before\n")?;
    let (printed, wait) = channel(8);
    let print = |text: &[u8]| Ok(printed.send(print!("{}", String::from_utf8_lossy(text)))?);
    let shown = scope(|s| {
        let following = s.spawn(|| follow(&log, 0, &print))?;
        let append = |text: &str| File::options().append(true).create(true).open(&log)?.write_all(text.as_bytes());
        wait.recv()?;
        append("appended\n").and_then(|()| wait.recv())?;
        fs::rename(&log, folder.join("log.1"))?;
        append("in the next file\n").and_then(|()| wait.recv())?;
        fs::write(&log, "again\n").and_then(|()| wait.recv())?; // truncates, and writes less than there was
        Ok::<_, io::Error>(following.cancel())
    });
    fs::remove_dir_all(&folder).and(shown)
}
