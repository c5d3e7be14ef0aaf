//! Time that is played: what waits for days runs at once, always in the same order. For tests. Run it with
//! `cargo run -p becket-fiber --example days_in_a_test`.

use becket_fiber::{Runtime, TestTime, backend, interval, scope, sleep};
use std::io;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn main() -> io::Result<()> {
    let begun = std::time::Instant::now();
    let (backend, clock) = TestTime::over(backend::Epoll::new()?);
    let start = clock.now();
    let day = || (clock.now() - start).as_secs() / DAY.as_secs();
    Runtime::builder().backend(backend).build()?.run(|| {
        scope(|s| {
            s.spawn(|| {
                let mut weeks = interval(7 * DAY);
                for _ in 0..2 {
                    weeks.tick()?;
                    println!("day {}: the weekly report", day());
                }
                Ok::<_, io::Error>(())
            })?;
            sleep(10 * DAY)?;
            println!("day {}: a long sleep ends", day());
            Ok::<_, io::Error>(())
        })
    })??;
    println!("took less than a minute: {}", begun.elapsed() < Duration::from_secs(60));
    Ok(())
}
