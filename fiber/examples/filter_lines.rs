//! A filter in a pipeline of the shell: standard input and output wait in the fiber, and stay as they are for the others
//! who share them. Run it with `seq 20 | cargo run -p becket-fiber --example filter_lines -- 7`.

use becket_fiber::{BufReader, Runtime, stdin, stdout};
use std::io::{self, BufRead, BufWriter, ErrorKind, Write};

fn main() -> io::Result<()> {
    let part = std::env::args().nth(1).unwrap_or_default();
    Runtime::new()?.run(|| {
        let mut out = BufWriter::new(stdout()?); // not `println!`, which would block the thread on a full pipe
        for line in BufReader::new(stdin()?).lines() {
            let line = line?;
            if line.contains(&part) {
                match writeln!(out, "{line}").and_then(|()| out.flush()) {
                    Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(()), // nobody reads any more, as of `head`
                    written => written?,
                }
            }
        }
        Ok(())
    })?
}
