//! What is done to names, each as one operation: by io_uring where that serves it, else on a helper thread.

use crate::File;
use crate::file::{carry_out, check_thread};
use crate::op::open_op;
use crate::park::{Place, in_callback, place};
use becket_loop::op::{RawName, RawOp, RawStat};
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path as the system is asked for it. In the frame of the call, until the operation has ended.
struct Name(CString);

impl Name {
    fn new(path: &Path) -> io::Result<Name> {
        Ok(Name(CString::new(path.as_os_str().as_bytes())?))
    }

    fn raw(&self) -> RawName {
        RawName::relative_to_cwd(self.0.as_ptr())
    }
}

/// Opens a file with these `O_` flags, and this mode where it is created.
pub(crate) fn open(path: &Path, flags: i32, mode: u32) -> io::Result<File> {
    let name = Name::new(path)?;
    let flags = (flags | libc::O_LARGEFILE).cast_unsigned();
    let raw = RawOp::Open { name: name.raw(), flags, mode, resolve: 0 };
    let fd = match place() {
        Place::Fiber(here) => {
            here.check()?;
            // SAFETY: the path stays until this returns or unwinds, and what openat(2) returns is a new descriptor.
            unsafe { open_op(here, "open file", raw)? }
        }
        Place::Callback => return Err(in_callback()),
        Place::Thread => {
            check_thread()?;
            // SAFETY: as above.
            unsafe { OwnedFd::from_raw_fd(raw.perform()? as RawFd) }
        }
    };
    Ok(File::from(fd))
}

/// What an operation on one or two names is.
pub(super) enum To<'a> {
    Unlink {
        dir: bool,
    },
    MakeDir {
        mode: u32,
    },
    Rename(&'a Path),
    Link(&'a Path),
    /// A link there that says this path.
    Symlink(&'a Path),
    /// Whether something is there is all that is asked.
    Exist,
}

pub(super) fn run(what: &'static str, path: &Path, to: To<'_>) -> io::Result<()> {
    let name = Name::new(path)?;
    let second = match to {
        To::Rename(other) | To::Link(other) | To::Symlink(other) => Some(Name::new(other)?),
        _ => None,
    };
    let second = || second.as_ref().unwrap_or(&name).raw();
    let mut stat = MaybeUninit::<RawStat>::uninit();
    let raw = match to {
        To::Unlink { dir } => RawOp::Unlink { name: name.raw(), dir },
        To::MakeDir { mode } => RawOp::MakeDir { name: name.raw(), mode },
        To::Rename(_) => RawOp::Rename { from: name.raw(), to: second(), flags: 0 },
        To::Link(_) => RawOp::Link { from: name.raw(), to: second(), flags: 0 },
        To::Symlink(_) => RawOp::Symlink { target: name.raw().path, name: second() },
        To::Exist => RawOp::Stat { name: name.raw(), flags: 0, into: stat.as_mut_ptr() },
    };
    // SAFETY: paths, and the place for an answer, are in this frame, which they leave when this returns or unwinds.
    unsafe { carry_out(what, raw) }.map(drop)
}
