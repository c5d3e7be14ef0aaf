//! A fiber that computes for long gives the thread up now and then, and notices that it is cancelled. Run it with
//! `cargo run -p becket-fiber --example share_the_thread`.

use becket_fiber::{Runtime, interval, is_current_cancelled, spawn, yield_now};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let primes = spawn(|| {
            let mut found = 0_u64;
            for n in 2_u64.. {
                found += u64::from((2..n).take_while(|d| d * d <= n).all(|d| n % d != 0));
                if n % 256 == 0 {
                    yield_now(); // 15 ns where nobody else can run
                    if is_current_cancelled() {
                        break;
                    }
                }
            }
            found
        })?;
        let mut beat = interval(Duration::from_millis(5));
        for n in 1..=3 {
            beat.tick()?;
            println!("beat {n}"); // what computes without a pause belongs to `unblock`: see `unblock_a_call`
        }
        primes.cancel();
        println!("primes were found meanwhile: {}", primes.join()? > 0);
        Ok(())
    })?
}
