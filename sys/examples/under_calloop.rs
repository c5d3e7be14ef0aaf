//! Descriptors of this crate under calloop: each in a `Generic`, which owns it and lends it to its callback.
//!
//! calloop has no interest in priority alone: an [`Adapter`] around such a descriptor is readable when that is urgent.

mod things;

use becket_sys::pri::Adapter;
use becket_sys::timer::Timer;
use calloop::generic::Generic;
use calloop::{EventLoop, Interest, Mode, PostAction};
use std::io;
use std::rc::Rc;
use things::{Things, said};

pub(crate) fn main() -> io::Result<()> {
    let things = Rc::new(Things::new()?);
    let mut event_loop: EventLoop<'_, usize> = EventLoop::try_new()?;
    let handle = event_loop.handle();
    let next = |done: bool, left: &mut usize| {
        *left -= usize::from(done);
        Ok(if done { PostAction::Remove } else { PostAction::Continue })
    };

    // The source owns what it waits for; the callback borrows it.
    let timer = Generic::new(things.timer.try_clone()?, Interest::READ, Mode::Level);
    let insert = handle.insert_source(timer, move |_, timer, left| next(said("timer", Timer::try_read(timer))?, left));
    insert.map_err(|refused| refused.error)?;

    let urgent = Generic::new(Adapter::new(things.urgent.try_clone()?)?, Interest::READ, Mode::Level);
    let insert = handle.insert_source(urgent, move |_, urgent, left| {
        next(said("urgent", Adapter::get_ref(urgent).try_recv_urgent())?, left)
    });
    insert.map_err(|refused| refused.error)?;

    // What others use too is shared: here, all of it.
    for place in [1, 2, 3, 4, 6] {
        let fd = things.all()[place].0.as_fd().try_clone_to_owned()?;
        let things = things.clone();
        let source = Generic::new(fd, Interest::READ, Mode::Level);
        let insert = handle.insert_source(source, move |_, _, left| next(things.take(place)?, left));
        insert.map_err(|refused| refused.error)?;
    }

    things.stir()?;
    let mut left = things.all().len();
    while left > 0 {
        event_loop.dispatch(None, &mut left)?;
    }
    Ok(())
}
