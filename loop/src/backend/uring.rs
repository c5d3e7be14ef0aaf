use super::epoll::wake;
use super::fork;
use super::ring::{Other, Ring};
use super::{Backend, Batch, Caps, Completions, Event, Fd, FdNumber, Key, Waker, number};
use crate::op::RawOp;
use crate::{Mode, Ready};
use becket_sys::event;
use io_uring::{IoUring, cqueue};
use rustix::io::Errno;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many changes and operations one call takes at most.
const SUBMISSIONS: u32 = 1024;
/// How much the kernel tells at a time, before it puts aside what comes.
const COMPLETIONS: u32 = 4096;
/// When to try again what the kernel had no memory for.
const AGAIN: Duration = Duration::from_millis(10);
/// The key of the waker's registration, which no slot has.
const WAKER: Key = Key::from_u64(u64::MAX);
/// The bit by which poll(2) says that a number is no open descriptor.
const NOT_OPEN: u32 = 0x20;
/// What is told unasked.
const ALWAYS: Ready = Ready::ERR.union(Ready::HUP).union(Ready::from_bits_retain(NOT_OPEN));
/// RDBAND, which sockets put beside PRI when they wake who waits, and hardly anybody reports.
const BAND: u32 = 0x80;
/// What can be asked for. Above are the bits by which epoll(7) says how.
const MASK: u32 = 0xffff;

/// The backend over io_uring(7) alone: descriptors are polled, and operations carried out, by one ring.
///
/// A turn is one system call, whatever the turn before has changed: registrations, changes of interest, one-shots that
/// are armed again and operations that were submitted go to the kernel with the call that waits. Where nothing is to be
/// told, and the loop is not to wait, there is none at all (from Linux 6.1 on). Level-triggered sources are polled
/// once, and again with the wait that follows an event; [`Mode::Edge`] is a multishot poll.
///
/// Needs Linux 5.13; from 6.1 on, the kernel does its part of the work within the wait, and interrupts neither
/// callbacks nor the system calls that they make.
///
/// # When to use it
///
/// Where registrations change about as often as events come (one-shots, fibers, many short connections), or files and
/// sockets are mixed in one loop. For long-lived sources that are ready again and again, [`Epoll`](super::Epoll) costs
/// the same number of system calls and less time in the kernel, which has to set up a poll anew after each event. It is
/// also what works everywhere: containers and hardened systems often forbid io_uring.
///
/// # Honest trouble
///
/// - A *source that a callback of another one has emptied* may be told of in the next turn all the same, where it had
///   become ready meanwhile: before Linux 6.1, inside another loop, or when thousands are ready at once.
/// - A *look without a wait* may miss what became ready just before, where another thread wakes the loop at the same
///   moment; the next one finds it, and no wait sleeps through it. Again before Linux 6.1, and inside another loop.
/// - A *removal* that has to reach the kernel, because the source was not ready, is a system call of its own, made at
///   once: the poll holds the file, which would not be closed before. That of a source in its own callback costs none,
///   but with [`Mode::Edge`].
/// - What is wrong with a *registration* is found at the wait, not by [`add`](Backend::add): a number that is not open
///   is reported there, by poll(2)'s NVAL (0x20), once.
/// - *Regular files* are always ready. With [`Mode::Edge`] they are reported once. What is always ready, and not for
///   what is asked, is never reported, as by poll(2).
/// - In *another loop* its descriptor has to wake who waits for it, which a ring that does its work within the wait
///   does not: [`embed`](crate::Loop::embed) makes a ring of the other kind, and polls all sources anew, so that edges
///   are told once more. It fails with [`ResourceBusy`](io::ErrorKind::ResourceBusy) while operations are under way.
///   From then on, and with kernels before 6.1, the thread's blocking system calls may fail with `EINTR` when a source
///   is ready.
/// - [`Ready::PRI`] is told where the kernel says by no mask what it wakes for (attributes, mounts, pressure, video),
///   and of sockets; a driver that wakes by `EPOLLPRI` alone would go unheard, unless [`Ready::READ`] is asked for as
///   well.
/// - The rules for *operations* are those that [`Epoll`](super::Epoll) has for its ring.
/// - It belongs to the *thread* that made it: it is not [`Send`].
/// - Where io_uring is *forbidden after the start*, waits fail with that error, and a loop that is dropped with
///   operations under way in the kernel waits for them for ever.
/// - Completions that the kernel *lost* for want of memory (it is out of it altogether) are noticed: all descriptors
///   are polled anew, and the wait fails once with `ENOMEM` where operations are under way, one of which may never end.
///
/// ```
/// use becket_loop::{Loop, backend::Uring};
///
/// match Uring::new() {
///     Ok(uring) => {
///         let event_loop: Loop<()> = Loop::with_backend(uring);
///         assert_eq!(event_loop.caps().name, "uring");
///     }
///     Err(e) => println!("no io_uring here: {e}"),
/// }
/// ```
#[derive(Debug)]
pub struct Uring {
    ring: Ring,
    polls: Polls,
    /// Completions that came where nobody could be told.
    aside: Vec<Told>,
    ends: Batch,
    waker: Arc<event::Event>,
    /// Whether the kernel does its part only when it is entered: then nobody who waits for the ring's descriptor is
    /// woken.
    defers: bool,
    /// How many completions the kernel had lost when we looked last.
    lost: u32,
    /// Whether some of the completions that come next were put aside by the kernel.
    crowded: bool,
    /// The kernel lets only one thread have a ring of this kind.
    thread: PhantomData<Rc<()>>,
}

/// What is registered.
#[derive(Debug, Default)]
struct Polls {
    /// By the descriptors' numbers.
    watches: Vec<Option<Watch>>,
    /// Those that are to be polled from the next call on.
    pending: Vec<FdNumber>,
    /// Those whose edges were found and not yet told.
    edges: Vec<FdNumber>,
    /// Polls that are to end.
    leaving: Vec<Other>,
    /// How many polls the kernel has.
    under_way: usize,
    /// Counts polls, so that a completion is told from one of the next poll of the same number.
    count: u32,
    woken: bool,
    failed: Option<Errno>,
}

#[derive(Debug)]
struct Watch {
    key: Key,
    want: Ready,
    mode: Mode,
    /// It stands in `pending`.
    pending: bool,
    /// It was told of what nobody asked for (the kernel always looks for RDHUP), which lasts. A multishot poll tells it
    /// no more.
    quiet: bool,
    edges: Ready,
    /// Which poll the kernel has.
    poll: Poll,
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Poll {
    None,
    Once,
    Multishot,
}

/// A completion of a poll.
#[derive(Debug, Clone, Copy)]
struct Told {
    of: Other,
    result: i32,
    more: bool,
    crowded: bool,
}

impl Polls {
    fn watch(&mut self, fd: FdNumber) -> Option<&mut Watch> {
        self.watches.get_mut(usize::try_from(fd).ok()?)?.as_mut()
    }

    fn insert(&mut self, fd: FdNumber, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        let at = usize::try_from(fd).map_err(|_| Errno::BADF)?;
        if self.watches.len() <= at {
            self.watches.resize_with(at + 1, || None);
        }
        if self.watches[at].is_some() {
            return Err(Errno::EXIST.into());
        }
        let watch =
            Watch { key, want, mode, pending: true, quiet: false, edges: Ready::empty(), poll: Poll::None, count: 0 };
        self.watches[at] = Some(watch);
        self.pending.push(fd);
        Ok(())
    }

    fn watch_waker(&mut self, waker: &event::Event) -> io::Result<()> {
        // Each addition is an edge: nobody has to read the counter.
        self.insert(number(waker), WAKER, Ready::READ, Mode::Edge)
    }

    /// Has a descriptor polled from the next call on.
    fn arm(&mut self, fd: FdNumber) {
        if let Some(watch) = self.watch(fd)
            && !std::mem::replace(&mut watch.pending, true)
        {
            self.pending.push(fd);
        }
    }

    /// Ends the poll that the kernel has of a descriptor, with the next call.
    fn disarm(&mut self, fd: FdNumber) {
        let Some(watch) = self.watch(fd) else { return };
        if std::mem::replace(&mut watch.poll, Poll::None) != Poll::None {
            let of = Other { fd, count: watch.count };
            self.leaving.push(of);
        }
    }

    /// Puts the ends of polls into the queue; whether there was room for all.
    fn leave(&mut self, ring: &mut Ring) -> bool {
        while let Some(of) = self.leaving.last() {
            if !ring.give_up_poll(*of) {
                return false;
            }
            self.leaving.pop();
        }
        true
    }

    /// Puts into the queue what is to be told to the kernel, as far as there is room.
    fn flush(&mut self, ring: &mut Ring) {
        // What leaves first: a number may have come back.
        if !self.leave(ring) {
            return;
        }
        while let Some(&fd) = self.pending.last() {
            if let Some(watch) = self.watch(fd).filter(|watch| watch.pending) {
                if watch.poll != Poll::None {
                    let of = Other { fd, count: watch.count };
                    if !ring.give_up_poll(of) {
                        return;
                    }
                    watch.poll = Poll::None;
                }
                let edges = watch.mode == Mode::Edge || watch.quiet;
                // The kernel takes no notice of PRI in a wake-up that says what it is for, as those of sockets do: a
                // poll for PRI alone would sleep through urgent data.
                let band = if watch.want.contains(Ready::PRI) { BAND } else { 0 };
                let (events, count) = (watch.want.bits() & MASK | band, self.count.wrapping_add(1));
                if !ring.give_poll(Other { fd, count }, fd, events, edges) {
                    return;
                }
                self.count = count;
                self.under_way += 1;
                let Some(watch) = self.watch(fd) else { return };
                (watch.pending, watch.count) = (false, count);
                watch.poll = if edges { Poll::Multishot } else { Poll::Once };
            }
            self.pending.pop();
        }
    }

    /// Takes a completion.
    fn told(&mut self, told: Told, batch: &mut Batch) {
        if told.of == Other::IGNORED {
            return;
        }
        self.under_way -= usize::from(!told.more);
        let fd = told.of.fd;
        let Some(watch) = self.watch(fd).filter(|w| w.poll != Poll::None && w.count == told.of.count) else { return };
        if !told.more {
            watch.poll = Poll::None;
        }
        let what = match told.result {
            bits @ 0.. => Ready::from_bits_retain(bits as u32) & (watch.want | ALWAYS),
            error => match Errno::from_raw_os_error(-error) {
                // Nothing could ever end the poll: always ready, but not for this.
                Errno::INVAL => return,
                Errno::BADF => Ready::from_bits_retain(NOT_OPEN),
                error => {
                    self.failed = Some(error);
                    return self.arm(fd);
                }
            },
        };
        if what.is_empty() {
            watch.quiet = true;
            if !told.more {
                self.arm(fd);
            }
            return;
        }
        let (key, mode) = (watch.key, watch.mode);
        watch.quiet = false;
        match mode {
            _ if what.bits() & NOT_OPEN != 0 => {}
            // A multishot poll, which it may have where it was quiet, would tell it several times.
            Mode::Level => {
                self.disarm(fd);
                self.arm(fd);
            }
            Mode::OneShot => self.disarm(fd),
            Mode::Edge => {
                let known = watch.edges;
                watch.edges |= what;
                if known.is_empty() {
                    self.edges.push(fd);
                }
                // Else it has ended because it has no edges.
                if !told.more && told.crowded {
                    self.arm(fd);
                }
                return;
            }
        }
        batch.push(Event::Ready { key, what });
    }

    /// Tells edges, of which a descriptor may have had several.
    fn tell_edges(&mut self, batch: &mut Batch) {
        let mut edges = std::mem::take(&mut self.edges);
        for fd in edges.drain(..) {
            let Some(watch) = self.watch(fd) else { continue };
            let (key, what) = (watch.key, std::mem::replace(&mut watch.edges, Ready::empty()));
            if key == WAKER {
                self.woken = true;
            } else {
                batch.push(Event::Ready { key, what });
            }
        }
        self.edges = edges;
    }

    /// Polls anew all that the kernel was to tell of.
    fn rearm(&mut self) {
        for fd in 0..self.watches.len() as FdNumber {
            if self.watch(fd).is_some_and(|watch| watch.poll != Poll::None) {
                self.arm(fd);
            }
        }
    }
}

impl Uring {
    /// An empty ring.
    ///
    /// # Errors
    /// `EPERM` where io_uring is forbidden (by `/proc/sys/kernel/io_uring_disabled` or a sandbox), `ENOSYS` where the
    /// kernel has none, `EOPNOTSUPP` where it is older than 5.13; `EMFILE` or `ENFILE` where no two descriptors are
    /// left,
    /// `ENOMEM`.
    pub fn new() -> io::Result<Uring> {
        let (ring, defers) = open()?;
        let waker = Arc::new(event::Event::new()?);
        let mut polls = Polls::default();
        polls.watch_waker(&waker)?;
        Ok(Uring {
            ring,
            polls,
            aside: Vec::new(),
            ends: Batch::default(),
            waker,
            defers,
            lost: 0,
            crowded: false,
            thread: PhantomData,
        })
    }

    /// Ends all polls that the kernel has, and hears of their ends.
    fn end_polls(&mut self, batch: &mut Batch) {
        (0..self.polls.watches.len() as FdNumber).for_each(|fd| self.polls.disarm(fd));
        while self.polls.under_way > 0 {
            self.polls.leave(&mut self.ring);
            let wait = self.polls.leaving.is_empty();
            let entered = self.ring.enter_for_events(wait, Some(AGAIN));
            self.reap(batch);
            // Of some that were lost nothing will be heard.
            if entered.is_err() || wait && self.lost > 0 {
                break;
            }
        }
    }

    /// Takes what the kernel tells.
    fn reap(&mut self, batch: &mut Batch) {
        let polls = &mut self.polls;
        self.aside.drain(..).for_each(|told| polls.told(told, batch));
        // Only this makes room, so what was put aside is not told before we saw that some was.
        self.crowded |= self.ring.has_put_aside();
        let crowded = self.crowded;
        self.ring.reap_beside(batch, |batch, of, told| polls.told(Told::new(of, told, crowded), batch));
        polls.tell_edges(batch);
        self.note_losses();
    }

    /// As `reap`, where nobody can be told.
    fn reap_aside(&mut self) {
        let aside = &mut self.aside;
        self.crowded |= self.ring.has_put_aside();
        let crowded = self.crowded;
        self.ring.reap_beside(&mut self.ends, |_, of, told| aside.push(Told::new(of, told, crowded)));
        self.note_losses();
    }

    fn note_losses(&mut self) {
        self.crowded = self.ring.has_put_aside();
        let lost = self.ring.lost();
        if std::mem::replace(&mut self.lost, lost) != lost {
            self.polls.rearm();
            if self.ring.has_flights() {
                self.polls.failed = Some(Errno::NOMEM);
            }
        }
    }

    /// Has a wait look for ends that the kernel does not tell.
    fn tell_ended(&mut self) {
        if self.ring.has_ended() {
            wake(&self.waker);
        }
    }
}

/// A ring, and whether it leaves its work to us.
fn open() -> io::Result<(Ring, bool)> {
    let mut builder = IoUring::builder();
    builder.setup_cqsize(COMPLETIONS).setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    let (ring, defers) = match builder.build(SUBMISSIONS) {
        // Before Linux 6.1.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => (plain()?, false),
        made => (made?, true),
    };
    // Timeouts of the wait came with 5.11, multishot polls together with the tagging of resources, in 5.13.
    if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_resource_tagging() {
        return Err(Errno::OPNOTSUPP.into());
    }
    Ok((Ring::over(ring)?, defers))
}

/// A ring by which whoever waits for its descriptor is woken.
fn plain() -> io::Result<IoUring> {
    IoUring::builder().setup_cqsize(COMPLETIONS).build(SUBMISSIONS)
}

impl Told {
    fn new(of: Other, completion: &cqueue::Entry, crowded: bool) -> Told {
        Told { of, result: completion.result(), more: cqueue::more(completion.flags()), crowded }
    }
}

// SAFETY: operations are the ring's: it pushes the end of one when the kernel has completed it, or cannot come to begin
// it, and takes it out of its table with that; it hands back what it does not take untouched; and its destructor waits
// until the table is empty. The other events are `Ready`.
#[allow(unsafe_code, reason = "a promise about operations, which the ring keeps")]
unsafe impl Backend for Uring {
    fn caps(&self) -> Caps {
        let completions = if self.ring.is_intact() { Completions::Backend } else { Completions::HelperThreads };
        Caps {
            name: "uring",
            edge: true,
            pri: true,
            rdhup: true,
            flags: false,
            embed: true,
            regular_files: true,
            completions,
            reads_on_the_spot: false,
        }
    }

    fn add(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        self.polls.insert(number(&fd), key, want, mode)
    }

    fn change(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        let fd = number(&fd);
        let Some(watch) = self.polls.watch(fd) else { return Err(Errno::NOENT.into()) };
        (watch.key, watch.want, watch.mode, watch.quiet) = (key, want, mode, false);
        self.polls.disarm(fd);
        self.polls.arm(fd);
        Ok(())
    }

    fn remove(&mut self, fd: Fd<'_>, _key: Key) -> io::Result<()> {
        let fd = number(&fd);
        let Some(watch) = self.polls.watch(fd) else { return Err(Errno::NOENT.into()) };
        let has_poll = watch.poll != Poll::None;
        self.polls.disarm(fd);
        self.polls.watches[fd as usize] = None;
        // At once: the poll has the file open, whoever closes it.
        if has_poll {
            self.polls.leave(&mut self.ring);
            self.ring.enter_for_events(false, None)?;
            self.reap_aside();
        }
        Ok(())
    }

    fn wait(&mut self, batch: &mut Batch, deadline: Option<Instant>) -> io::Result<()> {
        let before = batch.len();
        self.ends.drain().for_each(|end| batch.push(end));
        loop {
            // Operations first, lest they wait for room behind many polls.
            self.ring.fill();
            if self.ring.has_unfilled() {
                self.ring.start();
            }
            self.polls.flush(&mut self.ring);
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let found = batch.len() > before || self.polls.woken || self.ring.has_ended() || !self.aside.is_empty();
            let look = found || left == Some(Duration::ZERO);
            let mut short = false;
            // Where the kernel does not wait to be entered it may still be at work for what another thread did.
            if !look || !self.defers || !self.ring.is_at_rest() {
                let took = self.ring.enter_for_events(!look, left.filter(|_| !look));
                if let Err(e) = took {
                    self.reap(batch);
                    return if batch.len() > before { Ok(()) } else { Err(e) };
                }
                short = self.ring.has_queued();
            }
            self.reap(batch);
            if std::mem::take(&mut self.polls.woken) || batch.len() > before {
                return Ok(());
            }
            if let Some(error) = self.polls.failed.take() {
                return Err(error.into());
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(());
            }
            if short {
                // The kernel has no memory for what the queue holds: it does not wait then.
                std::thread::sleep(left.map_or(AGAIN, |left| left.min(AGAIN)));
            }
        }
    }

    fn waker(&self) -> Waker {
        let event = Arc::clone(&self.waker);
        Waker::new(move || wake(&event))
    }

    fn expose(&mut self) -> io::Result<()> {
        if !self.defers {
            return Ok(());
        }
        if self.ring.has_flights() {
            let why = "operations are under way: a loop over uring is embedded before it submits any";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
        }
        let ring = Ring::over(plain()?)?;
        // What is ready is found again: all is polled anew.
        let fds = 0..self.polls.watches.len() as FdNumber;
        let polled = fds.filter(|fd| self.polls.watch(*fd).is_some_and(|watch| watch.poll != Poll::None));
        let polled: Vec<FdNumber> = polled.collect();
        let mut ends = std::mem::take(&mut self.ends);
        self.end_polls(&mut ends);
        self.ends = ends;
        polled.into_iter().for_each(|fd| self.polls.arm(fd));
        (self.ring, self.defers, self.lost, self.polls.under_way) = (ring, false, 0, 0);
        Ok(())
    }

    fn abandon(&mut self) {
        self.ring.abandon();
    }

    fn renew(&mut self) -> io::Result<()> {
        let mut ends = std::mem::take(&mut self.ends);
        self.end_polls(&mut ends);
        self.ends = ends;
        let waker = number(&*self.waker);
        let watches = (0..).zip(&mut self.polls.watches);
        watches.filter(|(fd, _)| *fd != waker).for_each(|(_, watch)| *watch = None);
        self.polls.arm(waker);
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        let (ring, defers) = open()?;
        // Everybody who shares it keeps what he has, and has the new one.
        fork::exchange(&*self.waker, event::Event::new()?)?;
        let mut polls = Polls::default();
        polls.watch_waker(&self.waker)?;
        (self.ring, self.polls, self.defers, self.lost, self.crowded) = (ring, polls, defers, 0, false);
        self.aside.clear();
        self.ends = Batch::default();
        Ok(())
    }

    fn as_fd(&self) -> Option<Fd<'_>> {
        (!self.defers).then(|| self.ring.as_fd())
    }

    unsafe fn submit(&mut self, key: Key, op: RawOp) -> Result<(), RawOp> {
        // SAFETY: handed on from the caller.
        unsafe { self.ring.submit(key, op) }
    }

    fn start(&mut self) {
        self.polls.flush(&mut self.ring);
        self.ring.start();
        self.tell_ended();
    }

    fn cancel(&mut self, key: Key) {
        self.ring.cancel(key);
        self.tell_ended();
    }

    fn close(&mut self, batch: &mut Batch) {
        self.ends.drain().for_each(|end| batch.push(end));
        // The kernel would close the ring behind our back, and with it, later, the files that it polls.
        self.end_polls(batch);
        self.polls.watches.clear();
        self.ring.close(batch);
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if !self.ring.is_abandoned() {
            self.close(&mut Batch::default());
        }
    }
}
