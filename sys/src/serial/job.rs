use super::Port;
use crate::event::Event;
use crate::fd::owned_fd;
use crate::helper::{Helper, Work};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};

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
    /// The thread, first: it ends before the descriptor that it tells its end by is closed.
    _helper: Helper,
    fd: Event,
    result: Arc<OnceLock<Result<(), Errno>>>,
}

impl Job {
    pub(super) fn start(
        port: &Port,
        name: &str,
        call: impl Fn(&Work) -> Result<(), Errno> + Send + 'static,
    ) -> io::Result<Job> {
        let fd = Event::new()?;
        let result = Arc::new(OnceLock::new());
        let (tell, is_over) = (result.clone(), fd.try_clone()?);
        let _helper = Helper::start(port.as_fd(), name, move |work| {
            let result = loop {
                match call(work) {
                    _ if work.is_stopped() => return,
                    Err(Errno::INTR) => {}
                    result => break result,
                }
            };
            let _ = tell.set(result);
            // An eventfd at zero always has room for one.
            let _ = is_over.add(1);
        })?;
        Ok(Job { _helper, fd, result })
    }

    /// Whether the call has ended, as often as asked.
    ///
    /// # Errors
    /// Those of the call, as often as asked: `EIO` after a hang-up.
    pub fn is_done(&self) -> io::Result<bool> {
        match self.result.get() {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(e)) => Err((*e).into()),
        }
    }
}

owned_fd!(Job, Readable);
