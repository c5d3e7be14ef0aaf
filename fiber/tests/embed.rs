//! A runtime in a loop of somebody else's, which knows nothing of fibers.

mod common;

use becket_fiber::sync::channel;
use becket_fiber::{
    Io, JoinHandle, Runtime, backend, block_on, interval, is_cancelled, sleep, spawn, unblock, yield_now,
};
use becket_loop::{Embedded, Loop, Mode, Next, Ready};
use calloop::generic::Generic;
use calloop::{EventLoop, PostAction};
use common::{HOUR, each_backend, kind};
use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const LONG: Duration = Duration::from_secs(20);

/// Starts fibers that do a little of everything; what they give, once all of it is done.
fn busy(rt: &Runtime) -> JoinHandle<Vec<&'static str>> {
    let remote = rt.remote();
    rt.spawn(move || {
        let mut all = Vec::new();
        sleep(Duration::from_millis(3)).unwrap();
        all.push("timer");
        let mut ticks = interval(Duration::from_millis(1));
        (0..3).for_each(|_| assert!(ticks.tick().is_ok()));
        all.push("ticks");
        let (a, b) = UnixStream::pair().unwrap();
        let (a, b) = (Io::new(a).unwrap(), Io::new(b).unwrap());
        let echo = spawn(move || {
            let mut word = [0; 4];
            (&b).read_exact(&mut word).unwrap();
            sleep(Duration::from_millis(1)).unwrap();
            (&b).write_all(&word).unwrap();
        });
        (&a).write_all(b"echo").unwrap();
        let mut word = [0; 4];
        (&a).read_exact(&mut word).unwrap();
        echo.unwrap().join().unwrap();
        all.push("descriptors");
        assert_eq!(unblock(|| 6 * 7).unwrap(), 42);
        all.push("helper");
        // More switches than a turn has.
        (0..2000).for_each(|_| yield_now());
        all.push("yields");
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(3));
            remote.spawn(|| "remote").unwrap().join().unwrap()
        });
        while !other.is_finished() {
            sleep(Duration::from_millis(1)).unwrap();
        }
        all.push(other.join().unwrap());
        all
    })
    .unwrap()
}

fn check(done: JoinHandle<Vec<&'static str>>) {
    assert!(done.is_finished());
    let mut rt = Runtime::new().unwrap();
    let all = rt.run(|| done.join().unwrap()).unwrap();
    assert_eq!(all, ["timer", "ticks", "descriptors", "helper", "yields", "remote"]);
}

#[test]
fn a_loop_of_our_own_turns_it() {
    let mut idle = Runtime::new().unwrap();
    let embedded = idle.embed().unwrap();
    assert!(!embedded.is_ready().unwrap());
    idle.spawn(|| ()).unwrap();
    assert!(embedded.is_ready().unwrap());
    assert_eq!(idle.turn(Some(Duration::ZERO)).unwrap(), 0);
    assert!(!embedded.is_ready().unwrap());

    let mut outer: Loop<u32> = Loop::new().unwrap();
    let mut rt = Runtime::new().unwrap();
    let done = busy(&rt);
    let embedded = rt.embed().unwrap();
    let turn = move |turns: &mut u32, ctx: &mut becket_loop::Ctx<u32>, _: &Embedded, _| {
        *turns += 1;
        if rt.turn(Some(Duration::ZERO))? == 0 {
            ctx.exit(0);
        }
        Ok(Next::Keep)
    };
    outer.add(embedded, Ready::READ, Mode::Level, turn).unwrap();
    let mut turns = 0;
    outer.run(&mut turns).unwrap();
    check(done);
    assert!(turns < 2000, "{turns} turns: it spins");
}

#[test]
#[allow(unsafe_code, reason = "tokio does not know that a descriptor stays open")]
fn tokio_turns_it_whenever_there_is_something_to_do() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let mut rt = Runtime::new().unwrap();
        let done = busy(&rt);
        // SAFETY: it owns one descriptor as long as it lives.
        let fd = unsafe { AsyncFd::register_with_interest(rt.embed().unwrap(), Interest::READABLE).unwrap() };
        let turns = async {
            loop {
                let mut guard = fd.readable().await.unwrap();
                if rt.turn(Some(Duration::ZERO)).unwrap() == 0 {
                    break;
                }
                if !guard.get_inner().is_ready().unwrap() {
                    guard.clear_ready();
                }
            }
        };
        tokio::time::timeout(LONG, turns).await.unwrap();
        check(done);
    });
}

#[test]
fn calloop_turns_it_whenever_there_is_something_to_do() {
    let mut event_loop: EventLoop<'_, (Runtime, bool)> = EventLoop::try_new().unwrap();
    let mut rt = Runtime::new().unwrap();
    let done = busy(&rt);
    let source = Generic::new(rt.embed().unwrap(), calloop::Interest::READ, calloop::Mode::Level);
    let mut state = (rt, false);
    let turn = |_, _: &mut _, (rt, over): &mut (Runtime, bool)| {
        *over = rt.turn(Some(Duration::ZERO))? == 0;
        Ok(PostAction::Continue)
    };
    event_loop.handle().insert_source(source, turn).map_err(|refused| refused.error).unwrap();
    let end = Instant::now() + LONG;
    while !state.1 {
        assert!(Instant::now() < end);
        event_loop.dispatch(LONG, &mut state).unwrap();
    }
    drop(event_loop);
    check(done);
}

#[test]
fn what_happens_between_turns_makes_it_ready() {
    let mut rt = Runtime::new().unwrap();
    let embedded = rt.embed().unwrap();
    let (sender, receiver) = channel(1);
    let fiber = rt.spawn(move || receiver.recv().unwrap()).unwrap();
    let sleeper = rt.spawn(|| sleep(HOUR)).unwrap();
    let quiet = |rt: &mut Runtime| {
        while embedded.is_ready().unwrap() {
            rt.turn(Some(Duration::ZERO)).unwrap();
        }
    };
    quiet(&mut rt);
    sender.try_send(7).unwrap();
    assert!(embedded.is_ready().unwrap(), "a value was sent");
    quiet(&mut rt);
    assert!(fiber.is_finished());
    sleeper.cancel();
    assert!(embedded.is_ready().unwrap(), "a fiber was cancelled");
    quiet(&mut rt);
    assert!(is_cancelled(&block_on(async { sleeper.await }).unwrap().unwrap().unwrap_err()));
    let sleeper = rt.spawn(|| sleep(HOUR)).unwrap();
    quiet(&mut rt);
    sleeper.abort().unwrap();
    assert!(embedded.is_ready().unwrap(), "a fiber was aborted");
    quiet(&mut rt);
    assert!(sleeper.is_finished());
    // What `run` leaves over is to be done, too.
    rt.run(|| drop(spawn(|| (0..1000).for_each(|_| yield_now())))).unwrap();
    assert!(embedded.is_ready().unwrap());
    quiet(&mut rt);
    assert_eq!(rt.fibers().len(), 0);
}

#[test]
fn without_any_other_loop_turns_do_as_well() {
    each_backend(|rt| {
        let done = busy(rt);
        while rt.turn(None).unwrap() > 0 {}
        check(done);
    });
    let mut rt = Runtime::builder().backend(backend::Poll::new().unwrap()).build().unwrap();
    assert_eq!(kind(rt.embed()), Some(ErrorKind::Unsupported));
}

#[test]
fn a_turn_inside_a_runtime_is_refused() {
    let mut rt = Runtime::new().unwrap();
    let other = Rc::new(RefCell::new(Runtime::new().unwrap()));
    let e = rt.run(|| kind(other.borrow_mut().turn(None))).unwrap();
    assert_eq!(e, Some(ErrorKind::Deadlock));
}

#[test]
fn tasks_and_fibers_of_one_thread_wait_for_each_other() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let sum = local.block_on(&tokio, async {
        let mut rt = Runtime::new().unwrap();
        let (question, asked) = tokio::sync::oneshot::channel();
        let (answer, answered) = tokio::sync::oneshot::channel();
        let fiber = rt.spawn(move || {
            question.send(20).unwrap();
            block_on(answered).unwrap().unwrap() + 2
        });
        let task = tokio::task::spawn_local(async move {
            let n: u32 = asked.await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            answer.send(n * 2).unwrap();
            fiber.unwrap().await.unwrap()
        });
        #[allow(unsafe_code, reason = "tokio does not know that a descriptor stays open")]
        // SAFETY: it owns one descriptor as long as it lives.
        let fd = unsafe { AsyncFd::register_with_interest(rt.embed().unwrap(), Interest::READABLE).unwrap() };
        while !task.is_finished() {
            if let Ok(guard) = tokio::time::timeout(Duration::from_millis(5), fd.readable()).await {
                let mut guard = guard.unwrap();
                rt.turn(Some(Duration::ZERO)).unwrap();
                if !guard.get_inner().is_ready().unwrap() {
                    guard.clear_ready();
                }
            }
        }
        task.await.unwrap()
    });
    assert_eq!(sum, 42);
}
