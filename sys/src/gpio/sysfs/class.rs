use super::line::Line;
use crate::{Ready, SetupError, wait};
use rustix::fs::{Mode, OFlags, inotify, open};
use rustix::io::{Errno, read, retry_on_intr, write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{fs, io};

/// The folder of the GPIO lines: `/sys/class/gpio`, or one that stands in for it.
///
/// Holds no descriptor.
///
/// ```
/// use becket_sys::gpio::sysfs::Class;
///
/// let e = Class::at("/nowhere").export(4, None).unwrap_err();
/// assert_eq!(e.to_string(), "export line 4 in /nowhere: No such file or directory (os error 2)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    root: PathBuf,
}

impl Default for Class {
    fn default() -> Class {
        Class::new()
    }
}

impl Class {
    /// `/sys/class/gpio`.
    pub fn new() -> Class {
        Class::at("/sys/class/gpio")
    }

    /// The folder `root`: a sysfs mounted elsewhere, or a test's.
    pub fn at(root: impl Into<PathBuf>) -> Class {
        Class { root: root.into() }
    }

    /// Exports line `number` and opens it, or opens it where it is exported already; see [`Line::export`].
    ///
    /// Right after the export the line's files belong to root, and udev(7) hands them on a moment later. Until
    /// `deadline`, this waits for the moment (without polling) in which they may be read and written; `None` waits
    /// forever. Where they may be at once, as by root, it does not wait. For a line of which others let you use some
    /// files only, use [`open`](Self::open).
    ///
    /// # Errors
    /// A [`SetupError`] with the line or the path, and the step that failed:
    ///
    /// - `export`: `EINVAL` where there is no such line; `EBUSY` where a driver, or somebody by the character device,
    ///   uses it; `EACCES`; `ENOENT` where the kernel has no GPIO in sysfs.
    /// - `open`: `EACCES` where the deadline came first; `ENOENT` where the line's folder bears another name than
    ///   `gpioN`: see [`export_named`](Self::export_named).
    /// - `watch`: `EMFILE` or `ENOSPC` where no inotify instance or watch is left.
    pub fn export(&self, number: u32, deadline: Option<Instant>) -> Result<Line, SetupError> {
        self.export_named(number, &format!("gpio{number}"), deadline)
    }

    /// As [`export`](Self::export), for a line to which its chip gives a name, and which therefore appears as the
    /// folder `name` instead of `gpioN`.
    ///
    /// # Errors
    /// As [`export`](Self::export).
    pub fn export_named(&self, number: u32, name: &str, deadline: Option<Instant>) -> Result<Line, SetupError> {
        export_in(&self.root, number, name, deadline)
    }

    /// As [`export`](Self::export), the line at `offset` in the chip that is labelled `label`.
    ///
    /// Where the kernel was built without the numbers (Linux 6.17 can be), the chip's own folder `chipX` serves, where
    /// [`Line::number`] is the offset. **Such a line has no edge and no active low:** setting these is an error of the
    /// kind `Unsupported`, and only the character device has them.
    ///
    /// # Errors
    /// As [`export`](Self::export); step `find`: as [`find`](Self::find), of both folders.
    pub fn export_at(&self, label: &str, offset: u32, deadline: Option<Instant>) -> Result<Line, SetupError> {
        let failed = |e| SetupError::new("find", format!("line {offset} of {label:?} in {}", self.root.display()), e);
        match self.find(label, offset) {
            Ok(number) => self.export(number, deadline),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let folder = self.own_folder(label).map_err(failed)?.ok_or(e).map_err(failed)?;
                export_in(&folder, offset, &format!("gpio{offset}"), deadline)
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// The folder `chipX` of the chip that is labelled so.
    fn own_folder(&self, label: &str) -> io::Result<Option<PathBuf>> {
        let mut found = None;
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            if in_own_folder(&path.join("gpio0")) && fs::read_to_string(path.join("label"))?.trim_end() == label {
                if found.is_some() {
                    let message = format!("several GPIO chips are labelled {label:?}");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
                }
                found = Some(path);
            }
        }
        Ok(found)
    }

    /// Opens line `number` as it is, which somebody else exported: nothing is exported, nothing is waited for, and
    /// dropping it unexports nothing.
    ///
    /// # Errors
    /// Step `open`: `ENOENT` where it is not exported, `EACCES`.
    pub fn open(&self, number: u32) -> Result<Line, SetupError> {
        Line::open(self.root.join(format!("gpio{number}")), number, None)
    }

    /// The number of the line at `offset` in the chip that is labelled `label`.
    ///
    /// # Errors
    /// Those of [`chips`](Self::chips); `NotFound` where no chip is so labelled, with a message that names those
    /// there are; `InvalidInput` where several are, or where the chip has fewer lines.
    pub fn find(&self, label: &str, offset: u32) -> io::Result<u32> {
        let chips = self.chips()?;
        let mut labelled = chips.iter().filter(|chip| chip.label == label);
        let Some(chip) = labelled.next() else {
            let all = chips.iter().map(|chip| format!("{:?}", chip.label)).collect::<Vec<_>>().join(", ");
            let message = format!("no GPIO chip is labelled {label:?}; there are: [{all}]");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        };
        let invalid = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        if labelled.next().is_some() {
            return invalid(format!("several GPIO chips are labelled {label:?}"));
        }
        match chip.base.checked_add(offset) {
            Some(number) if offset < chip.lines => Ok(number),
            _ => invalid(format!("GPIO chip {label:?} has {} lines, none at offset {offset}", chip.lines)),
        }
    }

    /// The chips, by their bases.
    ///
    /// # Errors
    /// `ENOENT` where the kernel has no GPIO in sysfs; `InvalidData` where a file there holds no number.
    pub fn chips(&self) -> io::Result<Vec<Chip>> {
        let mut chips = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("gpiochip") {
                let attribute = |name| fs::read_to_string(entry.path().join(name));
                chips.push(Chip {
                    label: attribute("label")?.trim_end_matches('\n').to_owned(),
                    base: number(&attribute("base")?)?,
                    lines: number(&attribute("ngpio")?)?,
                });
            }
        }
        chips.sort_by_key(|chip| chip.base);
        Ok(chips)
    }
}

/// A chip of GPIO lines, with consecutive numbers.
///
/// ```no_run
/// use becket_sys::gpio::sysfs::Class;
///
/// for chip in Class::new().chips()? {
///     println!("{}: {} to {}", chip.label, chip.base, chip.base + chip.lines - 1);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chip {
    /// What the driver calls it; mostly unique.
    pub label: String,
    /// The number of its first line.
    pub base: u32,
    /// How many lines it has.
    #[doc(alias = "ngpio")]
    pub lines: u32,
}

/// Who exported a line.
///
/// ```no_run
/// use becket_sys::gpio::sysfs::{Class, Export};
///
/// let line = Class::new().export(17, None)?;
/// if line.export() == Export::AlreadyExported {
///     println!("somebody else may be using line 17");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Export {
    /// We did: dropping the [`Line`] unexports it.
    Exported,
    /// It was exported before: dropping the [`Line`] leaves it so.
    AlreadyExported,
}

/// Takes the export of a line back when dropped.
#[derive(Debug)]
pub(super) struct Unexport {
    /// Empty once there is nothing to take back any more.
    file: PathBuf,
    number: u32,
}

impl Unexport {
    pub(super) fn now(mut self) -> io::Result<()> {
        let file = std::mem::take(&mut self.file);
        Ok(write_number(&file, self.number)?)
    }

    pub(super) fn never(mut self) {
        self.file = PathBuf::new();
    }
}

impl Drop for Unexport {
    fn drop(&mut self) {
        if !self.file.as_os_str().is_empty() {
            let _ = write_number(&self.file, self.number);
        }
    }
}

fn export_in(root: &Path, number: u32, name: &str, deadline: Option<Instant>) -> Result<Line, SetupError> {
    let dir = root.join(name);
    let export = match write_number(&root.join("export"), number) {
        Ok(()) => Export::Exported,
        // Whoever may not export may still use what was exported for them.
        Err(Errno::BUSY | Errno::ACCESS | Errno::PERM) if dir.exists() => Export::AlreadyExported,
        Err(e) => return Err(SetupError::new("export", format!("line {number} in {}", root.display()), e)),
    };
    // From here on an error unexports what we exported.
    let unexport = (export == Export::Exported).then(|| Unexport { file: root.join("unexport"), number });
    wait_until_accessible(&dir, deadline)?;
    Line::open(dir, number, unexport)
}

/// Whether a line's folder lies in its chip's own, `chipX`, and not among the numbers.
pub(super) fn in_own_folder(line: &Path) -> bool {
    let parent = line.parent().and_then(Path::file_name).map(|name| name.to_string_lossy());
    let digits = parent.as_deref().and_then(|name| name.strip_prefix("chip"));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn write_number(path: &Path, number: u32) -> Result<(), Errno> {
    let fd = retry_on_intr(|| open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()))?;
    retry_on_intr(|| write(&fd, number.to_string().as_bytes())).map(drop)
}

fn number(text: &str) -> io::Result<u32> {
    let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is not a number"));
    text.trim_end().parse().map_err(wrong)
}

/// The attributes that udev hands on; a line without interrupts has no `edge`, one that cannot turn has no `direction`.
const ATTRIBUTES: [&str; 4] = ["value", "direction", "edge", "active_low"];

/// Waits until each attribute that is there can be opened for reading and writing.
fn wait_until_accessible(dir: &Path, deadline: Option<Instant>) -> Result<(), SetupError> {
    let mut watch = None;
    loop {
        let Some((path, error)) = inaccessible(dir) else { return Ok(()) };
        if error != Errno::ACCESS {
            return Err(SetupError::new("open", path.display().to_string(), error));
        }
        // The watch must stand before the look whose outcome is waited on, or a change between the two would be missed.
        let Some(changes) = &watch else {
            watch = Some(watch_attributes(dir).map_err(|e| SetupError::new("watch", dir.display().to_string(), e))?);
            continue;
        };
        let ready = wait(changes, Ready::READ, deadline);
        match ready.map_err(|e| SetupError::new("watch", dir.display().to_string(), e))? {
            Some(_) => drain(changes),
            None => return Err(SetupError::new("open", path.display().to_string(), error)),
        }
    }
}

fn inaccessible(dir: &Path) -> Option<(PathBuf, Errno)> {
    ATTRIBUTES.iter().find_map(|name| {
        let path = dir.join(name);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        match retry_on_intr(|| open(&path, flags, Mode::empty())) {
            Ok(_) => None,
            Err(Errno::NOENT) if *name != "value" => None,
            Err(e) => Some((path, e)),
        }
    })
}

/// A watch of the folder tells of its files, too, and needs no right to read these.
fn watch_attributes(dir: &Path) -> Result<OwnedFd, Errno> {
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&changes, dir, inotify::WatchFlags::ATTRIB)?;
    Ok(changes)
}

/// What changed does not matter: the files are looked at again.
fn drain(changes: &OwnedFd) {
    let mut buf = [0; 4096];
    while read(changes, &mut buf).is_ok() {}
}
