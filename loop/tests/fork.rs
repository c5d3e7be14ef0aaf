//! A loop in a process that forks: trap 23, that an epoll descriptor in a child is the parent's set.

#![allow(unsafe_code, reason = "forks")]

mod common;

use becket_loop::backend::{Backend, Batch, Caps, Completions, Epoll, Fd, Key, Poll, Scripted, Waker};
use becket_loop::op::{Call, Read};
use becket_loop::{EveryOn, HookPoint, Loop, Mode, Next, Ready, RunError, TestTime};
use becket_sys::event::Event;
use becket_sys::timer::Clock;
use common::{each_backend, run};
use std::io::{self, Write, pipe};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);
const CHILD: Option<i32> = Some(libc::ECHILD);

const TESTS: &[(&str, fn())] = &[
    ("trap_23_a_child_is_refused_and_leaves_the_parents_alone", a_child_is_refused_and_leaves_the_parents_alone),
    ("trap_23_after_fork_both_have_their_own_events", after_fork_both_have_their_own_events),
    ("trap_23_edges_and_one_shots_go_on_in_both", edges_and_one_shots_go_on_in_both),
    ("trap_23_a_fork_in_a_callback_ends_the_childs_turn", a_fork_in_a_callback_ends_the_childs_turn),
    ("trap_23_operations_stay_the_parents", operations_stay_the_parents),
    ("trap_23_a_child_that_drops_the_loop_waits_for_nothing", a_child_that_drops_the_loop_waits_for_nothing),
    ("trap_23_wake_ups_reach_the_process_that_they_are_made_in", wake_ups_reach_the_process_that_they_are_made_in),
    ("trap_23_an_embedded_loop_is_settled_in_its_own_process", an_embedded_loop_is_settled_in_its_own_process),
    ("trap_23_a_detach_of_the_parents_deletes_nothing", a_detach_of_the_parents_deletes_nothing),
    ("trap_23_grandchildren_are_told_apart_too", grandchildren_are_told_apart_too),
    ("trap_23_a_fork_behind_the_c_librarys_back_is_seen", a_fork_behind_the_c_librarys_back_is_seen),
    ("trap_23_that_the_clock_was_set_is_told_to_both", that_the_clock_was_set_is_told_to_both),
    ("trap_23_no_descriptor_leaks", no_descriptor_leaks),
    ("trap_23_a_backend_that_cannot_begin_anew_says_so", a_backend_that_cannot_begin_anew_says_so),
];

fn main() {
    run(TESTS);
}

/// A child, which is waited for.
struct Forked(libc::pid_t);

/// Forks a child that runs `f` and ends, well where that does not panic.
fn fork(f: impl FnOnce()) -> Forked {
    // SAFETY: all threads of this process but this one are helper threads of loops, which hold no lock for longer than
    // a moment, and the tests that have them see to it that they sleep.
    fork_by(|| unsafe { libc::fork() }, f)
}

fn fork_by(fork: impl FnOnce() -> libc::pid_t, f: impl FnOnce()) -> Forked {
    let pid = fork();
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: a number and no memory; a child that hangs is ended by the signal.
        unsafe { libc::alarm(20) };
        let ended = catch_unwind(AssertUnwindSafe(f));
        // SAFETY: ends the process, without what the parent would do at its end.
        unsafe { libc::_exit(if ended.is_ok() { 0 } else { 1 }) };
    }
    Forked(pid)
}

impl Forked {
    fn ends_well(self) {
        let mut status = 0;
        // SAFETY: the status is ours, for the time of the call.
        let ended = unsafe { libc::waitpid(self.0, &mut status, 0) };
        assert_eq!((ended, status), (self.0, 0), "the child failed");
    }
}

/// Counts its calls, and leaves the source ready.
fn count(n: &mut u32, _: &mut becket_loop::Ctx<u32>, _: &Rc<Event>, _: Ready) -> becket_loop::Result {
    *n += 1;
    Ok(Next::Keep)
}

fn a_child_is_refused_and_leaves_the_parents_alone() {
    each_backend(|mut event_loop: Loop<u32>| {
        let (event, other) = (Rc::new(Event::new().unwrap()), Event::new().unwrap());
        let id = event_loop.add(Rc::clone(&event), Ready::READ, Mode::Level, count).unwrap();
        let child = fork(|| {
            let mut event_loop = event_loop;
            let n = &mut 0;
            assert!(matches!(event_loop.turn(n, None), Err(RunError::Forked)));
            assert!(matches!(event_loop.wait(None), Err(RunError::Forked)));
            assert!(matches!(event_loop.dispatch(n), Err(RunError::Forked)));
            assert!(matches!(event_loop.run(n), Err(RunError::Forked)));
            let refused = event_loop.add(other, Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap_err();
            assert_eq!(refused.error().raw_os_error(), CHILD);
            assert_eq!(event_loop.embed().unwrap_err().raw_os_error(), CHILD);
            // What is only written down is taken, and what leaves, leaves the table.
            assert!(event_loop.enable(id, false) && event_loop.enable(id, true));
            assert!(event_loop.set(id, Ready::WRITE, Mode::OneShot));
            event_loop.after(Duration::ZERO, |_, _| Ok(()));
            event_loop.exit(3);
            assert!(event_loop.remove(id).is_some());
            drop(event_loop);
        });
        child.ends_well();
    });
    // The same from the parent's side: the child's closure owns its copy of the loop, and this process its own.
    each_backend(|mut event_loop: Loop<u32>| {
        let event = Rc::new(Event::new().unwrap());
        let id = event_loop.add(Rc::clone(&event), Ready::READ, Mode::Level, count).unwrap();
        let shared = &mut event_loop;
        fork(|| {
            assert!(shared.cancel(id));
            assert!(matches!(shared.turn(&mut 0, Some(Duration::ZERO)), Err(RunError::Forked)));
            // SAFETY: the value is not used again: this process ends.
            drop(unsafe { std::ptr::read(shared) });
        })
        .ends_well();
        event.add(1).unwrap();
        let mut n = 0;
        event_loop.turn(&mut n, Some(LONG)).unwrap();
        assert_eq!(n, 1, "still registered");
    });
}

fn after_fork_both_have_their_own_events() {
    each_backend(|mut event_loop: Loop<u32>| {
        let (shared, parents) = (Rc::new(Event::new().unwrap()), Rc::new(Event::new().unwrap()));
        event_loop.add(Rc::clone(&shared), Ready::READ, Mode::Level, count).unwrap();
        let id = event_loop.add(Rc::clone(&parents), Ready::READ, Mode::Level, count).unwrap();
        event_loop.after(Duration::from_millis(5), |n, _| Ok(*n += 100));
        event_loop.defer(|n, _| Ok(*n += 1000));
        let own = &mut event_loop;
        let child = fork(|| {
            own.cancel(id);
            own.after_fork().unwrap();
            own.after_fork().unwrap(); // nothing more to do
            let event = Rc::new(Event::new().unwrap());
            own.add(Rc::clone(&event), Ready::READ, Mode::Level, count).unwrap();
            event.add(1).unwrap();
            let mut n = 0;
            while n != 1101 {
                own.turn(&mut n, Some(LONG)).unwrap();
                event.try_read().unwrap();
            }
            // Both are told of what both share, for neither reads it.
            shared.add(1).unwrap();
            own.turn(&mut n, Some(LONG)).unwrap();
            assert_eq!(n, 1102);
        });
        let mut n = 0;
        while n < 1101 {
            event_loop.turn(&mut n, Some(LONG)).unwrap();
        }
        child.ends_well();
        shared.try_read().unwrap();
        n = 0;
        event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
        assert_eq!(n, 0, "the child's own events are not the parent's");
        parents.add(1).unwrap();
        event_loop.turn(&mut n, Some(LONG)).unwrap();
        assert_eq!(n, 1, "what the child cancelled, it cancelled for itself");
    });
}

fn edges_and_one_shots_go_on_in_both() {
    let mut event_loop: Loop<u32> = Loop::new().unwrap();
    let [edge, fired, armed] = [(); 3].map(|()| Rc::new(Event::with_count(1).unwrap()));
    event_loop.add(Rc::clone(&edge), Ready::READ, Mode::Edge, count).unwrap();
    let once = event_loop.add(Rc::clone(&fired), Ready::READ, Mode::OneShot, count).unwrap();
    let mut n = 0;
    event_loop.turn(&mut n, Some(LONG)).unwrap();
    assert_eq!(n, 2);
    event_loop.add(Rc::clone(&armed), Ready::READ, Mode::OneShot, count).unwrap();
    n = 0;
    fork(|| {
        event_loop.after_fork().unwrap();
        event_loop.turn(&mut n, Some(LONG)).unwrap();
        assert_eq!(n, 2, "the edge again, and the one that was armed");
        event_loop.turn(&mut n, Some(Duration::from_millis(1))).unwrap();
        assert_eq!(n, 2);
        event_loop.enable(once, true);
        event_loop.turn(&mut n, Some(LONG)).unwrap();
        assert_eq!(n, 3);
    })
    .ends_well();
    event_loop.turn(&mut n, Some(LONG)).unwrap();
    assert_eq!(n, 1, "the one that was armed");
    event_loop.enable(once, true);
    event_loop.turn(&mut n, Some(LONG)).unwrap();
    assert_eq!(n, 2);
}

fn a_fork_in_a_callback_ends_the_childs_turn() {
    each_backend(|mut event_loop: Loop<(u32, Option<Forked>, bool)>| {
        for _ in 0..3 {
            event_loop
                .add(
                    Event::with_count(1).unwrap(),
                    Ready::READ,
                    Mode::Level,
                    |(calls, child, in_child), _, event, _| {
                        event.try_read()?;
                        *calls += 1;
                        if *calls == 1 {
                            // SAFETY: this process has no other thread.
                            let pid = unsafe { libc::fork() };
                            *in_child = pid == 0;
                            *child = Some(Forked(pid));
                        }
                        Ok(Next::Keep)
                    },
                )
                .unwrap();
        }
        event_loop.defer(|(calls, ..), _| Ok(*calls += 10));
        let mut state = (0, None, false);
        let turned = event_loop.turn(&mut state, Some(LONG));
        if state.2 {
            // SAFETY: as in `fork`.
            unsafe { libc::alarm(20) };
            let ended = catch_unwind(AssertUnwindSafe(|| {
                assert!(matches!(turned, Err(RunError::Forked)));
                assert_eq!(state.0, 1, "nobody else was called");
                event_loop.after_fork().unwrap();
                event_loop.turn(&mut state, Some(LONG)).unwrap();
                assert_eq!(state.0, 13, "what was found and queued by the fork");
            }));
            // SAFETY: as in `fork`.
            unsafe { libc::_exit(if ended.is_ok() { 0 } else { 1 }) };
        }
        assert_eq!((turned.unwrap(), state.0), (4, 13));
        state.1.take().unwrap().ends_well();
    });
}

/// Loops whose operations go by threads, and by a ring where there is one.
fn each_way<S: 'static>(test: impl Fn(Loop<S>)) {
    for way in [Completions::HelperThreads, Completions::Backend] {
        match Epoll::with_completions(way) {
            Ok(epoll) => test(Loop::with_backend(epoll)),
            Err(e) => println!("SKIP: one half of a test of fork: no io_uring here: {e}"),
        }
    }
}

type Ends = Vec<(io::Result<usize>, Vec<u8>)>;

fn operations_stay_the_parents() {
    each_way(|mut event_loop: Loop<Ends>| {
        let read = |event_loop: &mut Loop<Ends>, from, buf| {
            let read = Read::new(from, buf, None);
            event_loop.submit(read, |ends: &mut Ends, _, end| Ok(ends.push((end.result, end.buf))));
        };
        let (reader, mut writer) = pipe().unwrap();
        read(&mut event_loop, reader, vec![7; 6]);
        let mut ends = Ends::new();
        event_loop.turn(&mut ends, Some(Duration::from_millis(20))).unwrap(); // now it waits in a helper, or the kernel
        let (own, got) = (&mut event_loop, &mut ends);
        fork(|| {
            own.submit(Call::new(|| -> () { panic!("nobody does it") }), |_, _, end| {
                assert_eq!(end.unwrap_err().raw_os_error(), CHILD);
                Ok(())
            });
            own.after_fork().unwrap();
            own.turn(got, Some(LONG)).unwrap();
            let (result, buf) = got.pop().unwrap();
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ECANCELED));
            assert_eq!(buf, [7; 6]);
            // It has its own helpers, and its own ring.
            let (reader, mut writer) = pipe().unwrap();
            writer.write_all(b"child").unwrap();
            read(own, reader, vec![0; 6]);
            own.run(got).unwrap();
            let (result, buf) = got.pop().unwrap();
            assert_eq!((result.unwrap(), &*buf), (5, &b"child\0"[..]));
            // SAFETY: the value is not used again: this process ends.
            drop(unsafe { std::ptr::read(own) });
        })
        .ends_well();
        writer.write_all(b"parent").unwrap();
        event_loop.run(&mut ends).unwrap();
        let (result, buf) = ends.pop().unwrap();
        assert_eq!((result.unwrap(), &*buf), (6, &b"parent"[..]));
    });
}

fn a_child_that_drops_the_loop_waits_for_nothing() {
    each_way(|mut event_loop: Loop<u32>| {
        let (reader, mut writer) = pipe().unwrap();
        event_loop.submit(Read::new(reader, vec![0; 8], None), |n, _, end| Ok(*n += end.result? as u32));
        // More than there are helper threads: some have not begun.
        let held = Rc::new(());
        for _ in 0..8 {
            let (reader, writer) = pipe().unwrap();
            let held = Rc::clone(&held);
            event_loop.submit(Read::new(reader, vec![0; 8], None), move |_, _, _| Ok(drop((held, writer))));
        }
        event_loop.turn(&mut 0, Some(Duration::from_millis(20))).unwrap();
        let own = &mut event_loop;
        fork(|| {
            // SAFETY: the value is not used again: this process ends.
            drop(unsafe { std::ptr::read(own) });
            assert_eq!(Rc::strong_count(&held), 1, "what the closures held is dropped");
        })
        .ends_well();
        writer.write_all(b"still").unwrap();
        let (mut n, end) = (0, Instant::now() + LONG);
        while n == 0 && Instant::now() < end {
            event_loop.turn(&mut n, Some(LONG)).unwrap();
        }
        assert_eq!(n, 5);
        drop(writer);
        // The others would wait for ever in helper threads.
        if event_loop.caps().completions == Completions::HelperThreads {
            std::mem::forget(event_loop);
        }
    });
}

fn wake_ups_reach_the_process_that_they_are_made_in() {
    each_backend(|mut event_loop: Loop<u32>| {
        let remote = event_loop.remote();
        let own = &mut event_loop;
        fork(|| {
            let remote = remote.clone();
            remote.post(|n, _| Ok(*n += 1)); // before it is the child's own
            own.after_fork().unwrap();
            let mut n = 0;
            own.turn(&mut n, Some(LONG)).unwrap();
            assert_eq!(n, 1);
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                remote.post(|n, ctx| {
                    ctx.exit(4);
                    Ok(*n += 1)
                })
            });
            assert_eq!(own.run(&mut n).unwrap(), 4);
            assert!(n == 2 && thread.join().unwrap());
        })
        .ends_well();
        let mut n = 0;
        let (start, patience) = (Instant::now(), Duration::from_millis(30));
        event_loop.turn(&mut n, Some(patience)).unwrap();
        assert!(n == 0 && start.elapsed() >= patience, "nobody woke the parent");
        remote.post(|n, _| Ok(*n += 1));
        event_loop.turn(&mut n, Some(LONG)).unwrap();
        assert_eq!(n, 1);
    });
}

fn an_embedded_loop_is_settled_in_its_own_process() {
    let mut event_loop: Loop<u32> = Loop::new().unwrap();
    let embedded = event_loop.embed().unwrap();
    let is_ready = |fd: &becket_loop::Embedded, time: Duration| {
        becket_sys::wait(fd, Ready::READ, Some(Instant::now() + time)).unwrap().is_some()
    };
    assert!(!is_ready(&embedded, Duration::ZERO));
    fork(|| {
        event_loop.defer(|n, _| Ok(*n += 1));
        event_loop.after(Duration::ZERO, |n, _| Ok(*n += 1));
        event_loop.after_fork().unwrap();
        let anew = event_loop.embed().unwrap();
        assert!(is_ready(&anew, LONG));
        let mut n = 0;
        event_loop.turn(&mut n, Some(LONG)).unwrap();
        assert_eq!(n, 2);
    })
    .ends_well();
    assert!(!is_ready(&embedded, Duration::from_millis(20)), "the child's work is not the parent's");
    event_loop.after(Duration::from_millis(1), |_, _| Ok(()));
    assert!(is_ready(&embedded, LONG));
}

fn a_detach_of_the_parents_deletes_nothing() {
    let mut event_loop: Loop<u32> = Loop::new().unwrap();
    let event = Rc::new(Event::new().unwrap());
    event_loop.add(Rc::clone(&event), Ready::READ, Mode::Level, count).unwrap();
    let detach = event_loop.detach().unwrap();
    fork(|| detach.delete(event.as_fd())).ends_well();
    event.add(1).unwrap();
    let mut n = 0;
    event_loop.turn(&mut n, Some(LONG)).unwrap();
    assert_eq!(n, 1);
    fork(|| {
        event_loop.after_fork().unwrap();
        event_loop.turn(&mut n, Some(LONG)).unwrap();
        assert_eq!(n, 2);
        detach.delete(event.as_fd()); // now it is the child's
        event_loop.turn(&mut n, Some(Duration::from_millis(1))).unwrap();
        assert_eq!(n, 2);
    })
    .ends_well();
    event_loop.turn(&mut n, Some(LONG)).unwrap();
    assert_eq!(n, 2);
}

fn grandchildren_are_told_apart_too() {
    each_backend(|mut event_loop: Loop<u32>| {
        fork(|| {
            // A loop of the child's is not one of the parent's, nor of the grandchild's.
            let mut own: Loop<u32> = Loop::new().unwrap();
            assert!(matches!(event_loop.turn(&mut 0, None), Err(RunError::Forked)));
            own.turn(&mut 0, Some(Duration::ZERO)).unwrap();
            fork(|| {
                for other in [&mut own, &mut event_loop] {
                    assert!(matches!(other.turn(&mut 0, None), Err(RunError::Forked)));
                }
                own.after_fork().unwrap();
                own.turn(&mut 0, Some(Duration::ZERO)).unwrap();
                event_loop.after_fork().unwrap();
                event_loop.turn(&mut 0, Some(Duration::ZERO)).unwrap();
            })
            .ends_well();
            own.turn(&mut 0, Some(Duration::ZERO)).unwrap();
        })
        .ends_well();
        event_loop.turn(&mut 0, Some(Duration::ZERO)).unwrap();
    });
}

/// Nothing that the library would call in a child is called.
fn a_fork_behind_the_c_librarys_back_is_seen() {
    each_backend(|mut event_loop: Loop<u32>| {
        // SAFETY: as fork(2), for this process has no other thread: a copy of everything, and a signal at its end.
        let clone = || unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t };
        fork_by(clone, || {
            assert!(matches!(event_loop.turn(&mut 0, None), Err(RunError::Forked)));
            event_loop.after_fork().unwrap();
            event_loop.turn(&mut 0, Some(Duration::ZERO)).unwrap();
        })
        .ends_well();
    });
}

fn that_the_clock_was_set_is_told_to_both() {
    use rustix::time::{ClockId, clock_gettime, clock_settime};

    let name = "that_the_clock_was_set_is_told_to_both";
    // To what it is, which is a change like any other.
    let touch = || clock_settime(ClockId::Realtime, clock_gettime(ClockId::Realtime));
    if let Err(e) = touch() {
        return println!("SKIP: {name}: the clock cannot be set ({e})");
    }
    each_backend(|mut event_loop: Loop<()>| {
        event_loop
            .every_on(EveryOn::new(Clock::Realtime, Duration::from_millis(20)), |_, ctx, tick| {
                if tick.clock_set {
                    ctx.exit(0);
                }
                Ok(Next::Keep)
            })
            .unwrap();
        event_loop.after(LONG, |_, ctx| Ok(ctx.exit(1)));
        let child = fork(|| {
            event_loop.after_fork().unwrap();
            touch().unwrap();
            assert_eq!(event_loop.run(&mut ()).unwrap(), 0);
        });
        child.ends_well(); // having read what there was to read
        assert_eq!(event_loop.run(&mut ()).unwrap(), 0, "the child took it");
    });
}

fn no_descriptor_leaks() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    each_backend(|mut event_loop: Loop<u32>| {
        event_loop.add(Event::new().unwrap(), Ready::READ, Mode::Level, |_, _, _, _| Ok(Next::Keep)).unwrap();
        let before = open();
        fork(|| {
            event_loop.after_fork().unwrap();
            event_loop.turn(&mut 0, Some(Duration::ZERO)).unwrap();
            assert_eq!(open(), before);
        })
        .ends_well();
    });
}

/// A backend that leaves all that has a default as it is.
#[derive(Debug)]
struct Plain(Scripted);

// SAFETY: as the inner one, which takes no operation.
unsafe impl Backend for Plain {
    fn caps(&self) -> Caps {
        self.0.caps()
    }
    fn add(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        self.0.add(fd, key, want, mode)
    }
    fn change(&mut self, fd: Fd<'_>, key: Key, want: Ready, mode: Mode) -> io::Result<()> {
        self.0.change(fd, key, want, mode)
    }
    fn remove(&mut self, fd: Fd<'_>, key: Key) -> io::Result<()> {
        self.0.remove(fd, key)
    }
    fn wait(&mut self, batch: &mut Batch, deadline: Option<Instant>) -> io::Result<()> {
        self.0.wait(batch, deadline)
    }
    fn waker(&self) -> Waker {
        self.0.waker()
    }
}

fn a_backend_that_cannot_begin_anew_says_so() {
    let mut event_loop: Loop<u32> = Loop::with_backend(Plain(Scripted::new().0));
    let mut others: [Loop<u32>; 2] =
        [Loop::with_backend(Scripted::new().0), Loop::with_backend(TestTime::over(Poll::new().unwrap()).0)];
    event_loop.hook(HookPoint::Prepare, |n, _| {
        *n += 1;
        Ok(Next::Keep)
    });
    fork(|| {
        let e = event_loop.after_fork().unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::Unsupported);
        assert!(matches!(event_loop.turn(&mut 0, None), Err(RunError::Forked)));
        for other in &mut others {
            assert!(matches!(other.turn(&mut 0, None), Err(RunError::Forked)));
            other.after_fork().unwrap();
            other.turn(&mut 0, Some(Duration::ZERO)).unwrap();
        }
    })
    .ends_well();
    let mut n = 0;
    event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap();
    assert_eq!(n, 1);
}
