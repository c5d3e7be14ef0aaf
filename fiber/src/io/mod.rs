//! Any descriptor, waited for by fibers.

mod arm;
mod registry;

pub(crate) use registry::{Registry, wait_once};

use crate::lent::{Reading, sealed};
use crate::park::{Here, Place, Reason, Woken, earliest, in_callback, place};
use crate::select::Arm;
use crate::time::thread_deadline;
use becket_loop::Ready;
use registry::{Entry, Home};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A descriptor of any kind whose calls wait in the fiber instead of blocking the thread.
///
/// `T` is whatever owns or lends the descriptor: a type of `becket_sys`, of std, of socket2. Reading and writing go
/// through `T`'s own `Read` and `Write`, so libraries made for `std::io` run unchanged; everything else goes through
/// [`attempt`](Self::attempt): try; if it would block, wait; try again.
///
/// - In a fiber the fiber waits, and is woken by a cancel and by its deadlines. On a thread that runs no fiber the
///   thread waits. In a callback of this thread's loop a call that would have to wait is an error of kind
///   `Deadlock`.
/// - It may be used from several fibers and threads at once, and moved. The first loop that waits for it registers
///   it for good (where the backend has edges); others register it for each wait.
/// - Dropping it ends the registration, then drops `T`.
///
/// ```
/// use becket_fiber::{Io, Runtime, spawn};
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// let mut runtime = Runtime::new()?;
/// runtime.run(|| {
///     let (a, b) = UnixStream::pair()?;
///     let (mut a, mut b) = (Io::new(a)?, Io::new(b)?);
///     let reader = spawn(move || {
///         let mut text = String::new();
///         a.read_to_string(&mut text).map(|_| text)
///     })?;
///     b.write_all(b"top to bottom")?;
///     drop(b);
///     assert_eq!(reader.join()??, "top to bottom");
///     Ok::<_, std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Io<T: AsFd> {
    /// Set at the first wait in a fiber whose loop can keep it.
    home: OnceLock<Option<Home>>,
    /// Whether it is a stream socket, for which a short read says that nothing is left.
    stream: OnceLock<bool>,
    read_timeout: Timeout,
    write_timeout: Timeout,
    source: T,
}

impl<T: AsFd> Io<T> {
    /// Takes a descriptor over, and makes it non-blocking.
    ///
    /// That flag belongs to the open file description: everybody who has a duplicate sees it, such as the shell with
    /// which a program shares its terminal. Nothing is registered before the first wait.
    ///
    /// # Errors
    /// `EBADF` where it is not open.
    pub fn new(source: T) -> io::Result<Io<T>> {
        let flags = fcntl_getfl(&source)?;
        if !flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(&source, flags | OFlags::NONBLOCK)?;
        }
        Ok(Io::with(source, OnceLock::new()))
    }

    /// As [`new`](Self::new), for what stays in the mode it is in, and is registered for each wait alone: for kinds
    /// whose event is taken by looking at it, so that nobody looks while nobody waits.
    pub(crate) fn apart(source: T) -> Io<T> {
        Io::with(source, OnceLock::from(None))
    }

    fn with(source: T, home: OnceLock<Option<Home>>) -> Io<T> {
        Io { home, stream: OnceLock::new(), read_timeout: Timeout::none(), write_timeout: Timeout::none(), source }
    }

    /// What it was made of. There is no `get_mut`: the descriptor must not change.
    pub fn get_ref(&self) -> &T {
        &self.source
    }

    /// Ends the registration and returns what it was made of, non-blocking.
    pub fn into_inner(self) -> T {
        self.deregister();
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used again, and its destructor does not run: the fields that have one are dropped here,
        // the source is moved out.
        unsafe {
            ptr::drop_in_place(&raw mut this.home);
            ptr::drop_in_place(&raw mut this.stream);
            ptr::read(&this.source)
        }
    }

    /// Calls `f` until it returns something else than `WouldBlock`, waiting for `want` in between.
    ///
    /// `want` is [`Ready::READ`], [`Ready::WRITE`] or [`Ready::PRI`], or several. `f` must say `WouldBlock` only when
    /// the descriptor was not ready. The [read](Self::set_read_timeout) or write timeout bounds the whole call.
    ///
    /// # Errors
    /// Those of `f`; [`Cancelled`](crate::Cancelled); `TimedOut`; `Deadlock` where it would have to wait in a callback;
    /// `EPERM` where the kind of descriptor cannot be polled.
    ///
    /// ```
    /// use becket_fiber::{Io, Ready, Runtime, sleep, spawn};
    /// use becket_sys::event::Event;
    /// use std::io::ErrorKind;
    ///
    /// let mut runtime = Runtime::new()?;
    /// runtime.run(|| {
    ///     let event = Event::new()?;
    ///     let other = event.try_clone()?;
    ///     spawn(move || other.add(7))?;
    ///     let event = Io::new(event)?;
    ///     let n = event.attempt(Ready::READ, |e| e.try_read()?.ok_or(ErrorKind::WouldBlock.into()))?;
    ///     assert_eq!(n, 7);
    ///     Ok::<_, std::io::Error>(())
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn attempt<R>(&self, want: Ready, mut f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.attempt_hinted(want, |source| f(source).map(|r| (r, false)))
    }

    /// As [`attempt`](Self::attempt); `f` also says whether it took everything there was.
    #[inline]
    fn attempt_hinted<R>(&self, want: Ready, mut f: impl FnMut(&T) -> io::Result<(R, bool)>) -> io::Result<R> {
        match place() {
            Place::Fiber(here) => self.attempt_in_fiber(here, want, f),
            Place::Callback => match f(&self.source) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(in_callback()),
                other => other.map(|r| r.0),
            },
            Place::Thread => {
                let until = earliest(thread_deadline(), self.timeout_of(want).until(Instant::now));
                loop {
                    match f(&self.source) {
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                        other => return other.map(|r| r.0),
                    }
                    if becket_sys::wait(&self.source, want, until)?.is_none() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
            }
        }
    }

    #[inline]
    fn attempt_in_fiber<R>(
        &self,
        here: Here,
        want: Ready,
        mut f: impl FnMut(&T) -> io::Result<(R, bool)>,
    ) -> io::Result<R> {
        let mut until = None;
        let mut waited = false;
        loop {
            here.check()?;
            let entry = self.entry(here);
            if !entry.is_some_and(|e| e.is_drained(want)) {
                match f(&self.source) {
                    Ok((result, took_all)) => {
                        if took_all
                            && let Some(entry) = entry
                            && !entry.has_seen_trouble()
                            && self.is_stream()
                        {
                            entry.set_drained(want);
                        }
                        return Ok(result);
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
                if let Some(entry) = entry {
                    entry.set_drained(want);
                }
            }
            if !waited {
                waited = true;
                until = self.timeout_of(want).until(|| here.now());
            }
            let woken = self.park(here, entry, want, until)?;
            here.event(woken)?;
        }
    }

    /// The registration, where it is with the loop of this fiber.
    #[inline(always)]
    fn entry(&self, here: Here) -> Option<&Entry> {
        self.home.get().copied().flatten()?.entry(here.core())
    }

    /// Waits until the descriptor is ready for any of `want`, or has failed or hung up, or until `deadline`: `None` is
    /// returned when that came first. The timeouts of this object do not count.
    ///
    /// # Errors
    /// As [`attempt`](Self::attempt), with `TimedOut` for the deadlines around the call alone.
    pub fn wait(&self, want: Ready, deadline: Option<Instant>) -> io::Result<Option<Ready>> {
        let look = || becket_sys::wait(&self.source, want, Some(Instant::now()));
        match place() {
            Place::Fiber(here) => loop {
                here.check()?;
                // The level, not the edges: what was taken by other ways than `attempt` is not known here.
                if let Some(ready) = look()? {
                    return Ok(Some(ready));
                }
                let woken = self.park(here, self.entry(here), want, deadline)?;
                if let Woken::Event(bits) = woken {
                    let ready = Ready::from_bits_retain(bits);
                    if !ready.is_empty() {
                        return Ok(Some(ready));
                    }
                } else if woken == Woken::Deadline
                    && deadline.is_some_and(|at| here.fiber().deadline.get().is_none_or(|d| at <= d))
                {
                    return Ok(None);
                } else {
                    here.event(woken)?;
                }
            },
            Place::Callback => look()?.map(Some).ok_or_else(in_callback),
            Place::Thread => {
                let limit = thread_deadline();
                let ready = becket_sys::wait(&self.source, want, earliest(deadline, limit))?;
                if ready.is_none() && limit.is_some_and(|l| deadline.is_none_or(|d| l < d)) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Ok(ready)
            }
        }
    }

    /// An arm of [`select!`](crate::select!) that is chosen when the descriptor is ready for any of `want`, or has failed
    /// or hung up; out comes for what. Nothing is read or written by it, and the timeouts of this object do not count.
    ///
    /// ```
    /// use becket_fiber::{Io, Ready, Runtime, select, sync::Event};
    /// use std::os::unix::net::UnixStream;
    /// use std::io::Write;
    ///
    /// let mut runtime = Runtime::new()?;
    /// runtime.run(|| {
    ///     let (near, mut far) = UnixStream::pair()?;
    ///     let (near, stop) = (Io::new(near)?, Event::new());
    ///     far.write_all(b"!")?;
    ///     select! {
    ///         ready = near.on_ready(Ready::READ) => assert!(ready.contains(Ready::READ)),
    ///         () = stop.on_set() => unreachable!("nobody sets it"),
    ///     }
    /// })??;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_ready(&self, want: Ready) -> impl Arm<Output = Ready> + '_ {
        arm::OnReady::new(self, want)
    }

    /// Waits for the next edge, or once; registers at the first time.
    #[inline(always)]
    fn park(&self, here: Here, entry: Option<&Entry>, want: Ready, until: Option<Instant>) -> io::Result<Woken> {
        match entry {
            Some(entry) => Ok(entry.wait(here, want, Reason::on(verb(want), self.source.as_fd()), until)),
            None => self.park_first(here, want, until),
        }
    }

    #[inline(never)]
    fn park_first(&self, here: Here, want: Ready, until: Option<Instant>) -> io::Result<Woken> {
        let fd = self.source.as_fd();
        let what = verb(want);
        match self.settle(here, want)? {
            Some(entry) => Ok(entry.wait(here, want, Reason::on(what, fd), until)),
            None => wait_once(here, fd, want, what, until),
        }
    }

    /// The registration, where it is with the loop of this fiber; made if there is none yet.
    fn settle(&self, here: Here, want: Ready) -> io::Result<Option<&Entry>> {
        let fd = self.source.as_fd();
        if self.home.get().is_none() {
            // SAFETY: the source is dropped, or given back, after `deregister` only.
            let home = unsafe { Home::register(here, fd, want)? };
            match self.home.set(home) {
                Ok(()) => {}
                // Another thread was first.
                Err(_) => {
                    if let Some(late) = home {
                        late.end(fd);
                    }
                }
            }
            // The registration reports a state that holds already, so that nothing is missed.
        }
        Ok(self.entry(here))
    }

    fn deregister(&self) {
        if let Some(home) = self.home.get().copied().flatten() {
            home.end(self.source.as_fd());
        }
    }

    #[inline]
    fn is_stream(&self) -> bool {
        *self.stream.get_or_init(|| {
            use rustix::net::{SocketType, sockopt::socket_type};
            socket_type(&self.source).is_ok_and(|t| t == SocketType::STREAM)
        })
    }

    fn timeout_of(&self, want: Ready) -> &Timeout {
        if want == Ready::WRITE { &self.write_timeout } else { &self.read_timeout }
    }

    /// Bounds every later read, and every [`attempt`](Self::attempt) that is not for [`Ready::WRITE`] alone: a call that
    /// takes longer fails with `TimedOut`. `None`, the default, is no limit.
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero, as in std.
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.read_timeout.set(limit)
    }

    /// Bounds every later write; see [`set_read_timeout`](Self::set_read_timeout).
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero, as in std.
    pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.write_timeout.set(limit)
    }

    /// What [`set_read_timeout`](Self::set_read_timeout) was last given.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.read_timeout.get()
    }

    /// What [`set_write_timeout`](Self::set_write_timeout) was last given.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.write_timeout.get()
    }
}

impl<T: AsFd> Drop for Io<T> {
    fn drop(&mut self) {
        self.deregister();
    }
}

fn verb(want: Ready) -> &'static str {
    if want.contains(Ready::READ) {
        "read"
    } else if want.contains(Ready::WRITE) {
        "write"
    } else {
        "priority event"
    }
}

impl<T: AsFd> Read for &Io<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len();
        self.attempt_hinted(Ready::READ, |mut source| {
            let n = retry(|| source.read(buf))?;
            Ok((n, n > 0 && n < room))
        })
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let room: usize = bufs.iter().map(|b| b.len()).sum();
        self.attempt_hinted(Ready::READ, |mut source| {
            let n = retry(|| source.read_vectored(bufs))?;
            Ok((n, n > 0 && n < room))
        })
    }
}

impl<T: AsFd> sealed::Readable for Io<T>
where
    for<'a> &'a T: Read,
{
    fn lend(&self, f: &mut Reading<'_>) -> io::Result<usize> {
        self.attempt_hinted(Ready::READ, |mut source| retry(|| f(&mut source)))
    }

    fn wait_for(&self, want: Ready) -> io::Result<()> {
        self.wait(want, None).map(drop)
    }
}

impl<T: AsFd> sealed::Writable for Io<T>
where
    for<'a> &'a T: Write,
{
    fn write_some(&self, buf: &[u8]) -> io::Result<usize> {
        { self }.write(buf)
    }

    fn wait_for(&self, want: Ready) -> io::Result<()> {
        self.wait(want, None).map(drop)
    }
}

impl<T: AsFd> Write for &Io<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.attempt(Ready::WRITE, |mut source| retry(|| source.write(buf)))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.attempt(Ready::WRITE, |mut source| retry(|| source.write_vectored(bufs)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt(Ready::WRITE, |mut source| source.flush())
    }
}

impl<T: AsFd> Read for Io<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl<T: AsFd> Write for Io<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

/// Repeats what a signal interrupted: a fiber never sees `Interrupted`.
fn retry<R>(mut f: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match f() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

impl<T: AsFd> AsFd for Io<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl<T: AsFd> AsRawFd for Io<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_fd().as_raw_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Io<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Io").field(&self.source).finish()
    }
}

/// A duration in nanoseconds that threads share; zero is none.
struct Timeout(AtomicU64);

impl Timeout {
    fn none() -> Timeout {
        Timeout(AtomicU64::new(0))
    }

    fn set(&self, limit: Option<Duration>) -> io::Result<()> {
        let nanos = match limit {
            None => 0,
            Some(Duration::ZERO) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a timeout of zero"));
            }
            Some(d) => u64::try_from(d.as_nanos()).unwrap_or(u64::MAX),
        };
        self.0.store(nanos, Ordering::Relaxed);
        Ok(())
    }

    fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    fn until(&self, now: impl FnOnce() -> Instant) -> Option<Instant> {
        self.get().and_then(|limit| now().checked_add(limit))
    }
}
