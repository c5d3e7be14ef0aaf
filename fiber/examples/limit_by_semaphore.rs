//! No more than so many at a time: a semaphore. Run it with `cargo run -p becket-fiber --example limit_by_semaphore`.

use becket_fiber::sync::Semaphore;
use becket_fiber::{Runtime, scope, sleep};
use std::cell::Cell;
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let places = Semaphore::new(3);
        let (now, most) = (Cell::new(0), Cell::new(0));
        scope(|s| {
            for _ in 0..10 {
                s.spawn(|| {
                    let _place = places.acquire()?; // given back when it is dropped, however that comes
                    now.set(now.get() + 1);
                    most.set(most.get().max(now.get()));
                    sleep(Duration::from_millis(2))?;
                    now.set(now.get() - 1);
                    Ok::<_, io::Error>(())
                })?;
            }
            Ok::<_, io::Error>(())
        })?;
        println!("10 fibers, at most {} at a time, {} places free", most.get(), places.available());
        Ok(())
    })?
}
