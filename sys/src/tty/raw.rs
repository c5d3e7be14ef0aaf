use rustix::io::retry_on_intr;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;

/// Keeps a terminal in raw mode, or another one for the time being; dropping it restores the settings that were there
/// before, also while a panic unwinds. A terminal that hung up meanwhile has nothing to restore. Made by
/// [`Tty::raw_mode`](super::Tty::raw_mode), [`key_mode`](super::Tty::key_mode) and [`no_echo`](super::Tty::no_echo).
///
/// A panic's message is printed before anything unwinds, and a program that is built with `panic = "abort"` does not
/// unwind: for these, [`restore_on_panic`](Self::restore_on_panic). A program that ends by `process::exit` or a signal
/// drops nothing: the terminal then stays raw until somebody runs `stty sane`.
///
/// ```
/// use becket_sys::{Ready, pty};
///
/// let (controller, terminal) = pty::pair()?;
/// terminal.raw_mode()?.restore()?;
/// controller.try_write(b"line\n")?; // cooked again: the terminal echoes
/// controller.wait_ready(Ready::READ, None)?; // in its own time
/// let mut echo = [0; 16];
/// assert_eq!(controller.try_read(&mut echo)?, Some(6));
/// assert_eq!(&echo[..6], b"line\r\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "raw mode ends when the guard is dropped"]
pub struct RawMode<'tty> {
    fd: BorrowedFd<'tty>,
    /// What to go back to.
    before: Termios,
    /// What was set.
    during: Termios,
    /// Where the panic hook finds it.
    on_panic: Option<Arc<Restore>>,
}

impl<'tty> RawMode<'tty> {
    pub(super) fn enter(fd: BorrowedFd<'tty>, change: impl FnOnce(&mut Termios)) -> io::Result<RawMode<'tty>> {
        let before = tcgetattr(fd)?;
        let mut during = before.clone();
        change(&mut during);
        set(fd, &during)?;
        Ok(RawMode { fd, before, during, on_panic: None })
    }

    /// Restores the terminal at the beginning of a panic, so that its message is readable, and in programs that abort.
    ///
    /// For that it puts a panic hook before the one that is there, once for the whole program. The hook knows neither
    /// whose panic it is nor whether somebody will catch it: after a panic in another thread, or a caught one,
    /// [`reenter`](Self::reenter).
    ///
    /// ```
    /// let (_controller, terminal) = becket_sys::pty::pair()?;
    /// let raw = terminal.raw_mode()?.restore_on_panic()?;
    /// assert!(std::panic::catch_unwind(|| panic!("readable")).is_err());
    /// raw.reenter()?; // the program goes on
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EMFILE` where no descriptor is left: the hook has one of its own. `Other` while this thread panics.
    #[doc(alias = "set_hook")]
    pub fn restore_on_panic(mut self) -> io::Result<RawMode<'tty>> {
        if thread::panicking() {
            return Err(io::Error::other("a hook cannot be set while the thread panics"));
        }
        let restore = Arc::new(Restore { fd: self.fd.try_clone_to_owned()?, before: self.before.clone() });
        install_hook();
        list().push(restore.clone());
        self.on_panic = Some(restore);
        Ok(self)
    }

    /// Sets the mode again, after something else changed it.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    pub fn reenter(&self) -> io::Result<()> {
        set(self.fd, &self.during)
    }

    /// Restores the settings now, and says whether that worked.
    ///
    /// # Errors
    /// `EIO` after a hang-up.
    pub fn restore(mut self) -> io::Result<()> {
        self.forget_hook();
        let result = set(self.fd, &self.before);
        // Nothing is left in it that a drop would free.
        mem::forget(self);
        result
    }

    fn forget_hook(&mut self) {
        if let Some(mine) = self.on_panic.take() {
            list().retain(|other| !Arc::ptr_eq(other, &mine));
        }
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        self.forget_hook();
        let _ = set(self.fd, &self.before);
    }
}

/// Not `Drain`, which would wait for output that a stopped terminal never takes.
fn set(fd: BorrowedFd<'_>, modes: &Termios) -> io::Result<()> {
    Ok(retry_on_intr(|| tcsetattr(fd, OptionalActions::Now, modes))?)
}

/// What the hook restores.
#[derive(Debug)]
struct Restore {
    fd: OwnedFd,
    before: Termios,
}

/// The latest last.
static LIST: Mutex<Vec<Arc<Restore>>> = Mutex::new(Vec::new());

fn list() -> std::sync::MutexGuard<'static, Vec<Arc<Restore>>> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // From the latest guard to the first, as they would be dropped. Should another thread just hold the list,
            // its guard is not in the hook's way for long; nothing that holds it panics.
            for restore in list().iter().rev() {
                let _ = set(restore.fd.as_fd(), &restore.before);
            }
            next(info);
        }));
    });
}
