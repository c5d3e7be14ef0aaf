//! A typed source of one's own: the loop reads it, and the callback gets events instead of readiness.
//!
//! Here: a pipe of lines. `cargo run -p becket-loop --example own_source`

use becket_loop::{Loop, Next, Ready, Result, Source};
use std::cell::RefCell;
use std::io::{PipeReader, Read, Write, pipe};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};

/// Lines, each without its end. What comes after the last end is dropped with the source.
struct Lines {
    pipe: PipeReader,
    left: RefCell<Vec<u8>>,
}

impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl Source for Lines {
    type Event<'a> = &'a str;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result {
        let (mut buf, mut left) = ([0; 512], self.left.take());
        let n = (&self.pipe).read(&mut buf)?; // once: what is left is reported again
        left.extend_from_slice(&buf[..n]);
        while let Some(end) = left.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = left.drain(..=end).collect();
            if emit(std::str::from_utf8(&line[..end])?).is_break() {
                return Ok(Next::Keep); // the source is removed: what was read and not told is dropped
            }
        }
        self.left.replace(left);
        Ok(if n == 0 { Next::Remove } else { Next::Keep })
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (pipe, mut writer) = pipe()?;
    let mut event_loop: Loop<u32> = Loop::new()?;
    event_loop.on(Lines { pipe, left: RefCell::default() }, |lines, _, line| {
        *lines += 1;
        println!("{lines}: {line}");
        Ok(Next::Keep)
    })?;
    writer.write_all(b"a becket is a loop of rope\nand rope is made of fibers\nand so")?;
    drop(writer); // the end, which removes the source
    event_loop.run(&mut 0)?;
    Ok(())
}
