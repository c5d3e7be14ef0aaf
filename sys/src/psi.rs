//! Pressure stall information: how long work has waited for processor, memory or disk, and a wake-up when that is too
//! long. See Documentation/accounting/psi.rst of the kernel.
//!
//! [`read`] takes the figures of the system or of one control group; a [`Trigger`] is woken when the waiting exceeds a
//! threshold.
//!
//! # Honest trouble
//!
//! - **Looking takes the event.** There is nothing to read: [`Ready::PRI`] is the event, and the poll(2) or
//!   epoll_wait(2) that reports it clears it. Two sets that watch one open file get each event in one of them only:
//!   open one trigger for each.
//! - **`READ` is always set.** Poll for [`Ready::PRI`] alone, which is what [`Trigger::READINESS`] says. A loop without
//!   it takes a [`pri::Adapter`](crate::pri::Adapter).
//! - **One trigger for each open file**, for good: a second one is refused with `EBUSY`.
//! - **Windows.** Up to 10 s, and from 500 ms on, which 6.12 no longer asks of who has CAP_SYS_RESOURCE (6.1 does).
//!   Without CAP_SYS_RESOURCE multiples of 2 s only, from Linux 6.5 on, and none before.
//!   Events come once a window at most, and late by up to a tenth of it (by up to 2 s without that capability).
//! - **A control group that goes** takes its file along: see [`Event::Gone`].
//! - **`full` of the processor** is zero for the whole system (some process always runs), though a trigger on it is
//!   accepted. It means something for control groups.
//! - **Off by default** in some kernels: `psi=1` on the kernel's command line turns it on.

use crate::fd::owned_fd;
use crate::{Ready, SetupError, wait};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, pread, retry_on_intr, write};
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What work waits for.
///
/// ```
/// use becket_sys::psi::Resource;
/// use std::path::Path;
///
/// assert_eq!(Resource::Cpu.path(), Path::new("/proc/pressure/cpu"));
/// let service = Resource::Memory.in_cgroup("/sys/fs/cgroup/system.slice");
/// assert_eq!(service, Path::new("/sys/fs/cgroup/system.slice/memory.pressure"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// A processor to run on.
    Cpu,
    /// Memory: reclaim, swapping, pages read back.
    Memory,
    /// The completion of disk operations.
    Io,
    /// Time that interrupts took; `full` alone. Only where the kernel has CONFIG_IRQ_TIME_ACCOUNTING.
    Irq,
}

impl Resource {
    fn name(self) -> &'static str {
        match self {
            Resource::Cpu => "cpu",
            Resource::Memory => "memory",
            Resource::Io => "io",
            Resource::Irq => "irq",
        }
    }

    /// The file of the whole system.
    pub fn path(self) -> PathBuf {
        Path::new("/proc/pressure").join(self.name())
    }

    /// The file of the control group (version 2) at `dir`.
    pub fn in_cgroup(self, dir: impl AsRef<Path>) -> PathBuf {
        dir.as_ref().join(format!("{}.pressure", self.name()))
    }
}

/// One line of a pressure file: what share of the time was lost.
///
/// ```
/// use becket_sys::psi::Pressure;
/// use std::time::Duration;
///
/// let text = b"some avg10=12.50 avg60=3.00 avg300=0.25 total=1500000\n";
/// let some = Pressure::parse(text)?.some.unwrap();
/// assert_eq!((some.avg10, some.avg60, some.avg300), (12.5, 3.0, 0.25));
/// assert_eq!(some.total, Duration::from_millis(1500));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Stall {
    /// Percent of the last 10 seconds.
    pub avg10: f32,
    /// Percent of the last minute.
    pub avg60: f32,
    /// Percent of the last five minutes.
    pub avg300: f32,
    /// All of it, since the system started or the control group was made. The difference of two readings is exact where
    /// the averages, which the kernel renews every two seconds, are not.
    pub total: Duration,
}

/// A pressure file.
///
/// ```
/// use becket_sys::psi::Pressure;
///
/// let text = b"some avg10=0.00 avg60=0.10 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
/// let pressure = Pressure::parse(text)?;
/// assert!(pressure.some.unwrap().avg60 > pressure.full.unwrap().avg60);
///
/// let e = Pressure::parse(b"some avg10=").unwrap_err();
/// assert_eq!(e.kind(), std::io::ErrorKind::InvalidData);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Pressure {
    /// Some work waited, other work may have run. [`Resource::Irq`] has none.
    pub some: Option<Stall>,
    /// All work waited. The processor has none before Linux 5.13.
    pub full: Option<Stall>,
}

impl Pressure {
    /// The figures in the content of a pressure file. Lines and fields of other names are left out; a field that is not
    /// there is zero.
    ///
    /// # Errors
    /// `InvalidData` where a number is none, or neither line is there.
    pub fn parse(text: &[u8]) -> io::Result<Pressure> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not the content of a pressure file");
        let mut pressure = Pressure::default();
        for line in str::from_utf8(text).map_err(|_| invalid())?.lines() {
            let mut words = line.split_ascii_whitespace();
            let place = match words.next() {
                Some("some") => &mut pressure.some,
                Some("full") => &mut pressure.full,
                _ => continue,
            };
            let mut stall = Stall::default();
            for word in words {
                let (name, value) = word.split_once('=').ok_or_else(invalid)?;
                let percent = || value.parse().ok().filter(|n: &f32| n.is_finite() && *n >= 0.0).ok_or_else(invalid);
                match name {
                    "avg10" => stall.avg10 = percent()?,
                    "avg60" => stall.avg60 = percent()?,
                    "avg300" => stall.avg300 = percent()?,
                    "total" => stall.total = Duration::from_micros(value.parse().map_err(|_| invalid())?),
                    _ => {}
                }
            }
            *place = Some(stall);
        }
        if pressure.some.is_none() && pressure.full.is_none() { Err(invalid()) } else { Ok(pressure) }
    }
}

/// Reads the pressure file at `path`; see [`Resource`] for where they are.
///
/// # Errors
/// `ENOENT` where the kernel has no such file: pressure is not accounted for, or not for this resource; `EOPNOTSUPP`
/// where it is turned off; `ENODEV` where the control group goes in this moment; `InvalidData` for another file.
///
/// ```
/// use becket_sys::psi::{self, Resource};
///
/// match psi::read(Resource::Memory.path()) {
///     Ok(pressure) => assert!((0.0..=100.0).contains(&pressure.some.unwrap().avg10)),
///     Err(e) => assert!(matches!(e.raw_os_error(), Some(2 | 95))), // ENOENT, EOPNOTSUPP
/// }
/// ```
pub fn read(path: impl AsRef<Path>) -> io::Result<Pressure> {
    let file = retry_on_intr(|| open(path.as_ref(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))?;
    figures(&file)
}

fn figures(file: impl AsFd) -> io::Result<Pressure> {
    // Two lines of less than 80 bytes.
    let mut text = [0; 512];
    let n = retry_on_intr(|| pread(&file, &mut text, 0))?;
    Pressure::parse(&text[..n])
}

/// Which waiting a [`Trigger`] counts.
///
/// ```
/// use becket_sys::psi::{Kind, Trigger};
/// use std::time::Duration;
///
/// let ordinary = std::fs::File::open("/dev/null")?; // not open for writing
/// let window = Duration::from_secs(2);
/// let e = Trigger::arm(ordinary.into(), Kind::Full, window / 10, window).unwrap_err();
/// assert_eq!(e.raw_os_error(), Some(9)); // EBADF
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The time in which some work waited.
    Some,
    /// The time in which all work waited.
    Full,
}

/// What the readiness of a [`Trigger`] means.
///
/// ```
/// use becket_sys::{Ready, psi::Event};
///
/// assert_eq!(Event::of(Ready::PRI), Some(Event::Stalled));
/// assert_eq!(Event::of(Ready::PRI | Ready::ERR), Some(Event::Gone));
/// assert_eq!(Event::of(Ready::READ), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The threshold was exceeded within the window.
    Stalled,
    /// The control group was removed, or the file never had a trigger. The readiness stays: stop watching.
    Gone,
}

impl Event {
    /// What a loop was told, which has taken the event in doing so.
    pub fn of(ready: Ready) -> Option<Event> {
        match ready.contains(Ready::ERR) {
            true => Some(Event::Gone),
            false => ready.is_priority().then_some(Event::Stalled),
        }
    }
}

/// An alarm for too much waiting: a pressure file with a threshold.
///
/// Its event is the readiness [`Ready::PRI`] and is taken by looking; see the [module](self). It comes once a window at
/// most, as long as the pressure lasts. Close-on-exec. Dropping it closes the file, and with the last duplicate the
/// trigger ends.
///
/// ```
/// use becket_sys::psi::{Event, Kind, Resource, Trigger};
/// use std::time::{Duration, Instant};
///
/// let (stall, window) = (Duration::from_millis(500), Duration::from_secs(2));
/// let trigger = match Trigger::open(Resource::Memory.path(), Kind::Some, stall, window) {
///     Ok(trigger) => trigger,
///     // Linux before 6.5 wants CAP_SYS_RESOURCE; some systems account for no pressure.
///     Err(e) => return Ok(assert!(matches!(e.raw_os_error(), Some(1 | 2 | 13 | 22 | 95)))),
/// };
/// match trigger.wait_event(Some(Instant::now()))? {
///     Some(Event::Stalled) => println!("{:?}", trigger.pressure()?),
///     other => assert_eq!(other, None),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "pressure")]
#[doc(alias = "POLLPRI")]
#[derive(Debug)]
pub struct Trigger {
    fd: OwnedFd,
}

owned_fd!(Trigger, Priority);

impl Trigger {
    /// Opens the pressure file at `path` and asks for an event whenever the waiting of this kind sums up to more than
    /// `stall` within `window`. Both are rounded up to microseconds.
    ///
    /// # Errors
    /// In the step `open` those of [`read`], and `EACCES` or `EPERM` where the file may not be written (before Linux
    /// 6.5: without CAP_SYS_RESOURCE). In the step `write` those of [`arm`](Self::arm), save `EBUSY`.
    pub fn open(path: impl AsRef<Path>, kind: Kind, stall: Duration, window: Duration) -> Result<Trigger, SetupError> {
        let path = path.as_ref();
        let error = |step, e: io::Error| SetupError::new(step, path.display().to_string(), e);
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| open(path, flags, Mode::empty())).map_err(|e| error("open", e.into()))?;
        Trigger::arm(fd, kind, stall, window).map_err(|e| error("write", e))
    }

    /// As [`open`](Self::open), on a pressure file that somebody else has opened for writing.
    ///
    /// # Errors
    /// `EINVAL` where the window is above 10 s, below 500 ms on older kernels, or no multiple of 2 s while
    /// CAP_SYS_RESOURCE is missing, and where `stall` is zero or longer than the window; `EBUSY` where the open file
    /// has a trigger; `EBADF`
    /// where it is not open for writing; `ENODEV` where the control group is gone; `EOPNOTSUPP` where pressure is not
    /// accounted for; `ENOMEM`.
    pub fn arm(fd: OwnedFd, kind: Kind, stall: Duration, window: Duration) -> io::Result<Trigger> {
        let kind = match kind {
            Kind::Some => "some",
            Kind::Full => "full",
        };
        // The kernel would cut what does not fit, and overwrites the last byte: it has to be one too many.
        let text = format!("{kind} {} {}\0", micros(stall)?, micros(window)?);
        retry_on_intr(|| write(&fd, text.as_bytes()))?;
        Ok(Trigger { fd })
    }

    /// The figures of the file at present.
    ///
    /// # Errors
    /// `ENODEV` where the control group is gone.
    pub fn pressure(&self) -> io::Result<Pressure> {
        figures(&self.fd)
    }

    /// Waits for an event without any loop, and takes it; `None` where `deadline` came first. See [`wait`].
    ///
    /// # Errors
    /// Those of [`wait`].
    pub fn wait_event(&self, deadline: Option<Instant>) -> io::Result<Option<Event>> {
        Ok(wait(self, Ready::PRI, deadline)?.and_then(Event::of))
    }

    /// Takes the event that is there; `None` where none is. What a loop was told is taken already: use [`Event::of`].
    ///
    /// # Errors
    /// Those of [`wait`].
    pub fn try_read(&self) -> io::Result<Option<Event>> {
        self.wait_event(Some(Instant::now()))
    }
}

/// A pressure file that has a trigger. A wrong descriptor can merely make calls fail, or be ready at other times.
impl From<OwnedFd> for Trigger {
    fn from(fd: OwnedFd) -> Self {
        Trigger { fd }
    }
}

fn micros(d: Duration) -> io::Result<impl Display> {
    u32::try_from(d.as_nanos().div_ceil(1000)).map_err(|_| Errno::INVAL.into())
}
