//! Periodic work: an interval keeps its phase however long the work takes, and says what it left out. Run it with
//! `cargo run -p becket-fiber --example interval_keeps_phase`.

use becket_fiber::{Missed, Runtime, interval, sleep};
use std::io;
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_millis(50);

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let start = Instant::now();
        let mut ticks = interval(PERIOD).first(start + PERIOD);
        let mut number = 0;
        for work in [5, 125, 5] {
            let tick = ticks.tick()?;
            number += 1 + tick.missed;
            // Due at a whole number of periods, never reckoned from when the work was done.
            println!("in phase: {}, early: {}", tick.due == start + number as u32 * PERIOD, Instant::now() < tick.due);
            sleep(Duration::from_millis(work))?;
        }
        println!("left out during 125 ms of work: {}", number > 3);

        // Or: nothing is left out, but made up for at once; `Missed::Delay` reckons from the tick that was late.
        let mut all = interval(PERIOD).missed(Missed::Burst);
        sleep(3 * PERIOD)?;
        let missed: u64 = (0..3).map(|_| all.tick().map(|tick| tick.missed)).sum::<io::Result<u64>>()?;
        println!("made up for: {}", missed == 0);
        Ok(())
    })?
}
