//! A database (SQLite by `rusqlite`): readings are stored by one fiber while another one computes with them. Run it with
//! `cargo run -p becket-libraries --example keep_readings`.

use becket_fiber::{Runtime, scope, sleep};
use becket_libraries::database::Database;
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(run)?
}

fn run() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("becket-readings-{}.db", std::process::id()));
    let mut writer = Database::open(&path)?;
    writer.with(|c| c.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE reading (value REAL)"))?;
    let mut reader = Database::open(&path)?;
    scope(|s| {
        let storing = s.spawn(|| {
            (0..10).try_for_each(|n| {
                writer.with(move |c| c.execute("INSERT INTO reading VALUES (?1)", [20.0 + f64::from(n)]))?;
                sleep(Duration::from_millis(2))
            })
        })?;
        let mut rows = 0;
        while rows < 10 {
            let (n, mean): (i64, Option<f64>) = reader.with(|c| {
                c.query_row("SELECT count(*), avg(value) FROM reading", [], |row| Ok((row.get(0)?, row.get(1)?)))
            })?;
            if n != rows {
                println!("{n} readings, {:.1} on average", mean.unwrap_or(f64::NAN));
            }
            rows = n;
            sleep(Duration::from_millis(1))?;
        }
        storing.join()?
    })?;
    drop((writer, reader));
    std::fs::remove_file(path)
}
