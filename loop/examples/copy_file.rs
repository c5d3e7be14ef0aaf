//! Copies a file by operations: each owns its file and its buffer, and hands them back when it has ended.
//!
//! io_uring carries them out where there is one, else helper threads; the loop goes on meanwhile.
//! `cargo run -p becket-loop --example copy_file [FROM TO]`

use becket_loop::op::{Read, Write};
use becket_loop::{Ctx, Loop};
use std::error::Error;
use std::fs::{self, File};
use std::io;

/// Both files, which are with the operation that is under way, and how far it is.
struct Copy {
    from: File,
    to: File,
    at: u64,
}

fn read(ctx: &mut Ctx<u64>, copy: Copy, buf: Vec<u8>) {
    let Copy { from, to, at } = copy;
    ctx.submit(Read::new(from, buf, Some(at)), move |copied, ctx, end| match end.result? {
        0 => Ok(*copied = at), // the end of the file
        n => {
            let mut buf = end.buf;
            buf.truncate(n);
            Ok(write(ctx, Copy { from: end.file, to, at }, buf))
        }
    });
}

fn write(ctx: &mut Ctx<u64>, copy: Copy, buf: Vec<u8>) {
    let Copy { from, to, at } = copy;
    ctx.submit(Write::new(to, buf, Some(at)), move |_, ctx, end| {
        let n = end.result?;
        let (copy, mut buf) = (Copy { from, to: end.file, at: at + n as u64 }, end.buf);
        if n == 0 {
            return Err("the disk is full".into());
        }
        buf.drain(..n);
        // Less than all of it may have been written.
        Ok(if buf.is_empty() { read(ctx, copy, vec![0; 64 * 1024]) } else { write(ctx, copy, buf) })
    });
}

fn main() -> Result<(), Box<dyn Error>> {
    let own = std::env::temp_dir().join(format!("becket-copy-{}", std::process::id()));
    let mut args = std::env::args_os().skip(1);
    let (from, to) = (args.next().unwrap_or("/proc/self/exe".into()), args.next().unwrap_or(own.clone().into()));
    let copy = Copy { from: File::open(&from)?, to: File::create(&to)?, at: 0 };
    let mut event_loop: Loop<u64> = Loop::new()?;
    read(&mut event_loop, copy, vec![0; 64 * 1024]);
    let mut copied = 0;
    event_loop.run(&mut copied)?;
    println!("by {:?}: all is there: {}", event_loop.caps().completions, fs::metadata(&from)?.len() == copied);
    fs::remove_file(own).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e.into()) })
}
