//! A bound socket and the file that binding created.

use super::Address;
use super::ancillary::{Pass, set_pass};
use crate::SetupError;
use crate::socket::{FLAGS, failed, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, socket_with};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf, absolute};
use std::{fs, io};

/// A socket, and its file where that is to be removed. Fields drop in this order: whoever comes meanwhile finds no
/// file, and not a file at which nobody is.
#[derive(Debug)]
pub(super) struct Bound {
    file: Option<SocketFile>,
    fd: OwnedFd,
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for Bound {
    fn from(fd: OwnedFd) -> Self {
        Bound { file: None, fd }
    }
}

/// The file stays: the socket lives on.
impl From<Bound> for OwnedFd {
    fn from(bound: Bound) -> Self {
        if let Some(mut file) = bound.file {
            file.path = None;
        }
        bound.fd
    }
}

/// Removes the file when dropped, if it is still the one that binding created, and not another's.
#[derive(Debug)]
struct SocketFile {
    /// Absolute, since the current directory may change; `None` once the file shall stay.
    path: Option<PathBuf>,
    id: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { id: file_id(path)?, path: Some(absolute(path)?) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && file_id(path).is_ok_and(|id| id == self.id)
        {
            // A destructor has nobody to tell.
            let _ = fs::remove_file(path);
        }
    }
}

fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// What the builders of listeners and of datagram sockets have in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub(super) replace_stale: bool,
    pub(super) unlink_on_drop: bool,
    /// In turn: the last of a kind counts.
    pub(super) pass: Vec<(Pass, bool)>,
}

impl Options {
    pub(super) fn bind(&self, kind: SocketType, addr: &Address) -> Result<Bound, SetupError> {
        let fd = open(AddressFamily::UNIX, kind, addr)?;
        for (what, on) in &self.pass {
            set_pass(&fd, *what, *on).map_err(failed(what.step(), addr))?;
        }
        let encoded = addr.encode().map_err(failed("bind", addr))?;
        let in_use = match bind(&fd, &encoded) {
            Ok(()) => false,
            Err(Errno::ADDRINUSE) if self.replace_stale => true,
            Err(e) => return Err(failed("bind", addr)(e)),
        };
        if in_use {
            match addr.as_pathname() {
                Some(path) if is_stale(kind, path, &encoded)? => remove(path)?,
                _ => {}
            }
            bind(&fd, &encoded).map_err(failed("bind", addr))?;
        }
        let file = match addr.as_pathname().filter(|_| self.unlink_on_drop) {
            Some(path) => Some(SocketFile::new(path).map_err(failed("stat", addr))?),
            None => None,
        };
        Ok(Bound { file, fd })
    }
}

/// Whether `path` is a socket at which nobody is: connecting to it is refused.
fn is_stale(kind: SocketType, path: &Path, encoded: &SocketAddrUnix) -> Result<bool, SetupError> {
    if !fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
        return Ok(false);
    }
    let probe = socket_with(AddressFamily::UNIX, kind, FLAGS, None).map_err(failed("socket", &path.display()))?;
    Ok(connect(probe, encoded) == Err(Errno::CONNREFUSED))
}

fn remove(path: &Path) -> Result<(), SetupError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("unlink", &path.display())(e)),
        _ => Ok(()),
    }
}
