//! An alarm by priority events of the kernel: work waits for the processor for more than a fifth of the time (PSI).
//!
//! It keeps the processors busy to have something to tell, and gives up after ten seconds; where the kernel does not
//! account for pressure, it says SKIP. `cargo run -p becket-loop --example watch_pressure`

use becket_loop::{Loop, Next};
use becket_sys::psi::{Event, Kind, Resource, Trigger};
use std::error::Error;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

static BUSY: AtomicBool = AtomicBool::new(true);

fn main() -> Result<(), Box<dyn Error>> {
    // Without CAP_SYS_RESOURCE, windows are multiples of two seconds.
    let (stall, window) = (Duration::from_millis(400), Duration::from_secs(2));
    let trigger = match Trigger::open(Resource::Cpu.path(), Kind::Some, stall, window) {
        Ok(trigger) => trigger,
        Err(e) => return Ok(println!("SKIP: watch_pressure: {e}")),
    };
    let mut event_loop: Loop<Option<Event>> = Loop::new()?;
    let id = event_loop.on(trigger, |seen, ctx, event| {
        // The loop's look has taken the event; `Trigger::pressure`, by `Ctx::get`, has the figures.
        *seen = Some(event);
        ctx.exit(0);
        Ok(Next::Keep)
    })?;
    event_loop.after(Duration::from_secs(10), |_, ctx| Ok(ctx.exit(1)));

    let busy = thread::available_parallelism()?.get() * 3;
    let threads: Vec<_> = (0..busy)
        .map(|_| {
            thread::spawn(|| {
                while BUSY.load(Ordering::Relaxed) {
                    spin_loop()
                }
            })
        })
        .collect();
    let mut seen = None;
    event_loop.run(&mut seen)?;
    BUSY.store(false, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| drop(thread.join()));
    let figures = event_loop.get(id).map(Trigger::pressure).transpose()?;
    println!("{seen:?}, of the last ten seconds {:?}", figures.map(|figures| figures.some));
    Ok(())
}
