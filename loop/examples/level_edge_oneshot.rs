//! The three modes in which a descriptor is watched, on a pipe with five bytes of which each call takes one.
//!
//! By level is the default for a reason: what is left is told again. By edge, only what comes anew is, so a callback reads
//! until there is nothing, or answers `Next::Again`. `cargo run -p becket-loop --example level_edge_oneshot`

use becket_loop::{Loop, Mode, Next, Ready};
use std::error::Error;
use std::io::{Read, Write, pipe};
use std::time::Duration;

/// How many calls there were without, and with, an answer that fits the mode.
fn calls(mode: Mode, fits: Next) -> Result<u32, Box<dyn Error>> {
    let (reader, mut writer) = pipe()?;
    writer.write_all(b"bytes")?;
    let mut event_loop: Loop<u32> = Loop::new()?;
    let id = event_loop.add(reader, Ready::READ, mode, move |calls, _, mut reader, _ready| {
        reader.read_exact(&mut [0])?;
        *calls += 1;
        Ok(if *calls < 5 { fits } else { Next::Keep })
    })?;
    let mut calls = 0;
    for _ in 0..8 {
        event_loop.turn(&mut calls, Some(Duration::ZERO))?; // looks, and does not wait
        if mode == Mode::OneShot && calls < 3 {
            event_loop.enable(id, true); // one call for each time that it is armed
        }
    }
    Ok(calls)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("level, Keep: {} calls", calls(Mode::Level, Next::Keep)?);
    println!("edge, Keep: {} calls, four bytes are never told of again", calls(Mode::Edge, Next::Keep)?);
    println!("edge, Again: {} calls", calls(Mode::Edge, Next::Again)?);
    println!("one-shot, armed twice more: {} calls", calls(Mode::OneShot, Next::Keep)?);
    Ok(())
}
