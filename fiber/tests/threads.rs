//! A loop per thread.

mod common;

use becket_fiber::net::{TcpListener, TcpStream};
use becket_fiber::{Runtime, backend, current_name, is_cancelled, sleep, spawn, with_ctx};
use common::{HOUR, kind, quiet_panic};
use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn own_name() -> String {
    thread::current().name().unwrap().to_owned()
}

#[test]
fn fibers_go_round_or_where_they_are_sent() {
    let threads = Runtime::builder().threads(3).name("pool").start().unwrap();
    assert_eq!(threads.len(), 3);
    let names: Vec<_> = (0..6).map(|_| threads.spawn(own_name).unwrap()).collect();
    let names: Vec<_> = names.into_iter().map(|f| f.join().unwrap()).collect();
    assert_eq!(names, ["pool-0", "pool-1", "pool-2", "pool-0", "pool-1", "pool-2"]);
    for n in 0..3 {
        let here = threads.spawn_on(n, move || spawn(own_name).unwrap().join().unwrap()).unwrap();
        assert_eq!(here.join().unwrap(), format!("pool-{n}"), "its children stay");
    }
    assert_eq!(kind(threads.spawn_on(3, || ())), Some(ErrorKind::InvalidInput));
    let remote = threads.remote(1).unwrap();
    assert_eq!(remote.spawn(current_name).unwrap().join().unwrap(), None);
    threads.shutdown().unwrap();
    assert_eq!(kind(remote.spawn(|| ())), Some(ErrorKind::BrokenPipe));
}

#[test]
fn shutdown_ends_all_at_once_and_in_order() {
    static ENDED: AtomicU32 = AtomicU32::new(0);
    let threads = Runtime::builder().threads(4).start().unwrap();
    let sleepers: Vec<_> = (0..12)
        .map(|_| {
            threads.spawn(|| {
                assert!(is_cancelled(&sleep(HOUR).unwrap_err()));
                ENDED.fetch_add(1, Ordering::SeqCst);
            })
        })
        .map(Result::unwrap)
        .collect();
    let begun: Vec<_> = (0..4).map(|n| threads.spawn_on(n, || ()).unwrap()).collect();
    begun.into_iter().for_each(|f| f.join().unwrap());
    let start = Instant::now();
    threads.shutdown().unwrap();
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(ENDED.load(Ordering::SeqCst), 12);
    assert!(sleepers.iter().all(|f| f.is_finished()));
}

#[test]
fn who_will_not_end_is_named() {
    let grace = Duration::from_millis(20);
    let threads = Runtime::builder().grace(grace).threads(2).start().unwrap();
    let stubborn = || {
        loop {
            let _ = catch_unwind(|| sleep(HOUR));
        }
    };
    let fiber: becket_fiber::RemoteJoinHandle<()> = threads.spawn_on(1, stubborn).unwrap();
    threads.spawn_on(1, || ()).unwrap().join().unwrap();
    let e = threads.shutdown().unwrap_err();
    assert!(e.to_string().contains("fibers that would not end"), "{e}");
    drop(fiber);
}

#[test]
fn a_loop_that_fails_stops_the_others() {
    let threads = Runtime::builder().threads(3).start().unwrap();
    let others = threads.spawn_on(0, || is_cancelled(&sleep(HOUR).unwrap_err())).unwrap();
    threads.spawn_on(0, || ()).unwrap().join().unwrap(); // they have begun
    let fails = || with_ctx(|ctx| ctx.defer(|(), _| quiet_panic())).unwrap();
    threads.spawn_on(2, fails).unwrap().join().unwrap();
    assert!(others.join().unwrap());
    let e = threads.shutdown().unwrap_err();
    assert_eq!(e.to_string(), "the fiber panicked: quiet");
}

#[test]
fn main_on_each_may_borrow_and_gives_results_in_order() {
    let words = ["rope", "fiber", "becket"];
    let lengths = Runtime::builder().threads(3).run(|thread| {
        sleep(Duration::from_millis(3 - thread.index() as u64))?;
        let local = Rc::new(RefCell::new(Vec::new())); // nothing in it needs Send
        let other = local.clone();
        spawn(move || other.borrow_mut().push(1))?.join()?;
        Ok::<_, io::Error>(words[thread.index()].len() + local.borrow().len())
    });
    assert_eq!(lengths.unwrap(), [5, 6, 7]);
}

#[test]
fn the_first_error_or_panic_cancels_the_rest() {
    let cancelled = AtomicU32::new(0);
    let main = |thread: &becket_fiber::Shard, fail: &dyn Fn() -> io::Result<()>| {
        if thread.index() == 1 {
            sleep(Duration::from_millis(5))?;
            return fail();
        }
        let e = sleep(HOUR).unwrap_err();
        assert!(is_cancelled(&e));
        cancelled.fetch_add(1, Ordering::SeqCst);
        Err(e)
    };
    let failed = Runtime::builder().threads(4).run(|t| main(t, &|| Err(ErrorKind::AddrInUse.into())));
    assert_eq!((kind(failed), cancelled.load(Ordering::SeqCst)), (Some(ErrorKind::AddrInUse), 3));
    let run = || Runtime::builder().threads(4).run(|t| main(t, &|| quiet_panic()));
    let panicked = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    assert_eq!((*panicked.downcast_ref::<&str>().unwrap(), cancelled.load(Ordering::SeqCst)), ("quiet", 6));
}

#[test]
fn stopping_reaches_those_that_begin_later() {
    let early = AtomicU32::new(0);
    let ended = Runtime::builder().threads(8).run(|thread| {
        thread.stop();
        early.fetch_add(1, Ordering::SeqCst);
        Ok::<_, io::Error>(is_cancelled(&sleep(HOUR).unwrap_err()))
    });
    assert_eq!((ended.unwrap(), early.load(Ordering::SeqCst)), (vec![true; 8], 8));
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let run = |builder: becket_fiber::ThreadsBuilder| kind(builder.run(|_| Ok::<_, io::Error>(())));
    assert_eq!(run(Runtime::builder().threads(0)), Some(ErrorKind::InvalidInput));
    let poll = backend::Poll::new().unwrap();
    assert_eq!(run(Runtime::builder().backend(poll).threads(2)), Some(ErrorKind::InvalidInput));
    assert_eq!(run(Runtime::builder().threads(2).cpus([1 << 20])), Some(ErrorKind::InvalidInput));
    let nowhere = Runtime::builder().threads(2).cpus([0, 1000]);
    assert_eq!(nowhere.run(|_| Ok::<_, io::Error>(())).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    let third = AtomicU32::new(0);
    let third: &'static AtomicU32 = Box::leak(Box::new(third));
    let make = || match third.fetch_add(1, Ordering::SeqCst) {
        2 => Err(io::Error::from_raw_os_error(libc::EMFILE)),
        _ => backend::Epoll::new(),
    };
    let e = Runtime::builder().threads(4).backend(make).start().unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EMFILE));
    let mut rt = Runtime::new().unwrap();
    assert_eq!(rt.run(|| run(Runtime::builder().threads(1))).unwrap(), Some(ErrorKind::Deadlock));
}

#[test]
fn threads_stay_on_their_processors() {
    let first = rustix::thread::sched_getaffinity(None).unwrap();
    let cpus: Vec<_> = (0..1024).filter(|cpu| first.is_set(*cpu)).collect();
    let seen = Runtime::builder().threads(3).cpus(cpus.clone()).run(|_| {
        let set = rustix::thread::sched_getaffinity(None)?;
        Ok::<Vec<usize>, io::Error>((0..1024).filter(|cpu| set.is_set(*cpu)).collect())
    });
    let expected: Vec<_> = (0..3).map(|n| vec![cpus[n % cpus.len()]]).collect();
    assert_eq!(seen.unwrap(), expected);
    assert_eq!(rustix::thread::sched_getaffinity(None).unwrap(), first, "the caller is left alone");
}

#[test]
fn shards_share_the_connections() {
    const CLIENTS: usize = 200;
    let listeners = TcpListener::bind_shards(([127, 0, 0, 1], 0), 2).unwrap();
    let addr = listeners[0].local_addr().unwrap();
    let served = AtomicU32::new(0);
    let clients = thread::spawn(move || {
        for n in 0..CLIENTS {
            let mut stream = TcpStream::connect_addr(addr).unwrap();
            stream.write_all(&n.to_le_bytes()).unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).unwrap();
            assert_eq!(back, n.to_le_bytes());
        }
    });
    let names = Mutex::new(HashSet::new());
    let shares = Runtime::builder().threads(2).name("shard").run(|thread| {
        let mut own = 0;
        loop {
            let mut stream = match listeners[thread.index()].accept() {
                Ok((stream, _)) => stream,
                Err(e) if is_cancelled(&e) => return Ok::<_, io::Error>(own),
                Err(e) => return Err(e),
            };
            own += 1;
            names.lock().unwrap().insert(own_name());
            spawn(move || {
                let mut n = [0; size_of::<usize>()];
                stream.read_exact(&mut n)?;
                stream.write_all(&n)
            })?
            .join()??;
            if served.fetch_add(1, Ordering::SeqCst) + 1 == CLIENTS as u32 {
                thread.stop();
            }
        }
    });
    let shares = shares.unwrap();
    clients.join().unwrap();
    assert_eq!(shares.iter().sum::<usize>(), CLIENTS);
    // By a hash of the clients' ports: a half each, give or take.
    assert!(shares.iter().all(|s| *s > CLIENTS / 5), "{shares:?}");
    assert_eq!(names.into_inner().unwrap().len(), 2);
}

#[test]
fn a_thread_serves_the_others_until_all_are_done() {
    let served = Runtime::builder().threads(3).run(|thread| {
        if thread.index() > 0 {
            return Ok(0); // at once
        }
        sleep(Duration::from_millis(20))?;
        let mut sum = 0;
        for n in [1, 2, 1, 2] {
            sum += thread.spawn_on(n, move || n)?.join()?;
        }
        Ok::<_, io::Error>(sum)
    });
    assert_eq!(served.unwrap(), [6, 0, 0]);
}
