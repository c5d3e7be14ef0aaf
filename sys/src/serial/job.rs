use super::Port;
use crate::fd::owned_fd;
use crate::helper::{Call, Work};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;

/// A call that blocks, under way on a helper thread: see [`Port::start_drain`] and [`Port::start_break`].
///
/// Readable from its end on. Dropping it ends the call early, which never takes long. It keeps the port's device open,
/// and in exclusive use, as long as it lives. As a bare descriptor it is never readable: the call has then ended.
///
/// ```
/// use becket_sys::{Ready, pty, serial::Port};
///
/// let controller = pty::Controller::open()?;
/// let port = Port::open(controller.terminal_path()?, 9600)?;
/// port.try_write(b"the last words")?;
/// let drain = port.start_drain()?;
/// drain.wait_ready(Ready::READ, None)?;
/// assert!(drain.is_done()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it ends the call"]
pub struct Job {
    fd: Call,
}

owned_fd!(Job, Readable);

impl Job {
    pub(super) fn start(
        port: &Port,
        name: &str,
        call: impl Fn(&Work) -> Result<(), Errno> + Send + 'static,
    ) -> io::Result<Job> {
        Ok(Job { fd: Call::start(port.as_fd(), name, call)? })
    }

    /// Whether the call has ended, as often as asked.
    ///
    /// # Errors
    /// Those of the call, as often as asked: `EIO` after a hang-up.
    pub fn is_done(&self) -> io::Result<bool> {
        Ok(self.fd.result().transpose()?.is_some())
    }
}
