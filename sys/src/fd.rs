//! The conversions that every owning type has.

/// Gives `$name`, a struct with a field `fd` that is [`AsFd`](std::os::fd::AsFd) and `Into<OwnedFd>`, the traits
/// that every descriptor type of this crate has, and says what to poll it for.
macro_rules! owned_fd {
    ($name:ident, $readiness:ident) => {
        impl $name {
            /// What to poll this type for.
            pub const READINESS: crate::Readiness = crate::Readiness::$readiness;

            /// Waits for this descriptor alone, without any loop; see [`wait`](crate::wait).
            ///
            /// # Errors
            /// Those of poll(2); an interruption by a signal is not among them.
            pub fn wait_ready(
                &self,
                want: crate::Ready,
                deadline: Option<std::time::Instant>,
            ) -> std::io::Result<Option<crate::Ready>> {
                crate::wait(self, want, deadline)
            }
        }

        impl std::os::fd::AsFd for $name {
            #[inline]
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(&self.fd)
            }
        }

        impl std::os::fd::AsRawFd for $name {
            #[inline]
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&self.fd))
            }
        }

        impl std::os::fd::IntoRawFd for $name {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::IntoRawFd::into_raw_fd(std::os::fd::OwnedFd::from(self))
            }
        }

        impl From<$name> for std::os::fd::OwnedFd {
            fn from(this: $name) -> Self {
                this.fd.into()
            }
        }
    };
}

pub(crate) use owned_fd;

/// Implements `Read` and `Write`, for `$name` and for a shared reference to it, over its `try_read` and `try_write`.
macro_rules! byte_stream {
    (@impl $name:ty $(, $generic:ident: $bound:path)*) => {
        impl<$($generic: $bound),*> std::io::Read for $name {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                crate::fd::or_would_block(self.try_read(buf)?)
            }
        }

        impl<$($generic: $bound),*> std::io::Write for $name {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                crate::fd::or_would_block(self.try_write(buf)?)
            }

            /// Does nothing: there is no buffer in user space.
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
    ($name:ty $(, $generic:ident: $bound:path)*) => {
        crate::fd::byte_stream!(@impl $name $(, $generic: $bound)*);
        crate::fd::byte_stream!(@impl &$name $(, $generic: $bound)*);
    };
}

pub(crate) use byte_stream;

/// Turns `None` back into the "would block" that `std::io` speaks of.
#[inline]
pub(crate) fn or_would_block<T>(value: Option<T>) -> std::io::Result<T> {
    value.ok_or_else(|| rustix::io::Errno::AGAIN.into())
}

/// Turns "would block" into `None`, and every other error into [`std::io::Error`].
#[inline]
pub(crate) fn unless_blocked<T>(result: rustix::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) => blocked(e).map(|()| None),
    }
}

/// Out of line, so that success is one branch.
#[cold]
#[inline(never)]
fn blocked(e: rustix::io::Errno) -> std::io::Result<()> {
    if e == rustix::io::Errno::AGAIN { Ok(()) } else { Err(e.into()) }
}

/// Reads a file that the kernel makes as it is read, from its begin to its end; `InvalidData` where it has more than
/// `most` bytes.
pub(crate) fn read_whole(fd: impl std::os::fd::AsFd, most: usize) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut piece = [0; 8192];
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::pread(&fd, &mut piece, content.len() as u64))? {
            0 => return Ok(content),
            n if content.len() + n > most => {
                let why = format!("the file has more than {most} bytes");
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
            }
            n => content.extend(&piece[..n]),
        }
    }
}

/// Calls, again for as long as a signal interrupts it, which has moved nothing yet; `None` where it would block.
#[inline]
pub(crate) fn attempt<T>(call: impl FnMut() -> rustix::io::Result<T>) -> std::io::Result<Option<T>> {
    unless_blocked(rustix::io::retry_on_intr(call))
}
