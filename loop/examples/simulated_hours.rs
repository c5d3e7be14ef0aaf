//! A test of what takes hours, in no time: real descriptors, and a clock that jumps to the next timer when nothing is ready.
//!
//! What is tested is written as ever, and goes by `ctx.now()`. `cargo run -p becket-loop --example simulated_hours`

use becket_loop::backend::Epoll;
use becket_loop::{Ctx, Loop, Mode, Next, Ready, TestTime};
use std::error::Error;
use std::io::{PipeReader, Read, Write, pipe};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct Log(Vec<(Instant, &'static str)>);

/// What is tested: it complains after each hour in which nothing came, and gives up after a day.
fn watch(ctx: &mut Ctx<Log>, line: PipeReader) -> std::io::Result<()> {
    let silence = ctx.every(HOUR, |log: &mut Log, ctx, _| {
        log.0.push((ctx.now(), "silence"));
        Ok(Next::Keep)
    });
    ctx.add(line, Ready::READ, Mode::Level, move |log: &mut Log, ctx, mut line, _| {
        if line.read(&mut [0; 64])? == 0 {
            return Ok(Next::Remove);
        }
        log.0.push((ctx.now(), "news"));
        ctx.arm(silence, ctx.now() + HOUR);
        Ok(Next::Keep)
    })?;
    ctx.after(24 * HOUR, |_, ctx| Ok(ctx.exit(0)));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (backend, clock) = TestTime::over(Epoll::new()?);
    let mut event_loop: Loop<Log> = Loop::with_backend(backend);
    let (line, far) = pipe()?;
    watch(&mut event_loop, line)?;
    let (start, real) = (clock.now(), Instant::now());
    // 90 minutes on, somebody says something.
    let mut writer = far.try_clone()?;
    event_loop.after(HOUR * 3 / 2, move |_, _| Ok(writer.write_all(b"x")?));

    let mut log = Log::default();
    event_loop.run(&mut log)?;
    for (at, what) in log.0.iter().take(4) {
        println!("{what} after {} minutes", (*at - start).as_secs() / 60);
    }
    println!("{} in all, within a minute: {}", log.0.len(), real.elapsed() < Duration::from_secs(60));
    Ok(())
}
