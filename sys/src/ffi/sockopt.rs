//! Socket options that rustix does not have, by number: getsockopt(2), setsockopt(2).

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Plain integers in the kernel's layout, without padding: every pattern of bits is a value, and every byte of a
/// value is initialised.
///
/// # Safety
/// That has to be true of the type.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: an integer.
unsafe impl Plain for u8 {}
// SAFETY: an integer.
unsafe impl Plain for c_int {}
// SAFETY: an array of plain values has no padding between them.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// Reads an option into `value`, which keeps what the kernel does not write; returns how many bytes that is.
pub(crate) fn read<T: Plain>(fd: impl AsFd, level: c_int, name: c_int, value: &mut T) -> io::Result<usize> {
    let mut len = size_of::<T>() as libc::socklen_t;
    let value: *mut c_void = std::ptr::from_mut(value).cast();
    // SAFETY: `value` and `len` are live and writable; the kernel writes at most `len` bytes, the size of `T`, any
    // pattern of which is a `T` (that is what `Plain` says).
    let result = unsafe { libc::getsockopt(fd.as_fd().as_raw_fd(), level, name, value, &raw mut len) };
    if result == 0 { Ok(len as usize) } else { Err(io::Error::last_os_error()) }
}

/// Sets an option to the bytes of `value`.
pub(crate) fn set<T: Plain>(fd: impl AsFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    set_bytes(fd, level, name, std::slice::from_ref(value))
}

/// Sets an option to a list of plain values: for names, its bytes.
pub(crate) fn set_bytes<T: Plain>(fd: impl AsFd, level: c_int, name: c_int, value: &[T]) -> io::Result<()> {
    let len = size_of_val(value) as libc::socklen_t;
    // SAFETY: the slice is readable for `len` bytes, all initialised (that is what `Plain` says), until the call
    // returns; the kernel copies them.
    let result = unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, value.as_ptr().cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads an option that is an `int`.
pub(crate) fn int(fd: impl AsFd, level: c_int, name: c_int) -> io::Result<c_int> {
    let mut value = 0;
    read(fd, level, name, &mut value)?;
    Ok(value)
}
