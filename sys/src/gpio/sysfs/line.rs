use super::class::{Export, Unexport, in_own_folder};
use crate::SetupError;
use crate::fd::owned_fd;
use crate::gpio::{Direction, Edge};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, pread, pwrite, retry_on_intr, write};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// One GPIO line: the folder `gpioN` with its files, of which `value` is kept open and is what is polled.
///
/// Close-on-exec. Dropping it closes the descriptor, and unexports the line where it was exported by us: an output then
/// keeps or loses its level as the chip pleases. Turning it into an [`OwnedFd`] leaves the line exported.
///
/// Every method that touches the line fails with `ENODEV` or `ENOENT` once somebody has unexported it.
///
/// ```
/// use becket_sys::gpio::sysfs::{Class, Edge};
///
/// # let root = std::env::temp_dir().join(format!("becket-line-{}", std::process::id()));
/// # std::fs::create_dir_all(root.join("gpio7"))?;
/// # for (file, text) in [("export", ""), ("unexport", ""), ("gpio7/value", "1\n"), ("gpio7/edge", "none\n")] {
/// #     std::fs::write(root.join(file), text)?;
/// # }
/// let line = Class::at(&root).export(7, None)?; // a folder that stands in for /sys/class/gpio
/// assert!(line.watch(Edge::Rising)?); // high at present
/// assert_eq!(line.edge()?, Edge::Rising);
/// line.unexport()?;
/// # std::fs::remove_dir_all(root)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Line {
    fd: Value,
    dir: PathBuf,
    number: u32,
}

owned_fd!(Line, Priority);

impl Line {
    pub(super) fn open(dir: PathBuf, number: u32, unexport: Option<Unexport>) -> Result<Line, SetupError> {
        let path = dir.join("value");
        let attempt = |mode| retry_on_intr(|| open(&path, mode | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()));
        let fd = match attempt(OFlags::RDWR) {
            // Good for reading and waiting, which is all that inputs need.
            Err(Errno::ACCESS) => attempt(OFlags::RDONLY),
            other => other,
        };
        let fd = fd.map_err(|e| SetupError::new("open", path.display().to_string(), e))?;
        Ok(Line { fd: Value { fd, unexport }, dir, number })
    }

    /// The line's number, which is valid until the next start of the system at most; the offset in its chip where
    /// [`Class::export_at`](super::Class::export_at) had to do without numbers.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The line's folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Whether we exported it.
    pub fn export(&self) -> Export {
        if self.fd.unexport.is_some() { Export::Exported } else { Export::AlreadyExported }
    }

    /// Closes the line, and unexports it where it was exported by us; tells whether that worked.
    ///
    /// # Errors
    /// `EINVAL` where somebody else has unexported it, `EACCES`.
    pub fn unexport(self) -> io::Result<()> {
        self.fd.unexport.map_or(Ok(()), Unexport::now)
    }

    /// Reads whether the line is active: high, or low where it is [active low](Self::set_active_low). Reading also
    /// takes the readiness that an edge has left.
    ///
    /// # Errors
    /// `ENODEV` after an unexport; `EIO` where the chip does not answer; `InvalidData` where the file is none of sysfs.
    pub fn value(&self) -> io::Result<bool> {
        let mut text = [0; 8];
        let n = retry_on_intr(|| pread(&self.fd, &mut text, 0))?;
        match text[..n].trim_ascii_end() {
            b"0" => Ok(false),
            b"1" => Ok(true),
            _ => Err(unknown(&self.dir.join("value"), &text[..n])),
        }
    }

    /// Makes an output active or inactive: high or low, the other way round where it is [active
    /// low](Self::set_active_low).
    ///
    /// # Errors
    /// `EPERM` where the line is an input; `EBADF` where the file may only be read; `ENODEV` after an unexport.
    pub fn set_value(&self, active: bool) -> io::Result<()> {
        let text: &[u8] = if active { b"1" } else { b"0" };
        Ok(retry_on_intr(|| pwrite(&self.fd, text, 0)).map(drop)?)
    }

    /// Whether the line is an input or an output.
    ///
    /// # Errors
    /// `ENOENT` where the line cannot turn and has no such file.
    pub fn direction(&self) -> io::Result<Direction> {
        self.get("direction", &[("in", Direction::In), ("out", Direction::Out)])
    }

    /// Makes the line an input.
    ///
    /// # Errors
    /// `ENOENT` where the line cannot turn, `EACCES`, `EIO` where the chip does not answer.
    pub fn set_input(&self) -> io::Result<()> {
        self.set("direction", "in")
    }

    /// Makes the line an output that is at `level` from its first moment. `level` is the wire's, whether the line is
    /// active low or not. An edge that is set stays so; better set [`Edge::None`] before.
    ///
    /// # Errors
    /// As [`set_input`](Self::set_input).
    pub fn set_output(&self, level: Level) -> io::Result<()> {
        self.set("direction", if level == Level::High { "high" } else { "low" })
    }

    /// The edge that makes the line ready.
    ///
    /// # Errors
    /// `ENOENT` where the line has no interrupt; `Unsupported` where the kernel has no edges in sysfs.
    pub fn edge(&self) -> io::Result<Edge> {
        self.get(
            "edge",
            &[("none", Edge::None), ("rising", Edge::Rising), ("falling", Edge::Falling), ("both", Edge::Both)],
        )
    }

    /// Sets the edge that makes the line ready. To wait for it, use [`watch`](Self::watch).
    ///
    /// # Errors
    /// `ENOENT` where the line has no interrupt; `Unsupported` where the kernel has no edges in sysfs; `EIO` where it
    /// is an output; `EACCES`.
    pub fn set_edge(&self, edge: Edge) -> io::Result<()> {
        self.set(
            "edge",
            match edge {
                Edge::None => "none",
                Edge::Rising => "rising",
                Edge::Falling => "falling",
                Edge::Both => "both",
            },
        )
    }

    /// Sets the edge, then reads the value, so that the next readiness for [`Ready::PRI`](crate::Ready::PRI) is an
    /// edge that came after; returns the value. Watch the descriptor afterwards, and read the [`value`](Self::value)
    /// each time it is ready.
    ///
    /// # Errors
    /// As [`set_edge`](Self::set_edge) and [`value`](Self::value).
    pub fn watch(&self, edge: Edge) -> io::Result<bool> {
        self.set_edge(edge)?;
        self.value()
    }

    /// Whether low counts as active.
    ///
    /// # Errors
    /// `ENOENT` or `ENODEV` after an unexport.
    pub fn active_low(&self) -> io::Result<bool> {
        self.get("active_low", &[("0", false), ("1", true)])
    }

    /// Says whether low counts as active, for [`value`](Self::value), [`set_value`](Self::set_value) and the edges.
    ///
    /// # Errors
    /// `EACCES`; `ENOENT` or `ENODEV` after an unexport.
    pub fn set_active_low(&self, low: bool) -> io::Result<()> {
        self.set("active_low", if low { "1" } else { "0" })
    }

    fn get<T: Copy>(&self, attribute: &str, words: &[(&str, T)]) -> io::Result<T> {
        let path = self.dir.join(attribute);
        let fd = self.attribute(&path, OFlags::RDONLY)?;
        let mut text = [0; 16];
        let n = retry_on_intr(|| pread(&fd, &mut text, 0))?;
        let word = text[..n].trim_ascii_end();
        let found = words.iter().find(|(known, _)| known.as_bytes() == word);
        found.map(|(_, value)| *value).ok_or_else(|| unknown(&path, word))
    }

    fn set(&self, attribute: &str, word: &str) -> io::Result<()> {
        let path = self.dir.join(attribute);
        let fd = self.attribute(&path, OFlags::WRONLY | OFlags::TRUNC)?;
        Ok(retry_on_intr(|| write(&fd, word.as_bytes())).map(drop)?)
    }

    fn attribute(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        match retry_on_intr(|| open(path, flags | OFlags::CLOEXEC, Mode::empty())) {
            Err(Errno::NOENT) if self.dir.exists() && in_own_folder(&self.dir) => {
                let message = format!("{}: lines without a number have no such file", path.display());
                let message = format!("{message}; the character device can do it: becket_sys::gpio");
                Err(io::Error::new(io::ErrorKind::Unsupported, message))
            }
            fd => Ok(fd?),
        }
    }
}

fn unknown(path: &Path, text: &[u8]) -> io::Error {
    let message = format!("{} holds {:?}", path.display(), String::from_utf8_lossy(text));
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// The descriptor of the file `value`, and what is to happen to the line after it.
#[derive(Debug)]
struct Value {
    fd: OwnedFd,
    unexport: Option<Unexport>,
}

impl AsFd for Value {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A bare descriptor is of use only as long as the line stays exported.
impl From<Value> for OwnedFd {
    fn from(value: Value) -> OwnedFd {
        if let Some(unexport) = value.unexport {
            unexport.never();
        }
        value.fd
    }
}

/// The voltage on the wire.
///
/// ```no_run
/// use becket_sys::gpio::sysfs::{Class, Direction, Level};
///
/// let lamp = Class::new().export(18, None)?;
/// lamp.set_output(Level::High)?; // never low in between
/// assert_eq!(lamp.direction()?, Direction::Out);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Low.
    Low,
    /// High.
    High,
}
