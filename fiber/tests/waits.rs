//! The table of `select`: each call that waits is ended by a cancel and by a deadline, and has the arm that it says.

mod common;

use becket_fiber::process::{Child, Command};
use becket_fiber::sync::*;
use becket_fiber::timer::{Clock, Timer};
use becket_fiber::{
    File, Io, JoinHandle, Ready, Remote, RemoteJoinHandle, block_on, interval, is_cancelled, scope, select, sleep,
    sleep_until, spawn, timeout,
};
use becket_sys::timer::When;
use common::{HOUR, each_backend, settle};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::rc::Rc;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(2);

/// One row of the table: something that is not there until it happens.
struct Row<T: 'static> {
    call: &'static str,
    make: fn() -> T,
    wait: fn(&T) -> io::Result<()>,
    /// Waits by the arm, for a time at most; whether the arm was chosen.
    armed: Option<fn(&T, Duration) -> io::Result<bool>>,
    happen: fn(&T),
}

impl<T> Row<T> {
    /// Tries the row; returns its name.
    fn holds(&'static self) -> &'static str {
        println!("{}", self.call);
        self.waits(self.wait);
        if let Some(armed) = self.armed {
            println!("{}, by its arm", self.call);
            assert!(!armed(&(self.make)(), SOON).unwrap(), "it has not happened");
            self.waits(move |thing| armed(thing, HOUR).map(|chosen| assert!(chosen, "the hour came first")));
        }
        self.call
    }

    fn waits(&'static self, wait: impl Fn(&T) -> io::Result<()> + Copy + 'static) {
        let late = timeout(SOON, || wait(&(self.make)())).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let begin = || {
            let thing = Rc::new((self.make)());
            settle();
            let waiting = spawn({
                let thing = Rc::clone(&thing);
                move || wait(&thing)
            });
            settle();
            let waiting = waiting.unwrap();
            assert!(!waiting.is_finished());
            (thing, waiting)
        };
        let (_thing, cancelled) = begin();
        cancelled.cancel();
        assert!(is_cancelled(&cancelled.join().unwrap().unwrap_err()));
        let (thing, waiting) = begin();
        (self.happen)(&thing);
        timeout(Duration::from_secs(20), || waiting.join()).unwrap().unwrap();
    }
}

/// What waits by an arm that a thing makes.
macro_rules! armed {
    (|$thing:ident| $(let $($lent:ident)+ = $by:expr;)? $arm:expr) => {
        Some(|$thing, limit| {
            $(let $($lent)+ = $by;)?
            select! {
                out = $arm => {
                    let _out = out;
                    true
                }
                () = select::after(limit) => false,
            }
        })
    };
}

macro_rules! row {
    ($type:ty: $($row:tt)+) => {{
        static ROW: Row<$type> = Row { $($row)+ };
        ROW.holds()
    }};
}

/// A lock that somebody has until the guard goes.
struct Held<L: 'static, G> {
    lock: &'static L,
    guard: Cell<Option<G>>,
}

impl<L, G> Held<L, G> {
    fn new(lock: L, guard: fn(&'static L) -> Option<G>) -> Self {
        let lock: &'static L = Box::leak(Box::new(lock));
        Held { lock, guard: Cell::new(guard(lock)) }
    }

    fn let_go(&self) {
        drop(self.guard.take());
    }
}

/// A fiber that goes on when it is told to; or that has been told, and is not there any more.
struct Told<H> {
    go: Rc<Event>,
    handle: RefCell<Option<H>>,
}

thread_local! {
    static REMOTE: RefCell<Option<Remote>> = const { RefCell::new(None) };
}

fn remote_fiber() -> (ThreadSender<()>, RefCell<Option<RemoteJoinHandle<()>>>) {
    let (sender, receiver) = thread_unbounded();
    let fiber = REMOTE.with_borrow(|remote| remote.as_ref().unwrap().spawn(move || drop(receiver.recv())));
    (sender, RefCell::new(Some(fiber.unwrap())))
}

fn cat() -> (Child, Cell<Option<becket_fiber::pipe::Writer>>) {
    let mut child = Command::new("cat").stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let input = child.stdin.take();
    (child, Cell::new(input))
}

type Guard<'a> = MutexGuard<'a, ()>;
type Reader = (Receiver<u8>, RefCell<Option<Sender<u8>>>);

fn rows() -> BTreeSet<&'static str> {
    BTreeSet::from([
        row!(Timer:
            call: "timer::Timer::next",
            make: || Timer::new(Clock::Monotonic).unwrap(),
            wait: |timer| timer.next().map(drop),
            armed: armed!(|timer| timer.on_ready(Ready::READ)),
            happen: |timer| timer.set(When::After(SOON), None).unwrap()
        ),
        row!((Io<UnixStream>, UnixStream):
            call: "Io::wait",
            make: || UnixStream::pair().map(|(near, far)| (Io::new(near).unwrap(), far)).unwrap(),
            wait: |(near, _)| near.wait(Ready::READ, None).map(drop),
            armed: armed!(|pair| pair.0.on_ready(Ready::READ)),
            happen: |(_, far)| (&*far).write_all(b"x").unwrap()
        ),
        row!((Child, Cell<Option<becket_fiber::pipe::Writer>>):
            call: "process::Child::wait",
            make: cat,
            wait: |(child, _)| child.wait().map(drop),
            armed: armed!(|cat| cat.0.on_ready(Ready::READ)),
            happen: |(_, input)| drop(input.take())
        ),
        row!(Told<JoinHandle<io::Result<()>>>:
            call: "JoinHandle::join",
            make: || {
                let go = Rc::new(Event::new());
                let handle = spawn({ let go = go.clone(); move || go.wait() }).unwrap();
                Told { go, handle: RefCell::new(Some(handle)) }
            },
            wait: |told| told.handle.take().unwrap().join().map_err(io::Error::from)?,
            armed: armed!(|told| let handle = told.handle.borrow(); handle.as_ref().unwrap().on_end()),
            happen: |told| told.go.set()
        ),
        row!((ThreadSender<()>, RefCell<Option<RemoteJoinHandle<()>>>):
            call: "RemoteJoinHandle::join",
            make: remote_fiber,
            wait: |(_, fiber)| fiber.take().unwrap().join().map_err(io::Error::from),
            armed: armed!(|fiber| let handle = fiber.1.borrow(); handle.as_ref().unwrap().on_end()),
            happen: |(sender, _)| sender.send(()).unwrap()
        ),
        row!(Reader:
            call: "Receiver::recv",
            make: || { let (sender, receiver) = channel(0); (receiver, RefCell::new(Some(sender))) },
            wait: |(receiver, _)| receiver.recv().map(drop),
            armed: armed!(|pair| pair.0.on_recv()),
            happen: |(_, sender)| drop(sender.take())
        ),
        row!((Sender<u8>, Receiver<u8>):
            call: "Sender::send",
            make: || channel(0),
            wait: |(sender, _)| sender.send(1).map_err(io::Error::from),
            armed: Some(|(sender, _), limit| {
                let mut value = Some(1);
                select! {
                    sent = sender.on_send(&mut value) => sent.is_ok(),
                    () = select::after(limit) => false,
                }
            }),
            happen: |(_, receiver)| assert_eq!(receiver.recv().unwrap(), Some(1))
        ),
        row!((ThreadReceiver<u8>, ThreadSender<u8>):
            call: "ThreadReceiver::recv",
            make: || { let (sender, receiver) = thread_channel(1); (receiver, sender) },
            wait: |(receiver, _)| receiver.recv().map(drop),
            armed: armed!(|pair| pair.0.on_recv()),
            happen: |(_, sender)| sender.send(1).unwrap()
        ),
        row!((ThreadSender<u8>, ThreadReceiver<u8>):
            call: "ThreadSender::send",
            make: || { let ends = thread_channel(1); ends.0.send(0).unwrap(); ends },
            wait: |(sender, _)| sender.send(1).map_err(io::Error::from),
            armed: Some(|(sender, _), limit| {
                let mut value = Some(1);
                select! {
                    sent = sender.on_send(&mut value) => sent.is_ok(),
                    () = select::after(limit) => false,
                }
            }),
            happen: |(_, receiver)| assert_eq!(receiver.recv().unwrap(), Some(0))
        ),
        row!((RefCell<Option<OneshotReceiver<u8>>>, Cell<Option<OneshotSender<u8>>>):
            call: "OneshotReceiver::recv",
            make: || { let (answer, answered) = oneshot(); (RefCell::new(Some(answered)), Cell::new(Some(answer))) },
            wait: |(answered, _)| answered.take().unwrap().recv().map(drop),
            armed: armed!(|ends| let answered = ends.0.borrow(); answered.as_ref().unwrap().on_recv()),
            happen: |(_, answer)| answer.take().unwrap().send(1).unwrap()
        ),
        row!((RefCell<BroadcastReceiver<u8>>, BroadcastSender<u8>):
            call: "BroadcastReceiver::recv",
            make: || { let (radio, heard) = broadcast(1); (RefCell::new(heard), radio) },
            wait: |(heard, _)| heard.borrow_mut().recv().map(drop),
            armed: armed!(|ends| let mut heard = ends.0.borrow_mut(); heard.on_recv()),
            happen: |(_, radio)| assert_eq!(radio.send(1), Ok(1))
        ),
        row!((RefCell<WatchReceiver<u8>>, WatchSender<u8>):
            call: "WatchReceiver::changed",
            make: || { let (setting, seen) = watch(0); (RefCell::new(seen), setting) },
            wait: |(seen, _)| seen.borrow_mut().changed().map(drop),
            armed: armed!(|ends| let mut seen = ends.0.borrow_mut(); seen.on_change()),
            happen: |(_, setting)| drop(setting.send(1))
        ),
        row!(Held<Mutex<()>, Guard<'static>>:
            call: "Mutex::lock",
            make: || Held::new(Mutex::new(()), |mutex| mutex.try_lock()),
            wait: |held| held.lock.lock().map(drop),
            armed: armed!(|held| held.lock.on_lock()),
            happen: |held| held.let_go()
        ),
        row!(Held<RwLock<()>, RwLockWriteGuard<'static, ()>>:
            call: "RwLock::read",
            make: || Held::new(RwLock::new(()), |lock| lock.try_write()),
            wait: |held| held.lock.read().map(drop),
            armed: armed!(|held| held.lock.on_read()),
            happen: |held| held.let_go()
        ),
        row!(Held<RwLock<()>, RwLockReadGuard<'static, ()>>:
            call: "RwLock::write",
            make: || Held::new(RwLock::new(()), |lock| lock.try_read()),
            wait: |held| held.lock.write().map(drop),
            armed: armed!(|held| held.lock.on_write()),
            happen: |held| held.let_go()
        ),
        row!(Condvar:
            call: "Condvar::wait",
            make: Condvar::new,
            wait: |condvar| condvar.wait(),
            armed: armed!(|condvar| condvar.on_notify()),
            happen: |condvar| condvar.notify_one()
        ),
        row!(Semaphore:
            call: "Semaphore::acquire",
            make: || Semaphore::new(0),
            wait: |semaphore| semaphore.acquire().map(drop),
            armed: armed!(|semaphore| semaphore.on_permits(1)),
            happen: |semaphore| semaphore.add_permits(1)
        ),
        row!(Event:
            call: "Event::wait",
            make: Event::new,
            wait: |event| event.wait(),
            armed: armed!(|event| event.on_set()),
            happen: |event| event.set()
        ),
        row!(Notify:
            call: "Notify::wait",
            make: Notify::new,
            wait: |signal| signal.wait(),
            armed: armed!(|signal| signal.on_signal()),
            happen: |signal| signal.notify_one()
        ),
        row!(Barrier:
            call: "Barrier::wait",
            make: || Barrier::new(2),
            wait: |barrier| barrier.wait().map(drop),
            armed: armed!(|barrier| barrier.on_all()),
            happen: |barrier| assert!(barrier.wait().unwrap(), "the last to come")
        ),
        row!((WaitGroup, Cell<Option<Member>>):
            call: "WaitGroup::wait",
            make: || { let group = WaitGroup::new(); let member = group.member(); (group, Cell::new(Some(member))) },
            wait: |(group, _)| group.wait(),
            armed: armed!(|group| group.0.on_done()),
            happen: |(_, member)| drop(member.take())
        ),
        row!(Made<OnceCell<u8>>:
            call: "OnceCell::get_or_init",
            make: || Made::new(OnceCell::new(), |cell, go| drop(cell.get_or_try_init(|| go.wait().map(|()| 1)))),
            wait: |made| made.what.get_or_init(|| unreachable!("another makes it")).map(drop),
            armed: armed!(|made| made.what.on_value()),
            happen: |made| made.go.set()
        ),
        row!(Made<Once>:
            call: "Once::call_once",
            make: || Made::new(Once::new(), |once, go| drop(once.call_once(|| drop(go.wait())))),
            wait: |made| made.what.call_once(|| unreachable!("another does it")),
            armed: armed!(|made| made.what.on_completed()),
            happen: |made| made.go.set()
        ),
        row!((RefCell<Option<OneshotReceiver<u8>>>, Cell<Option<std::task::Waker>>):
            call: "block_on",
            make: || (RefCell::new(None), Cell::new(None)),
            wait: |(_, waker)| {
                let mut polls = 0;
                block_on(std::future::poll_fn(|cx| {
                    waker.set(Some(cx.waker().clone()));
                    polls += 1;
                    if polls > 1 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                }))
            },
            armed: None,
            happen: |(_, waker)| waker.take().unwrap().wake()
        ),
        row!((File, File):
            call: "File::lock",
            make: || {
                let path = std::env::temp_dir().join(format!("becket-waits-{}", std::process::id()));
                let (first, second) = (std::fs::File::create(&path).unwrap(), std::fs::File::open(&path).unwrap());
                std::fs::remove_file(path).unwrap();
                first.try_lock().unwrap();
                (first.into(), second.into())
            },
            wait: |(_, second)| second.lock(),
            armed: None,
            happen: |(first, _)| first.unlock().unwrap()
        ),
    ])
}

/// Something that another fiber makes when it is told to.
struct Made<T> {
    what: Rc<T>,
    go: Rc<Event>,
}

impl<T: 'static> Made<T> {
    fn new(what: T, make: fn(&T, &Event)) -> Self {
        let made = Made { what: Rc::new(what), go: Rc::new(Event::new()) };
        let (what, go) = (Rc::clone(&made.what), Rc::clone(&made.go));
        spawn(move || make(&what, &go)).unwrap();
        settle();
        made
    }
}

/// What comes by itself, or cannot be had without a scope.
fn others() -> [&'static str; 4] {
    let ended = |wait: fn() -> io::Result<()>| {
        assert_eq!(timeout(SOON, wait).unwrap_err().kind(), ErrorKind::TimedOut);
        let waiting = spawn(wait).unwrap();
        settle();
        waiting.cancel();
        assert!(is_cancelled(&waiting.join().unwrap().unwrap_err()));
    };
    ended(|| sleep(HOUR));
    ended(|| sleep_until(Instant::now() + HOUR));
    ended(|| interval(HOUR).tick().map(drop));
    ended(|| {
        let mut ticks = interval(HOUR);
        select! { _ = ticks.on_tick() => () }
    });
    let mut ticks = interval(SOON);
    let first = select! { tick = ticks.on_tick() => tick }.unwrap();
    assert!(Instant::now() >= first.due && ticks.tick().unwrap().due > first.due);
    ended(|| {
        let go = Event::new();
        scope(|s| {
            let child = s.spawn(|| go.wait())?;
            let waited = select! { () = child.on_end() => () };
            let again = if waited.is_ok() { Ok(()) } else { child.join().map_err(io::Error::from).map(drop) };
            go.set();
            again.and(waited)
        })
    });
    let go = Event::new();
    scope(|s| {
        let child = s.spawn(|| go.wait()).unwrap();
        go.set();
        select! { () = child.on_end() => child.join().unwrap().unwrap() }.unwrap();
    });
    ["sleep", "sleep_until", "Interval::tick", "ScopedJoinHandle::join"]
}

/// The calls of the table that other tests are about, or that have no row here for another reason.
const ELSEWHERE: [&str; 5] = ["net::resolve", "TcpStream::connect", "unblock", "File", "fs"];

#[test]
fn each_row_of_the_table_holds() {
    let tried = RefCell::new(BTreeSet::new());
    each_backend(|runtime| {
        REMOTE.set(Some(runtime.remote()));
        *tried.borrow_mut() = runtime.run(|| rows().into_iter().chain(others()).collect()).unwrap();
        REMOTE.take();
    });
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/select.rs");
    let Ok(source) = std::fs::read_to_string(source) else {
        println!("SKIP: the table of calls that wait: the source tree is not here");
        return;
    };
    let table = source.split("# All that waits").nth(1).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("//! | `")).filter_map(|row| row.split(" | ").next());
    let calls: BTreeSet<&str> = rows.flat_map(|row| row.split('`').step_by(2)).filter(|call| call.len() > 1).collect();
    let tried: BTreeSet<&str> = tried.into_inner().into_iter().chain(ELSEWHERE).collect();
    assert_eq!(tried.symmetric_difference(&calls).collect::<Vec<_>>(), Vec::<&&str>::new());
}
