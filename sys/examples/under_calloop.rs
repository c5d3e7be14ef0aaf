//! Descriptors of this crate under calloop: each in a `Generic`, which owns it and lends it to its callback.
//!
//! calloop has no interest in priority alone. An [`Epoll`] of this crate around the descriptor has, and is itself a
//! descriptor to wait for.

mod things;

use becket_sys::epoll::{Epoll, Trigger};
use becket_sys::{Ready, timer::Timer};
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
    handle
        .insert_source(timer, move |_, timer, left| next(said("timer", Timer::try_read(timer))?, left))
        .map_err(|refused| refused.error)?;

    // What others use too is lent out, or shared by a reference count.
    for place in 1..things.all().len() {
        let (fd, want) = things.all()[place];
        let set = Epoll::new()?;
        set.add(fd, 0, if want == Ready::PRI { want } else { Ready::READ }, Trigger::empty())?;
        let things = things.clone();
        let source = Generic::new(set, Interest::READ, Mode::Level);
        handle
            .insert_source(source, move |_, _, left| next(things.take(place)?, left))
            .map_err(|refused| refused.error)?;
    }

    things.stir()?;
    let mut left = things.all().len();
    while left > 0 {
        event_loop.dispatch(None, &mut left)?;
    }
    Ok(())
}
