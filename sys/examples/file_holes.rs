//! Where a file has data and where holes; room taken beforehand, and given back.
//!
//! Run it with `cargo run -p becket-sys --example file_holes`, which makes a temporary file. Some file systems know no
//! holes: it says so then, and the exit status is 0.

use becket_sys::file::{Allocate, allocate, data_ranges, unnamed};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

const MIB: u64 = 1 << 20;

fn main() -> io::Result<()> {
    let file = match unnamed(std::env::temp_dir()) {
        Ok(file) => file,
        Err(e) => return Ok(println!("SKIP: file_holes: no files without names: {e}")),
    };
    let tell = |what: &str| -> io::Result<()> {
        let ranges = data_ranges(&file)?;
        let data: Vec<_> = ranges.iter().map(|range| (range.start / MIB, range.end / MIB)).collect();
        let taken = file.metadata()?.blocks() * 512 / MIB; // counted in 512 bytes, whatever the blocks are
        Ok(println!("{what}: {} MiB long, takes {taken}, data at {data:?}", file.metadata()?.len() / MIB))
    };

    file.set_len(8 * MIB)?;
    tell("made longer")?;
    for at in [1, 5] {
        file.write_all_at(&vec![b'x'; MIB as usize], at * MIB)?;
    }
    tell("written to")?;
    if let Err(e) = allocate(&file, Allocate::Hole, 5 * MIB..6 * MIB) {
        return Ok(println!("SKIP: file_holes: {e}"));
    }
    tell("punched")?;
    // Writing there cannot fail for want of room any more. Some file systems call that data before it is written.
    allocate(&file, Allocate::Room, 0..4 * MIB)?;
    println!("takes {} MiB", file.metadata()?.blocks() * 512 / MIB);
    Ok(())
}
