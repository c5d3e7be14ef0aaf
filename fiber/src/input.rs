//! Input devices (evdev): keyboards, buttons, touch screens.

pub use becket_sys::input::{
    AbsInfo, Batch, CodeSet, Event, Events, Fed, Id, Input, Kind, Mapping, Repeat, State, Tracker, codes, devices,
};

use crate::over::{over_io, until};
use crate::{Io, Ready};
use becket_sys::{EventBuf, SetupError, input};
use std::io;
use std::path::Path;

/// An input device.
///
/// What it has and where it stands, grabs and masks are [`becket_sys::input::Device`]'s.
///
/// ```
/// use becket_fiber::input::{Device, Input, Tracker};
/// use becket_fiber::{Runtime, timeout};
/// use becket_sys::EventBuf;
/// use std::time::Duration;
///
/// let device = match Device::open("/dev/input/event0") {
///     Ok(device) => device,
///     Err(e) => return Ok(assert_eq!(e.step(), "open")), // this machine has none, or not for this user
/// };
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (mut tracker, mut buf) = (Tracker::new(&device)?, EventBuf::new());
///     match timeout(Duration::from_millis(5), || device.next(&mut tracker, &mut buf)) {
///         Ok(Input::Events(events)) => events.iter().for_each(|event| println!("{event}")),
///         Ok(Input::Gone) => println!("unplugged"),
///         Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::TimedOut),
///     }
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "evdev")]
pub struct Device {
    io: Io<input::Device>,
}

over_io!(Device, input::Device, convert);

impl Device {
    /// Opens the device at `path`, such as `/dev/input/event0`.
    ///
    /// # Errors
    /// As [`input::Device::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Device, SetupError> {
        let path = path.as_ref();
        let device = input::Device::open(path)?;
        device.try_into().map_err(|e| SetupError::new("fcntl", path.display().to_string(), e))
    }

    /// Waits for events, takes them, and makes good for lost ones: see [`Tracker`]. There may be none among what comes.
    ///
    /// # Errors
    /// As [`Tracker::read`]; [`Cancelled`](crate::Cancelled) and `TimedOut`, and nothing was taken.
    pub fn next(&self, tracker: &mut Tracker, buf: &mut EventBuf) -> io::Result<Input> {
        until(&self.io, Ready::READ, |device| tracker.read(device, buf))
    }

    /// Waits for events and takes as many as `buf` has room for, as the kernel tells them.
    ///
    /// # Errors
    /// As [`input::Device::read_events`]; [`Cancelled`](crate::Cancelled) and `TimedOut`, and nothing was taken.
    pub fn read_events<'b>(&self, buf: &'b mut EventBuf) -> io::Result<Batch<'b>> {
        let is_gone = until(&self.io, Ready::READ, |device| {
            Ok(device.read_events(buf)?.map(|batch| matches!(batch, Batch::Gone)))
        })?;
        Ok(if is_gone { Batch::Gone } else { Batch::Events(Events::parse(buf.as_bytes())) })
    }
}
