//! Ids name what the loop holds: a stale one is noticed, `remove` hands the source back, and a guard ends what it names
//! when it is dropped.
//!
//! `cargo run -p becket-loop --example ids_and_guards`

use becket_loop::{Id, Loop, Mode, Next, Ready};
use becket_sys::event::Event;
use std::error::Error;
use std::io;
use std::time::Duration;

fn add(event_loop: &mut Loop<()>) -> io::Result<Id<Event>> {
    Ok(event_loop.add(Event::new()?, Ready::READ, Mode::Level, |(), _, _, _| Ok(Next::Keep))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut event_loop: Loop<()> = Loop::new()?;
    // An id is a number: it is Copy, and dropping it does nothing. The source stays, and is lent by it.
    let id = add(&mut event_loop)?;
    event_loop.get(id).ok_or("it is there")?.add(5)?;
    let event: Event = event_loop.remove(id).ok_or("it is there")?;
    println!("handed back, with {:?} in it", event.try_read()?);

    // Its place is given to another one, which the old id does not name.
    let next = add(&mut event_loop)?;
    println!("{id:?} is stale: {}, {next:?} is not", event_loop.get(id).is_none() && !event_loop.enable(id, false));

    // What ends with a scope, or with the value that holds it.
    let guard = event_loop.guard(next);
    let ticks = event_loop.every(Duration::from_millis(1), |(), _, _| Ok(Next::Keep));
    let ticks = event_loop.guard(ticks);
    drop(guard);
    let kept = ticks.release(); // this one stays, and is cancelled by hand
    event_loop.turn(&mut (), None)?;
    println!("left: {}", event_loop.sources().count());
    println!("cancelled: {}, and again: {}", event_loop.cancel(kept), event_loop.cancel(kept));
    Ok(())
}
