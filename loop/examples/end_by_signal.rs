//! Ends by SIGINT and SIGTERM as a service should: the loop goes on until what it has begun is done, then the process ends
//! with 128 and the number of the signal.
//!
//! Here it sends itself SIGTERM. `cargo run -p becket-loop --example end_by_signal; echo $?`

use becket_loop::{HookPoint, Loop, Next};
use becket_sys::signal::{Signal, Signals, raise};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // Blocks them in this thread and in those that it starts: so before any other thread.
    let signals = Signals::new([Signal::INT, Signal::TERM])?;
    let mut event_loop: Loop<u32> = Loop::new()?;
    let work = event_loop.every(Duration::from_millis(5), |done, _, _| {
        *done += 1;
        Ok(Next::Keep)
    });
    event_loop.on(signals, move |_, ctx, info| {
        println!("{}: no new work", info.signal());
        ctx.cancel(work);
        let code = 128 + info.signal().as_raw();
        ctx.after(Duration::from_millis(10), move |_, ctx| {
            println!("the last of it is done");
            Ok(ctx.exit(code))
        });
        Ok(Next::Remove) // the second signal ends the process as if nobody had listened
    })?;
    event_loop.hook(HookPoint::Exit, |_, _| {
        println!("goodbye");
        Ok(Next::Keep)
    });
    event_loop.after(Duration::from_millis(20), |_, _| Ok(raise(Signal::TERM)?));
    let code = event_loop.run(&mut 0)?;
    Ok(ExitCode::from(code as u8))
}
