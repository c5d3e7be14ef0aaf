//! A fiber that recurses too deep ends the program, with its name, and nothing else goes wrong. Run it with
//! `cargo run -p becket-fiber --example stack_overflow`: it ends by SIGABRT.

use becket_fiber::{Builder, Runtime};
use std::hint::black_box;
use std::io;

fn depth_of(list: u64) -> u64 {
    let frame = black_box([list; 64]);
    if list == 0 { 0 } else { 1 + depth_of(frame[0] - 1) }
}

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        // 128 KiB are the default; address space, of which only what was touched is memory.
        let roomy = Builder::new().name("roomy").stack_size(4 << 20).spawn(|| depth_of(1000))?;
        println!("depth {} on 4 MiB", roomy.join()?);
        let parser = Builder::new().name("parser").spawn(|| depth_of(1000))?;
        println!("depth {} on 128 KiB: not printed", parser.join()?);
        Ok(())
    })?
}
