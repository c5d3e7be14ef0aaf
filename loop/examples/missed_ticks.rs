//! A periodic timer, and what becomes of the periods that pass while the loop is busy: skipped, made up for, or put off.
//!
//! Time is simulated, so that what is printed is exact. `cargo run -p becket-loop --example missed_ticks`

use becket_loop::backend::Epoll;
use becket_loop::{Every, Loop, Missed, Next, RunError, TestTime};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn main() -> Result<(), RunError> {
    for missed in [Missed::Skip, Missed::Burst, Missed::Delay] {
        let (backend, clock) = TestTime::over(Epoll::new()?);
        let mut event_loop: Loop<u32> = Loop::with_backend(backend);
        let start = event_loop.now();
        println!("{missed:?}");
        event_loop.every(Every::new(10 * MS).missed(missed), move |calls, ctx, tick| {
            *calls += 1;
            let (due, now) = ((tick.due - start).as_millis(), (ctx.now() - start).as_millis());
            println!("  due at {due} ms, called at {now}, {} more missed", tick.missed);
            if *calls == 1 {
                clock.pass(35 * MS); // the first call takes so long
            }
            Ok(if *calls < 5 { Next::Keep } else { Next::Remove })
        });
        event_loop.run(&mut 0)?;
    }
    Ok(())
}
