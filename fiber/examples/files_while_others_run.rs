//! Files are written and read while other fibers run: a disk that is slow holds nobody up but who asked. Run it with
//! `cargo run -p becket-fiber --example files_while_others_run`.

use becket_fiber::{File, Runtime, fs, interval, scope};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("becket-readings-{}.csv", std::process::id()));
    Runtime::new()?.run(|| {
        scope(|s| {
            let heart = s.spawn(|| {
                let mut beat = interval(Duration::from_millis(1));
                (0..).try_for_each(|_| beat.tick().map(drop))
            })?;
            let sum = store(&path).and_then(|()| sum(&path));
            heart.cancel(); // it beats until then
            println!("the sum is {}", sum?);
            fs::remove_file(&path)
        })
    })?
}

fn store(path: &Path) -> io::Result<()> {
    // Each call goes to io_uring or a helper thread and back, so write kilobytes: hence the buffer of std.
    let mut file = BufWriter::new(File::create_new(path)?);
    for n in 1..=100_000 {
        writeln!(file, "{n}")?;
    }
    file.into_inner()?.sync_all() // what only closing would tell is told here
}

fn sum(path: &Path) -> io::Result<u64> {
    let lines = BufReader::new(File::open(path)?).lines();
    lines.map(|line| line?.parse::<u64>().map_err(io::Error::other)).sum()
}
