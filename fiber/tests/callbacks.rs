//! Callbacks on the same loop, beside fibers.

mod common;

use becket_fiber::sync::Condvar;
use becket_fiber::{Io, Ready, sleep, spawn, timeout, with_ctx, yield_now};
use becket_loop::{HookPoint, Next};
use common::{HOUR, each_backend, kind, settle};
use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

#[test]
fn a_callback_and_a_fiber_share_the_loop() {
    each_backend(|rt| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let seen = log.clone();
        rt.ctx().after(Duration::from_millis(2), move |(), _| Ok(seen.borrow_mut().push("callback")));
        let seen = log.clone();
        rt.run(move || {
            sleep(Duration::from_millis(20)).unwrap();
            seen.borrow_mut().push("fiber");
        })
        .unwrap();
        assert_eq!(*log.borrow(), ["callback", "fiber"]);
    });
}

#[test]
fn nothing_waits_in_a_callback_or_inside_with_ctx() {
    fn all_refused(io: &Io<UnixStream>) -> bool {
        let fiber = spawn(|| 1).unwrap(); // this is fine
        let refused = [
            kind(sleep(HOUR)),
            kind((&*io).read(&mut [0])),
            kind(io.wait(Ready::READ, None)),
            kind(with_ctx(|_| ())),
            kind(fiber.join().map_err(std::io::Error::from)),
        ];
        yield_now();
        // What needs no wait is done.
        let wrote = (&*io).write(b"x").unwrap();
        refused.iter().all(|k| *k == Some(ErrorKind::Deadlock)) && wrote == 1
    }
    each_backend(|rt| {
        rt.run(|| {
            let (a, _b) = UnixStream::pair().unwrap();
            let io = Rc::new(Io::new(a).unwrap());
            assert!(with_ctx(|_| all_refused(&io)).unwrap());
            let refused = Rc::new(Cell::new(None));
            let r = refused.clone();
            with_ctx(|ctx| ctx.after(Duration::ZERO, move |(), _| Ok(r.set(Some(all_refused(&io)))))).unwrap();
            while refused.get().is_none() {
                sleep(Duration::from_millis(1)).unwrap();
            }
            assert_eq!(refused.get(), Some(true));
        })
        .unwrap();
    });
}

#[test]
fn a_callback_spawns_and_cancels_fibers() {
    each_backend(|rt| {
        rt.run(|| {
            let sleeper = Rc::new(spawn(|| sleep(HOUR)).unwrap());
            let ran = Rc::new(Cell::new(false));
            let (s, r) = (sleeper.clone(), ran.clone());
            settle();
            with_ctx(|ctx| {
                ctx.defer(move |(), _| {
                    s.cancel();
                    spawn(move || r.set(true))?;
                    Ok(())
                })
            })
            .unwrap();
            while Rc::strong_count(&sleeper) > 1 || !sleeper.is_finished() || !ran.get() {
                sleep(Duration::from_millis(1)).unwrap();
            }
            assert!(Rc::into_inner(sleeper).unwrap().join().unwrap().is_err());
        })
        .unwrap();
    });
}

#[test]
fn a_panic_inside_with_ctx_gives_the_loop_back() {
    each_backend(|rt| {
        rt.run(|| {
            let fiber = spawn(|| with_ctx(|_| common::quiet_panic())).unwrap();
            assert!(fiber.join().is_err());
            sleep(Duration::from_millis(1)).unwrap();
            with_ctx(|ctx| ctx.caps()).unwrap();
        })
        .unwrap();
    });
}

/// What a callback before the wait wakes must not sleep through the wait.
#[test]
fn a_fiber_that_a_prepare_hook_wakes_runs_before_anything_else_happens() {
    each_backend(|runtime| {
        let news = Rc::new((Cell::new(false), Condvar::new()));
        let hook = Rc::clone(&news);
        runtime.ctx().hook(HookPoint::Prepare, move |(), _| {
            hook.0.set(true);
            hook.1.notify_all();
            Ok(Next::Keep)
        });
        let told = runtime.run(|| timeout(Duration::from_secs(20), || news.1.wait_while(|| !news.0.get())));
        told.unwrap().unwrap();
        assert_eq!(runtime.ctx().stats().timers, 0, "it was not the deadline that woke it");
    });
}
