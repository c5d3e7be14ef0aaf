//! Signals as a typed source, on epoll and on poll(2). Each test runs in the main thread: a signal sent to the process
//! would otherwise act in a thread of the test harness. The binary speaks what `cargo test` and nextest ask of a
//! harness.

#![allow(unsafe_code, reason = "a handler is installed")]

mod common;

use becket_loop::op::Call;
use becket_loop::{Loop, Next};
use becket_sys::process::Child;
use becket_sys::signal::{MaskGuard, Signal, SignalSet, Signals, queue};
use common::{each_backend, skips_valgrind};
use std::process::{Command, id};
use std::time::{Duration, Instant};

const TESTS: &[(&str, fn())] = &[
    ("a_signal_ends_a_wait", a_signal_ends_a_wait),
    (
        "trap_11_an_interruption_neither_shortens_nor_prolongs_a_wait",
        trap_11_an_interruption_neither_shortens_nor_prolongs_a_wait,
    ),
    ("queued_signals_come_one_by_one_and_in_order", queued_signals_come_one_by_one_and_in_order),
    ("trap_19_helper_threads_take_no_signal", trap_19_helper_threads_take_no_signal),
    (
        "trap_19_a_child_can_be_ended_by_a_signal_that_is_blocked_here",
        trap_19_a_child_can_be_ended_by_a_signal_that_is_blocked_here,
    ),
    ("trap_20_a_child_and_its_signal_are_told_of_both", trap_20_a_child_and_its_signal_are_told_of_both),
    ("the_mask_is_restored_with_the_source", the_mask_is_restored_with_the_source),
];

fn main() {
    common::run(TESTS);
}

fn kill_self(signal: Signal) {
    let signal = rustix::process::Signal::from_named_raw(signal.as_raw()).unwrap();
    rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
}

/// It is sent by a thread, which blocks it, too, for it was started after the source was made.
fn a_signal_ends_a_wait() {
    each_backend(|mut event_loop: Loop<Vec<(Signal, Option<u32>)>>| {
        let signals = Signals::new([Signal::USR1, Signal::TERM]).unwrap();
        event_loop
            .on(signals, |seen: &mut Vec<_>, ctx, info| {
                seen.push((info.signal(), info.pid()));
                if info.signal() == Signal::TERM {
                    ctx.exit(7);
                }
                Ok(Next::Keep)
            })
            .unwrap();
        let sender = std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            for _ in 0..3 {
                kill_self(Signal::USR1);
            }
            std::thread::sleep(Duration::from_millis(20));
            kill_self(Signal::TERM);
        });
        let mut seen = Vec::new();
        assert_eq!(event_loop.run(&mut seen).unwrap(), 7);
        sender.join().unwrap();
        assert_eq!(seen.last(), Some(&(Signal::TERM, Some(id()))));
        // Three that were sent may count as one, for the kernel keeps one of a kind.
        assert!((2..=4).contains(&seen.len()) && seen[0] == (Signal::USR1, Some(id())), "{seen:?}");
        assert!(event_loop.stats().waits <= 8, "it did not spin: {:?}", event_loop.stats());
    });
}

/// A signal with a handler ends the system call of the wait each millisecond.
fn trap_11_an_interruption_neither_shortens_nor_prolongs_a_wait() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: all of it may be zero; the handler touches nothing.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut())
    };
    assert_eq!(installed, 0);
    each_backend(|mut event_loop: Loop<()>| {
        let done = std::sync::atomic::AtomicBool::new(false);
        let sent = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                // The process's signal is the main thread's: this one blocks it.
                let _mask = MaskGuard::block(SignalSet::from(Signal::USR1));
                let mut sent = 0;
                while !done.load(std::sync::atomic::Ordering::Acquire) {
                    kill_self(Signal::USR1);
                    sent += 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
                sent
            });
            let start = Instant::now();
            event_loop.after(Duration::from_millis(100), |_, _| Ok(()));
            event_loop.run(&mut ()).unwrap();
            let took = start.elapsed();
            done.store(true, std::sync::atomic::Ordering::Release);
            assert!((Duration::from_millis(100)..Duration::from_secs(20)).contains(&took), "{took:?}");
            sender.join().unwrap()
        });
        assert!(sent > 5, "{sent}");
        assert_eq!((event_loop.stats().waits, event_loop.stats().timers), (1, 1));
    });
}

fn queued_signals_come_one_by_one_and_in_order() {
    each_backend(|mut event_loop: Loop<Vec<i32>>| {
        let signal = Signal::real_time(3).unwrap();
        event_loop
            .on(Signals::new(signal).unwrap(), |seen: &mut Vec<i32>, _, info| {
                seen.push(info.value().unwrap());
                Ok(if seen.len() == 50 { Next::Remove } else { Next::Keep })
            })
            .unwrap();
        for value in 0..50 {
            queue(id(), signal, value).unwrap();
        }
        let mut seen = Vec::new();
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
        assert!(event_loop.stats().waits > 2, "others come between: {:?}", event_loop.stats());
    });
}

/// Helper threads that were started before the signal was blocked would be ended by it, and the process with them.
fn trap_19_helper_threads_take_no_signal() {
    each_backend(|mut event_loop: Loop<u32>| {
        for _ in 0..4 {
            event_loop.submit(Call::new(|| ()), |_, _, end| Ok(end?));
        }
        let mut n = 0;
        event_loop.run(&mut n).unwrap();
        let signals = Signals::new(Signal::USR2).unwrap();
        event_loop
            .on(signals, |n: &mut u32, _, info| {
                assert_eq!(info.signal(), Signal::USR2);
                *n += 1;
                Ok(Next::Remove)
            })
            .unwrap();
        kill_self(Signal::USR2);
        event_loop.run(&mut n).unwrap();
        assert_eq!(n, 1);
    });
}

fn trap_19_a_child_can_be_ended_by_a_signal_that_is_blocked_here() {
    if skips_valgrind("trap_19_a_child_can_be_ended_by_a_signal_that_is_blocked_here", "it knows no pidfd_open") {
        return;
    }
    each_backend(|mut event_loop: Loop<Option<i32>>| {
        event_loop.on(Signals::new(Signal::TERM).unwrap(), |_, _, _| Ok(Next::Keep)).unwrap();
        let child = Child::spawn(Command::new("sleep").arg("1000")).unwrap().kill_on_drop(true);
        let id = event_loop
            .on(child, |signal: &mut Option<i32>, ctx, status| {
                *signal = std::os::unix::process::ExitStatusExt::signal(&status);
                ctx.exit(0);
                Ok(Next::Keep)
            })
            .unwrap();
        event_loop.get(id).unwrap().send_signal(Signal::TERM).unwrap();
        event_loop.after(Duration::from_secs(20), |_, ctx| Ok(ctx.exit(1)));
        let mut signal = None;
        assert_eq!(event_loop.run(&mut signal).unwrap(), 0, "it blocks the signal, too");
        assert_eq!(signal, Some(Signal::TERM.as_raw()));
    });
}

fn trap_20_a_child_and_its_signal_are_told_of_both() {
    if skips_valgrind("trap_20_a_child_and_its_signal_are_told_of_both", "it knows no pidfd_open") {
        return;
    }
    each_backend(|mut event_loop: Loop<Vec<String>>| {
        let signals = Signals::new(Signal::CHLD).unwrap();
        let child = Child::spawn(Command::new("sh").args(["-c", "exit 5"])).unwrap();
        let number = child.id();
        event_loop
            .on(signals, move |log: &mut Vec<String>, _, info| {
                assert_eq!(info.pid(), Some(number));
                log.push(format!("signal {:?}", info.status()));
                Ok(Next::Remove)
            })
            .unwrap();
        event_loop
            .on(child, |log: &mut Vec<String>, _, status| {
                log.push(format!("end {:?}", status.code()));
                Ok(Next::Keep)
            })
            .unwrap();
        let mut log = Vec::new();
        event_loop.run(&mut log).unwrap();
        log.sort_unstable();
        assert_eq!(log, ["end Some(5)", "signal Some(5)"]);
    });
}

fn the_mask_is_restored_with_the_source() {
    each_backend(|mut event_loop: Loop<()>| {
        assert!(!SignalSet::blocked().contains(Signal::WINCH));
        let id = event_loop.on(Signals::new(Signal::WINCH).unwrap(), |_, _, _| Ok(Next::Keep)).unwrap();
        assert!(SignalSet::blocked().contains(Signal::WINCH));
        event_loop.enable(id, false);
        event_loop.turn(&mut (), Some(Duration::ZERO)).unwrap();
        assert!(SignalSet::blocked().contains(Signal::WINCH), "what is disabled is still to be read");
        let back = event_loop.remove(id).unwrap();
        assert!(SignalSet::blocked().contains(Signal::WINCH), "it was handed back");
        drop(back);
        assert!(!SignalSet::blocked().contains(Signal::WINCH));
        event_loop.on(Signals::new(Signal::WINCH).unwrap(), |_, _, _| Ok(Next::Keep)).unwrap();
        drop(event_loop);
        assert!(!SignalSet::blocked().contains(Signal::WINCH));
    });
}
