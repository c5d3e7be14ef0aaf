//! Random trees of fibers over sockets, datagrams, pipes, channels, files, processes and timers, which are cancelled, aborted, late, panic
//! and lose their peers at random, and a runtime that is dropped at any moment of that: every destructor runs once,
//! every byte that arrives is the right one, and no descriptor, fiber, mapping or memory is left.
//!
//! Without a harness: what the process holds is counted. `BECKET_CHAOS_SECONDS` says for how long to go on with other
//! seeds, `BECKET_CHAOS_SEED` which one alone to run.

mod common;

use becket_fiber::process::Command;
use becket_fiber::sync::{Mutex, Received, RwLock, Semaphore, broadcast, channel, oneshot, watch};
use becket_fiber::{
    Builder, File, Io, JoinHandle, Ready, Runtime, backend, block_on, copy, fibers, is_cancelled, net, pipe, report,
    scope, select, shield, sleep, spawn, timeout, unblock, yield_now,
};
use common::quiet_panic;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

/// How deep fibers stand in fibers.
const DEPTH: u32 = 4;
/// Longer than any seed takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code, reason = "an allocator that counts")]
// SAFETY: all is left to the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct World {
    random: Cell<u64>,
    /// Whether it was dropped, of every witness that there ever was.
    witnesses: RefCell<Vec<bool>>,
    dropped_twice: Cell<u32>,
    /// Steps that are left to be done.
    left: Cell<u32>,
    handles: RefCell<Vec<JoinHandle<io::Result<()>>>>,
    folder: PathBuf,
    /// What happened, by kind.
    tally: RefCell<BTreeMap<&'static str, u32>>,
}

type W = Rc<World>;

struct Witness(W, usize);

impl Drop for Witness {
    fn drop(&mut self) {
        if std::mem::replace(&mut self.0.witnesses.borrow_mut()[self.1], true) {
            self.0.dropped_twice.set(self.0.dropped_twice.get() + 1);
        }
    }
}

impl World {
    fn below(&self, n: u64) -> u64 {
        let next = self.random.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random.set(next);
        (next >> 33) % n.max(1)
    }

    fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn moment(&self) -> Duration {
        Duration::from_micros(self.below(600))
    }

    fn witness(self: &Rc<Self>) -> Witness {
        let mut all = self.witnesses.borrow_mut();
        all.push(false);
        Witness(self.clone(), all.len() - 1)
    }

    fn count(&self, what: &'static str) {
        *self.tally.borrow_mut().entry(what).or_default() += 1;
    }
}

/// What a fiber does: a few steps. It may go on after an error, but not for long.
fn node(w: &W, depth: u32) -> io::Result<()> {
    let _witness = w.witness();
    for _ in 0..=w.below(5) {
        if w.left.get() == 0 {
            return Ok(());
        }
        w.left.set(w.left.get() - 1);
        let done = match w.below(12) {
            0 => timeout(w.moment(), || step(w, depth)),
            1 => shield(|| timeout(w.moment() * 3, || step(w, depth))),
            2 => catch_unwind(AssertUnwindSafe(|| step(w, depth))).unwrap_or(Ok(())), // of an abort, too
            _ => step(w, depth),
        };
        if let Err(e) = done {
            w.count(expected(&e));
            if !w.one_in(4) {
                return Err(e);
            }
        }
    }
    Ok(())
}

/// The kind of an error that may come of cancels, deadlines and peers that vanish; there must be no other.
fn expected(e: &io::Error) -> &'static str {
    match e.kind() {
        io::ErrorKind::TimedOut => "too late",
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => "peer is gone",
        io::ErrorKind::UnexpectedEof => "early end",
        io::ErrorKind::Other if is_cancelled(e) => "cancelled",
        io::ErrorKind::Other if e.raw_os_error().is_none() => match e.to_string() {
            text if text.contains("panicked") => "panicked",
            text if text.contains("shuts down") => "shutdown",
            text => panic!("unexpected error: {text}"),
        },
        _ => panic!("unexpected error: {e:?}"),
    }
}

fn step(w: &W, depth: u32) -> io::Result<()> {
    let leaf = depth >= DEPTH;
    match w.below(25) {
        0..=2 if !leaf => family(w, depth),
        3 if !leaf => {
            let (other, big) = (w.clone(), w.one_in(8));
            let builder = Builder::new().name("stray").stack_size(if big { 1 << 20 } else { 64 << 10 });
            let handle = builder.spawn(move || node(&other, depth + 1))?;
            w.handles.borrow_mut().push(handle);
            Ok(())
        }
        0..=4 => sleep(w.moment()),
        5 => {
            let (a, b) = UnixStream::pair()?;
            converse(w, Io::new(a)?, Io::new(b)?)
        }
        6 => {
            let (reader, writer) = pipe::pair()?;
            converse(w, reader, writer)
        }
        7 => over_tcp(w),
        8 | 9 => by_channel(w),
        10 if w.one_in(2) => with_readers(w),
        10 => with_locks(w),
        11 => with_a_file(w),
        12 => {
            let nap = w.moment() / 4;
            let _lent = w.witness();
            unblock(|| thread::sleep(nap))
        }
        13 => block_on(async {
            let _witness = w.witness();
            for _ in 0..w.below(4) {
                futures_lite::future::yield_now().await;
            }
            if w.one_in(4) {
                let other = w.clone();
                if let Ok(fiber) = spawn(move || node(&other, DEPTH)) {
                    let _ = fiber.await;
                }
            }
        }),
        14 => meddle(w),
        15 if w.one_in(3) => quiet_panic(),
        16 => {
            // Waits for nothing, and may be cancelled by whoever was told of it.
            let (a, _b) = UnixStream::pair()?;
            let a = Io::new(a)?;
            a.set_read_timeout(Some(w.moment().max(Duration::from_micros(1))))?;
            match (&a).read(&mut [0]) {
                Err(e) => Err(e),
                Ok(n) => panic!("{n} bytes out of nothing"),
            }
        }
        18 => choose(w),
        19 => relay(w),
        21 => by_datagrams(w),
        22 if w.one_in(3) => with_a_child(w),
        23 => by_broadcast(w),
        24 => by_watch(w),
        17 if w.one_in(2) => report(w.one_in(4)).map(drop),
        _ => {
            yield_now();
            Ok(())
        }
    }
}

/// A scope with children, of which some are stopped, joined, or let go of.
fn family(w: &W, depth: u32) -> io::Result<()> {
    let stack_data = [w.below(1000); 4];
    let own = w.witness();
    let result = scope(|s| {
        let mut children = Vec::new();
        for _ in 0..=w.below(3) {
            let (data, own) = (&stack_data, &own);
            let child = move || {
                let before = data[0];
                let result = node(&own.0, depth + 1);
                assert_eq!(data, &[before; 4], "the parent's frame is not what it was");
                assert!(!own.0.witnesses.borrow()[own.1], "the parent has ended before its child");
                result.map(|()| own.0.witness())
            };
            children.push(if w.one_in(2) { s.spawn(child)? } else { s.spawn_or_cancel(child)? });
        }
        let mut result = Ok(());
        for child in children {
            match w.below(6) {
                0 => child.cancel(),
                1 => child.abort()?,
                2 => sleep(w.moment())?,
                3 => drop(child),
                _ => result = child.join()?.map(drop),
            }
        }
        if w.one_in(8) {
            s.cancel();
        }
        if w.one_in(10) {
            quiet_panic();
        }
        result
    });
    drop(own);
    result
}

/// Cancels or aborts some fiber, waits for it, or lets go of it.
fn meddle(w: &W) -> io::Result<()> {
    let handle = {
        let mut handles = w.handles.borrow_mut();
        let len = handles.len() as u64;
        if len == 0 {
            return Ok(());
        }
        handles.swap_remove(w.below(len) as usize)
    };
    match w.below(4) {
        0 => handle.cancel(),
        1 => handle.abort()?,
        2 => drop(handle),
        // Its own handle is not waited for.
        _ if Some(handle.id()) == becket_fiber::current_id() => {}
        _ => return timeout(w.moment(), || handle.join())?,
    }
    Ok(())
}

fn byte(key: u64, at: usize) -> u8 {
    (at as u64 * 31 + at as u64 / 251 + key) as u8
}

/// One fiber writes, another reads, and either may vanish in the middle.
fn converse(w: &W, mut reader: impl Read, mut writer: impl Write) -> io::Result<()> {
    let (key, total) = (w.below(256), w.below(200_000) as usize);
    let cut = |w: &W| if w.one_in(4) { w.below(total as u64 + 1) as usize } else { total };
    let (sends, takes) = (cut(w), cut(w));
    let (sent, got) = scope(|s| {
        let sending = s.spawn(move || {
            let _witness = w.witness();
            let mut at = 0;
            while at < sends {
                let len = (1 + w.below(50_000) as usize).min(sends - at);
                let bytes: Vec<u8> = (at..at + len).map(|at| byte(key, at)).collect();
                at += writer.write(&bytes)?;
            }
            Ok::<_, io::Error>(at)
        })?;
        let reading = s.spawn(move || {
            let _witness = w.witness();
            let (mut at, mut buf) = (0, [0; 3000]);
            while at < takes {
                let room = 1 + w.below(buf.len() as u64 - 1) as usize;
                let n = reader.read(&mut buf[..room])?;
                assert!((0..n).all(|n| buf[n] == byte(key, at + n)), "wrong bytes after {at}");
                if n == 0 {
                    break;
                }
                at += n;
            }
            Ok::<_, io::Error>(at)
        })?;
        match w.below(10) {
            0 => sending.cancel(),
            1 => reading.abort()?,
            _ => {}
        }
        Ok::<_, io::Error>((sending.join()?, reading.join()?))
    })?;
    if let (Ok(sent), Ok(got)) = (&sent, &got) {
        assert!(got >= sent || takes < sends, "{got} of {sent} bytes came");
        w.count("conversation");
    }
    // Who takes less than there is, is gone, which the other one may be told.
    sent.and(got).map(drop)
}

fn over_tcp(w: &W) -> io::Result<()> {
    let listener = net::TcpListener::bind(([127, 0, 0, 1], 0))?;
    let addr = listener.local_addr()?;
    scope(|s| {
        let accepting = s.spawn(|| listener.accept())?;
        let near = net::TcpStream::connect_addr(addr)?;
        if w.one_in(5) {
            return Ok(()); // and is gone
        }
        let (far, _) = accepting.join()??;
        converse(w, near, far)
    })
}

fn by_channel(w: &W) -> io::Result<()> {
    let (sender, receiver) = channel(w.below(4) as usize);
    let (sends, takes) = (w.below(30), if w.one_in(3) { w.below(30) } else { 100 });
    scope(|s| {
        for _ in 0..=w.below(2) {
            let sender = sender.clone();
            s.spawn_or_cancel(move || {
                for n in 0..sends {
                    // What is not sent comes back, and is dropped here.
                    if let Err(refused) = sender.send((n, w.witness())) {
                        return Err(refused.into());
                    }
                }
                Ok::<_, io::Error>(())
            })?;
        }
        drop(sender);
        let mut last = 0;
        for _ in 0..takes {
            match receiver.recv()? {
                Some((n, _witness)) => last = last.max(n),
                None => return Ok(()),
            }
            if w.one_in(20) {
                sleep(w.moment())?;
            }
        }
        drop(receiver);
        Ok(())
    })
}

/// Datagrams arrive whole, and in order on the loopback device, but for those that find no room.
fn by_datagrams(w: &W) -> io::Result<()> {
    let (near, far) = (net::UdpSocket::bind(([127, 0, 0, 1], 0))?, net::UdpSocket::bind(([127, 0, 0, 1], 0))?);
    let to = far.local_addr()?;
    let (key, sends) = (w.below(256), w.below(40) as usize);
    scope(|s| {
        let sending = s.spawn_or_cancel(|| {
            let _witness = w.witness();
            for at in 0..sends {
                let datagram: Vec<u8> = (0..=at * 7).map(|n| byte(key, at + n)).collect();
                near.send_to(&datagram, to)?;
                if w.one_in(5) {
                    sleep(w.moment() / 4)?;
                }
            }
            Ok::<_, io::Error>(())
        })?;
        let (mut next, mut buf) = (0, [0; 300]);
        far.set_read_timeout(Some(w.moment().max(Duration::from_micros(1))))?;
        while next < sends && !w.one_in(40) {
            let (received, from) = match far.recv_from(&mut buf) {
                Err(e) if e.kind() == io::ErrorKind::TimedOut && sending.is_finished() => break,
                received => received?,
            };
            assert_eq!(from, near.local_addr()?);
            let datagram = &buf[..received.len()];
            let at = (datagram.len() - 1) / 7;
            assert!(at >= next && datagram.len() == at * 7 + 1, "{} bytes after datagram {next}", datagram.len());
            assert!((0..datagram.len()).all(|n| datagram[n] == byte(key, at + n)), "wrong bytes in datagram {at}");
            next = at + 1;
        }
        w.count("datagrams");
        Ok(())
    })
}

/// A process, which is spoken to, killed, or left to itself with all that belongs to it.
fn with_a_child(w: &W) -> io::Result<()> {
    let piped = std::process::Stdio::piped;
    let mut command = Command::new("cat");
    let mut child = command.stdin(piped()).stdout(piped()).kill_on_drop(true).spawn()?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (Some(input), Some(output)) = (input, output) else { panic!("both were asked for") };
    let _witness = w.witness();
    match w.below(4) {
        0 => return Ok(()),
        1 => child.kill()?,
        _ => converse(w, output, input)?,
    }
    child.wait()?;
    w.count("child");
    Ok(())
}

/// Each receiver gets all values in order, but for those that it was too late for, of which it is told how many.
fn by_broadcast(w: &W) -> io::Result<()> {
    let (sender, first) = broadcast(1 + w.below(4) as usize);
    let sends = w.below(30);
    scope(|s| {
        for mut receiver in [first, sender.subscribe()] {
            s.spawn_or_cancel(move || {
                let _witness = w.witness();
                let mut next = 0;
                loop {
                    match receiver.recv()? {
                        Received::Value((n, _witness)) => {
                            assert_eq!(n, next, "a value is missing, or came twice");
                            next += 1;
                        }
                        Received::Lagged(n) => next += n,
                        Received::Closed => break,
                    }
                    if w.one_in(4) {
                        sleep(w.moment() / 4)?;
                    }
                }
                assert!(next <= sends);
                Ok::<_, io::Error>(())
            })?;
        }
        for n in 0..sends {
            let _ = sender.send((n, Rc::new(w.witness())));
            if w.one_in(2) {
                sleep(w.moment() / 8)?;
            }
        }
        drop(sender);
        w.count("broadcast");
        Ok(())
    })
}

/// A value that changes: who watches sees the newest, and never an older one after it.
fn by_watch(w: &W) -> io::Result<()> {
    let (sender, first) = watch((0, w.witness()));
    let sends = w.below(30);
    scope(|s| {
        for mut receiver in [first.clone(), first] {
            s.spawn_or_cancel(move || {
                let _witness = w.witness();
                let mut last = 0;
                while receiver.changed()? {
                    let now = receiver.get().0;
                    assert!(now >= last && now <= sends, "{now} came after {last}");
                    last = now;
                    if w.one_in(4) {
                        sleep(w.moment() / 4)?;
                    }
                }
                Ok::<_, io::Error>(())
            })?;
        }
        for n in 1..=sends {
            sender.send((n, w.witness()));
            if w.one_in(2) {
                sleep(w.moment() / 8)?;
            }
        }
        drop(sender);
        w.count("watch");
        Ok(())
    })
}

fn with_locks(w: &W) -> io::Result<()> {
    let (mutex, holders) = (Mutex::new(0), Cell::new(0));
    scope(|s| {
        for _ in 0..3 {
            s.spawn_or_cancel(|| {
                let mut guard = mutex.lock()?;
                assert_eq!(holders.replace(1), 0, "two hold one mutex");
                struct Leaves<'a>(&'a Cell<i32>);
                impl Drop for Leaves<'_> {
                    fn drop(&mut self) {
                        self.0.set(0);
                    }
                }
                let leaves = Leaves(&holders);
                *guard += 1;
                if w.one_in(2) {
                    sleep(w.moment() / 4)?;
                }
                drop(leaves);
                drop(guard);
                Ok::<_, io::Error>(())
            })?;
        }
        timeout(w.moment() * 4, || {
            while *mutex.lock()? < 3 {
                sleep(Duration::from_micros(50))?;
            }
            Ok(())
        })
    })
}

fn with_readers(w: &W) -> io::Result<()> {
    let (lock, inside) = (RwLock::new(0), Cell::new((0, 0)));
    struct Inside<'a>(&'a Cell<(i32, i32)>, (i32, i32));
    impl<'a> Inside<'a> {
        fn enter(all: &'a Cell<(i32, i32)>, own: (i32, i32)) -> Self {
            all.set((all.get().0 + own.0, all.get().1 + own.1));
            Inside(all, own)
        }
    }
    impl Drop for Inside<'_> {
        fn drop(&mut self) {
            let (all, own) = (self.0.get(), self.1);
            self.0.set((all.0 - own.0, all.1 - own.1));
        }
    }
    let ended = scope(|s| {
        for _ in 0..=w.below(5) {
            let (lock, inside) = (&lock, &inside);
            s.spawn_or_cancel(move || {
                if w.one_in(3) {
                    let mut guard = lock.write()?;
                    let _inside = Inside::enter(inside, (0, 1));
                    assert_eq!(inside.get(), (0, 1), "a writer is not alone");
                    *guard += 1;
                    sleep(w.moment() / 4)
                } else {
                    let _guard = lock.read()?;
                    let _inside = Inside::enter(inside, (1, 0));
                    assert_eq!(inside.get().1, 0, "a reader is beside a writer");
                    sleep(w.moment() / 4)
                }
            })?;
        }
        sleep(w.moment())
    });
    assert_eq!(inside.get(), (0, 0));
    assert!(lock.try_write().is_some(), "the lock is lost");
    ended
}

/// Waits for several things at once; what is not chosen is left as it is.
fn choose(w: &W) -> io::Result<()> {
    let permits = Semaphore::new(2);
    let (a, b) = UnixStream::pair()?;
    let (a, b) = (Io::new(a)?, Io::new(b)?);
    let ended = scope(|s| {
        let (sender, receiver) = channel(1);
        let (answer, answered) = oneshot();
        let feeding = s.spawn(move || {
            let mut sent = 0;
            for _ in 0..w.below(5) {
                sender.send(w.witness())?;
                sent += 1;
                sleep(w.moment() / 4)?;
            }
            if w.one_in(2) {
                drop(answer.send(w.witness()));
            }
            Ok::<_, io::Error>(sent)
        })?;
        s.spawn_or_cancel(|| {
            sleep(w.moment())?;
            (&b).write_all(b"1")
        })?;
        s.spawn_or_cancel(|| {
            let _permit = permits.acquire_many(1 + w.below(2) as usize)?;
            sleep(w.moment() / 2)
        })?;
        let mut got = 0;
        for _ in 0..w.below(12) {
            let goes_on = select! {
                value = receiver.on_recv() => {
                    got += u32::from(value.is_some());
                    value.is_some()
                },
                // Given, or nobody is left who could.
                _answer = answered.on_recv() => false,
                permit = permits.on_permits(2) => match permit {
                    Ok(_permit) => sleep(w.moment() / 8).is_ok(),
                    Err(_) => false,
                },
                _ready = a.on_ready(Ready::READ) => (&a).read(&mut [0; 4]).is_ok(),
                _ = select::after(w.moment()) => true,
            }?;
            if !goes_on {
                break;
            }
        }
        if w.one_in(2) {
            while let Some(_witness) = receiver.recv()? {
                got += 1;
            }
            if let Ok(sent) = feeding.join()? {
                assert_eq!(got, sent, "a value was lost, or came twice");
                w.count("choice");
            }
        }
        Ok(())
    });
    assert_eq!(permits.available(), 2, "a permit is lost");
    ended
}

/// A conversation by way of a fiber between, through the kernel where that can.
fn relay(w: &W) -> io::Result<()> {
    let ((near, middle), (other, far)) = (net::UnixStream::pair()?, pipe::pair().map(|(r, w)| (w, r))?);
    scope(|s| {
        s.spawn(move || {
            let _witness = w.witness();
            copy(&middle, &other)
        })?;
        converse(w, far, near)
    })
}

fn with_a_file(w: &W) -> io::Result<()> {
    let (key, len) = (w.below(256), 1 + w.below(20_000) as usize);
    let at = w.below(5000);
    let file = File::open_with(fs::OpenOptions::new().read(true).write(true).create(true), w.folder.join("file"))?;
    // On the stack, and in the kernel's hands.
    let mut bytes = [0u8; 20_000];
    (0..len).for_each(|n| bytes[n] = byte(key, n));
    let n = file.write_at(&bytes[..len], at)?;
    assert_eq!(n, len);
    let n = file.read_at(&mut bytes, at)?;
    assert!(n > 0);
    if w.one_in(3) {
        file.sync_data()?;
    }
    w.count("file");
    Ok(())
}

/// What the process holds beside memory.
fn descriptors() -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string());
    let mut all: Vec<_> = fs::read_dir("/proc/self/fd").unwrap().filter_map(name).collect();
    all.retain(|name| !name.ends_with("/fd"));
    all.sort();
    all
}

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

fn pages() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').next().unwrap().parse().unwrap()
}

/// How a seed ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// When all that was begun is over.
    Over,
    /// At a time that chance says, by a drop.
    Dropped,
    /// Likewise, by a panic of the main fiber.
    Panic,
}

fn run(seed: u64, steps: u32, folder: &Path, total: &mut BTreeMap<&'static str, u32>) {
    let before = descriptors();
    let w: W = Rc::new(World {
        random: Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        witnesses: RefCell::default(),
        dropped_twice: Cell::new(0),
        left: Cell::new(steps),
        handles: RefCell::default(),
        folder: folder.into(),
        tally: RefCell::default(),
    });
    let builder = Runtime::builder().grace(PATIENCE);
    let builder = match seed % 3 {
        0 => builder.backend(backend::Poll::new().unwrap()),
        _ => builder.backend(backend::Epoll::new().unwrap()),
    };
    let mut rt = builder.build().unwrap();
    let end = match w.below(3) {
        0 => End::Over,
        1 => End::Dropped,
        _ => End::Panic,
    };
    let stop_after = Duration::from_micros(w.below(30_000));
    let main = || {
        let begun = Instant::now();
        let mut roots = Vec::new();
        loop {
            if roots.len() < 8 && w.left.get() > 0 {
                let other = w.clone();
                roots.push(spawn(move || node(&other, 0)).unwrap());
            }
            sleep(Duration::from_micros(100)).unwrap();
            if w.one_in(40) && !roots.is_empty() {
                let at = w.below(roots.len() as u64) as usize;
                if w.one_in(2) { roots[at].cancel() } else { roots[at].abort().unwrap() }
            }
            roots.retain(|root| !root.is_finished());
            let over = w.left.get() == 0 && fibers().len() == 1;
            if over || end != End::Over && begun.elapsed() >= stop_after {
                break;
            }
        }
        if end == End::Panic {
            quiet_panic();
        }
    };
    let ended = catch_unwind(AssertUnwindSafe(|| rt.run(main)));
    assert_eq!(ended.is_err(), end == End::Panic);
    if end == End::Over {
        assert_eq!(rt.fibers().len(), 0);
    } else if w.one_in(3) {
        // A little more of it, from where it stood.
        let _ = rt.run(|| sleep(w.moment()));
    }
    let left = rt.shutdown();
    assert!(left.is_ok(), "{left:?}");
    w.handles.borrow_mut().clear();
    let witnesses = w.witnesses.borrow();
    let alive = witnesses.iter().filter(|dropped| !**dropped).count();
    assert_eq!((alive, w.dropped_twice.get()), (0, 0), "of {} witnesses", witnesses.len());
    assert_eq!(Rc::strong_count(&w), 1, "somebody is alive");
    // The thread that reaps processes which were let go of ends soon after the last of them.
    let late = Instant::now() + Duration::from_secs(20);
    while descriptors() != before && Instant::now() < late {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(descriptors(), before);
    *total.entry("witness").or_default() += witnesses.len() as u32;
    for (what, n) in w.tally.borrow().iter() {
        *total.entry(what).or_default() += n;
    }
}

/// Ends the process where a seed does not end.
fn watch_over(seed: &'static AtomicU64) {
    thread::spawn(move || {
        let (mut seen, mut since) = (u64::MAX, Instant::now());
        loop {
            thread::sleep(Duration::from_secs(1));
            let now = seed.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() > PATIENCE {
                eprintln!("seed {seen} hangs");
                process::abort();
            }
        }
    });
}

/// Whether anything panicked that was not to: quiet panics do not call the hook.
static FAILED: AtomicBool = AtomicBool::new(false);

const TESTS: &[(&str, fn())] = &[("everything_at_random_leaves_nothing", everything_at_random_leaves_nothing)];

fn main() {
    common::run(TESTS);
}

fn everything_at_random_leaves_nothing() {
    static SEED: AtomicU64 = AtomicU64::new(0);
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let valgrind = env::var_os("BECKET_VALGRIND").is_some();
    let seconds = number("BECKET_CHAOS_SECONDS");
    let (first, seeds) = match (number("BECKET_CHAOS_SEED"), valgrind) {
        (Some(seed), _) => (seed, 1),
        (None, true) => (1, 6),
        (None, false) => (1, 30),
    };
    let steps = if valgrind { 60 } else { 400 };
    // Each thread would set some of the address space aside.
    #[allow(unsafe_code, reason = "an option of malloc(3)")]
    // SAFETY: no other thread runs yet.
    let one_arena = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    assert_eq!(one_arena, 1);
    let folder = env::temp_dir().join(format!("becket-chaos-{}", process::id()));
    fs::create_dir(&folder).unwrap();
    watch_over(&SEED);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        FAILED.store(true, Ordering::Relaxed);
        hook(info);
    }));
    let begun = Instant::now();
    let mut total = BTreeMap::new();
    let in_use = || (IN_USE.load(Ordering::Relaxed), mappings(), pages());
    let (mut seed, mut last, mut held) = (first, first + seeds, None);
    // Tables grow with the most that they ever held, which chance may raise late. What leaks grows each time.
    for again in 0.. {
        let goes_on = |seed: u64| match seconds.filter(|_| again == 0) {
            Some(seconds) => begun.elapsed().as_secs() < seconds,
            None => seed < last,
        };
        while goes_on(seed) {
            SEED.store(seed, Ordering::Relaxed);
            let ended = catch_unwind(AssertUnwindSafe(|| run(seed, steps, &folder, &mut total)));
            assert!(ended.is_ok() && !FAILED.load(Ordering::Relaxed), "with BECKET_CHAOS_SEED={seed}");
            seed += 1;
            // What is made once for the process is made by then.
            if seed == first + 5 {
                held = Some(in_use());
            }
        }
        println!("{} seeds in {:?}: {total:?}", seed - first, begun.elapsed());
        let Some((bytes, maps, page)) = held else { break };
        let now = in_use();
        println!("bytes {bytes} -> {}, mappings {maps} -> {}, pages {page} -> {}", now.0, now.1, now.2);
        let kept = now.0 < bytes + 16 * 1024 && now.1 < maps + 20 && (valgrind || now.2 < page + 3_000);
        if kept {
            break;
        }
        assert!(again < 3, "bytes, mappings or address space leak");
        (last, held) = (seed + seeds, Some(now));
    }
    let _ = fs::remove_dir_all(&folder);
}
