//! Operations through an io_uring(7): the one place that shares memory with the kernel beyond a call.

use super::{AsFd, Batch, Event, Fd, FdNumber, Key};
use crate::op::{MOST_BUFS, RawOp};
use io_uring::{EnterFlags, IoUring, Probe, cqueue, opcode, squeue, types};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::time::Duration;

/// How many operations one io_uring_enter(2) begins at most.
const SUBMISSIONS: u32 = 128;
/// How many ends the kernel keeps for us.
const COMPLETIONS: u32 = 1024;
/// How many of those are kept free of operations, so that there is always room to cancel some.
const RESERVE: u32 = 64;
/// The most that one read(2) or write(2) moves.
const MOST: usize = 0x7fff_f000;
/// The slot that no operation has: in the words of cancellations.
const CANCEL: u32 = u32::MAX;
/// From here on no slot is an operation's: see [`Other`].
const OTHERS: u32 = 1 << 31;
/// The kernel's own words for "interrupted", which should not, but may, get out: ERESTARTSYS and its like.
const RESTART: std::ops::RangeInclusive<i32> = 512..=516;

/// Whether this process may have a ring that does what is needed here. Asked of the kernel once, but for the want of
/// memory or descriptors, which may pass.
pub(super) fn is_offered() -> bool {
    static OFFERED: OnceLock<bool> = OnceLock::new();
    OFFERED.get().copied().unwrap_or_else(|| match IoUring::new(2).and_then(|ring| probe(&ring)) {
        Err(e) if is_short_of(&e) => false,
        tried => *OFFERED.get_or_init(|| tried.is_ok()),
    })
}

/// Whether a ring failed for the want of something that may come back.
pub(super) fn is_short_of(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

/// What the kernel can do.
fn probe(ring: &IoUring) -> io::Result<Probe> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let needed = [opcode::Read::CODE, opcode::Write::CODE, opcode::AsyncCancel::CODE];
    if needed.iter().all(|code| probe.is_supported(*code)) { Ok(probe) } else { Err(Errno::OPNOTSUPP.into()) }
}

/// A ring, and what it was given.
///
/// The kernel owes one completion for each entry that it was given, and is never owed more than it can keep: none is
/// lost or put aside.
pub(super) struct Ring {
    ring: IoUring,
    probe: Probe,
    /// All operations that were taken and have not ended. What each names stays valid while it is here: whoever
    /// submitted it promised that until its end is told, and it is told when it has left.
    flights: Flights,
    /// Operations that have not begun, and cancellations of those that have: what is put into the queue next.
    waiting: VecDeque<u64>,
    cancels: VecDeque<u64>,
    /// How many entries were put into the submission queue so far; the kernel has taken all but the last `queued`.
    put: u64,
    queued: usize,
    /// What each cancellation under way is for.
    cancelling: HashMap<u64, u64>,
    cancellations: u32,
    /// How many completions there will be for what was put into the queue.
    owed: u32,
    /// How many there may be.
    most: u32,
    /// Ends that the kernel does not tell: of what never began.
    ended: Vec<(Key, io::Error)>,
    /// The kernel no longer takes anything: nothing is put into the queue any more, and nobody enters the kernel, which
    /// might take what the queue still holds.
    broken: bool,
    /// This is the child's copy of a parent's: what it tells of is done to the parent's memory, by the parent.
    is_parents: bool,
}

/// The word of what is no operation and no cancellation of one: a poll of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Other {
    /// The descriptor's number, which has 31 bits.
    pub(super) fd: FdNumber,
    /// Which of its polls.
    pub(super) count: u32,
}

impl Other {
    #[cfg(feature = "uring")]
    pub(super) const IGNORED: Other = Other { fd: FdNumber::MAX - 1, count: 0 };

    #[cfg(feature = "uring")]
    fn word(self) -> u64 {
        Key::new(OTHERS | self.fd as u32, self.count).to_u64()
    }

    fn of(word: u64) -> Option<Other> {
        let (slot, count) = (Key::from_u64(word).slot(), Key::from_u64(word).generation());
        (slot >= OTHERS && slot != CANCEL).then(|| Other { fd: (slot - OTHERS) as FdNumber, count })
    }
}

struct Flight {
    /// Carries the word of the operation's key.
    entry: squeue::Entry,
    /// As which entry it was put into the queue, counted from 1; 0: it was not yet.
    put: u64,
    cancelled: bool,
}

/// Operations by the words of their keys.
#[derive(Default)]
struct Flights {
    /// Where the operation of a key's slot is in `flights`, or [`NOWHERE`](Self::NOWHERE).
    places: Vec<u32>,
    /// In any order, without gaps.
    flights: Vec<Flight>,
}

impl Flights {
    const NOWHERE: u32 = u32::MAX;

    fn len(&self) -> usize {
        self.flights.len()
    }

    fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Flight> {
        self.flights.iter_mut()
    }

    /// Where the operation is; `None` where it is not here, though another one of its slot may be.
    fn place(&self, word: u64) -> Option<usize> {
        let place = *self.places.get(Key::from_u64(word).slot() as usize)? as usize;
        (self.flights.get(place)?.entry.get_user_data() == word).then_some(place)
    }

    fn contains(&self, word: u64) -> bool {
        self.place(word).is_some()
    }

    fn get_mut(&mut self, word: u64) -> Option<&mut Flight> {
        let place = self.place(word)?;
        self.flights.get_mut(place)
    }

    /// Takes one in, unless there is one of its slot.
    #[inline(always)]
    fn insert(&mut self, word: u64, entry: squeue::Entry) -> bool {
        let slot = Key::from_u64(word).slot() as usize;
        if self.places.len() <= slot {
            self.places.resize(slot + 1, Self::NOWHERE);
        }
        if self.places[slot] != Self::NOWHERE {
            return false;
        }
        self.places[slot] = self.flights.len() as u32;
        self.flights.push(Flight { entry: entry.user_data(word), put: 0, cancelled: false });
        true
    }

    fn remove(&mut self, word: u64) -> bool {
        let Some(place) = self.place(word) else { return false };
        self.flights.swap_remove(place);
        self.places[Key::from_u64(word).slot() as usize] = Self::NOWHERE;
        if let Some(moved) = self.flights.get(place) {
            self.places[Key::from_u64(moved.entry.get_user_data()).slot() as usize] = place as u32;
        }
        true
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("under_way", &self.flights.len()).finish_non_exhaustive()
    }
}

impl Ring {
    pub(super) fn new() -> io::Result<Ring> {
        Self::over(IoUring::builder().setup_cqsize(COMPLETIONS).build(SUBMISSIONS)?)
    }

    /// Operations through a ring that may have polls beside them. Those are the only ones with several completions, and
    /// may fill the queue: the kernel then puts aside what comes, and has it ready for the next call that asks for
    /// completions (`NODROP`, Linux 5.5). Only where it has no memory for that is one lost, which it counts: see
    /// [`lost`](Self::lost). An operation whose completion is lost never ends, and who waits for its end waits for
    /// ever.
    pub(super) fn over(ring: IoUring) -> io::Result<Ring> {
        let probe = probe(&ring)?;
        let most = ring.params().cq_entries().min(COMPLETIONS);
        Ok(Ring {
            ring,
            probe,
            flights: Flights::default(),
            waiting: VecDeque::new(),
            cancels: VecDeque::new(),
            put: 0,
            queued: 0,
            cancelling: HashMap::new(),
            cancellations: 0,
            owed: 0,
            most,
            ended: Vec::new(),
            broken: false,
            is_parents: false,
        })
    }

    /// Whether it still takes operations.
    pub(super) fn is_intact(&self) -> bool {
        !self.broken
    }

    /// Whether something has ended that no descriptor tells of.
    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Whether something is left that [`start`](Self::start) could begin: there was no room, or the kernel was short
    /// of memory.
    pub(super) fn has_more(&self) -> bool {
        self.has_unfilled() || !self.broken && self.queued > 0
    }

    /// Whether there are operations that could go into the queue.
    pub(super) fn has_unfilled(&self) -> bool {
        !self.broken && (self.owed < self.most - RESERVE && !self.waiting.is_empty() || !self.cancels.is_empty())
    }

    /// Takes an operation; it begins with the next [`start`](Self::start).
    ///
    /// # Safety
    /// As [`Backend::submit`](super::Backend::submit).
    pub(super) unsafe fn submit(&mut self, key: Key, op: RawOp) -> Result<(), RawOp> {
        let word = key.to_u64();
        if self.broken || key.slot() >= OTHERS {
            return Err(op);
        }
        let taken = match op {
            // These have no fallback, and are many: each is written in one piece where it stays.
            RawOp::Read { fd, buf, len, at: Some(at) } if is_offset(at) => {
                let read = opcode::Read::new(types::Fd(fd), buf, clamp(len)).offset(at);
                self.flights.insert(word, read.build())
            }
            RawOp::Write { fd, buf, len, at: Some(at) } if is_offset(at) => {
                let write = opcode::Write::new(types::Fd(fd), buf, clamp(len)).offset(at);
                self.flights.insert(word, write.build())
            }
            // SAFETY: the caller promises that its descriptor is open.
            _ => unsafe { self.entry(&op) }.is_some_and(|entry| self.flights.insert(word, entry)),
        };
        if !taken {
            return Err(op);
        }
        self.waiting.push_back(word);
        Ok(())
    }

    /// The operation as the ring is asked for it; `None` where it is better made by a thread.
    ///
    /// # Safety
    /// The descriptor that it names must be open.
    unsafe fn entry(&self, op: &RawOp) -> Option<squeue::Entry> {
        let entry = match *op {
            // The ring moves a file's position without the lock by which calls follow each other: two reads at once
            // get the same bytes, two writes the same place. Pipes and sockets have none.
            // SAFETY: the caller's promise.
            RawOp::Read { fd, buf, len, at: None } if unsafe { has_no_position(fd) } => {
                opcode::Read::new(types::Fd(fd), buf, clamp(len)).offset(u64::MAX).build()
            }
            RawOp::ReadVectored { fd, bufs, count, at: Some(at) } if is_offset(at) => {
                opcode::Readv::new(types::Fd(fd), bufs.cast(), count.min(MOST_BUFS) as u32).offset(at).build()
            }
            // SAFETY: the caller's promise.
            RawOp::ReadVectored { fd, bufs, count, at: None } if unsafe { has_no_position(fd) } => {
                opcode::Readv::new(types::Fd(fd), bufs.cast(), count.min(MOST_BUFS) as u32).offset(u64::MAX).build()
            }
            RawOp::WriteVectored { fd, bufs, count, at: Some(at) } if is_offset(at) => {
                opcode::Writev::new(types::Fd(fd), bufs.cast(), count.min(MOST_BUFS) as u32).offset(at).build()
            }
            RawOp::Sync { fd, data_only } => {
                let flags = if data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
                opcode::Fsync::new(types::Fd(fd)).flags(flags).build()
            }
            RawOp::SetLen { fd, len } if is_offset(len) => opcode::Ftruncate::new(types::Fd(fd), len).build(),
            RawOp::Allocate { fd, mode, offset, len } => {
                opcode::Fallocate::new(types::Fd(fd), len).offset(offset).mode(mode as i32).build()
            }
            // Of the length it takes 32 bits; zero is to the end, and nothing here.
            RawOp::Advise { fd, advice, offset, len } if (len > 0 && len <= u32::MAX.into()) || !is_offset(len) => {
                let len = if is_offset(len) { len as i64 } else { 0 };
                opcode::Fadvise::new(types::Fd(fd), len, advice.code() as i32).offset(offset).build()
            }
            RawOp::Splice { from: (from, at), to: (to, to_at), len }
                if at.is_none_or(is_offset) && to_at.is_none_or(is_offset) =>
            {
                let (at, to_at) = (at.map_or(-1, |at| at as i64), to_at.map_or(-1, |at| at as i64));
                opcode::Splice::new(types::Fd(from), at, types::Fd(to), to_at, clamp(len)).build()
            }
            RawOp::Open { name, flags, mode, resolve: 0 } => {
                let flags = (flags | rustix::fs::OFlags::CLOEXEC.bits()) as i32;
                // Straight to a worker of the kernel's: the first attempt would be one with O_NONBLOCK, which opens a
                // FIFO without its other end, or fails for the want of it, and so for other devices that wait.
                let open = opcode::OpenAt::new(types::Fd(name.dir), name.path).flags(flags).mode(mode).build();
                open.flags(squeue::Flags::ASYNC)
            }
            RawOp::Stat { name, flags, into } => {
                let what = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
                let stat = opcode::Statx::new(types::Fd(name.dir), name.path, into.cast());
                stat.flags(flags as i32).mask(what.bits()).build()
            }
            RawOp::Unlink { name, dir } => {
                let flags = if dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                opcode::UnlinkAt::new(types::Fd(name.dir), name.path).flags(flags.bits() as i32).build()
            }
            RawOp::Rename { from, to, flags } => {
                let (old, new) = (types::Fd(from.dir), types::Fd(to.dir));
                opcode::RenameAt::new(old, from.path, new, to.path).flags(flags).build()
            }
            RawOp::MakeDir { name, mode } => opcode::MkDirAt::new(types::Fd(name.dir), name.path).mode(mode).build(),
            RawOp::Link { from, to, flags } => {
                let (old, new) = (types::Fd(from.dir), types::Fd(to.dir));
                opcode::LinkAt::new(old, from.path, new, to.path).flags(flags as i32).build()
            }
            RawOp::Symlink { target, name } => opcode::SymlinkAt::new(types::Fd(name.dir), target, name.path).build(),
            _ => return None, // see the table of `op`
        };
        self.probe.is_supported(entry.get_opcode() as u8).then_some(entry)
    }

    /// Asks that an operation end early.
    pub(super) fn cancel(&mut self, key: Key) {
        let word = key.to_u64();
        let Some(flight) = self.flights.get_mut(word) else { return };
        if flight.put == 0 {
            self.flights.remove(word);
            self.waiting.retain(|waiting| *waiting != word);
            self.ended.push((key, Errno::CANCELED.into()));
        } else if !std::mem::replace(&mut flight.cancelled, true) {
            self.cancels.push_back(word);
        }
    }

    /// Hands the kernel all that there is room for: one call for each [`SUBMISSIONS`], and none where there is nothing.
    pub(super) fn start(&mut self) {
        loop {
            self.fill();
            if self.queued == 0 || !self.enter() {
                return;
            }
        }
    }

    /// Puts into the queue what there is room for.
    pub(super) fn fill(&mut self) {
        if self.broken || self.cancels.is_empty() && self.waiting.is_empty() {
            return;
        }
        let mut queue = self.ring.submission();
        while !queue.is_full() {
            let entry = if let Some(&of) = self.cancels.front()
                && self.owed < self.most
            {
                self.cancels.pop_front();
                if !self.flights.contains(of) {
                    continue;
                }
                self.cancellations = self.cancellations.wrapping_add(1);
                let word = Key::new(CANCEL, self.cancellations).to_u64();
                self.cancelling.insert(word, of);
                &opcode::AsyncCancel::new(of).build().user_data(word)
            } else if self.owed < self.most - RESERVE
                && let Some(word) = self.waiting.pop_front()
            {
                let Some(flight) = self.flights.get_mut(word) else { continue };
                flight.put = self.put + 1;
                &flight.entry
            } else {
                return;
            };
            // An end is told once the operation has left `flights`: by `reap`, when the kernel has completed it (each has
            // one completion, no operation here has several); or by `give_up`, after which nobody enters the kernel,
            // which takes entries only then (there is no SQPOLL). The ring is not closed before `flights` is empty: see
            // `Drop`.
            // SAFETY: a cancellation names no memory, nor does a poll (see `give`). The other entries were made by
            // `entry` of operations whose submitter promised that what they name stays valid until their end is told,
            // and by the above the kernel is done with it then.
            if unsafe { queue.push(entry) }.is_err() {
                unreachable!("the queue is not full");
            }
            self.put += 1;
            self.queued += 1;
            self.owed += 1;
        }
    }

    /// Has the kernel take what is in the queue. Returns whether it took any.
    fn enter(&mut self) -> bool {
        !self.broken && self.entered(|ring, _| ring.submit()).unwrap_or(false)
    }

    /// Has the kernel take what is in the queue, and do what it has put off. With `wait`, it then waits until there is
    /// a completion, for so long at most (`None`: without limit), or for a signal.
    ///
    /// # Errors
    /// Where the kernel no longer takes anything.
    pub(super) fn enter_for_events(&mut self, wait: bool, time: Option<Duration>) -> io::Result<bool> {
        if self.broken {
            return Err(Errno::PERM.into());
        }
        self.entered(|ring, queued| {
            // The kernel adds it to the time of day without a look.
            let time = time.map(|time| types::Timespec::from(time.min(Duration::from_secs(1 << 30))));
            let args = types::SubmitArgs::new();
            let args = time.as_ref().map_or(args, |time| args.timespec(time));
            let mut flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
            flags.set(EnterFlags::NO_IOWAIT, ring.params().is_feature_no_iowait());
            // SAFETY: the arguments are those that the flags announce, and stay until the call returns; what the
            // queue holds is valid: see `fill`.
            unsafe { ring.submitter().enter(queued, u32::from(wait), flags.bits(), Some(&args)) }
        })
    }

    /// Whether the kernel waits to be asked for completions before it goes on.
    fn puts_off(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    fn entered(&mut self, enter: impl FnOnce(&IoUring, u32) -> io::Result<usize>) -> io::Result<bool> {
        let queued = self.ring.submission().len();
        let failed = match enter(&self.ring, queued as u32) {
            Ok(_) => None,
            Err(e) => match Errno::from_io_error(&e) {
                // It may go later; the time is over; completions were lost, of which `lost` tells.
                Some(Errno::INTR | Errno::AGAIN | Errno::BUSY | Errno::NOMEM | Errno::TIME | Errno::BADR) => None,
                _ => Some(e),
            },
        };
        let left = self.ring.submission().len();
        let taken = std::mem::replace(&mut self.queued, left) > left;
        match failed {
            Some(e) => {
                self.give_up(&e);
                Err(e)
            }
            None => Ok(taken),
        }
    }

    /// Ends, with an error, all that the kernel has not taken, and takes no more: io_uring was forbidden meanwhile.
    fn give_up(&mut self, error: &io::Error) {
        self.broken = true;
        let left = std::mem::take(&mut self.queued);
        let first_left = self.put - left as u64 + 1;
        let words = self.flights.iter_mut().filter(|flight| flight.put == 0 || flight.put >= first_left);
        let mut words: Vec<_> =
            words.map(|flight| (flight.put.wrapping_sub(1), flight.entry.get_user_data())).collect();
        // In the order in which they would have begun; those that wait come after those in the queue.
        words.sort_unstable();
        for (_, word) in words {
            self.flights.remove(word);
            let error = error.raw_os_error().map_or(io::ErrorKind::Other.into(), io::Error::from_raw_os_error);
            self.ended.push((Key::from_u64(word), error));
        }
        self.waiting.clear();
        self.cancels.clear();
    }

    /// Takes what has ended.
    pub(super) fn reap(&mut self, batch: &mut Batch) {
        self.reap_beside(batch, |_, _, _| {});
    }

    /// Takes what has ended, and hands on the completions of what is no operation.
    pub(super) fn reap_beside(&mut self, batch: &mut Batch, mut others: impl FnMut(&mut Batch, Other, &cqueue::Entry)) {
        for (key, error) in self.ended.drain(..) {
            batch.push(Event::Done { key, result: Err(error) });
        }
        for completion in self.ring.completion() {
            if let Some(other) = Other::of(completion.user_data()) {
                others(batch, other, &completion);
                continue;
            }
            self.owed -= 1;
            let (word, result) = (completion.user_data(), completion.result());
            if Key::from_u64(word).slot() == CANCEL {
                // Not found: between two attempts of its, where it has not completed. Asked again.
                let of = self.cancelling.remove(&word);
                self.cancels.extend(of.filter(|_| result == -Errno::NOENT.raw_os_error()));
                continue;
            }
            // Apart from errors, so that it is written in one piece: there are many of these.
            if let Ok(moved) = usize::try_from(result) {
                if self.flights.remove(word) {
                    batch.push(Event::Done { key: Key::from_u64(word), result: Ok(moved) });
                }
                continue;
            }
            let Some(flight) = self.flights.get_mut(word) else { continue };
            let interrupted = -result == Errno::INTR.raw_os_error() || RESTART.contains(&-result);
            if interrupted && !flight.cancelled && !self.broken {
                flight.put = 0;
                self.waiting.push_front(word);
                continue;
            }
            self.flights.remove(word);
            let error = if interrupted { Errno::CANCELED.into() } else { io::Error::from_raw_os_error(-result) };
            batch.push(Event::Done { key: Key::from_u64(word), result: Err(error) });
        }
        // The end of one that its cancellation did not find may have come since.
        let flights = &self.flights;
        self.cancels.retain(|of| flights.contains(*of));
    }

    /// Lets go of it in a child process: the queues are shared with the parent, and not to be touched again.
    pub(super) fn abandon(&mut self) {
        self.is_parents = true;
    }

    /// Cancels everything and waits until nothing is under way.
    pub(super) fn close(&mut self, batch: &mut Batch) {
        for word in self.waiting.drain(..) {
            self.flights.remove(word);
            self.ended.push((Key::from_u64(word), Errno::CANCELED.into()));
        }
        // For how many attempts more the kernel may refuse what is in the queue, for the want of memory, say.
        let mut patience = 50;
        loop {
            // Not once only: who is between two attempts is missed.
            if self.cancels.is_empty() {
                for flight in self.flights.iter_mut() {
                    flight.cancelled = true;
                    self.cancels.push_back(flight.entry.get_user_data());
                }
            }
            self.start();
            // It may leave the rest of its work to calls that ask for completions.
            if self.puts_off() {
                let _ = self.enter_for_events(false, None);
            }
            self.reap(batch);
            if self.flights.is_empty() {
                return;
            }
            // Also where the kernel cannot be entered any more: what it has is completed all the same.
            let refused = !self.broken && self.queued > 0;
            if refused && patience == 0 {
                // What it has never taken it does not work on; nor can it be asked to cancel what it has.
                self.give_up(&Errno::CANCELED.into());
                continue;
            }
            patience -= u32::from(refused);
            let time = Timespec { tv_sec: 0, tv_nsec: if self.has_more() && !refused { 0 } else { 20_000_000 } };
            let _ = poll(&mut [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)], Some(&time));
            self.reap(batch);
        }
    }
}

/// Polls beside the operations.
#[cfg(feature = "uring")]
impl Ring {
    /// Whether entering the kernel would find nothing new: it has taken all, and puts nothing off.
    pub(super) fn is_at_rest(&mut self) -> bool {
        self.ring.submission().is_empty() && !self.puts_off()
    }

    /// Whether the kernel has left something in the queue.
    pub(super) fn has_queued(&self) -> bool {
        self.queued > 0
    }

    pub(super) fn has_flights(&self) -> bool {
        !self.flights.is_empty()
    }

    /// Whether it is the parent's, in a child process.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_parents
    }

    /// Whether the kernel has put completions aside, for which there was no room.
    pub(super) fn has_put_aside(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Puts a poll(2) of a descriptor into the queue: of one completion, or, with `edges`, of one for each change,
    /// until one without [`more`](cqueue::more). They come to `others` of [`reap_beside`](Self::reap_beside). Returns
    /// `false` where there is no room to be had.
    pub(super) fn give_poll(&mut self, of: Other, fd: FdNumber, events: u32, edges: bool) -> bool {
        self.give(opcode::PollAdd::new(types::Fd(fd), events).multi(edges).build().user_data(of.word()))
    }

    /// Puts the end of a poll into the queue. How that went is told as of [`Other::IGNORED`]; the poll itself, where it
    /// was found, by `ECANCELED`.
    pub(super) fn give_up_poll(&mut self, of: Other) -> bool {
        // It ends also one that is just being told of, which an IORING_OP_POLL_REMOVE refuses (`EALREADY`).
        self.give(opcode::AsyncCancel::new(of.word()).build().user_data(Other::IGNORED.word()))
    }

    /// Puts into the queue what names no memory and is no operation.
    fn give(&mut self, entry: squeue::Entry) -> bool {
        while !self.broken {
            // SAFETY: it names no memory.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                self.put += 1;
                self.queued += 1;
                return true;
            }
            if !self.enter() {
                break;
            }
        }
        false
    }

    /// How many completions the kernel has lost so far.
    pub(super) fn lost(&mut self) -> u32 {
        self.ring.completion().overflow()
    }
}

impl AsFd for Ring {
    /// Readable while there is something to reap.
    fn as_fd(&self) -> Fd<'_> {
        // SAFETY: the ring has its descriptor open for as long as `self` is borrowed.
        unsafe { Fd::borrow_raw(self.ring.as_raw_fd()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if !self.is_parents {
            self.close(&mut Batch::default());
        }
    }
}

fn clamp(len: usize) -> u32 {
    len.min(MOST) as u32
}

/// Whether pread(2) takes it. As an offset of the ring's, a greater one may mean the file's own position.
fn is_offset(at: u64) -> bool {
    at <= i64::MAX as u64
}

/// Whether reads from it know no position, without asking a file server.
///
/// # Safety
/// It must be open.
unsafe fn has_no_position(fd: FdNumber) -> bool {
    use rustix::fs::{FileType, statx};
    // SAFETY: the caller's promise.
    let fd = unsafe { Fd::borrow_raw(fd) };
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    statx(fd, c"", flags, StatxFlags::TYPE)
        .is_ok_and(|found| matches!(FileType::from_raw_mode(found.stx_mode.into()), FileType::Fifo | FileType::Socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::RawName;
    use std::ptr::{null, null_mut};

    /// The table in the documentation of [`op`](crate::op) is that of what the ring takes.
    #[test]
    fn the_table_of_who_serves_is_true() {
        let Ok(mut ring) = Ring::new() else {
            return println!("SKIP: the_table_of_who_serves_is_true: no io_uring here");
        };
        let (name, at, fd) = (RawName::relative_to_cwd(c"".as_ptr()), Some(0), 0);
        let (from, to) = (name, name);
        let open = |resolve| RawOp::Open { name, flags: 0, mode: 0, resolve };
        let rows = [
            ("[`Read`], [`Write`] at an offset", RawOp::Read { fd, buf: null_mut(), len: 0, at }),
            ("[`Read`], [`Write`] at an offset", RawOp::Write { fd, buf: null(), len: 0, at }),
            ("[`ReadVectored`], [`WriteVectored`] at", RawOp::ReadVectored { fd, bufs: null(), count: 0, at }),
            ("[`ReadVectored`], [`WriteVectored`] at", RawOp::WriteVectored { fd, bufs: null(), count: 0, at }),
            ("those four at the file's own", RawOp::Write { fd, buf: null(), len: 0, at: None }),
            ("those four at the file's own", RawOp::WriteVectored { fd, bufs: null(), count: 0, at: None }),
            ("[`Sync`]", RawOp::Sync { fd, data_only: true }),
            ("[`SetLen`]", RawOp::SetLen { fd, len: 0 }),
            ("[`Allocate`]", RawOp::Allocate { fd, mode: 0, offset: 0, len: 1 }),
            ("[`Advise`]", RawOp::Advise { fd, advice: becket_sys::file::Advice::WillNeed, offset: 0, len: 1 }),
            ("[`Carry::splice`]", RawOp::Splice { from: (0, None), to: (1, at), len: 1 }),
            ("[`Carry::copy_range`]", RawOp::CopyRange { from: (0, None), to: (1, at), len: 1 }),
            ("[`Open`] |", open(0)),
            ("[`Open`] with [`Resolve`]", open(8)),
            ("[`Stat`], [`StatFile`]", RawOp::Stat { name, flags: 0, into: null_mut() }),
            ("[`Unlink`]", RawOp::Unlink { name, dir: false }),
            ("[`Rename`]", RawOp::Rename { from, to, flags: 0 }),
            ("[`MakeDir`]", RawOp::MakeDir { name, mode: 0 }),
            ("[`Link`]", RawOp::Link { from, to, flags: 0 }),
            ("[`Link`]", RawOp::Symlink { target: null(), name }),
            ("[`Call`], [`read_dir`]", RawOp::Call(Box::new(|| Ok(0)))),
        ];
        for (what, op) in rows {
            let row = include_str!("../op.rs").lines().find(|line| line.starts_with(&format!("//! | {what}"))).unwrap();
            let (shown, key) = (format!("{op:?}"), Key::new(0, 0));
            // SAFETY: the descriptor is that of the standard input, and nothing is carried out: it is cancelled before
            // it could begin.
            let by_ring = unsafe { ring.submit(key, op) }.is_ok();
            ring.cancel(key);
            // An older kernel has less than the table tells.
            assert!(!by_ring || row.contains("| io_uring |"), "{shown}: {row}");
            let code = [opcode::Ftruncate::CODE, opcode::LinkAt::CODE, opcode::MkDirAt::CODE];
            if code.iter().all(|code| ring.probe.is_supported(*code)) {
                assert_eq!(by_ring, row.contains("| io_uring |"), "{shown}: {row}");
            }
        }
    }
}
