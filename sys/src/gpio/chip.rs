use super::{InfoChanges, LineInfo, RequestBuilder, name};
use crate::fd::{owned_fd, unless_blocked};
use crate::ffi::gpio::{self as ffi, ChipFd};
use crate::{EventBuf, SetupError};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::retry_on_intr;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::{fs, io};

/// What a chip says of itself; see [`Chip`] for an example.
#[doc(alias = "gpiochip_info")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ChipInfo {
    /// What the kernel calls it, `gpiochipN`: N may be another after the next start.
    pub name: OsString,
    /// What the driver calls it; mostly unique on a machine.
    pub label: OsString,
    /// How many lines it has, from offset 0.
    pub lines: u32,
}

/// A chip of GPIO lines: `/dev/gpiochipN`.
///
/// Readable when the information of a line that it [watches](Self::watch) has changed. Close-on-exec and
/// non-blocking. Dropping it closes the descriptor and ends its watches; what was [requested](Self::request) by it
/// stays.
///
/// ```no_run
/// use becket_sys::gpio::Chip;
///
/// let chip = Chip::open("/dev/gpiochip0")?;
/// println!("{}: {} lines", chip.info().label.display(), chip.info().lines);
/// for line in chip.lines() {
///     let line = line?;
///     println!("{}: {:?}, {:?}, used by {:?}", line.offset, line.name, line.direction(), line.consumer);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// ```
/// use becket_sys::gpio::Chip;
///
/// let e = Chip::open("/dev/null").unwrap_err();
/// assert_eq!((e.step(), e.raw_os_error()), ("identify", Some(25))); // ENOTTY: it is no chip
/// ```
#[derive(Debug)]
pub struct Chip {
    fd: ChipFd,
    info: ChipInfo,
}

owned_fd!(Chip, Readable);

impl Chip {
    /// Opens a chip.
    ///
    /// # Errors
    /// Step `open`: `ENOENT`, `EACCES`; `ENODEV` where the chip is going. Step `identify`: `ENOTTY` where the path
    /// leads to something else.
    pub fn open(path: impl AsRef<Path>) -> Result<Chip, SetupError> {
        let path = path.as_ref();
        let failed = |step| move |e| SetupError::new(step, path.display().to_string(), e);
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = retry_on_intr(|| open(path, flags, Mode::empty())).map_err(io::Error::from).map_err(failed("open"))?;
        Chip::try_from(fd).map_err(failed("identify"))
    }

    /// Opens the chip that is labelled `label`, among those of `/dev`.
    ///
    /// # Errors
    /// `NotFound` where none is, with a message that names those there are; `InvalidInput` where several are. Where a
    /// chip could not be opened, and none that could be is so labelled, that chip's error.
    pub fn find(label: impl AsRef<OsStr>) -> io::Result<Chip> {
        let label = label.as_ref();
        let (mut found, mut others, mut refused) = (None, Vec::new(), None);
        for chip in chips()? {
            match chip {
                Ok(chip) if chip.info.label != label => others.push(format!("{:?}", chip.info.label)),
                Ok(chip) if found.is_none() => found = Some(chip),
                Ok(_) => {
                    let message = format!("several GPIO chips are labelled {label:?}");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
                }
                Err(e) => refused = refused.or(Some(e)),
            }
        }
        let not_found = || {
            let message = format!("no GPIO chip is labelled {label:?}; there are: [{}]", others.join(", "));
            refused.map_or_else(|| io::Error::new(io::ErrorKind::NotFound, message), io::Error::from)
        };
        found.ok_or_else(not_found)
    }

    /// What the chip says of itself.
    pub fn info(&self) -> &ChipInfo {
        &self.info
    }

    /// What the kernel tells of the line at `offset`.
    ///
    /// # Errors
    /// `EINVAL` where the chip has no such line, or the kernel is older than 5.10; `ENODEV` where the chip is gone.
    #[doc(alias = "GPIO_V2_GET_LINEINFO_IOCTL")]
    pub fn line(&self, offset: u32) -> io::Result<LineInfo> {
        self.line_info(offset, false)
    }

    /// What the kernel tells of each line, by their offsets.
    pub fn lines(&self) -> impl Iterator<Item = io::Result<LineInfo>> + '_ {
        (0..self.info.lines).map(|offset| self.line(offset))
    }

    /// The offset of the line that the board calls `name`; the first, where several are called so.
    ///
    /// # Errors
    /// Those of [`line`](Self::line).
    pub fn line_named(&self, name: impl AsRef<OsStr>) -> io::Result<Option<u32>> {
        let name = name.as_ref();
        let is_it = |line: &io::Result<LineInfo>| line.as_ref().map_or(true, |line| line.name == name);
        Ok(self.lines().find(is_it).transpose()?.map(|line| line.offset))
    }

    /// Begins a request for lines: name them, then [open](RequestBuilder::open) it.
    #[doc(alias = "GPIO_V2_GET_LINE_IOCTL")]
    pub fn request(&self) -> RequestBuilder<'_> {
        RequestBuilder::new(self)
    }

    /// Watches the information of a line, and tells what it is now: from here on this descriptor is readable when
    /// somebody, this program too, requests, releases or reconfigures the line.
    ///
    /// # Errors
    /// `EBUSY` where this descriptor watches it already; otherwise as [`line`](Self::line).
    #[doc(alias = "GPIO_V2_GET_LINEINFO_WATCH_IOCTL")]
    pub fn watch(&self, offset: u32) -> io::Result<LineInfo> {
        self.line_info(offset, true)
    }

    /// Ends the watch of a line. What happened before is still to be read.
    ///
    /// # Errors
    /// `EBUSY` where this descriptor does not watch it; `EINVAL` where the chip has no such line.
    #[doc(alias = "GPIO_GET_LINEINFO_UNWATCH_IOCTL")]
    pub fn unwatch(&self, offset: u32) -> io::Result<()> {
        Ok(self.fd.unwatch(offset)?)
    }

    /// Takes as many changes as `buf` has room for, 288 bytes each; `None` where there are none. The queue holds 32.
    ///
    /// # Errors
    /// `EINVAL` for a buffer of less than 288 bytes; `ENODEV` where the chip is gone.
    ///
    /// ```no_run
    /// use becket_sys::gpio::{ChangeKind, Chip, LineConfig};
    /// use becket_sys::EventBuf;
    ///
    /// let chip = Chip::open("/dev/gpiochip0")?;
    /// chip.watch(4)?;
    /// let request = chip.request().line(4, LineConfig::input()).open()?;
    /// let mut buf = EventBuf::new();
    /// let change = chip.read_events(&mut buf)?.unwrap().next().unwrap();
    /// assert_eq!(change.kind, ChangeKind::Requested);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_events<'b>(&self, buf: &'b mut EventBuf) -> io::Result<Option<InfoChanges<'b>>> {
        let n = unless_blocked(buf.read_from(&self.fd))?;
        Ok(n.map(|_| InfoChanges::parse(buf.as_bytes())))
    }

    pub(super) fn fd(&self) -> &ChipFd {
        &self.fd
    }

    fn line_info(&self, offset: u32, watch: bool) -> io::Result<LineInfo> {
        let mut info = ffi::LineInfo { offset, ..ffi::LineInfo::default() };
        self.fd.line_info(&mut info, watch)?;
        Ok(LineInfo::from_kernel(&info))
    }
}

/// Checked: `ENOTTY` where it is no chip, for a request takes descriptors from what answers. The blocking mode stays as
/// it is: on a blocking one [`read_events`](Chip::read_events) waits.
impl TryFrom<OwnedFd> for Chip {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<Chip> {
        let fd = ChipFd::new(fd)?;
        let info = fd.info()?;
        let info = ChipInfo { name: name(&info.name), label: name(&info.label), lines: info.lines };
        Ok(Chip { fd, info })
    }
}

/// The chips of `/dev`, by their numbers. Those that cannot be opened come as errors; links to others are left out.
///
/// # Errors
/// Those of reading `/dev`.
///
/// ```
/// use becket_sys::gpio::chips;
///
/// for chip in chips()? {
///     match chip {
///         Ok(chip) => println!("{:?}", chip.info()),
///         Err(e) => println!("{e}"), // EACCES
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn chips() -> io::Result<impl Iterator<Item = Result<Chip, SetupError>>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/dev")? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.strip_prefix("gpiochip")?.parse::<u32>().ok());
        // Without following links. A device that is going just now is passed over.
        if let (Some(number), Ok(kind)) = (number, entry.file_type())
            && kind.is_char_device()
        {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| Chip::open(path)))
}

/// The chip and the offset of the line that the board calls `name`: the first, where several are called so.
///
/// # Errors
/// `NotFound` where no chip that could be opened has one; otherwise those of [`chips`] and [`Chip::line`].
///
/// ```
/// use becket_sys::gpio::find_line;
///
/// let e = find_line("no line is called that").unwrap_err();
/// assert_eq!(e.kind(), std::io::ErrorKind::NotFound);
/// ```
pub fn find_line(name: impl AsRef<OsStr>) -> io::Result<(Chip, u32)> {
    let name = name.as_ref();
    for chip in chips()?.flatten() {
        if let Some(offset) = chip.line_named(name)? {
            return Ok((chip, offset));
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no GPIO line is called {name:?}")))
}
