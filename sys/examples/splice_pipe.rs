//! A file goes through a pipe into two others, and no byte of it through this program: splice(2) and tee(2).
//!
//! Run it with `cargo run -p becket-sys --example splice_pipe`. Where splicing is refused, it reads and writes instead.

use becket_sys::pipe::{self, Reader};
use std::fs::File;
use std::io::{self, Write};

/// Moves what the pipe has into `to`, by either way; returns how much.
fn pour(from: &Reader, mut to: &File) -> io::Result<usize> {
    let mut total = 0;
    loop {
        let moved = match from.splice_to(to, None, 1 << 20) {
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
                let mut buf = [0; 4096];
                let n = from.try_read(&mut buf)?;
                to.write_all(&buf[..n.unwrap_or(0)])?;
                n
            }
            moved => moved?,
        };
        match moved {
            None | Some(0) => return Ok(total), // nothing left, or the end
            Some(n) => total += n,
        }
    }
}

fn main() -> io::Result<()> {
    let dir = std::env::temp_dir().join(format!("becket-splice-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let content = vec![b'b'; 300_000];
    std::fs::write(dir.join("source"), &content)?;
    let source = File::open(dir.join("source"))?;
    let (target, copy) = (File::create(dir.join("target"))?, File::create(dir.join("copy"))?);

    let (reader, writer) = pipe::pair()?;
    let (second, second_in) = pipe::pair()?;
    println!("a pipe of {} bytes, now of {}", writer.capacity()?, writer.set_capacity(1 << 17)?);
    second_in.set_capacity(1 << 17)?;

    let mut rounds = 0;
    while let Some(n) = writer.splice_from(&source, None, 1 << 20)?.filter(|n| *n > 0) {
        let copied = reader.tee_to(&second_in, n)?;
        assert_eq!((copied, reader.queued()?), (Some(n), n)); // still there
        assert_eq!((pour(&reader, &target)?, pour(&second, &copy)?), (n, n));
        rounds += 1;
    }
    assert!(std::fs::read(dir.join("target"))? == content && std::fs::read(dir.join("copy"))? == content);
    println!("{} bytes twice, in {rounds} rounds", content.len());
    std::fs::remove_dir_all(dir)
}
