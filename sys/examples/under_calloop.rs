//! Descriptors of this crate under calloop: each in a `Generic`, which owns it and lends it to its callback.
//!
//! Run it with `cargo run -p becket-sys --example under_calloop`. calloop has no interest in priority alone: an
//! [`Adapter`] around such a descriptor is readable when that is urgent.

mod things;

use becket_sys::Ready;
use becket_sys::pri::Adapter;
use becket_sys::timer::Timer;
use calloop::generic::Generic;
use calloop::{EventLoop, Interest, Mode, PostAction};
use std::io;
use std::rc::Rc;
use things::Things;

fn main() -> io::Result<()> {
    let things = Rc::new(Things::new()?);
    let mut event_loop: EventLoop<'_, usize> = EventLoop::try_new()?;
    let handle = event_loop.handle();
    let next = |done: bool, left: &mut usize| {
        *left -= usize::from(done);
        Ok(if done { PostAction::Remove } else { PostAction::Continue })
    };

    // The source owns what it waits for; the callback borrows it.
    let timer = Generic::new(things.timer.try_clone()?, Interest::READ, Mode::Level);
    let insert = handle.insert_source(timer, move |_, timer, left| {
        let event = Timer::try_read(timer)?;
        next(event.map(|event| println!("timer: {event:?}")).is_some(), left)
    });
    insert.map_err(|refused| refused.error)?;

    // What others use too is shared: here, all of it.
    for (place, (fd, want)) in things.all().into_iter().enumerate().skip(1) {
        let (fd, shared) = (fd.try_clone_to_owned()?, things.clone());
        let insert = if want == Ready::PRI {
            let source = Generic::new(Adapter::new(fd)?, Interest::READ, Mode::Level);
            handle.insert_source(source, move |_, _, left| next(shared.take(place)?, left)).map_err(|e| e.error)
        } else {
            let source = Generic::new(fd, Interest::READ, Mode::Level);
            handle.insert_source(source, move |_, _, left| next(shared.take(place)?, left)).map_err(|e| e.error)
        };
        insert?;
    }

    things.stir()?;
    let mut left = things.all().len();
    while left > 0 {
        event_loop.dispatch(None, &mut left)?;
    }
    Ok(())
}
