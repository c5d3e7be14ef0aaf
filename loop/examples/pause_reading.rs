//! Back-pressure: a source is disabled while what it feeds is full, and enabled when there is room. Nothing is lost: what
//! comes meanwhile stays in the kernel.
//!
//! `cargo run -p becket-loop --example pause_reading`

use becket_loop::{Id, Loop, Mode, Next, Ready};
use std::collections::VecDeque;
use std::error::Error;
use std::io::{PipeReader, Read, Write, pipe};
use std::time::Duration;

#[derive(Default)]
struct State {
    reader: Option<Id<PipeReader>>,
    queue: VecDeque<u8>,
    longest: usize,
    out: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (reader, mut writer) = pipe()?;
    writer.write_all(b"faster than anybody can print it")?;
    drop(writer);
    let mut event_loop: Loop<State> = Loop::new()?;
    let reader = event_loop.add(reader, Ready::READ, Mode::Level, |state: &mut State, _, mut pipe, _| {
        let mut buf = [0; 4];
        let n = pipe.read(&mut buf)?;
        state.queue.extend(&buf[..n]);
        state.longest = state.longest.max(state.queue.len());
        // Disabled, it reports nothing at all, the peer's end included: that is told when it is enabled again.
        Ok(if n == 0 { Next::Remove } else { Next::Disable })
    })?;
    event_loop.every(Duration::from_millis(1), |state, ctx, _| {
        state.out.extend(state.queue.pop_front()); // a slow printer
        let is_there = state.reader.is_some_and(|id| state.queue.is_empty() && ctx.enable(id, true));
        let has_more = !state.queue.is_empty() || is_there || state.reader.is_some_and(|id| ctx.get(id).is_some());
        Ok(if has_more { Next::Keep } else { Next::Remove })
    });
    let mut state = State { reader: Some(reader), ..State::default() };
    event_loop.run(&mut state)?;
    println!("{}; never more than {} waiting", String::from_utf8_lossy(&state.out), state.longest);
    Ok(())
}
