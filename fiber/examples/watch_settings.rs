//! Settings that change while fibers run: each sees the newest, not each change. Run it with
//! `cargo run -p becket-fiber --example watch_settings`.

use becket_fiber::sync::watch;
use becket_fiber::{Runtime, scope, select, sleep};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let (settings, mut seen) = watch(Duration::from_secs(3600));
        scope(|s| {
            s.spawn(move || -> io::Result<()> {
                loop {
                    let period = *seen.get();
                    println!("measures every {period:?}");
                    // Woken by the period, or before by a change of it; `false` where nobody can change it any more.
                    let goes_on = select! {
                        () = select::after(period) => true,
                        goes_on = seen.on_change() => goes_on,
                    }?;
                    if !goes_on {
                        return Ok(println!("no more settings"));
                    }
                }
            })?;
            sleep(Duration::from_millis(5))?;
            settings.send(Duration::from_secs(60));
            settings.send(Duration::from_secs(600)); // of these two the second is seen
            sleep(Duration::from_millis(5))?;
            drop(settings);
            Ok(())
        })
    })?
}
