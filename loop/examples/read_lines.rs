//! Reads standard input line by line without stopping the loop, whatever it is: a terminal, a pipe, a file.
//!
//! It is not made non-blocking, for that is the terminal's, the shell's too: one read for each time that it is ready does not
//! block. `echo hello | cargo run -p becket-loop --example read_lines`

use becket_loop::op::Read;
use becket_loop::{Ctx, Loop, Mode, Next, Ready};
use std::error::Error;
use std::fs::File;
use std::io::{ErrorKind, Read as _, stdin};
use std::os::fd::AsFd;

#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// Takes what was read. At the end, which is a read of nothing, what is left is a line, too.
    fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let whole = self.0.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.0.drain(..if bytes.is_empty() { self.0.len() } else { whole }).collect();
        String::from_utf8_lossy(&lines).lines().for_each(|line| println!("a line: {line}"));
    }
}

/// Reads a file to its end, an operation after the other.
fn read_on(ctx: &mut Ctx<Lines>, file: File, buf: Vec<u8>) {
    ctx.submit(Read::new(file, buf, None), |lines: &mut Lines, ctx, end| {
        let n = end.result?;
        lines.take(&end.buf[..n]);
        if n > 0 {
            read_on(ctx, end.file, end.buf);
        }
        Ok(())
    });
}

fn main() -> Result<(), Box<dyn Error>> {
    let stdin = File::from(stdin().as_fd().try_clone_to_owned()?);
    let mut event_loop: Loop<Lines> = Loop::new()?;
    let added = event_loop.add(stdin, Ready::READ, Mode::Level, |lines: &mut Lines, _, mut stdin, _| {
        let mut buf = [0; 4096];
        let n = stdin.read(&mut buf)?;
        lines.take(&buf[..n]);
        Ok(if n > 0 { Next::Keep } else { Next::Remove })
    });
    match added {
        Ok(_) => {}
        // A file, or /dev/null, cannot be waited for: it is always ready. It is handed back.
        Err(e) if e.error().kind() == ErrorKind::PermissionDenied => {
            read_on(&mut event_loop, e.into_source(), vec![0; 4096])
        }
        Err(e) => return Err(e.into()),
    }
    event_loop.run(&mut Lines::default())?;
    println!("the end");
    Ok(())
}
