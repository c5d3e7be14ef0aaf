//! A token cancels a part of what fibers do, and they go on with the rest. Run it with
//! `cargo run -p becket-fiber --example cancel_a_part`.

use becket_fiber::{CancelToken, Runtime, is_cancelled, scope, sleep};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let measuring = CancelToken::new();
        scope(|s| {
            for sensor in ["boiler", "attic"] {
                let measuring = &measuring;
                s.spawn(move || {
                    let measured = measuring.scope(|| sleep(Duration::from_secs(3600)));
                    println!("{sensor}: cancelled: {}", measured.is_err_and(|e| is_cancelled(&e)));
                    sleep(Duration::from_millis(1))?; // outside of the token's scope waits are waits
                    println!("{sensor}: goes on");
                    Ok::<_, io::Error>(())
                })?;
            }
            sleep(Duration::from_millis(10))?;
            measuring.cancel();
            Ok(())
        })
    })?
}
