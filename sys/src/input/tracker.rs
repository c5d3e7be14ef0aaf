use super::{Batch, Device, Event, State};
use crate::EventBuf;
use rustix::io::Errno;
use std::io;
use std::time::Duration;

/// What [`Tracker::read`] brought.
///
/// ```
/// use becket_sys::EventBuf;
/// use becket_sys::input::{Device, Input, Layout, Tracker};
/// use std::io::Write;
/// use std::os::fd::OwnedFd;
///
/// let (reader, mut writer) = std::io::pipe()?; // stands in for a device, and Tracker::default() for Tracker::new
/// let (device, mut tracker) = (Device::from(OwnedFd::from(reader)), Tracker::default());
/// writer.write_all(&[0; Layout::NATIVE.record()])?;
/// match tracker.read(&device, &mut EventBuf::new())? {
///     Some(Input::Events(events)) => assert!(events[0].is_report()),
///     Some(Input::Gone) => panic!("unplugged"),
///     None => panic!("nothing yet"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Events, those that stand in for lost ones among them; may be none.
    Events(Vec<Event>),
    /// The device is unplugged, or revoked: nothing more will come.
    Gone,
}

/// What becomes of an event that a [`Tracker`] was fed.
///
/// ```
/// use becket_sys::input::{Event, Fed, Kind, Tracker, codes};
///
/// let mut tracker = Tracker::default();
/// let press = Event::new(Kind::KEY, codes::KEY_A, 1);
/// assert_eq!(tracker.feed(press), Fed::Pass(press));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fed {
    /// It is to be used.
    Pass(Event),
    /// It is the rest of a frame of which the beginning is lost, and is not to be used.
    Discard,
    /// As [`Discard`](Self::Discard), and that frame ends here, at this time: the device's state is to be asked for
    /// now, and given to [`Tracker::resync`].
    Resync(Duration),
}

/// Follows what a device tells, and makes good for what is lost.
///
/// When its queue is full, the kernel throws all of it away and says so by an event ([`Event::is_loss`]), after which
/// come the last events of a frame whose beginning is missing. What was pressed or released meanwhile nobody tells: a
/// program that does not care has keys that stay pressed forever. This remembers the device's [`State`], drops the
/// torn frame, asks the device where it is now, and tells the difference as events. The loss itself is passed on before
/// these. What cannot be made good is how far relative axes moved, and what was pressed and released again.
///
/// [`read`](Self::read) does it all. [`feed`](Self::feed) and [`resync`](Self::resync) are its parts, of which neither
/// touches a device: for bytes that were read otherwise.
///
/// ```
/// use becket_sys::input::{Event, Fed, Kind, State, Tracker, codes};
///
/// let event = |kind, code, value| Event::new(kind, code, value);
/// let mut tracker = Tracker::default();
/// tracker.feed(event(Kind::KEY, codes::KEY_A, 1));
/// assert!(tracker.state().keys().contains(codes::KEY_A));
///
/// let loss = event(Kind::SYN, codes::SYN_DROPPED, 0);
/// assert_eq!(tracker.feed(loss), Fed::Pass(loss));
/// assert_eq!(tracker.feed(event(Kind::KEY, codes::KEY_C, 1)), Fed::Discard);
/// let Fed::Resync(time) = tracker.feed(event(Kind::SYN, codes::SYN_REPORT, 0)) else { panic!() };
///
/// let mut now = State::default(); // that of the device would be State::read(&device)?
/// now.apply(&event(Kind::KEY, codes::KEY_B, 1));
/// let made: Vec<_> = tracker.resync(now, time).iter().map(Event::to_string).collect();
/// assert_eq!(made, ["KEY_A 0", "KEY_B 1", "SYN_REPORT 0"]);
/// ```
#[doc(alias = "SYN_DROPPED")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracker {
    state: State,
    lost: bool,
}

/// How many reads empty the queue, at most: the device may be faster than we are.
const READS: usize = 64;

impl Tracker {
    /// Begins with where the device is now.
    ///
    /// # Errors
    /// `ENODEV` where it is gone.
    pub fn new(device: &Device) -> io::Result<Tracker> {
        Ok(Tracker { state: State::read(device)?, lost: false })
    }

    /// Where the device is, by the events passed on so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes one event and says what becomes of it. Whoever ignores a [`Fed::Resync`] has stale keys, no more.
    pub fn feed(&mut self, event: Event) -> Fed {
        if event.is_loss() {
            self.lost = true;
            return Fed::Pass(event);
        }
        if !self.lost {
            self.state.apply(&event);
            return Fed::Pass(event);
        }
        if event.is_report() {
            self.lost = false;
            return Fed::Resync(event.time);
        }
        Fed::Discard
    }

    /// Takes where the device is, and gives the events, at `time`, that lead there, and a report that ends them.
    pub fn resync(&mut self, now: State, time: Duration) -> Vec<Event> {
        let events = self.state.changes(&now, time);
        self.state = now;
        events
    }

    /// Takes events from the device, and does what is to be done about losses; `None` where there are none. Every read
    /// of the device must go this way.
    ///
    /// # Errors
    /// Those of [`Device::read_events`].
    pub fn read(&mut self, device: &Device, buf: &mut EventBuf) -> io::Result<Option<Input>> {
        let mut passed = Vec::new();
        match device.read_events(buf)? {
            None => return Ok(None),
            Some(Batch::Gone) => return Ok(Some(Input::Gone)),
            Some(Batch::Events(events)) => {
                for event in events {
                    match self.feed(event) {
                        Fed::Pass(event) => passed.push(event),
                        Fed::Discard => {}
                        Fed::Resync(time) => {
                            // What else is queued is older than the state that is asked for next.
                            for _ in 0..READS {
                                if !matches!(device.read_events(buf)?, Some(Batch::Events(_))) {
                                    break;
                                }
                            }
                            match State::read(device) {
                                Ok(now) => passed.extend(self.resync(now, time)),
                                // The next read says so.
                                Err(e) if Errno::from_io_error(&e) == Some(Errno::NODEV) => {}
                                Err(e) => return Err(e),
                            }
                            break;
                        }
                    }
                }
            }
        }
        Ok(Some(Input::Events(passed)))
    }
}
