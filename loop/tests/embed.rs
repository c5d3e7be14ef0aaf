//! A loop inside another loop, which need know nothing of it.

#[path = "../examples/inside_poll.rs"]
mod the_example;

use becket_loop::backend::{Poll, Scripted};
use becket_loop::{Cause, External, HookPoint, Loop, Mode, Next, Nudge, Ready, Wishes};
use becket_sys::wait;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

fn is_ready(embedded: &becket_loop::Embedded, within: Duration) -> bool {
    wait(embedded, Ready::READ, Some(Instant::now() + within)).unwrap().is_some()
}

#[test]
fn it_is_ready_for_whatever_there_is_to_do_and_for_nothing_else() {
    let mut inner: Loop<Vec<&str>> = Loop::new().unwrap();
    let embedded = inner.embed().unwrap();
    let mut log = Vec::new();
    let turn = |inner: &mut Loop<Vec<&'static str>>, log: &mut Vec<&'static str>| {
        assert!(is_ready(&embedded, LONG));
        for _ in 0..3 {
            inner.turn(log, Some(Duration::ZERO)).unwrap();
        }
        assert!(!is_ready(&embedded, Duration::ZERO), "after {log:?}");
    };
    assert!(!is_ready(&embedded, Duration::ZERO));

    inner.defer(|log, _| Ok(log.push("deferred")));
    turn(&mut inner, &mut log);

    let start = Instant::now();
    inner.after(Duration::from_millis(20), |log, _| Ok(log.push("timer")));
    assert!(!is_ready(&embedded, Duration::ZERO));
    assert!(is_ready(&embedded, LONG) && start.elapsed() >= Duration::from_millis(20));
    turn(&mut inner, &mut log);

    let late = inner.after(LONG * 100, |_, _| Ok(()));
    inner.after(Duration::ZERO, |log, _| Ok(log.push("an earlier timer")));
    turn(&mut inner, &mut log);
    inner.cancel(late);

    let event = becket_sys::event::Event::new().unwrap();
    event.add(1).unwrap();
    let id = inner
        .on(event, |log: &mut Vec<&str>, _, _| {
            log.push("source");
            Ok(Next::Disable)
        })
        .unwrap();
    turn(&mut inner, &mut log);
    inner.get(id).unwrap().add(1).unwrap();
    inner.enable(id, true);
    turn(&mut inner, &mut log);

    let remote = inner.remote();
    std::thread::spawn(move || remote.post(|log, _| Ok(log.push("post"))));
    turn(&mut inner, &mut log);
    assert_eq!(log, ["deferred", "timer", "an earlier timer", "source", "source", "post"]);
}

/// Trap 25: in calloop a timer that is set in a turn without waiting makes nothing ready.
#[test]
fn trap_25_a_timer_set_in_a_turn_that_does_not_wait_makes_the_outer_loop_turn() {
    let mut inner: Loop<Vec<u32>> = Loop::new().unwrap();
    let embedded = inner.embed().unwrap();
    let mut log = Vec::new();
    inner.turn(&mut log, Some(Duration::ZERO)).unwrap();
    let set = Instant::now();
    inner.after(Duration::from_millis(10), |log, ctx| {
        log.push(1);
        let set = ctx.now();
        ctx.after(Duration::from_millis(10), move |log, ctx| {
            assert!(ctx.now() - set >= Duration::from_millis(10));
            Ok(log.push(2))
        });
        Ok(())
    });
    inner.turn(&mut log, Some(Duration::ZERO)).unwrap();
    assert!(!embedded.is_ready().unwrap() || set.elapsed() >= Duration::from_millis(10));
    for expected in [&[1][..], &[1, 2]] {
        while log.len() < expected.len() {
            assert!(is_ready(&embedded, LONG), "after {log:?}");
            inner.turn(&mut log, Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(log, expected);
    }
    assert!(!is_ready(&embedded, Duration::from_millis(20)));
}

/// What its timer is armed for already, it is armed for again once that is past.
#[test]
fn a_timer_for_the_same_time_again_reaches_the_outer_loop() {
    let mut inner: Loop<u32> = Loop::new().unwrap();
    let embedded = inner.embed().unwrap();
    let when = inner.now() + Duration::from_millis(2);
    inner.at(when, move |n, ctx| {
        *n += 1;
        ctx.at(when, |n, _| Ok(*n += 1));
        Ok(())
    });
    let mut n = 0;
    for expected in [1, 2] {
        assert!(is_ready(&embedded, LONG), "after {n}");
        inner.turn(&mut n, Some(Duration::ZERO)).unwrap();
        assert_eq!(n, expected);
    }
    assert!(!is_ready(&embedded, Duration::from_millis(20)));
}

/// What a callback leaves for a hook to do before the wait (to flush what was written, say) is done before the outer loop
/// waits; and an idle hook that wants no wait has none.
#[test]
fn hooks_before_a_wait_are_called_before_the_outer_loop_waits() {
    let mut inner: Loop<Vec<&str>> = Loop::new().unwrap();
    let embedded = inner.embed().unwrap();
    let turn_while_ready = |inner: &mut Loop<Vec<&'static str>>, log: &mut Vec<&'static str>| {
        let mut turns = 0;
        while is_ready(&embedded, Duration::from_millis(20)) {
            inner.turn(log, Some(Duration::ZERO)).unwrap();
            turns += 1;
        }
        (std::mem::take(log), turns)
    };
    let mut log = Vec::new();
    inner.hook(HookPoint::Prepare, |log: &mut Vec<&str>, _| {
        log.push("prepare");
        Ok(Next::Keep)
    });
    assert_eq!(turn_while_ready(&mut inner, &mut log), (vec!["prepare"], 1));
    inner.defer(|log, _| Ok(log.push("deferred")));
    assert_eq!(turn_while_ready(&mut inner, &mut log), (vec!["prepare", "deferred", "prepare"], 2));
    let mut calls = 0;
    inner.hook(HookPoint::Idle, move |log: &mut Vec<&str>, _| {
        log.push("idle");
        calls += 1;
        Ok(if calls == 2 { Next::Remove } else { Next::Again })
    });
    assert_eq!(turn_while_ready(&mut inner, &mut log), (vec!["prepare", "idle", "prepare", "idle"], 2));
}

struct Counter {
    steps: u32,
    nudge: std::rc::Rc<std::cell::RefCell<Option<Nudge>>>,
}

impl External for Counter {
    type Event = u32;

    fn step(&mut self, wishes: &mut Wishes<'_>, _: Cause) {
        self.steps += 1;
        *self.nudge.borrow_mut() = Some(wishes.nudge());
    }

    fn next_event(&mut self) -> Option<u32> {
        (self.steps > 0).then(|| std::mem::take(&mut self.steps))
    }
}

#[test]
fn a_nudge_of_the_own_thread_reaches_the_outer_loop() {
    let nudge = std::rc::Rc::default();
    let mut inner: Loop<u32> = Loop::new().unwrap();
    let embedded = inner.embed().unwrap();
    let library = Counter { steps: 0, nudge: std::rc::Rc::clone(&nudge) };
    inner.join(library, |n, _, steps| {
        *n += steps;
        Ok(Next::Keep)
    });
    let mut n = 0;
    for expected in 1..4 {
        assert!(is_ready(&embedded, LONG));
        inner.turn(&mut n, Some(Duration::ZERO)).unwrap();
        inner.turn(&mut n, Some(Duration::ZERO)).unwrap();
        assert_eq!(n, expected);
        assert!(!is_ready(&embedded, Duration::ZERO));
        nudge.borrow().as_ref().unwrap().now();
    }
}

#[test]
fn an_outer_loop_does_not_spin() {
    let mut inner: Loop<u32> = Loop::new().unwrap();
    inner.every(Duration::from_millis(5), |n, _, _| {
        *n += 1;
        Ok(Next::Keep)
    });
    let mut outer: Loop<u32> = Loop::new().unwrap();
    outer
        .add(inner.embed().unwrap(), Ready::READ, Mode::Level, move |n, ctx, _, _| {
            inner.turn(n, Some(Duration::ZERO))?;
            if *n == 10 {
                ctx.exit(0);
            }
            Ok(Next::Keep)
        })
        .unwrap();
    let mut n = 0;
    outer.run(&mut n).unwrap();
    assert_eq!(n, 10);
    assert!(outer.stats().waits <= 22, "{:?}", outer.stats());
}

#[test]
fn a_backend_without_a_descriptor_cannot() {
    let mut by_poll: Loop<()> = Loop::with_backend(Poll::new().unwrap());
    let refused = by_poll.embed().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("poll"), "{refused}");
    let mut scripted: Loop<()> = Loop::with_backend(Scripted::new().0);
    assert_eq!(scripted.embed().unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn the_example_runs() {
    the_example::main().unwrap();
}
