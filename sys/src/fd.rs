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
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(&self.fd)
            }
        }

        impl std::os::fd::AsRawFd for $name {
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

/// Turns "would block" into `None`, and every other error into [`std::io::Error`].
pub(crate) fn unless_blocked<T>(result: rustix::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
