use super::{CodeSet, Event, Events, Kind};
use crate::fd::{owned_fd, unless_blocked};
use crate::ffi::input::{self as ffi, Query};
use crate::timer::Clock;
use crate::{EventBuf, SetupError};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, retry_on_intr, write};
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

/// What a device is, as it says itself; see [`Device`] for an example.
#[doc(alias = "input_id")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Id {
    /// How it is connected: 3 for USB, 5 for Bluetooth, 6 for none at all (a program), 0x19 for the machine's own.
    #[doc(alias = "BUS_USB")]
    pub bus: u16,
    /// Whose it is; of USB's vendors on that bus.
    pub vendor: u16,
    /// Which of the vendor's it is.
    pub product: u16,
    /// Which version of that.
    pub version: u16,
}

/// An absolute axis: where it is, and in what range.
///
/// ```
/// use becket_sys::input::AbsInfo;
///
/// let stick = AbsInfo { minimum: -128, maximum: 127, flat: 8, ..AbsInfo::default() };
/// assert_eq!((stick.value, stick.fuzz, stick.resolution), (0, 0, 0));
/// ```
#[doc(alias = "input_absinfo")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AbsInfo {
    /// Where it is. Nobody keeps it within the range.
    pub value: i32,
    /// The least value.
    pub minimum: i32,
    /// The greatest value.
    pub maximum: i32,
    /// Changes up to this are noise, which the kernel filters out.
    pub fuzz: i32,
    /// Values up to this far from the middle count as the middle.
    pub flat: i32,
    /// Units to the millimetre, or to the radian for what turns; 0 where the device does not say.
    pub resolution: i32,
}

/// How keys repeat while they are held down.
///
/// ```
/// use becket_sys::input::Repeat;
/// use std::time::Duration;
///
/// let fast = Repeat { delay: Duration::from_millis(200), period: Duration::from_millis(20) };
/// assert!(fast.period < fast.delay);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repeat {
    /// How long a key is held down before it repeats.
    #[doc(alias = "REP_DELAY")]
    pub delay: Duration,
    /// The time from one repetition to the next; zero: none.
    #[doc(alias = "REP_PERIOD")]
    pub period: Duration,
}

/// A key of a keymap: which key a scan code means.
///
/// ```no_run
/// use becket_sys::input::{Device, codes};
///
/// let keyboard = Device::open("/dev/input/event3")?;
/// if let Some(mapping) = keyboard.mapping(0)? {
///     keyboard.set_mapping(&mapping.scancode, codes::KEY_ESC.into())?;
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "input_keymap_entry")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Mapping {
    /// Its place in the keymap.
    pub index: u16,
    /// What the device sends, in the machine's order of bytes; mostly 4 of them.
    pub scancode: Vec<u8>,
    /// The key that it means.
    pub keycode: u32,
}

/// What a read of a [`Device`] brought.
///
/// ```
/// use becket_sys::EventBuf;
/// use becket_sys::input::{Batch, Device, Layout};
/// use std::io::Write;
/// use std::os::fd::OwnedFd;
///
/// let (reader, mut writer) = std::io::pipe()?; // stands in for a device
/// let device = Device::from(OwnedFd::from(reader));
/// writer.write_all(&[0; Layout::NATIVE.record()])?;
/// let mut buf = EventBuf::new();
/// match device.read_events(&mut buf)? {
///     Some(Batch::Events(mut events)) => assert!(events.next().unwrap().is_report()),
///     Some(Batch::Gone) => panic!("unplugged"),
///     None => panic!("nothing yet"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub enum Batch<'b> {
    /// Events.
    Events(Events<'b>),
    /// The device is unplugged, or this descriptor was [revoked](Device::revoke): nothing more will come. The
    /// descriptor stays readable, so stop watching it.
    #[doc(alias = "ENODEV")]
    Gone,
}

/// An input device: `/dev/input/eventN`.
///
/// Readable when events are there, and once it is gone. Close-on-exec and non-blocking. Dropping it closes the
/// descriptor and ends its [grab](Self::grab).
///
/// Every method fails with `ENODEV` once the device is gone; reading tells it as [`Batch::Gone`].
///
/// ```no_run
/// use becket_sys::input::{Device, Kind, codes};
///
/// let device = Device::open("/dev/input/event0")?;
/// println!("{:?} {:x?}", device.name()?, device.id()?);
/// assert!(device.kinds()?.contains(&Kind::SYN));
/// if device.codes(Kind::KEY)?.contains(codes::KEY_ENTER) {
///     println!("a keyboard; held down: {:?}", device.keys()?);
/// }
/// if device.codes(Kind::ABS)?.contains(codes::ABS_X) {
///     println!("X: {:?}", device.axis(codes::ABS_X)?);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// ```
/// use becket_sys::input::Device;
///
/// let e = Device::open("/dev/null").unwrap_err();
/// assert_eq!((e.step(), e.raw_os_error()), ("identify", Some(25))); // ENOTTY: it is no input device
/// ```
#[doc(alias = "evdev")]
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
}

owned_fd!(Device, Readable);

impl Device {
    /// Opens a device, for writing too where that is allowed: only [`write_events`](Self::write_events) needs it.
    ///
    /// # Errors
    /// Step `open`: `ENOENT`, `EACCES`; `ENODEV` where it is being unplugged. Step `identify`: `ENOTTY` where the path
    /// leads to something else, such as `/dev/input/mouse0`, which speaks otherwise (`EINVAL` there).
    pub fn open(path: impl AsRef<Path>) -> Result<Device, SetupError> {
        let path = path.as_ref();
        let failed = |step| move |e: Errno| SetupError::new(step, path.display().to_string(), e);
        let attempt = |mode| {
            let flags = mode | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
            retry_on_intr(|| open(path, flags, Mode::empty()))
        };
        let fd = match attempt(OFlags::RDWR) {
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => attempt(OFlags::RDONLY),
            other => other,
        };
        let fd = fd.map_err(failed("open"))?;
        ffi::version(fd.as_fd()).map_err(failed("identify"))?;
        Ok(Device { fd })
    }

    /// What the device is.
    ///
    /// # Errors
    /// `ENODEV` once it is gone, as all of the following.
    #[doc(alias = "EVIOCGID")]
    pub fn id(&self) -> io::Result<Id> {
        let ffi::Id { bus, vendor, product, version } = ffi::id(self.fd.as_fd())?;
        Ok(Id { bus, vendor, product, version })
    }

    /// What it calls itself; may be empty.
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGNAME")]
    pub fn name(&self) -> io::Result<OsString> {
        Ok(self.text(Query::Name)?.unwrap_or_default())
    }

    /// Where it is plugged in, such as `usb-0000:00:14.0-2/input0`; `None` where it does not say.
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGPHYS")]
    #[doc(alias = "phys")]
    pub fn physical_path(&self) -> io::Result<Option<OsString>> {
        self.text(Query::Phys)
    }

    /// Its serial number or address; `None` where it does not say.
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGUNIQ")]
    #[doc(alias = "uniq")]
    pub fn unique_id(&self) -> io::Result<Option<OsString>> {
        self.text(Query::Uniq)
    }

    /// Its properties: numbers such as [`codes::INPUT_PROP_POINTER`](super::codes::INPUT_PROP_POINTER).
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGPROP")]
    pub fn properties(&self) -> io::Result<CodeSet> {
        self.set(Query::Properties)
    }

    /// The kinds of events it has.
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGBIT")]
    pub fn kinds(&self) -> io::Result<Vec<Kind>> {
        Ok(self.set(Query::Codes(0))?.iter().map(Kind).collect())
    }

    /// The codes it has of a kind. Of [`Kind::SYN`], [`Kind::REP`], [`Kind::PWR`] and what no kind is, none.
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGBIT")]
    pub fn codes(&self, kind: Kind) -> io::Result<CodeSet> {
        // Of SYN the call tells the kinds instead.
        let Some(number) = u8::try_from(kind.0).ok().filter(|n| (1..ffi::KINDS).contains(n)) else {
            return Ok(CodeSet::new());
        };
        match self.set(Query::Codes(number)) {
            Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => Ok(CodeSet::new()),
            other => other,
        }
    }

    /// The keys and buttons that are held down.
    ///
    /// Asking takes events of keys that are not yet read out of the queue: they are in the answer. So do
    /// [`leds`](Self::leds), [`sounds`](Self::sounds) and [`switches`](Self::switches) with theirs.
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGKEY")]
    pub fn keys(&self) -> io::Result<CodeSet> {
        self.set(Query::Keys)
    }

    /// The lamps that are lit.
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGLED")]
    pub fn leds(&self) -> io::Result<CodeSet> {
        self.set(Query::Leds)
    }

    /// The sounds that are on.
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGSND")]
    pub fn sounds(&self) -> io::Result<CodeSet> {
        self.set(Query::Sounds)
    }

    /// The switches that are on.
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGSW")]
    pub fn switches(&self) -> io::Result<CodeSet> {
        self.set(Query::Switches)
    }

    /// An absolute axis.
    ///
    /// # Errors
    /// `EINVAL` where the device has no absolute axes; for one that it does not have while it has others, the kernel
    /// says zero throughout. `ENODEV`.
    #[doc(alias = "EVIOCGABS")]
    pub fn axis(&self, code: u16) -> io::Result<AbsInfo> {
        let ffi::AbsInfo { value, minimum, maximum, fuzz, flat, resolution } = ffi::abs(self.fd.as_fd(), code)?;
        Ok(AbsInfo { value, minimum, maximum, fuzz, flat, resolution })
    }

    /// Says anew what an absolute axis is, for everybody: to correct a device that is wrong about itself.
    ///
    /// # Errors
    /// As [`axis`](Self::axis); `EINVAL` for [`ABS_MT_SLOT`](super::codes::ABS_MT_SLOT).
    #[doc(alias = "EVIOCSABS")]
    pub fn set_axis(&self, code: u16, info: &AbsInfo) -> io::Result<()> {
        let AbsInfo { value, minimum, maximum, fuzz, flat, resolution } = *info;
        let info = ffi::AbsInfo { value, minimum, maximum, fuzz, flat, resolution };
        Ok(ffi::set_abs(self.fd.as_fd(), code, &info)?)
    }

    /// The value of a multitouch axis, such as [`ABS_MT_POSITION_X`](super::codes::ABS_MT_POSITION_X), in each of the
    /// device's slots; none where it has no slots.
    ///
    /// # Errors
    /// `EINVAL` where the code is none of multitouch; `ENODEV`.
    #[doc(alias = "EVIOCGMTSLOTS")]
    pub fn slots(&self, code: u16) -> io::Result<Vec<i32>> {
        if !self.codes(Kind::ABS)?.contains(super::codes::ABS_MT_SLOT) {
            return Ok(Vec::new());
        }
        let last = self.axis(super::codes::ABS_MT_SLOT)?.maximum;
        // More than fit into one call no device has; the kernel's limit is 1024.
        let count = usize::try_from(last).map_or(0, |last| last.min(1023) + 1);
        let mut words = vec![0; 1 + count];
        words[0] = code.into();
        ffi::mt_slots(self.fd.as_fd(), &mut words)?;
        words.remove(0);
        Ok(words)
    }

    /// How held keys repeat; `None` where they do not.
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGREP")]
    pub fn repeat(&self) -> io::Result<Option<Repeat>> {
        let millis = |n: u32| Duration::from_millis(n.into());
        match ffi::repeat(self.fd.as_fd()) {
            Ok([delay, period]) => Ok(Some(Repeat { delay: millis(delay), period: millis(period) })),
            Err(Errno::NOSYS) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Says how held keys repeat, for everybody; in milliseconds, to which both times are rounded up. What changes is
    /// told with the next frame to all who read the device, as events of [`Kind::REP`].
    ///
    /// # Errors
    /// `ENOSYS` where they do not repeat; `InvalidInput` for more than 49 days; `ENODEV`.
    #[doc(alias = "EVIOCSREP")]
    pub fn set_repeat(&self, repeat: &Repeat) -> io::Result<()> {
        let millis = |d: Duration| u32::try_from(d.as_nanos().div_ceil(1_000_000)).map_err(|_| Errno::INVAL);
        Ok(ffi::set_repeat(self.fd.as_fd(), [millis(repeat.delay)?, millis(repeat.period)?])?)
    }

    /// The entry at a place of the keymap, from 0; `None` after the last.
    ///
    /// # Errors
    /// `ENODEV`.
    #[doc(alias = "EVIOCGKEYCODE_V2")]
    pub fn mapping(&self, index: u16) -> io::Result<Option<Mapping>> {
        let mut entry = ffi::KeymapEntry { flags: ffi::KEYMAP_BY_INDEX, index, ..ffi::KeymapEntry::default() };
        match ffi::keycode(self.fd.as_fd(), &mut entry) {
            Ok(()) => Ok(Some(mapping(&entry))),
            Err(Errno::INVAL) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The entry of a scan code; `None` where the keymap has none.
    ///
    /// # Errors
    /// `InvalidInput` for more than 32 bytes; `ENODEV`.
    #[doc(alias = "EVIOCGKEYCODE_V2")]
    pub fn mapping_of(&self, scancode: &[u8]) -> io::Result<Option<Mapping>> {
        let mut entry = keymap_entry(scancode, 0)?;
        match ffi::keycode(self.fd.as_fd(), &mut entry) {
            Ok(()) => Ok(Some(mapping(&entry))),
            Err(Errno::INVAL) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Says which key a scan code means, for everybody.
    ///
    /// # Errors
    /// `EINVAL` where the keymap has no such scan code, or no key such a number; `ENODEV`.
    #[doc(alias = "EVIOCSKEYCODE_V2")]
    pub fn set_mapping(&self, scancode: &[u8], keycode: u32) -> io::Result<()> {
        Ok(ffi::set_keycode(self.fd.as_fd(), keymap_entry(scancode, keycode)?)?)
    }

    /// Takes the device for this descriptor alone: nobody else gets its events, the console and the desktop neither.
    ///
    /// Be sure that you can still end the program. Dropping the last duplicate of the descriptor gives it back.
    ///
    /// # Errors
    /// `EBUSY` where somebody has it already; `ENODEV`.
    #[doc(alias = "EVIOCGRAB")]
    pub fn grab(&self) -> io::Result<()> {
        Ok(ffi::grab(self.fd.as_fd(), true)?)
    }

    /// Gives the device back.
    ///
    /// # Errors
    /// `EINVAL` where this descriptor does not have it; `ENODEV`.
    #[doc(alias = "EVIOCGRAB")]
    pub fn ungrab(&self) -> io::Result<()> {
        Ok(ffi::grab(self.fd.as_fd(), false)?)
    }

    /// Takes all rights from this descriptor and its duplicates, for good, also those that other processes hold: what
    /// a session's master does before another takes its place. Reading then tells [`Batch::Gone`].
    ///
    /// # Errors
    /// `ENODEV` where it is gone or revoked already.
    #[doc(alias = "EVIOCREVOKE")]
    pub fn revoke(&self) -> io::Result<()> {
        Ok(ffi::revoke(self.fd.as_fd())?)
    }

    /// Which codes of a kind this descriptor is told of; all by default.
    ///
    /// # Errors
    /// `EINVAL` from kernels before 4.4; `ENODEV`.
    #[doc(alias = "EVIOCGMASK")]
    pub fn mask(&self, kind: Kind) -> io::Result<CodeSet> {
        let mut bytes = [0; CodeSet::BYTES];
        ffi::mask(self.fd.as_fd(), kind.0.into(), &mut bytes)?;
        Ok(CodeSet::from_bitmap(&bytes))
    }

    /// Says which codes of a kind this descriptor is to be told of; of [`Kind::SYN`], which kinds. The program then is
    /// not woken for others.
    ///
    /// # Errors
    /// `EINVAL` from kernels before 4.4; `ENODEV`.
    #[doc(alias = "EVIOCSMASK")]
    pub fn set_mask(&self, kind: Kind, codes: &CodeSet) -> io::Result<()> {
        Ok(ffi::set_mask(self.fd.as_fd(), kind.0.into(), &codes.to_bitmap())?)
    }

    /// Says which clock the times of this descriptor's events are of: [`Clock::Realtime`] by default,
    /// [`Clock::Monotonic`] or [`Clock::Boottime`]. What is queued is thrown away, and told as a
    /// [loss](Event::is_loss): set it before anything else.
    ///
    /// # Errors
    /// `EINVAL` for another clock; `ENODEV`.
    #[doc(alias = "EVIOCSCLOCKID")]
    pub fn set_clock(&self, clock: Clock) -> io::Result<()> {
        let id = match clock {
            Clock::Realtime => libc::CLOCK_REALTIME,
            Clock::Monotonic => libc::CLOCK_MONOTONIC,
            Clock::Boottime => libc::CLOCK_BOOTTIME,
            Clock::RealtimeAlarm | Clock::BoottimeAlarm => return Err(Errno::INVAL.into()),
        };
        Ok(ffi::set_clock(self.fd.as_fd(), id)?)
    }

    /// Takes as many events as `buf` has room for, 24 bytes each (16 where a `long` has 32 bits); `None` where there
    /// are none. An event is seen once the [report](Event::is_report) that ends its frame has come.
    ///
    /// # Errors
    /// `EINVAL` for a buffer too small for one.
    pub fn read_events<'b>(&self, buf: &'b mut EventBuf) -> io::Result<Option<Batch<'b>>> {
        match buf.read_from(&self.fd) {
            Err(Errno::NODEV) => Ok(Some(Batch::Gone)),
            read => Ok(unless_blocked(read)?.map(|_| Batch::Events(Events::parse(buf.as_bytes())))),
        }
    }

    /// Has the device light lamps, sound, play or stop effects: [`Kind::LED`], [`Kind::SND`], [`Kind::FF`]. Their times
    /// do not matter, and no report need end them. Returns how many events were taken.
    ///
    /// # Errors
    /// `EBADF` where the device could be opened for reading only; `ENODEV`.
    pub fn write_events(&self, events: &[Event]) -> io::Result<usize> {
        let records: Vec<u8> = events.iter().flat_map(|event| event.to_record()).collect();
        if records.is_empty() {
            return Ok(0);
        }
        let written = retry_on_intr(|| write(&self.fd, &records))?;
        Ok(written / super::Layout::NATIVE.record())
    }

    /// A second handle to the same opening: each event is read once, and the grab is common.
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Device> {
        Ok(Device { fd: self.fd.try_clone()? })
    }

    fn set(&self, what: Query) -> io::Result<CodeSet> {
        let mut bytes = [0; CodeSet::BYTES];
        let n = ffi::query(self.fd.as_fd(), what, &mut bytes)?;
        Ok(CodeSet::from_bitmap(&bytes[..n]))
    }

    fn text(&self, what: Query) -> io::Result<Option<OsString>> {
        let mut bytes = [0; 1024];
        match ffi::query(self.fd.as_fd(), what, &mut bytes) {
            Ok(n) => {
                let end = bytes[..n].iter().position(|byte| *byte == 0).unwrap_or(n);
                Ok(Some(OsString::from_vec(bytes[..end].to_vec())))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

/// A wrong descriptor can merely make calls fail, or events come out as nonsense. The blocking mode stays as it is:
/// on a blocking one reads wait.
impl From<OwnedFd> for Device {
    fn from(fd: OwnedFd) -> Self {
        Device { fd }
    }
}

fn mapping(entry: &ffi::KeymapEntry) -> Mapping {
    let len = usize::from(entry.len).min(entry.scancode.len());
    Mapping { index: entry.index, scancode: entry.scancode[..len].to_vec(), keycode: entry.keycode }
}

fn keymap_entry(scancode: &[u8], keycode: u32) -> io::Result<ffi::KeymapEntry> {
    let mut entry = ffi::KeymapEntry { keycode, len: scancode.len() as u8, ..ffi::KeymapEntry::default() };
    let room = entry.scancode.get_mut(..scancode.len()).ok_or(Errno::INVAL)?;
    room.copy_from_slice(scancode);
    Ok(entry)
}

/// The devices of `/dev/input`, by their numbers. Those that cannot be opened come as errors. Where there is no such
/// folder there are none.
///
/// # Errors
/// Those of reading the folder.
///
/// ```
/// use becket_sys::input::devices;
///
/// for device in devices()? {
///     match device {
///         Ok(device) => println!("{:?}", device.name()?),
///         Err(e) => println!("{e}"), // EACCES
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn devices() -> io::Result<impl Iterator<Item = Result<Device, SetupError>>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir("/dev/input") {
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries?),
    };
    for entry in entries.into_iter().flatten() {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.strip_prefix("event")?.parse::<u32>().ok());
        // A device that is going just now is passed over.
        if let (Some(number), Ok(kind)) = (number, entry.file_type())
            && kind.is_char_device()
        {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| Device::open(path)))
}
