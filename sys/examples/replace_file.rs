//! A new version of a file, complete or not at all: a file without a name (O_TMPFILE) that gets one at the end.
//!
//! Run it with `cargo run -p becket-sys --example replace_file`. Some file systems have no such files: it says so then,
//! and the exit status is 0.

use becket_sys::file::{link_over, unnamed};
use std::fs::{self, File};
use std::io::{self, Write};

fn main() -> io::Result<()> {
    let dir = std::env::temp_dir().join(format!("becket-replace-file-{}", std::process::id()));
    let path = dir.join("settings");
    fs::create_dir(&dir)?;
    fs::write(&path, "old version")?;
    let reading = File::open(&path)?;

    // Nobody sees it, and if we end here, nothing is left of it.
    let mut new = match unnamed(&dir) {
        Ok(new) => new,
        Err(e) => {
            println!("SKIP: replace_file: O_TMPFILE in {}: {e}", dir.display());
            return fs::remove_dir_all(&dir);
        }
    };
    new.write_all(b"new ")?;
    new.write_all(b"version")?;
    println!("names in the folder: {}", fs::read_dir(&dir)?.count());
    new.sync_all()?; // the content is on the disk before the name is
    link_over(&new, &path)?;
    File::open(&dir)?.sync_all()?; // and the name is, when this returns

    println!("the file: {}", fs::read_to_string(&path)?);
    println!("who had it open reads: {}", io::read_to_string(&reading)?);
    println!("names in the folder: {}", fs::read_dir(&dir)?.count());
    fs::remove_dir_all(dir)
}
