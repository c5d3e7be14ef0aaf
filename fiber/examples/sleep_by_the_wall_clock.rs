//! Waits for a time of day, which counts also where the clock is set meanwhile or the machine sleeps. Run it with
//! `cargo run -p becket-fiber --example sleep_by_the_wall_clock`.

use becket_fiber::Runtime;
use becket_fiber::timer::{Clock, sleep_until};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        // `sleep` goes by a clock that nobody sets; this is for `every day at six`.
        let at = SystemTime::now() + Duration::from_millis(50);
        sleep_until(Clock::Realtime, at.duration_since(UNIX_EPOCH).map_err(io::Error::other)?)?;
        println!("not early: {}", SystemTime::now() >= at);
        Ok(())
    })?
}
