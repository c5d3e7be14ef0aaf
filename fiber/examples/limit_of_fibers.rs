//! There are as many fibers as the program allows, and one more is an error that it can wait out. Run it with
//! `cargo run -p becket-fiber --example limit_of_fibers`.

use becket_fiber::sync::Semaphore;
use becket_fiber::{Runtime, sleep, spawn};
use std::io;
use std::rc::Rc;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::builder().max_fibers(11).build()?.run(|| {
        let some = (0..10).map(|_| spawn(|| sleep(Duration::from_millis(5)))).collect::<Result<Vec<_>, _>>()?;
        match spawn(|| ()) {
            Err(e) if e.is_limit() => println!("{e}"), // a server would not accept for a while
            other => println!("unexpected: {other:?}"),
        }
        for fiber in some {
            fiber.join()??;
        }
        // Better: whoever spawns waits for room.
        let room = Rc::new(Semaphore::new(10));
        for _ in 0..1000 {
            let place = room.acquire_owned(1)?;
            spawn(move || {
                sleep(Duration::from_micros(10))?;
                drop(place);
                Ok::<_, io::Error>(())
            })?;
        }
        room.acquire_many(10)?.forget(); // until all are through
        println!("1000 fibers, 10 at a time");
        Ok(())
    })?
}
