//! The kinds of `becket-sys` that are sources: those that watch files, devices and the system.

use super::Source;
use super::kinds::BATCH;
use crate::{Next, Ready, Result};
use becket_sys::fanotify::{self, Fanotify};
use becket_sys::inotify::{self, Inotify};
use becket_sys::{EventBuf, attribute, gpio, input, mounts, netlink, psi, serial};
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Hands out what one read brought.
fn all<T>(events: impl IntoIterator<Item = T>, emit: &mut dyn FnMut(T) -> ControlFlow<()>) -> Result {
    // What is left over after a break is dropped: descriptors are closed, and who waits is answered.
    let _ = events.into_iter().try_for_each(emit);
    Ok(Next::Keep)
}

/// The event is a change in a watched place, or that some were lost: all of one read are handed out one by one.
impl Source for Inotify {
    type Event<'a> = inotify::Event<&'a OsStr>;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(Self::Event<'_>) -> ControlFlow<()>) -> Result {
        let mut buf = EventBuf::new();
        all(self.read_events(&mut buf)?.into_iter().flatten(), emit)
    }
}

/// The event is something that happened to a marked file, somebody who waits for a permission, or that events were
/// lost: all of one read are handed out one by one. It is in an [`Arc`] so that a permission may be kept, or sent to
/// another thread, and answered later, also after the source was removed.
///
/// A permission that the callback drops, or that is dropped because the source is removed, is answered by the group's
/// [default](fanotify::Builder::on_drop). While the source is disabled, nobody is answered. So ask for
/// [`Report::FD_ERROR`](fanotify::Report::FD_ERROR): without it, a file that cannot be opened is an error, which
/// disables.
///
/// ```no_run
/// use becket_loop::{Loop, Next};
/// use becket_sys::fanotify::{Class, Event, Fanotify, Mask, Options, Report, Scope};
/// use std::sync::Arc;
///
/// let group = Fanotify::builder().class(Class::Content).report(Report::FD_ERROR).open()?;
/// group.add(Scope::Mount, "/srv", Mask::OPEN_PERM, Options::empty())?;
/// let mut event_loop: Loop<u32> = Loop::new()?;
/// event_loop.on(Arc::new(group), |asked, _, event| {
///     if let Event::Permission(permission) = event {
///         *asked += 1;
///         permission.allow()?;
///     }
///     Ok(Next::Keep)
/// })?;
/// event_loop.run(&mut 0)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Source for Arc<Fanotify> {
    type Event<'a> = fanotify::Event<'static, 'a>;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(Self::Event<'_>) -> ControlFlow<()>) -> Result {
        let mut buf = EventBuf::new();
        all(self.read_events_shared(&mut buf)?.into_iter().flatten(), emit)
    }
}

/// The event is an edge of one of the lines, with its time. A gap in the numbers says that some were lost
/// ([`Sequence`](gpio::Sequence)). Where the chip is gone, the source fails with `ENODEV`.
impl Source for gpio::Request {
    type Event<'a> = gpio::EdgeEvent;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(gpio::EdgeEvent) -> ControlFlow<()>) -> Result {
        let mut buf = EventBuf::with_capacity(48 * BATCH);
        all(self.read_events(&mut buf)?.into_iter().flatten(), emit)
    }
}

/// The event is that somebody, this program too, requested, released or reconfigured a line: one that
/// [`Chip::watch`](gpio::Chip::watch) was called for. Where the chip is gone, the source fails with `ENODEV`.
impl Source for gpio::Chip {
    type Event<'a> = gpio::InfoChange;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(gpio::InfoChange) -> ControlFlow<()>) -> Result {
        let mut buf = EventBuf::new();
        all(self.read_events(&mut buf)?.into_iter().flatten(), emit)
    }
}

/// The event is the line's value after an edge, re-read. Edges that follow each other faster than they are read count
/// as one. Set the edge by [`Line::watch`](gpio::sysfs::Line::watch) before.
impl Source for gpio::sysfs::Line {
    type Event<'a> = bool;

    fn interest(&self) -> Ready {
        Ready::PRI
    }

    fn ready(&self, ready: Ready, emit: &mut dyn FnMut(bool) -> ControlFlow<()>) -> Result {
        // ERR beside PRI is how sysfs reports a change. The read also takes the report back.
        if ready.is_priority() {
            let _ = emit(self.value()?);
        }
        Ok(Next::Keep)
    }
}

/// The event is the content after a change, re-read; changes that follow each other faster than it is read count as one.
/// That what it belongs to is gone, the kernel tells nobody: see [`attribute`].
///
/// ```no_run
/// use becket_loop::{Loop, Next};
/// use becket_sys::attribute::Attribute;
///
/// let events = Attribute::open("/sys/fs/cgroup/my.service/cgroup.events")?;
/// let mut event_loop: Loop<()> = Loop::new()?;
/// event_loop.on(events, |_, _, content| {
///     let empty = content.windows(11).any(|part| part == b"populated 0");
///     Ok(if empty { Next::Remove } else { Next::Keep })
/// })?;
/// event_loop.run(&mut ())?; // until the last process of the group has ended
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Source for attribute::Attribute {
    type Event<'a> = &'a [u8];

    fn interest(&self) -> Ready {
        Ready::PRI
    }

    fn ready(&self, ready: Ready, emit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result {
        // ERR beside PRI is how a change is reported. The read also takes the report back.
        if ready.is_priority() {
            let _ = emit(&self.read()?);
        }
        Ok(Next::Keep)
    }
}

/// The event is what one read brought: the events of some frames; or that the device is unplugged or revoked, after
/// which the source is removed. When the kernel lost some, that is one of them, and nothing is made good for. For that,
/// use [`Ctx::add`](crate::Ctx::add) with a [`Tracker`](input::Tracker):
///
/// ```no_run
/// use becket_loop::{Loop, Mode, Next, Ready};
/// use becket_sys::EventBuf;
/// use becket_sys::input::{Device, Input, Tracker};
///
/// let device = Device::open("/dev/input/event0")?;
/// let (mut tracker, mut buf) = (Tracker::new(&device)?, EventBuf::new());
/// let mut event_loop: Loop<usize> = Loop::new()?;
/// event_loop.add(device, Ready::READ, Mode::Level, move |n, _, device, _| {
///     match tracker.read(device, &mut buf)? {
///         Some(Input::Gone) => return Ok(Next::Remove),
///         Some(Input::Events(events)) => *n += events.len(),
///         None => {}
///     }
///     Ok(Next::Keep)
/// })?;
/// event_loop.run(&mut 0)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Source for input::Device {
    type Event<'a> = input::Batch<'a>;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(input::Batch<'_>) -> ControlFlow<()>) -> Result {
        let mut buf = EventBuf::new();
        let Some(batch) = self.read_events(&mut buf)? else { return Ok(Next::Keep) };
        let next = if matches!(batch, input::Batch::Gone) { Next::Remove } else { Next::Keep };
        let _ = emit(batch);
        Ok(next)
    }
}

/// The event is that modem lines changed. After a hang-up the source fails.
impl Source for serial::LineWatch {
    type Event<'a> = serial::LineChange;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(serial::LineChange) -> ControlFlow<()>) -> Result {
        let change = self.try_read()?;
        let _ = change.map(emit);
        Ok(Next::Keep)
    }
}

/// The event is that there was too much waiting, once a window at most; or that the control group is gone, after which
/// the source is removed. Nothing is read: the loop's look has taken the event. For the figures, call
/// [`pressure`](psi::Trigger::pressure) on what [`Ctx::get`](crate::Ctx::get) lends. An event that comes while the
/// source is disabled is lost.
impl Source for psi::Trigger {
    type Event<'a> = psi::Event;

    fn interest(&self) -> Ready {
        Ready::PRI
    }

    fn ready(&self, ready: Ready, emit: &mut dyn FnMut(psi::Event) -> ControlFlow<()>) -> Result {
        let event = psi::Event::of(ready);
        let _ = event.map(emit);
        Ok(if event == Some(psi::Event::Gone) { Next::Remove } else { Next::Keep })
    }
}

/// The event is the table of mounts after a change, re-read. What changed is the difference to the table before, of
/// which the first is to be read after the source was added, for what changed before that is not told. Likewise after
/// it was enabled, or its interest set, anew.
///
/// ```
/// use becket_loop::{Loop, Next};
/// use becket_sys::mounts::{Table, Watcher};
///
/// let mut event_loop: Loop<Table> = Loop::new()?;
/// let id = event_loop.on(Watcher::new()?, |table: &mut Table, _, newer| {
///     for change in table.changes(&newer) {
///         println!("{change:?}");
///     }
///     *table = newer;
///     Ok(Next::Keep)
/// })?;
/// let mut table = event_loop.get(id).unwrap().read()?;
/// event_loop.turn(&mut table, Some(std::time::Duration::ZERO))?;
/// assert!(table.iter().count() > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Source for mounts::Watcher {
    type Event<'a> = mounts::Table;

    fn interest(&self) -> Ready {
        Ready::PRI
    }

    fn ready(&self, ready: Ready, emit: &mut dyn FnMut(mounts::Table) -> ControlFlow<()>) -> Result {
        if ready.is_priority() {
            let _ = emit(self.read()?);
        }
        Ok(Next::Keep)
    }
}

/// The event is a link, an address, a route or a neighbour that is there now, or is gone; or that some were lost: then list
/// everything again. Make the monitor first and list then, so that nothing is missed.
///
/// ```
/// use becket_loop::{Loop, Next};
/// use becket_sys::netlink::route::{self, Event, Monitor, Watch};
/// use becket_sys::netlink::{Protocol, Socket};
/// use std::collections::BTreeMap;
/// use std::time::Duration;
///
/// let mut event_loop: Loop<BTreeMap<u32, route::Link>> = Loop::new()?;
/// let list = || route::links(&Socket::new(Protocol::ROUTE)?, None);
/// let by_number = |links: Vec<route::Link>| links.into_iter().map(|link| (link.index, link)).collect();
/// event_loop.on(Monitor::new(Watch::LINKS)?, move |links, _, event| {
///     match event {
///         Event::Link(link) => _ = links.insert(link.index, link),
///         Event::LinkGone(link) => _ = links.remove(&link.index),
///         Event::Overflow => *links = by_number(list()?),
///         _ => {}
///     }
///     Ok(Next::Keep)
/// })?;
/// let mut links = by_number(list()?);
/// event_loop.turn(&mut links, Some(Duration::ZERO))?;
/// assert!(links.values().any(|link| link.name == "lo"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Source for netlink::route::Monitor {
    type Event<'a> = netlink::route::Event;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(netlink::route::Event) -> ControlFlow<()>) -> Result {
        let mut buf = EventBuf::with_capacity(32 * 1024);
        all(self.read_events(&mut buf)?.into_iter().flatten(), emit)
    }
}

/// The event is a datagram, of at most 32 KiB, or that some were lost: then look at everything again.
impl Source for netlink::Socket {
    type Event<'a> = netlink::Incoming<'a>;

    fn ready(&self, _: Ready, emit: &mut dyn FnMut(netlink::Incoming<'_>) -> ControlFlow<()>) -> Result {
        let mut buf = EventBuf::with_capacity(32 * 1024);
        for _ in 0..BATCH {
            let Some(incoming) = self.try_recv(&mut buf)? else { break };
            if emit(incoming).is_break() {
                break;
            }
        }
        Ok(Next::Keep)
    }
}
