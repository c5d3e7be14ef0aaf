//! A blocking call on a thread of its own, which ends when nobody wants it any more.

use crate::event::Event;
use crate::ffi;
use crate::signal::{MaskGuard, SignalSet};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A thread that makes calls on a duplicate of a descriptor. Dropping it ends the call and the thread, and waits for
/// that; a driver that cannot be interrupted is left alone after a second, so that a drop never hangs.
///
/// How a call is ended: the duplicate's number is made a name of `/dev/null`, then the thread gets a signal. The call
/// fails with `EINTR`, or is resumed and finds `/dev/null`; and so does one that was just about to begin.
#[derive(Debug)]
pub(crate) struct Helper {
    work: Arc<Work>,
    /// Opened beforehand, so that ending needs no descriptor.
    null: OwnedFd,
    /// Disconnected when the thread is about to end.
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread works on.
#[derive(Debug)]
pub(crate) struct Work {
    fd: OwnedFd,
    stopped: AtomicBool,
}

impl Work {
    /// Whether what a call says no longer counts, since it may be said by another file.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

impl AsFd for Work {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Helper {
    /// Starts `run` with a duplicate of `fd`.
    pub(crate) fn start(
        fd: BorrowedFd<'_>,
        name: &str,
        run: impl FnOnce(&Work) + Send + 'static,
    ) -> io::Result<Helper> {
        ffi::helper::allow_interrupts()?;
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let work = Arc::new(Work { fd: fd.try_clone_to_owned()?, stopped: AtomicBool::new(false) });
        let (end, ended) = mpsc::channel::<()>();
        let of_thread = work.clone();
        // The program's signals are for other threads, from the first instruction on.
        let mask = MaskGuard::block(SignalSet::all());
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let _end = end;
            ffi::signal::unblock(ffi::helper::interrupt_bit());
            run(&of_thread);
            drop(of_thread);
        })?;
        drop(mask);
        Ok(Helper { work, null, ended, thread: Some(thread) })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.work.stopped.store(true, Ordering::Release);
        if ffi::helper::replace(&self.work.fd, self.null.as_fd()).is_ok() {
            // Once more: the program may have ignored the signal since the start.
            let _ = ffi::helper::allow_interrupts();
            ffi::helper::interrupt(&thread);
        }
        // Nothing is ever sent: the channel is disconnected or the time is up.
        if self.ended.recv_timeout(Duration::from_secs(1)) != Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = thread.join();
        }
    }
}

/// One blocking call on a helper thread, with a descriptor that is readable once it is over. Dropping it ends the call.
#[derive(Debug)]
pub(crate) struct Call {
    /// The thread, first: it ends before the descriptor that it tells its end by is closed.
    _helper: Helper,
    over: Event,
    result: Arc<OnceLock<Result<(), Errno>>>,
}

impl Call {
    pub(crate) fn start(
        fd: BorrowedFd<'_>,
        name: &str,
        call: impl Fn(&Work) -> Result<(), Errno> + Send + 'static,
    ) -> io::Result<Call> {
        let over = Event::new()?;
        let result = Arc::new(OnceLock::new());
        let (tell, is_over) = (result.clone(), over.try_clone()?);
        let _helper = Helper::start(fd, name, move |work| {
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
        Ok(Call { _helper, over, result })
    }

    /// What the call said, once it is over.
    pub(crate) fn result(&self) -> Option<Result<(), Errno>> {
        self.result.get().copied()
    }
}

impl AsFd for Call {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }
}

impl From<Call> for OwnedFd {
    fn from(call: Call) -> OwnedFd {
        call.over.into()
    }
}

#[cfg(test)]
mod tests {
    use super::Helper;
    use rustix::io::{Errno, read, write};
    use rustix::pipe::pipe;
    use std::os::fd::AsFd;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_drop_ends_a_blocked_call_and_lets_go_of_the_file() {
        for pause in [0, 1, 20] {
            let (reader, writer) = pipe().unwrap();
            let (begun, has_begun) = mpsc::channel();
            let (told, tells) = mpsc::channel();
            let helper = Helper::start(reader.as_fd(), "test", move |work| {
                begun.send(()).unwrap();
                let got = read(work, &mut [0; 8]);
                told.send((got, work.is_stopped())).unwrap();
            })
            .unwrap();
            drop(reader);
            has_begun.recv().unwrap();
            std::thread::sleep(Duration::from_millis(pause)); // to be in the call, or just before it
            drop(helper);
            let (got, stopped) = tells.try_recv().unwrap();
            assert!(matches!(got, Ok(0) | Err(Errno::INTR)), "{got:?}");
            assert!(stopped);
            assert_eq!(write(&writer, b"x"), Err(Errno::PIPE), "nobody holds the reading end");
        }
    }

    #[test]
    fn what_ended_by_itself_is_dropped_without_ado() {
        let (reader, writer) = pipe().unwrap();
        let (told, tells) = mpsc::channel();
        let helper = Helper::start(reader.as_fd(), "test", move |work| {
            told.send((read(work, &mut [0; 8]), work.is_stopped())).unwrap();
        })
        .unwrap();
        write(&writer, b"abc").unwrap();
        assert_eq!(tells.recv().unwrap(), (Ok(3), false));
        drop(helper);
    }
}
