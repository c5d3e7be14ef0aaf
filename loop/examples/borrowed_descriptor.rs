//! A descriptor that stays its owner's, watched by a plain function and a word: for those who keep their state elsewhere, and
//! for libraries that lend theirs. Registering allocates nothing.
//!
//! `cargo run -p becket-loop --example borrowed_descriptor`

#![allow(unsafe_code, reason = "who lends a descriptor vouches for it")]

use becket_loop::{Ctx, Loop, Mode, Next, Plain, Ready};
use std::error::Error;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::AsFd;

struct State {
    readers: Vec<PipeReader>,
    log: Vec<String>,
}

/// Called for whichever of them is ready: the word says which.
fn read(state: &mut State, _: &mut Ctx<State>, which: u64, _: Ready) -> Next {
    let Some(reader) = state.readers.get_mut(which as usize) else { return Next::Remove };
    let mut buf = [0; 16];
    match reader.read(&mut buf) {
        Ok(n @ 1..) => state.log.push(format!("{which}: {}", String::from_utf8_lossy(&buf[..n]))),
        _ => return Next::Remove, // the end: from here on it may be closed
    }
    Next::Keep
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut state = State { readers: Vec::new(), log: Vec::new() };
    let mut event_loop: Loop<State> = Loop::new()?;
    for (which, text) in ["rope", "fibers"].into_iter().enumerate() {
        let (reader, mut writer) = pipe()?;
        writer.write_all(text.as_bytes())?;
        let handler = Plain { call: read, data: which as u64 };
        // SAFETY: `state` outlives the loop's last turn, closes none of them, and each is removed at its end.
        unsafe { event_loop.add_borrowed(reader.as_fd(), Ready::READ, Mode::Level, handler)? };
        state.readers.push(reader);
    }
    event_loop.run(&mut state)?; // until the last is removed
    state.log.iter().for_each(|line| println!("{line}"));
    Ok(())
}
