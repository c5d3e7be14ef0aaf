//! In which functions a thread is that a fiber does not let go of.

mod common;

use becket_fiber::signal::{MaskGuard, Signal};
use becket_fiber::{Runtime, Stall, spawn_named, unblock};
use common::each_backend;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_millis(20);

#[inline(never)]
fn computes_for_too_long(until: &dyn Fn() -> bool) -> u64 {
    let mut n = 0u64;
    while !until() {
        for _ in 0..1000 {
            n = black_box(n.wrapping_mul(31).wrapping_add(7));
        }
    }
    n
}

#[inline(never)]
fn locks_for_ever(lock: &Mutex<()>) {
    drop(black_box(lock.lock()));
    black_box(());
}

/// Runs `hang` in a fiber, which gets told when it was noticed, and gives what was noticed.
fn noticed(rt: &mut Runtime, hang: impl FnOnce(Box<dyn Fn() -> bool>) + 'static) -> Stall {
    let (sender, stalls) = mpsc::channel();
    let seen = Arc::new(AtomicU32::new(0));
    let (mark, marked) = (seen.clone(), seen);
    let tell = move |stall: Stall| {
        sender.send(stall).unwrap();
        mark.fetch_add(1, Ordering::SeqCst);
    };
    let watchdog = rt.on_stall(LIMIT, tell).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    let until = Box::new(move || marked.load(Ordering::SeqCst) > 0 || Instant::now() >= end);
    rt.run(|| spawn_named("hangs", || hang(until)).unwrap().join().unwrap()).unwrap();
    drop(watchdog); // waits for a call that is under way: names are looked up for a while
    stalls.try_iter().next().expect("it was not noticed")
}

#[test]
fn a_fiber_that_computes() {
    each_backend(|rt| {
        let stall = noticed(rt, |until| assert!(computes_for_too_long(&until) < u64::MAX));
        let frames = stall.frames.as_ref().expect("no frames");
        assert!(frames.iter().any(|f| f.contains("computes_for_too_long")), "{frames:#?}");
        assert!(frames.iter().any(|f| f.contains("a_fiber_that_computes")), "{frames:#?}");
        assert!(!frames.iter().any(|f| f.contains("generator::")), "it ends at the fiber's first: {frames:#?}");
        assert!(stall.to_string().contains("\n    ") && stall.name.as_deref().is_some_and(|n| n.ends_with("hangs")));
    });
}

#[test]
fn a_fiber_that_waits_for_a_lock_of_stds() {
    each_backend(|rt| {
        let stall = noticed(rt, |_| {
            let lock = Arc::new(Mutex::new(()));
            let (other, (held, holds)) = (lock.clone(), mpsc::channel());
            let done = Arc::new(AtomicU32::new(0));
            let flag = done.clone();
            let thread = thread::spawn(move || {
                let _guard = other.lock().unwrap();
                held.send(()).unwrap();
                while flag.load(Ordering::SeqCst) == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
            });
            holds.recv().unwrap();
            // Somebody lets go of it at last.
            let end = thread::spawn(move || {
                thread::sleep(15 * LIMIT);
                done.store(1, Ordering::SeqCst);
            });
            locks_for_ever(&lock);
            thread.join().unwrap();
            end.join().unwrap();
        });
        let frames = stall.frames.as_ref().expect("no frames");
        assert!(frames.iter().any(|f| f.contains("locks_for_ever")), "{frames:#?}");
        // Or it was on its way into it.
        assert!(stall.call.is_none_or(|call| call == libc::SYS_futex), "{stall}");
    });
}

#[test]
fn who_has_the_signal_blocked_is_named_all_the_same() {
    each_backend(|rt| {
        let _blocked = MaskGuard::block([Signal::URG]);
        let stall = noticed(rt, |until| assert!(computes_for_too_long(&until) < u64::MAX));
        assert!(stall.frames.is_none() && stall.name.is_some());
    });
}

#[test]
fn being_asked_again_and_again_does_no_harm() {
    let mut rt = Runtime::new().unwrap();
    let (sender, stalls) = mpsc::channel();
    let _watchdog = rt.on_stall(Duration::from_millis(1), move |stall| drop(sender.send(stall))).unwrap();
    rt.run(|| {
        for n in 0..40 {
            let until = Instant::now() + Duration::from_millis(n % 5);
            black_box(computes_for_too_long(&|| {
                // All kinds of code, and the allocator among it.
                let text: Vec<String> = (0..50).map(|n| format!("{n}")).collect();
                black_box(text);
                Instant::now() >= until
            }));
            unblock(|| ()).unwrap();
        }
    })
    .unwrap();
    assert!(stalls.try_iter().filter(|s| s.frames.is_some()).count() > 0);
}
