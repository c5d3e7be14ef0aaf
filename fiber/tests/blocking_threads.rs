//! The helper threads of a runtime: how many there are, and what happens beyond that.

mod common;

use becket_fiber::{Runtime, RuntimeBuilder, is_cancelled, scope, spawn, timeout, unblock, with_ctx, yield_now};
use common::{each_builder, kind, settle};
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, mpsc};
use std::time::Duration;

/// How many of `calls` were under way at a time, at the most; they begin in order, which is looked at.
fn most_at_a_time(builder: RuntimeBuilder, calls: usize, set: Option<usize>) -> usize {
    let (now, most, order) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let mut runtime = builder.build().unwrap();
    runtime
        .run(|| {
            if let Some(n) = set {
                with_ctx(|ctx| ctx.set_helper_threads(n)).unwrap();
            }
            scope(|s| {
                for i in 0..calls {
                    let (now, most, order) = (&now, &most, &order);
                    s.spawn(move || {
                        unblock(|| {
                            order.lock().unwrap().push(i);
                            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            std::thread::sleep(Duration::from_millis(3));
                            now.fetch_sub(1, Ordering::SeqCst);
                        })
                        .unwrap();
                    })
                    .unwrap();
                    yield_now();
                }
            });
        })
        .unwrap();
    let order = order.into_inner().unwrap();
    assert!(order.len() == calls && (most.load(Ordering::SeqCst) > 1 || order.is_sorted()), "{order:?}");
    most.into_inner()
}

#[test]
fn no_more_calls_are_under_way_than_there_may_be_threads_and_the_others_begin_in_order() {
    each_builder(|builder| assert!(most_at_a_time(builder, 20, None) <= 4));
    each_builder(|builder| assert!(most_at_a_time(builder.blocking_threads(2), 12, None) <= 2));
    each_builder(|builder| assert_eq!(most_at_a_time(builder.blocking_threads(1), 6, None), 1));
    each_builder(|builder| assert_eq!(most_at_a_time(builder.blocking_threads(0), 6, None), 1, "0 counts as 1"));
    each_builder(|builder| assert_eq!(most_at_a_time(builder.blocking_threads(50), 6, Some(1)), 1));
}

#[test]
fn as_many_calls_as_there_may_be_threads_wait_for_each_other() {
    const MANY: usize = 40;
    each_builder(|builder| {
        let all = Barrier::new(MANY);
        let together = |runtime: &mut Runtime| {
            let leaders = runtime.run(|| {
                scope(|s| {
                    let calls = (0..MANY).map(|_| s.spawn(|| unblock(|| all.wait().is_leader())).unwrap());
                    let calls: Vec<_> = calls.collect();
                    calls.into_iter().filter_map(|call| call.join().unwrap().unwrap().then_some(())).count()
                })
            });
            assert_eq!(leaders.unwrap(), 1);
        };
        let mut runtime = builder.blocking_threads(MANY).build().unwrap();
        together(&mut runtime);
        together(&mut runtime); // on the same threads
    });
}

#[test]
fn more_threads_take_what_waits_and_too_many_end() {
    each_builder(|builder| {
        let mut runtime = builder.blocking_threads(1).build().unwrap();
        let (go, gate) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        runtime
            .run(|| {
                let first = spawn({
                    let begun = begun.clone();
                    move || {
                        unblock(move || {
                            begun.send(1).unwrap();
                            gate.recv().unwrap();
                        })
                    }
                })?;
                let second = spawn(move || unblock(move || begun.send(2).unwrap()))?;
                settle();
                assert_eq!(begins.recv().unwrap(), 1);
                assert!(begins.recv_timeout(Duration::from_millis(20)).is_err(), "there is one thread");
                with_ctx(|ctx| ctx.set_helper_threads(2))?;
                assert_eq!(begins.recv_timeout(Duration::from_secs(20)), Ok(2));
                go.send(()).unwrap();
                first.join()??;
                second.join()??;
                with_ctx(|ctx| ctx.set_helper_threads(1))?;
                // It still serves.
                for n in 0..10 {
                    assert_eq!(unblock(|| n)?, n);
                }
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
        assert_eq!(most_at_a_time(Runtime::builder().blocking_threads(8), 6, Some(1)), 1);
    });
}

#[test]
fn a_cancel_and_a_deadline_end_the_wait_for_a_thread() {
    each_builder(|builder| {
        let mut runtime = builder.blocking_threads(1).build().unwrap();
        runtime
            .run(|| {
                let (go, gate) = mpsc::channel::<()>();
                let busy = spawn(move || unblock(move || gate.recv().is_ok()))?;
                settle();
                let late =
                    timeout(Duration::from_millis(2), || unblock(|| -> () { unreachable!("its time has passed") }));
                assert_eq!(kind(late), Some(ErrorKind::TimedOut));
                let waiting = spawn(|| unblock(|| -> () { unreachable!("it was cancelled") }))?;
                settle();
                waiting.cancel();
                assert!(is_cancelled(&waiting.join()?.unwrap_err()));
                go.send(()).unwrap();
                assert!(busy.join()??);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}
