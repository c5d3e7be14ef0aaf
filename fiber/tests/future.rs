//! Futures in fibers, and fibers as futures.

mod common;

use becket_fiber::{
    JoinError, Runtime, block_on, is_cancelled, scope, sleep, spawn, sync::channel, timeout, unblock, with_ctx,
    yield_now,
};
use common::{Drops, HOUR, each_backend, kind, quiet_panic, settle};
use futures_lite::future::{or, yield_now as yield_task, zip};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Ready once a thread of its own has set it, so often.
fn by_a_thread(times: u32) -> impl Future<Output = u32> {
    let mut seen = 0;
    let state: Arc<Mutex<(u32, Option<Waker>)>> = Arc::default();
    let other = Arc::clone(&state);
    thread::spawn(move || {
        for _ in 0..times {
            thread::sleep(Duration::from_millis(1));
            let waker = {
                let mut state = other.lock().unwrap();
                state.0 += 1;
                state.1.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    });
    poll_fn(move |cx| {
        let mut state = state.lock().unwrap();
        assert!(state.0 >= seen);
        seen = state.0;
        if seen == times {
            return Poll::Ready(times);
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    })
}

#[test]
fn other_threads_wake_it() {
    each_backend(|rt| {
        rt.run(|| {
            assert_eq!(block_on(by_a_thread(20)).unwrap(), 20);
            let both = scope(|s| {
                let a = s.spawn(|| block_on(by_a_thread(5)).unwrap()).unwrap();
                let b = s.spawn(|| block_on(zip(by_a_thread(5), by_a_thread(7))).unwrap()).unwrap();
                (a.join().unwrap(), b.join().unwrap())
            });
            assert_eq!(both, (5, (5, 7)));
        })
        .unwrap();
    });
    // Where no fiber runs it blocks the thread.
    assert_eq!(block_on(by_a_thread(5)).unwrap(), 5);
    let e = timeout(Duration::from_millis(2), || block_on(pending::<()>()));
    assert_eq!(kind(e), Some(ErrorKind::TimedOut));
}

#[test]
fn a_future_that_wakes_itself_starves_nobody() {
    each_backend(|rt| {
        rt.run(|| {
            let order = RefCell::new(Vec::new());
            scope(|s| {
                let task = s.spawn(|| {
                    block_on(async {
                        for n in 0..3 {
                            order.borrow_mut().push(n);
                            yield_task().await;
                        }
                    })
                });
                for n in 10..13 {
                    order.borrow_mut().push(n);
                    yield_now();
                }
                task.unwrap().join().unwrap().unwrap();
            });
            assert_eq!(*order.borrow(), [10, 0, 11, 1, 12, 2]);
            // Nor does one that never ends keep a deadline off.
            let restless = poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            let e = timeout(Duration::from_millis(2), || block_on(restless));
            assert_eq!(kind(e), Some(ErrorKind::TimedOut));
        })
        .unwrap();
    });
}

#[test]
fn what_ends_the_wait_drops_the_future() {
    each_backend(|rt| {
        rt.run(|| {
            let drops = Drops::default();
            let never = |drops: &Drops| {
                let witness = drops.witness();
                async move {
                    let _witness = witness;
                    pending::<()>().await
                }
            };
            let e = timeout(Duration::from_millis(1), || block_on(never(&drops)));
            assert_eq!((kind(e), drops.count()), (Some(ErrorKind::TimedOut), 1));
            let future = never(&drops);
            let fiber = spawn(move || block_on(future)).unwrap();
            settle();
            fiber.cancel();
            assert!(is_cancelled(&fiber.join().unwrap().unwrap_err()));
            assert_eq!(drops.count(), 2);
            let future = never(&drops);
            let fiber = spawn(move || block_on(future)).unwrap();
            settle();
            fiber.abort().unwrap();
            assert!(matches!(fiber.join(), Err(JoinError::Cancelled)));
            assert_eq!(drops.count(), 3);
            let witness = drops.witness();
            let panicking = async move {
                let _witness = witness;
                yield_task().await;
                quiet_panic()
            };
            let fiber = spawn(move || block_on::<_>(panicking)).unwrap();
            assert!(matches!(fiber.join(), Err(JoinError::Panicked(_))));
            assert_eq!(drops.count(), 4);
        })
        .unwrap();
    });
}

#[test]
fn wakers_outlive_what_they_wake() {
    let kept = Arc::new(Mutex::new(None));
    let mut rt = Runtime::new().unwrap();
    let keep = kept.clone();
    rt.run(|| {
        let fiber = spawn(move || {
            let keep = poll_fn(|cx| {
                *keep.lock().unwrap() = Some(cx.waker().clone());
                Poll::Ready(())
            });
            block_on(keep).unwrap();
            sleep(Duration::from_millis(20)) // in the same record, another wait
        })
        .unwrap();
        settle();
        let start = Instant::now();
        let waker: Waker = kept.lock().unwrap().take().unwrap();
        waker.wake_by_ref();
        thread::scope(|s| s.spawn(|| waker.wake_by_ref()).join().unwrap());
        fiber.join().unwrap().unwrap();
        assert!(start.elapsed() >= Duration::from_millis(15), "the stale waker ended a wait of somebody else's");
        *kept.lock().unwrap() = Some(waker);
    })
    .unwrap();
    drop(rt);
    let waker = kept.lock().unwrap().take().unwrap();
    thread::spawn(move || waker.wake()).join().unwrap();
}

#[test]
fn in_a_callback_it_is_polled_once() {
    each_backend(|rt| {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        rt.run(|| {
            let call = move |log: &Rc<RefCell<Vec<_>>>| {
                log.borrow_mut().push(block_on(ready(1)).ok());
                let e = block_on(pending::<u32>()).unwrap_err();
                assert_eq!(e.kind(), ErrorKind::Deadlock);
            };
            with_ctx(|ctx| ctx.defer(move |(), _| Ok(call(&log)))).unwrap();
            sleep(Duration::from_millis(1)).unwrap();
        })
        .unwrap();
        assert_eq!(*seen.borrow(), [Some(1)]);
    });
}

#[test]
fn a_future_may_wait_as_its_fiber_does() {
    each_backend(|rt| {
        rt.run(|| {
            let (sender, receiver) = channel(1);
            spawn(move || {
                for n in 0..10 {
                    sender.send(n).unwrap();
                }
            })
            .unwrap();
            let sum = block_on(async {
                let mut sum = 0;
                while let Some(n) = receiver.recv()? {
                    yield_task().await;
                    sum += block_on(ready(n))?;
                }
                Ok::<_, io::Error>(sum)
            });
            assert_eq!(sum.unwrap().unwrap(), 45);
        })
        .unwrap();
    });
}

#[test]
fn fibers_are_futures() {
    each_backend(|rt| {
        rt.run(|| {
            let quick = spawn(|| sleep(Duration::from_millis(1)).map(|()| "quick")).unwrap();
            let slow = spawn(|| sleep(HOUR).map(|()| "slow")).unwrap();
            let slow_id = slow.id();
            let first = block_on(or(quick.into_future(), slow.into_future())).unwrap();
            assert_eq!(first.unwrap().unwrap(), "quick");
            // The other one goes on, and can be polled by nobody.
            assert!(becket_fiber::fibers().iter().any(|f| f.id == slow_id));
            let done = spawn(|| 7).unwrap();
            settle();
            assert_eq!(block_on(async { done.await }).unwrap().unwrap(), 7);
            let aborted = spawn(|| sleep(HOUR)).unwrap();
            aborted.abort().unwrap();
            assert!(matches!(block_on(aborted.into_future()).unwrap(), Err(JoinError::Cancelled)));
        })
        .unwrap();
    });
}

#[test]
fn an_executor_elsewhere_awaits_fibers() {
    let mut rt = Runtime::new().unwrap();
    let remote = rt.remote();
    let (done, ended) = mpsc::channel();
    let executor = thread::spawn(move || {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let all = tokio.block_on(async {
            let mut all = Vec::new();
            for n in 0..20u64 {
                all.push(tokio::spawn(
                    remote.spawn(move || sleep(Duration::from_millis(n % 3)).map(|()| n)).unwrap().into_future(),
                ));
            }
            let mut sum = 0;
            for one in all {
                sum += one.await.unwrap().unwrap().unwrap();
            }
            let panicked = remote.spawn(|| -> () { quiet_panic() }).unwrap().await;
            assert!(matches!(panicked, Err(JoinError::Panicked(_))));
            // Dropping the future is not the end of the fiber.
            let slow = remote.spawn(|| sleep(Duration::from_millis(10))).unwrap();
            assert!(tokio::time::timeout(Duration::ZERO, slow.into_future()).await.is_err());
            // One that the runtime's end cuts short.
            let cut = remote.spawn(|| sleep(HOUR).is_err()).unwrap();
            done.send(()).unwrap();
            assert!(cut.await.unwrap());
            sum
        });
        assert_eq!(all, 190);
    });
    rt.run(|| {
        while ended.try_recv().is_err() {
            sleep(Duration::from_millis(1)).unwrap();
        }
        settle();
    })
    .unwrap();
    drop(rt);
    executor.join().unwrap();
}

#[test]
fn tokio_things_that_need_no_tokio_work_in_fibers() {
    each_backend(|rt| {
        rt.run(|| {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
            let (answer, answered) = tokio::sync::oneshot::channel();
            let thread = thread::spawn(move || {
                (0..100).for_each(|n| sender.blocking_send(n).unwrap());
                drop(sender);
                answered.blocking_recv().unwrap()
            });
            let others = Cell::new(0);
            let sum = scope(|s| {
                let ticking = s.spawn(|| {
                    while sleep(Duration::from_micros(200)).is_ok() {
                        others.set(others.get() + 1);
                    }
                });
                let mut sum = 0;
                while let Some(n) = block_on(receiver.recv()).unwrap() {
                    sum += n;
                    if n % 10 == 0 {
                        sleep(Duration::from_millis(1)).unwrap();
                    }
                }
                ticking.unwrap().cancel();
                sum
            });
            answer.send(sum).unwrap();
            assert_eq!(unblock(|| thread.join().unwrap()).unwrap(), 4950);
            assert!(others.get() > 0);
        })
        .unwrap();
    });
}

// --- unblock ---------------------------------------------------------------------------------------------------

/// How many are inside at once, at most.
#[derive(Default)]
struct Crowd {
    inside: AtomicU32,
    most: AtomicU32,
}

impl Crowd {
    fn visit(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(2));
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn blocking_calls_are_bounded_and_all_done() {
    each_backend(|rt| {
        let (crowd, done) = (Crowd::default(), AtomicU32::new(0));
        rt.run(|| {
            let ticks = Cell::new(0);
            scope(|s| {
                let ticking = s.spawn(|| {
                    while sleep(Duration::from_millis(1)).is_ok() {
                        ticks.set(ticks.get() + 1);
                    }
                });
                scope(|s| {
                    for _ in 0..40 {
                        s.spawn(|| {
                            unblock(|| crowd.visit()).unwrap();
                            done.fetch_add(1, Ordering::SeqCst);
                        })
                        .unwrap();
                    }
                });
                ticking.unwrap().cancel();
            });
            assert!(ticks.get() > 0, "the fibers stood still");
        })
        .unwrap();
        let most = crowd.most.load(Ordering::SeqCst);
        assert!((2..=4).contains(&most), "{most} at once");
        assert_eq!(done.load(Ordering::SeqCst), 40);
    });
}

/// A gate that the blocking calls of a test wait at.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn pass(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

#[test]
fn what_has_not_begun_is_cancelled_and_what_has_is_waited_for() {
    each_backend(|rt| {
        let gate = Gate::default();
        rt.run(|| {
            scope(|s| {
                let gate = &gate;
                let begun = Arc::new(AtomicU32::new(0));
                let call = move |begun: Arc<AtomicU32>| {
                    move || {
                        unblock(|| {
                            begun.fetch_add(1, Ordering::SeqCst);
                            gate.pass();
                        })
                    }
                };
                let busy: Vec<_> = (0..4).map(|_| s.spawn(call(begun.clone())).unwrap()).collect();
                while begun.load(Ordering::SeqCst) < 4 {
                    sleep(Duration::from_millis(1)).unwrap();
                }
                let queued: Vec<_> = (0..3).map(|_| s.spawn(call(begun.clone())).unwrap()).collect();
                settle();
                queued.iter().for_each(|f| f.cancel());
                busy.iter().for_each(|f| f.cancel());
                for fiber in queued {
                    assert!(is_cancelled(&fiber.join().unwrap().unwrap_err()));
                }
                let late = call(begun.clone());
                let late = s.spawn(move || timeout(Duration::from_millis(2), late)).unwrap();
                assert_eq!(kind(late.join().unwrap()), Some(ErrorKind::TimedOut));
                assert!(busy.iter().all(|f| !f.is_finished()));
                gate.open();
                for fiber in busy {
                    fiber.join().unwrap().unwrap(); // what it did counts
                }
                assert_eq!(begun.load(Ordering::SeqCst), 4);
            });
        })
        .unwrap();
    });
}

#[test]
fn a_panic_in_a_blocking_call_is_the_callers() {
    each_backend(|rt| {
        rt.run(|| {
            let panicked = catch_unwind(AssertUnwindSafe(|| unblock(|| -> u32 { quiet_panic() })));
            assert_eq!(*panicked.unwrap_err().downcast_ref::<&str>().unwrap(), "quiet");
            // The helper threads are all there.
            let crowd = Crowd::default();
            scope(|s| {
                for _ in 0..8 {
                    s.spawn(|| unblock(|| crowd.visit())).unwrap();
                }
            });
            assert!(crowd.most.load(Ordering::SeqCst) >= 2);
        })
        .unwrap();
    });
}
