//! What every fiber waits for, and where in the program: from outside by a signal or a socket, or as here from inside.
//! Run it with `cargo run -p becket-fiber --example report_of_fibers -- wait`, and `kill -USR1` it; without an argument
//! it does so itself.

use becket_fiber::signal::{Signal, raise};
use becket_fiber::sync::channel;
use becket_fiber::{Runtime, report, sleep, spawn_named, timeout, yield_now};
use std::io;
use std::time::Duration;

#[inline(never)]
fn doze() -> io::Result<()> {
    timeout(Duration::from_secs(60), || sleep(Duration::from_secs(3600)))
}

fn main() -> io::Result<()> {
    let mut runtime = Runtime::new()?;
    // At a socket of one's choice, for other programs: `runtime.serve_reports(PATH)`; `fiber_top` shows that.
    runtime.report_on_signal(Signal::USR1, |report| {
        println!("by a signal: {} fibers", report.fibers.len());
    })?;
    runtime.run(|| {
        let (_sender, values) = channel::<u32>(1);
        let (dozing, consumer) = (spawn_named("doze", doze)?, spawn_named("consumer", move || values.recv())?);
        yield_now();
        let report = report(true)?;
        for fiber in &report.fibers {
            let frames = fiber.frames.iter().flatten().any(|frame| frame.contains("doze"));
            println!("{}{}", fiber.info, if frames { " (in the function doze)" } else { "" });
        }
        match std::env::args().nth(1) {
            Some(_) => dozing.join()??,
            None => {
                raise(Signal::USR1)?;
                sleep(Duration::from_millis(20))?;
            }
        }
        consumer.cancel();
        Ok(())
    })?
}
