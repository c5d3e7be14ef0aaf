//! The table of mounts, and a wake-up when it changes: `/proc/PID/mountinfo`, see proc_pid_mountinfo(5).
//!
//! A [`Watcher`] tells that something changed; what, is the difference of two [`Table`]s.
//!
//! # Honest trouble
//!
//! - **Looking takes the event,** and there are three ways to look: the poll(2) or epoll_wait(2) that reports it, but
//!   also the epoll_ctl(2) that adds or modifies a registration, which throws away what it sees. So: one [`Watcher`]
//!   for each loop (two sets on one open file share the events, each told to one of them), registered for
//!   [`Ready::PRI`], edge-triggered, and never one-shot.
//! - **Register, read the table, wait, read it again.** In this order nothing is missed. Where a loop knows only
//!   one-shot, read the table after each arming. A loop without `PRI` takes a [`pri::Adapter`](crate::pri::Adapter).
//! - **[`Ready::ERR`] comes along** with each change and is no failure. `READ` is always set.
//! - **A change in the middle** of a reading can mix old and new; it is told afterwards, for it came after the look.
//! - **What is not told:** how full file systems are, and changes that come and go between two looks: the table is then
//!   as it was, though the event came.
//! - **Numbers are given again.** A mount that goes and another that comes may have the same [`id`](Mount::id) in two
//!   tables: [`Table::changes`] then tells both, where device, root or type differ.
//! - **The table ends at the root** of the process that it is asked of: what lies outside is left out, and so is what a
//!   chroot hides.

use crate::fd::{owned_fd, read_whole};
use crate::{Ready, ffi, wait};
use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::io::retry_on_intr;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

/// A mounted file system, or a part of one: a line of the table.
///
/// ```
/// use becket_sys::mounts::Mount;
/// use std::path::Path;
///
/// let line = br"36 35 98:0 /mnt1 /a\040b rw,noatime shared:7 master:1 - ext3 /dev/root rw,errors=continue";
/// let mount = Mount::parse(line)?;
/// assert_eq!((mount.id, mount.parent, mount.device), (36, 35, (98, 0)));
/// assert_eq!((mount.root.as_path(), mount.target.as_path()), (Path::new("/mnt1"), Path::new("/a b")));
/// assert!(mount.options.has("noatime") && !mount.options.has("ro"));
/// assert_eq!((mount.propagation.shared, mount.propagation.master), (Some(7), Some(1)));
/// assert_eq!((mount.fs_type.to_str(), mount.source.to_str()), (Some("ext3"), Some("/dev/root")));
/// assert_eq!(mount.super_options.value("errors").unwrap(), "continue");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Mount {
    /// The number of the mount, unique at a time.
    pub id: u64,
    /// The number of the mount that it is mounted on; its own for the top of the tree. It may not be in the table.
    pub parent: u64,
    /// Major and minor number of the device, as stat(2) tells of the files in it.
    pub device: (u32, u32),
    /// The directory (or file) of the file system that is mounted. `//deleted` is appended where it was removed. In
    /// some file systems (nsfs) it is no path.
    pub root: PathBuf,
    /// Where it is mounted, seen from the root of the process.
    #[doc(alias = "mount_point")]
    pub target: PathBuf,
    /// The options of this mount: `rw`, `noexec`.
    pub options: Options,
    /// How mounts below it spread.
    pub propagation: Propagation,
    /// The type, with a subtype after a dot: `ext4`, `fuse.sshfs`.
    pub fs_type: OsString,
    /// What the file system was made of: a device, a word of its own, or nothing at all.
    pub source: OsString,
    /// The options of the file system, common to all its mounts.
    pub super_options: Options,
}

/// How mounts and unmounts below a mount spread to others; none of all that is a private mount. See
/// mount_namespaces(7).
///
/// ```
/// use becket_sys::mounts::Mount;
///
/// let mount = Mount::parse(b"36 35 98:0 / / rw unbindable new:5 - tmpfs none rw")?;
/// assert!(mount.propagation.unbindable && mount.propagation.shared.is_none());
/// assert_eq!(mount.propagation.other, ["new:5"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Propagation {
    /// Shared within this peer group.
    pub shared: Option<u64>,
    /// Follows this peer group.
    pub master: Option<u64>,
    /// The nearest peer group that it follows and that the process can see; where it differs from `master`.
    pub propagate_from: Option<u64>,
    /// Cannot be bound elsewhere.
    pub unbindable: bool,
    /// Fields that this crate does not know, as they stand.
    pub other: Vec<OsString>,
}

/// The options of a mount or of its file system.
///
/// ```
/// use becket_sys::mounts::Mount;
///
/// let mount = Mount::parse(br"1 1 0:5 / / rw - overlay o rw,lowerdir=/a\054b,index")?;
/// let options: Vec<_> = mount.super_options.iter().collect();
/// assert_eq!(options[1].0.to_str(), Some("lowerdir"));
/// assert_eq!(options[1].1.as_deref().unwrap().to_str(), Some("/a,b")); // the comma is part of the value
/// assert!(mount.super_options.has("index") && mount.super_options.value("index").is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Options {
    raw: OsString,
}

impl Options {
    /// Each option, and what follows its `=` if there is one.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, OsStr>, Option<Cow<'_, OsStr>>)> {
        // What is in an option is escaped, so the commas are cut at first.
        self.raw.as_bytes().split(|byte| *byte == b',').filter(|option| !option.is_empty()).map(|option| {
            match option.iter().position(|byte| *byte == b'=') {
                Some(at) => (unescape(&option[..at]), Some(unescape(&option[at + 1..]))),
                None => (unescape(option), None),
            }
        })
    }

    /// Whether there is an option of this name, with a value or without.
    pub fn has(&self, name: impl AsRef<OsStr>) -> bool {
        self.iter().any(|(option, _)| option == name.as_ref())
    }

    /// The value of the first option of this name that has one.
    pub fn value(&self, name: impl AsRef<OsStr>) -> Option<OsString> {
        self.iter().find_map(|(option, value)| value.filter(|_| option == name.as_ref())).map(Cow::into_owned)
    }

    /// The options as the kernel writes them, escapes and commas included.
    pub fn as_os_str(&self) -> &OsStr {
        &self.raw
    }
}

impl Mount {
    /// The mount on one line of the table, its end not included.
    ///
    /// # Errors
    /// `InvalidData` where a field is missing or a number is none.
    pub fn parse(line: &[u8]) -> io::Result<Mount> {
        Mount::fields(line).ok_or_else(|| {
            let message = format!("not a line of mountinfo: {:?}", String::from_utf8_lossy(line));
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    fn fields(line: &[u8]) -> Option<Mount> {
        // By single spaces: the source may be empty.
        let mut words = line.split(|byte| *byte == b' ');
        let id = number(words.next()?)?;
        let parent = number(words.next()?)?;
        let device = words.next()?;
        let colon = device.iter().position(|byte| *byte == b':')?;
        let device = (number(&device[..colon])?, number(&device[colon + 1..])?);
        let (root, target) = (path(words.next()?), path(words.next()?));
        let options = options(words.next()?);
        let mut propagation = Propagation::default();
        loop {
            match words.next()? {
                b"-" => break,
                word => propagation.add(word)?,
            }
        }
        let (fs_type, source) = (words.next()?, words.next()?);
        // The rest: some file systems forget to escape a space.
        let rest: Vec<_> = words.collect();
        if rest.is_empty() {
            return None;
        }
        Some(Mount {
            id,
            parent,
            device,
            root,
            target,
            options,
            propagation,
            fs_type: unescape(fs_type).into_owned(),
            source: unescape(source).into_owned(),
            super_options: self::options(&rest.join(&b' ')),
        })
    }
}

impl Propagation {
    fn add(&mut self, word: &[u8]) -> Option<()> {
        if let Some(group) = word.strip_prefix(b"shared:") {
            self.shared = Some(number(group)?);
        } else if let Some(group) = word.strip_prefix(b"master:") {
            self.master = Some(number(group)?);
        } else if let Some(group) = word.strip_prefix(b"propagate_from:") {
            self.propagate_from = Some(number(group)?);
        } else if word == b"unbindable" {
            self.unbindable = true;
        } else {
            self.other.push(OsStr::from_bytes(word).into());
        }
        Some(())
    }
}

fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    str::from_utf8(word).ok()?.parse().ok()
}

fn path(word: &[u8]) -> PathBuf {
    unescape(word).into_owned().into()
}

fn options(word: &[u8]) -> Options {
    Options { raw: OsStr::from_bytes(word).into() }
}

/// Undoes the kernel's escapes, a backslash and three octal digits. A backslash before anything else stands for itself.
fn unescape(word: &[u8]) -> Cow<'_, OsStr> {
    if !word.contains(&b'\\') {
        return OsStr::from_bytes(word).into();
    }
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        (rest, _) = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                (after, plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')))
            }
            _ => (after, plain.push(byte)),
        };
    }
    Cow::Owned(OsString::from_vec(plain))
}

/// All mounts at a time, in the order of the kernel.
///
/// ```
/// use becket_sys::mounts::{Change, Table};
///
/// let before = Table::parse(b"1 1 0:1 / / rw - rootfs none rw\n2 1 0:2 / /a rw - tmpfs a rw\n")?;
/// let after = Table::parse(b"1 1 0:1 / / ro - rootfs none rw\n3 1 0:3 / /b rw - tmpfs b rw\n")?;
/// let [Change::Removed(a), Change::Changed { from, to }, Change::Added(b)] = before.changes(&after)[..] else {
///     panic!()
/// };
/// assert_eq!((a.id, b.id), (2, 3));
/// assert!(from.options.has("rw") && to.options.has("ro"));
///
/// // This thread's, which always has something at the root.
/// assert!(Table::read()?.iter().any(|mount| mount.target == *"/"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "mountinfo")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    mounts: Vec<Mount>,
}

impl Table {
    /// The mounts that the calling thread sees.
    ///
    /// # Errors
    /// Those of [`Watcher::new`] and [`Watcher::read`].
    pub fn read() -> io::Result<Table> {
        Watcher::new()?.read()
    }

    /// The mounts in the content of a `mountinfo` file.
    ///
    /// # Errors
    /// `InvalidData` where a line is none of such a file; the error holds it.
    pub fn parse(text: &[u8]) -> io::Result<Table> {
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok(Table { mounts: lines.map(Mount::parse).collect::<io::Result<_>>()? })
    }

    /// Each mount. Of several at one target, the one that hides the others is mostly the last.
    pub fn iter(&self) -> std::slice::Iter<'_, Mount> {
        self.mounts.iter()
    }

    /// The mount that has the number `id`.
    pub fn get(&self, id: u64) -> Option<&Mount> {
        self.iter().find(|mount| mount.id == id)
    }

    /// What is different in `newer`: first what is gone, then what has changed or come, each in its table's order.
    pub fn changes<'t>(&'t self, newer: &'t Table) -> Vec<Change<'t>> {
        let by_id = |table: &'t Table| table.iter().map(|mount| (mount.id, mount)).collect::<HashMap<_, _>>();
        let (old, new) = (by_id(self), by_id(newer));
        let counterpart = |table: &HashMap<u64, &'t Mount>, mount: &Mount| {
            table.get(&mount.id).copied().filter(|other| other.is_same_as(mount))
        };
        let removed = self.iter().filter(|mount| counterpart(&new, mount).is_none()).map(Change::Removed);
        let others = newer.iter().filter_map(|to| match counterpart(&old, to) {
            None => Some(Change::Added(to)),
            Some(from) => (from != to).then_some(Change::Changed { from, to }),
        });
        removed.chain(others).collect()
    }
}

impl Mount {
    /// Whether it can be the same mount at another time: these never change.
    fn is_same_as(&self, other: &Mount) -> bool {
        let fixed = |mount: &Mount| (mount.id, mount.device, mount.fs_type.clone());
        fixed(self) == fixed(other)
    }
}

/// A difference between two tables; see [`Table::changes`].
///
/// ```
/// use becket_sys::mounts::{Change, Table};
///
/// let (empty, table) = (Table::default(), Table::read()?);
/// assert!(empty.changes(&table).iter().all(|change| matches!(change, Change::Added(_))));
/// assert!(table.changes(&table).is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'t> {
    /// Mounted.
    Added(&'t Mount),
    /// Unmounted.
    Removed(&'t Mount),
    /// Remounted with other options, moved, or made shared or private.
    Changed {
        /// As it was.
        from: &'t Mount,
        /// As it is now.
        to: &'t Mount,
    },
}

/// An open `mountinfo` file: urgent ([`Ready::PRI`]) once the table has changed, until somebody looks.
///
/// Close-on-exec. It stays with the namespace, whatever becomes of the process that it was asked of. Dropping it closes
/// the file.
///
/// ```
/// use becket_sys::mounts::Watcher;
/// use becket_sys::Ready;
/// use std::time::Instant;
///
/// let watcher = Watcher::new()?;
/// let mut table = watcher.read()?;
/// if watcher.wait_ready(Ready::PRI, Some(Instant::now()))?.is_some() {
///     let newer = watcher.read()?;
///     println!("{:?}", table.changes(&newer));
///     table = newer;
/// }
/// assert!(table.iter().count() > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "mountinfo")]
#[derive(Debug)]
pub struct Watcher {
    fd: OwnedFd,
}

owned_fd!(Watcher, Priority);

impl Watcher {
    /// Watches the mount namespace of the calling thread. What changes from now on is told, without a set at least: see
    /// the [module](self).
    ///
    /// # Errors
    /// `ENOENT` where no proc is mounted; `EMFILE` or `ENFILE` where no descriptor is left; `ENOMEM`.
    pub fn new() -> io::Result<Watcher> {
        Watcher::open("/proc/thread-self/mountinfo")
    }

    /// Watches the mount namespace of another process, and its view of it.
    ///
    /// # Errors
    /// As [`new`](Self::new), and `ENOENT` where there is no such process; `EINVAL` where it has ended and nobody has
    /// waited for it; `EACCES` where the caller may not look into it (PTRACE_MODE_READ, see ptrace(2)).
    pub fn of_process(pid: u32) -> io::Result<Watcher> {
        Watcher::open(format!("/proc/{pid}/mountinfo"))
    }

    /// Watches a mount namespace, given as an open `/proc/PID/ns/mnt` or a place where one is kept; as seen from its
    /// own root. A thread goes there and comes to its end.
    ///
    /// # Errors
    /// As [`new`](Self::new), and `EPERM` without CAP_SYS_ADMIN and CAP_SYS_CHROOT; `EINVAL` where it is no mount
    /// namespace; `EAGAIN` where no thread can be made.
    #[doc(alias = "setns")]
    pub fn of_namespace(namespace: impl AsFd) -> io::Result<Watcher> {
        let namespace = namespace.as_fd();
        let there = || {
            // There may be no proc mounted there, or another one.
            let me = open("/proc/thread-self", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            ffi::mounts::enter(namespace)?;
            Watcher::open_at(me, Path::new("mountinfo"))
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("mount namespace".into()).spawn_scoped(scope, there)?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Watches by the `mountinfo` file at `path`, such as that of a thread: `/proc/PID/task/TID/mountinfo`.
    ///
    /// # Errors
    /// As [`of_process`](Self::of_process).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Watcher> {
        Watcher::open_at(CWD, path.as_ref())
    }

    fn open_at(dir: impl AsFd, path: &Path) -> io::Result<Watcher> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Watcher { fd: retry_on_intr(|| openat(&dir, path, flags, Mode::empty()))? })
    }

    /// The table at present. Takes no event.
    ///
    /// # Errors
    /// `InvalidData` for a file that is no `mountinfo`; `ENOMEM`.
    pub fn read(&self) -> io::Result<Table> {
        /// The kernel allows some 100,000 mounts, and a line takes a few hundred bytes.
        const MAX: usize = 1 << 28;

        Table::parse(&read_whole(&self.fd, MAX)?)
    }

    /// Takes the event and reads the table, if it has changed since somebody last looked. What a loop was told is taken
    /// already: use [`read`](Self::read) then.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn try_read(&self) -> io::Result<Option<Table>> {
        // The event first: what changes after it is told again.
        match wait(self, Ready::PRI, Some(Instant::now()))? {
            Some(_) => self.read().map(Some),
            None => Ok(None),
        }
    }
}

/// A wrong descriptor can merely make calls fail, or be ready at other times.
impl From<OwnedFd> for Watcher {
    fn from(fd: OwnedFd) -> Self {
        Watcher { fd }
    }
}
