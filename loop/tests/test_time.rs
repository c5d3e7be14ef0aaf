//! A clock that is moved, over real descriptors, on epoll and on poll(2).

use becket_loop::backend::{Epoll, Poll};
use becket_loop::{Every, Loop, Missed, Mode, Next, Ready, RunError, TestClock, TestTime};
use becket_sys::event::Event;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

fn each_backend<S: 'static>(test: impl Fn(Loop<S>, TestClock)) {
    let (epoll, clock) = TestTime::over(Epoll::new().unwrap());
    test(Loop::with_backend(epoll), clock);
    let (poll, clock) = TestTime::over(Poll::new().unwrap());
    test(Loop::with_backend(poll), clock);
}

#[test]
fn a_day_takes_no_time() {
    each_backend(|mut event_loop: Loop<Vec<u64>>, clock| {
        let (real, start) = (Instant::now(), clock.now());
        event_loop.every(HOUR, move |log: &mut Vec<u64>, ctx, tick| {
            assert_eq!(tick.due, ctx.now());
            log.push((tick.due - start).as_secs() / 3600);
            Ok(if log.len() == 24 { Next::Remove } else { Next::Keep })
        });
        let mut log = Vec::new();
        event_loop.run(&mut log).unwrap();
        assert_eq!(log, (1..=24).collect::<Vec<_>>());
        assert_eq!(clock.now() - start, HOUR * 24);
        assert!(real.elapsed() < HOUR);
    });
}

#[test]
fn what_is_ready_comes_before_the_clock_moves() {
    each_backend(|mut event_loop: Loop<Vec<&'static str>>, clock| {
        let (start, event) = (clock.now(), Rc::new(Event::new().unwrap()));
        event.add(1).unwrap();
        let source = Rc::clone(&event);
        let read = move |log: &mut Vec<_>, _: &mut _, event: &Rc<Event>, _| {
            log.push("event");
            event.try_read()?;
            Ok(Next::Keep)
        };
        event_loop.add(source, Ready::READ, Mode::Level, read).unwrap();
        event_loop.after(HOUR, |log, _| Ok(log.push("timer")));
        let mut log = Vec::new();
        event_loop.turn(&mut log, None).unwrap();
        assert_eq!((&log[..], clock.now()), (&["event"][..], start));
        // Nor does a turn that does not wait move it, and one with a limit moves it so far.
        event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
        assert_eq!(clock.now(), start);
        event_loop.turn(&mut log, Some(HOUR / 2)).unwrap();
        assert_eq!((&log[..], clock.now()), (&["event"][..], start + HOUR / 2));
        event.add(1).unwrap();
        event_loop.turn(&mut log, None).unwrap();
        event_loop.turn(&mut log, None).unwrap();
        assert_eq!((&log[..], clock.now()), (&["event", "event", "timer"][..], start + HOUR));
    });
}

#[test]
fn moved_by_hand_it_makes_timers_miss_their_periods() {
    each_backend(|mut event_loop: Loop<Vec<u64>>, clock| {
        let skip = |log: &mut Vec<u64>, _: &mut _, tick: becket_loop::Tick| {
            log.push(tick.missed);
            Ok(Next::Keep)
        };
        event_loop.every(Every::new(HOUR).missed(Missed::Skip), skip);
        let mut log = Vec::new();
        clock.pass(HOUR - Duration::from_nanos(1));
        event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
        assert_eq!(log, []);
        clock.pass(Duration::from_nanos(1));
        event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
        clock.pass(HOUR * 5);
        event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
        assert_eq!(log, [0, 4]);
    });
}

#[test]
fn grace_lets_other_threads_come_first() {
    each_backend(|mut event_loop: Loop<Vec<&'static str>>, clock| {
        clock.set_grace(Duration::from_secs(20));
        let remote = event_loop.remote();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            remote.post(|log, ctx| {
                log.push("post");
                ctx.exit(0);
                Ok(())
            });
        });
        event_loop.after(Duration::from_millis(1), |log, _| Ok(log.push("timer")));
        let mut log = Vec::new();
        event_loop.run(&mut log).unwrap();
        assert_eq!(log, ["post"]);
        thread.join().unwrap();
        clock.set_grace(Duration::ZERO);
        event_loop.turn(&mut log, None).unwrap();
        if log.len() == 1 {
            // It was the remote's end that woke it.
            event_loop.turn(&mut log, None).unwrap();
        }
        assert_eq!(log, ["post", "timer"]);
    });
}

#[test]
fn nothing_to_come_is_an_error_and_embedding_is_refused() {
    let (epoll, _clock) = TestTime::over(Epoll::new().unwrap());
    let mut event_loop: Loop<()> = Loop::with_backend(epoll);
    assert_eq!(event_loop.embed().unwrap_err().kind(), io::ErrorKind::Unsupported);
    event_loop.add(Event::new().unwrap(), Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap();
    match event_loop.run(&mut ()) {
        Err(RunError::Wait(e)) => assert_eq!(e.kind(), io::ErrorKind::Deadlock),
        other => panic!("{other:?}"),
    }
}
