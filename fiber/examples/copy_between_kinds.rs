//! Copies from a file into a socket and from that into a pipe, within the kernel where it can. Run it with
//! `cargo run -p becket-fiber --example copy_between_kinds`.

use becket_fiber::net::UnixStream;
use becket_fiber::{File, Runtime, copy, fs, pipe, scope};
use std::io::{self, Read};

fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("becket-copy-{}", std::process::id()));
    Runtime::new()?.run(|| {
        fs::write(&path, vec![b'x'; 1_000_000])?;
        let file = File::open(&path)?;
        fs::remove_file(&path)?; // it lives as long as it is open
        let (near, far) = UnixStream::pair()?;
        let (mut out, into) = pipe::pair()?;
        scope(|s| {
            let sent = s.spawn(move || copy(&file, &near))?; // dropping `near` is the end for `far`
            let passed = s.spawn(move || copy(&far, &into))?;
            let read = io::copy(&mut out, &mut io::sink())?; // std's: through a buffer
            println!("{} bytes sent, {} passed on, {read} read", sent.join()??, passed.join()??);
            let mut rest = Vec::new();
            println!("and then the end: {}", out.read_to_end(&mut rest)? == 0);
            Ok(())
        })
    })?
}
