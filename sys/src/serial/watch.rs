use super::{Counters, ModemLines, Port};
use crate::event::Event;
use crate::fd::owned_fd;
use crate::ffi::serial as ffi;
use crate::helper::{Helper, Work};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What happened to modem lines since it was last asked.
///
/// ```
/// use becket_sys::serial::{LineChange, ModemLines};
///
/// let change = LineChange { lines: ModemLines::DTR, changed: ModemLines::CTS, times: [2, 0, 0, 0] };
/// // Went up and down again, or down and up: not the same as nothing.
/// assert!(!change.lines.contains(ModemLines::CTS) && change.cts() == 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineChange {
    /// All the lines as they were after the last change.
    pub lines: ModemLines,
    /// Those that changed, some of them perhaps back again.
    pub changed: ModemLines,
    /// How often CTS, DSR and DCD changed and how many rings ended, in this order.
    pub times: [u32; 4],
}

impl LineChange {
    /// How often CTS changed.
    pub fn cts(&self) -> u32 {
        self.times[0]
    }

    /// How often DSR changed.
    pub fn dsr(&self) -> u32 {
        self.times[1]
    }

    /// How often DCD changed.
    pub fn carrier(&self) -> u32 {
        self.times[2]
    }

    /// How many rings ended. The kernel does not tell of the beginning of one.
    pub fn rings(&self) -> u32 {
        self.times[3]
    }
}

/// Modem lines as a descriptor that is readable when they change: ioctl_tty(2), `TIOCMIWAIT`; made by
/// [`Port::watch_lines`].
///
/// That call of the kernel blocks and cannot be polled, so a helper thread makes it. Dropping this ends the thread, and
/// never takes long. It keeps the port's device open, and in exclusive use, as long as it lives. As a bare descriptor
/// it is never readable again.
///
/// ```no_run
/// use becket_sys::{Ready, serial::{ModemLines, Port}};
///
/// let port = Port::open("/dev/ttyUSB0", 9600)?;
/// let watch = port.watch_lines(ModemLines::CTS | ModemLines::DCD)?;
/// watch.wait_ready(Ready::READ, None)?;
/// if let Some(change) = watch.try_read()? {
///     println!("carrier: {}, {} changes", change.lines.contains(ModemLines::DCD), change.carrier());
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "TIOCMIWAIT")]
#[derive(Debug)]
pub struct LineWatch {
    /// The thread, first: it ends before the descriptor that it tells changes by is closed.
    _helper: Helper,
    fd: Event,
    news: Arc<Mutex<News>>,
}

owned_fd!(LineWatch, Readable);

/// What the thread has seen and nobody has read.
#[derive(Debug, Default)]
struct News {
    change: Option<LineChange>,
    /// The thread has ended because of it.
    error: Option<Errno>,
}

/// What was seen at one time.
#[derive(Clone, Copy)]
struct Look {
    lines: ModemLines,
    /// `None` where the driver does not count.
    counters: Option<Counters>,
}

impl Look {
    fn take(fd: BorrowedFd<'_>) -> Result<Look, Errno> {
        let counters = match ffi::counts(fd) {
            Ok(raw) => Some(Counters::from_raw(raw)),
            Err(Errno::NOTTY | Errno::INVAL) => None,
            Err(e) => return Err(e),
        };
        Ok(Look { lines: ModemLines::from_bits_retain(ffi::modem_lines(fd)?), counters })
    }

    /// What happened between `earlier` and this, on the lines of `watched` alone.
    fn since(&self, earlier: &Look, watched: ModemLines) -> Option<LineChange> {
        const LINES: [ModemLines; 4] = [ModemLines::CTS, ModemLines::DSR, ModemLines::DCD, ModemLines::RI];
        let counted = match (self.counters, earlier.counters) {
            (Some(now), Some(before)) => {
                let n = now.since(&before);
                [n.cts, n.dsr, n.carrier, n.ring]
            }
            _ => [0; 4],
        };
        let differs = (self.lines ^ earlier.lines) & watched;
        let mut change = LineChange { lines: self.lines, changed: differs, times: [0; 4] };
        for (i, line) in LINES.into_iter().enumerate().filter(|(_, line)| watched.contains(*line)) {
            // A difference is a change also where the driver was not yet counting; of a ring only the end counts.
            let seen = u32::from(differs.contains(line) && (line != ModemLines::RI || !self.lines.contains(line)));
            change.times[i] = counted[i].max(seen);
            if change.times[i] > 0 {
                change.changed.insert(line);
            }
        }
        (!change.changed.is_empty()).then_some(change)
    }
}

impl News {
    fn add(&mut self, new: LineChange) {
        let old = self.change.take();
        let LineChange { lines, changed, mut times } = new;
        for (sum, before) in times.iter_mut().zip(old.map_or([0; 4], |old| old.times)) {
            *sum = sum.saturating_add(before);
        }
        let changed = changed | old.map_or(ModemLines::empty(), |old| old.changed);
        self.change = Some(LineChange { lines, changed, times });
    }
}

impl LineWatch {
    pub(super) fn start(port: &Port, watched: ModemLines) -> io::Result<LineWatch> {
        let inputs = ModemLines::CTS | ModemLines::DSR | ModemLines::DCD | ModemLines::RI;
        if watched.is_empty() || !inputs.contains(watched) {
            return Err(Errno::INVAL.into());
        }
        LineWatch::run(port.as_fd(), watched, Calls { wait: ffi::wait_modem_lines, look: Look::take })
    }

    fn run(port: BorrowedFd<'_>, watched: ModemLines, calls: Calls) -> io::Result<LineWatch> {
        let before = (calls.look)(port)?;
        let fd = Event::new()?;
        let news = Arc::new(Mutex::new(News::default()));
        let (tell, wake) = (news.clone(), fd.try_clone()?);
        let _helper = Helper::start(port, "modem lines", move |work| {
            let error = watch(work, &calls, watched, before, |change| {
                lock(&tell).add(change);
                let _ = wake.add(1); // a counter that is full is readable as well
            });
            lock(&tell).error = error.err();
            let _ = wake.add(1);
        })?;
        Ok(LineWatch { _helper, fd, news })
    }

    /// Takes what happened since the watch began or was last read; `None` where nothing did.
    ///
    /// # Errors
    /// `ENOTTY` or `EINVAL` where the driver cannot wait for modem lines, `EIO` after a hang-up: the watch has then
    /// ended, stays readable, and says so as often as asked. Changes before that are told first.
    pub fn try_read(&self) -> io::Result<Option<LineChange>> {
        let mut news = lock(&self.news);
        match (news.change.take(), news.error) {
            (None, Some(e)) => Err(e.into()),
            (change, error) => {
                if error.is_none() {
                    // Under the lock, so that what is added after this is told by the descriptor.
                    self.fd.try_read()?;
                }
                Ok(change)
            }
        }
    }
}

/// Nothing panics with the lock held.
fn lock(news: &Mutex<News>) -> MutexGuard<'_, News> {
    news.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread asks the driver; tests have a driver of their own.
struct Calls {
    wait: fn(BorrowedFd<'_>, u32) -> Result<(), Errno>,
    look: fn(BorrowedFd<'_>) -> Result<Look, Errno>,
}

/// Until the watch is dropped, or the error that ends it.
fn watch(
    work: &Work,
    calls: &Calls,
    watched: ModemLines,
    mut before: Look,
    tell: impl Fn(LineChange),
) -> Result<(), Errno> {
    loop {
        let waited = (calls.wait)(work.as_fd(), watched.bits());
        let now = (calls.look)(work.as_fd());
        if work.is_stopped() {
            return Ok(());
        }
        match waited {
            Ok(()) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
        let now = now?;
        if let Some(change) = now.since(&before, watched) {
            tell(change);
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::{Calls, Counters, LineChange, LineWatch, Look, ModemLines, News};
    use crate::Ready;
    use rustix::io::{Errno, read, write};
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    fn look(lines: ModemLines, counters: Option<Counters>) -> Look {
        Look { lines, counters }
    }

    #[test]
    fn pulses_are_counted_and_other_lines_left_out() {
        let before = Counters { cts: u32::MAX, carrier: 4, ring: 7, ..Counters::default() };
        let now = Counters { cts: 1, carrier: 5, ring: 8, ..before };
        let (before, now) = (look(ModemLines::DTR, Some(before)), look(ModemLines::DTR, Some(now)));
        let change = now.since(&before, ModemLines::CTS | ModemLines::RI).unwrap();
        assert_eq!(change.changed, ModemLines::CTS | ModemLines::RI);
        assert_eq!((change.cts(), change.dsr(), change.carrier(), change.rings()), (2, 0, 0, 1));
        assert_eq!(now.since(&before, ModemLines::DSR), None);
    }

    #[test]
    fn without_counters_the_levels_tell() {
        let (before, now) = (look(ModemLines::RI, None), look(ModemLines::DCD, None));
        let change = now.since(&before, ModemLines::DCD | ModemLines::RI).unwrap();
        assert_eq!(
            change,
            LineChange { lines: ModemLines::DCD, changed: ModemLines::DCD | ModemLines::RI, times: [0, 0, 1, 1] }
        );
        // The beginning of a ring is a change, and not the end of one.
        assert_eq!(before.since(&now, ModemLines::RI).unwrap().rings(), 0);
    }

    #[test]
    fn what_nobody_reads_adds_up() {
        let mut news = News::default();
        let one = LineChange { lines: ModemLines::CTS, changed: ModemLines::CTS, times: [1, 0, 0, 0] };
        news.add(one);
        news.add(LineChange { lines: ModemLines::empty(), changed: ModemLines::DCD, times: [0, 0, 3, 0] });
        let sum = news.change.unwrap();
        assert_eq!(
            (sum.lines, sum.changed, sum.times),
            (ModemLines::empty(), ModemLines::CTS | ModemLines::DCD, [1, 0, 3, 0])
        );
    }

    /// A pipe plays the driver: a byte in it ends a wait, and its end is a hang-up.
    #[test]
    fn changes_wake_add_up_and_an_error_stays() {
        static CARRIERS: AtomicU32 = AtomicU32::new(0);
        let calls = || Calls {
            wait: |fd, _| match read(fd, &mut [0]) {
                Ok(0) => Err(Errno::IO),
                other => other.map(drop),
            },
            look: |_| {
                let carrier = CARRIERS.load(Ordering::SeqCst);
                let lines = if carrier % 2 == 1 { ModemLines::DCD } else { ModemLines::empty() };
                Ok(Look { lines, counters: Some(Counters { carrier, ..Counters::default() }) })
            },
        };
        let soon = || Some(Instant::now() + Duration::from_secs(10));
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let watch = LineWatch::run(reader.as_fd(), ModemLines::DCD, calls()).unwrap();
        assert_eq!(watch.wait_ready(Ready::READ, Some(Instant::now())).unwrap(), None);
        assert_eq!(watch.try_read().unwrap(), None);

        for (more, lines) in [(1, ModemLines::DCD), (2, ModemLines::DCD), (1, ModemLines::empty())] {
            CARRIERS.fetch_add(more, Ordering::SeqCst);
            write(&writer, &[0]).unwrap();
            watch.wait_ready(Ready::READ, soon()).unwrap().unwrap();
            let change = watch.try_read().unwrap().unwrap();
            assert_eq!((change.lines, change.changed, change.carrier()), (lines, ModemLines::DCD, more));
            assert_eq!(watch.wait_ready(Ready::READ, Some(Instant::now())).unwrap(), None, "all was read");
        }

        // The last change is told before the error, which makes the watch readable for good.
        CARRIERS.fetch_add(1, Ordering::SeqCst);
        write(&writer, &[0]).unwrap();
        watch.wait_ready(Ready::READ, soon()).unwrap().unwrap();
        drop(writer);
        let deadline = soon().unwrap();
        let mut seen = 0;
        let error = loop {
            assert!(Instant::now() < deadline);
            match watch.try_read() {
                Ok(change) => seen += change.map_or(0, |change| change.carrier()),
                Err(e) => break e,
            }
        };
        assert_eq!((seen, error.raw_os_error()), (1, Some(libc::EIO)));
        for _ in 0..2 {
            assert!(watch.wait_ready(Ready::READ, Some(Instant::now())).unwrap().is_some());
            assert_eq!(watch.try_read().unwrap_err().raw_os_error(), Some(libc::EIO));
        }

        // Dropped in the middle of a wait, it lets go of the device.
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let watch = LineWatch::run(reader.as_fd(), ModemLines::DCD, calls()).unwrap();
        drop((watch, reader));
        assert_eq!(write(&writer, &[0]), Err(Errno::PIPE));
    }
}
