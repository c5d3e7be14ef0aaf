//! Operations that are submitted and end later.

use super::*;
use becket_loop::op::{Call, Open, Read, Sync, Write};
use becket_loop::{Mode, Next};
use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, pipe};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

/// Notes, when it is dropped, whether something had ended by then.
struct Witness {
    ended: Arc<AtomicBool>,
    seen: Rc<Cell<Option<bool>>>,
}

impl Witness {
    fn of(ended: &Arc<AtomicBool>) -> Witness {
        Witness { ended: Arc::clone(ended), seen: Rc::default() }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.seen.set(Some(self.ended.load(Ordering::SeqCst)));
    }
}

/// Panics when it is dropped in the loop's thread.
struct Bad;

impl Drop for Bad {
    fn drop(&mut self) {
        if std::thread::current().name() != Some("becket-helper") && !std::thread::panicking() {
            panic!("on purpose");
        }
    }
}

/// Keeps all helper threads of a loop busy until it is dropped.
struct Busy {
    _release: mpsc::Sender<()>,
}

impl Busy {
    fn new<S: 'static>(event_loop: &mut Loop<S>) -> Busy {
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let (started, starts) = mpsc::channel();
        for _ in 0..4 {
            let (gate, started) = (gate.clone(), started.clone());
            let call = Call::new(move || {
                started.send(()).unwrap();
                let _ = gate.lock().unwrap().recv();
            });
            event_loop.submit(call, |_, _, _| Ok(()));
        }
        (0..4).for_each(|_| starts.recv().unwrap());
        Busy { _release: release }
    }
}

on_every_backend! {
    fn a_file_is_written_synced_and_read(world: World<Vec<u8>>) {
        let path = std::env::temp_dir().join(format!("becket-operations-{}-{:?}", std::process::id(), std::thread::current().id()));
        let again = path.clone();
        world.event_loop.submit(Open::create(&path).unwrap(), move |_, ctx, file| {
            ctx.submit(Write::new(File::from(file?), b"hello, file".to_vec(), None), move |_, ctx, end| {
                assert_eq!(end.result?, 11);
                ctx.submit(Sync::data(end.file), move |_, ctx, (synced, _)| {
                    synced?;
                    ctx.submit(Open::read(&again)?, |_, ctx, file| {
                        ctx.submit(Read::new(file?, vec![0; 64], Some(7)), |seen, _, end| Ok(*seen = end.filled()?));
                        Ok(())
                    });
                    Ok(())
                });
                Ok(())
            });
            Ok(())
        });
        let mut seen = Vec::new();
        world.event_loop.run(&mut seen).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(seen, b"file");
    }

    fn helper_threads_are_as_many_as_was_said(world: World<Vec<usize>>) {
        assert_eq!(world.event_loop.helper_threads(), 4);
        let running = Arc::new(std::sync::Mutex::new((0, 0)));
        let mut most_of = |helpers: usize, calls: usize| {
            world.event_loop.set_helper_threads(helpers);
            assert_eq!(world.event_loop.helper_threads(), helpers.max(1));
            *running.lock().unwrap() = (0, 0);
            for n in 0..calls {
                let running = Arc::clone(&running);
                let call = Call::new(move || {
                    let mut counts = running.lock().unwrap();
                    *counts = (counts.0 + 1, counts.1.max(counts.0 + 1));
                    drop(counts);
                    std::thread::sleep(Duration::from_millis(2));
                    running.lock().unwrap().0 -= 1;
                    n
                });
                world.event_loop.submit(call, |order: &mut Vec<usize>, _, end| Ok(order.push(end?)));
            }
            let mut order = Vec::new();
            world.event_loop.run(&mut order).unwrap();
            if helpers <= 1 {
                assert_eq!(order, Vec::from_iter(0..calls), "one after the other");
            }
            assert_eq!(order.len(), calls);
            running.lock().unwrap().1
        };
        assert!(most_of(8, 30) <= 8);
        // The seven others end, idle or not.
        assert_eq!(most_of(1, 6), 1);
        assert_eq!(most_of(0, 6), 1);
        assert!(most_of(3, 12) <= 3);
    }

    fn a_waiting_operation_is_cancelled_and_a_running_one_ends(world: World<Vec<String>>) {
        // All helper threads are busy, so that the next operation waits.
        let (release, gate) = mpsc::channel::<()>();
        let gate = std::sync::Arc::new(std::sync::Mutex::new(gate));
        let mut running = Vec::new();
        let (started, starts) = mpsc::channel();
        for _ in 0..4 {
            let (gate, started) = (gate.clone(), started.clone());
            let call = Call::new(move || {
                started.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
            });
            running.push(world.event_loop.submit(call, |log: &mut Vec<String>, _, end| Ok(log.push(format!("{}", end.is_ok())))));
        }
        (0..4).for_each(|_| starts.recv().unwrap());
        let waiting = world.event_loop.submit(Call::new(|| ()), |log: &mut Vec<String>, _, end| {
            Ok(log.push(end.unwrap_err().to_string()))
        });
        assert!(world.event_loop.cancel(waiting));
        assert!(world.event_loop.cancel_op(running[0]), "it is asked; it ends as it likes");
        (0..4).for_each(|_| release.send(()).unwrap());
        let mut log = Vec::new();
        world.event_loop.run(&mut log).unwrap();
        log.sort_unstable();
        assert_eq!(log, ["Operation canceled (os error 125)", "true", "true", "true", "true"]);
        assert!(!world.event_loop.cancel(waiting));
    }

    fn the_loop_is_dropped_with_operations_under_way(world: World<()>) {
        let (reader, writer) = pipe().unwrap();
        let token = Rc::new(());
        let held = Rc::clone(&token);
        world.event_loop.submit(Read::new(reader, vec![0; 1 << 20], None), move |_, _, _| Ok(drop(held)));
        for _ in 0..10 {
            world.event_loop.submit(Open::read("/proc/self/exe").unwrap(), |_, _, _| Ok(()));
        }
        let closer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            drop(writer); // the read under way ends only now
        });
        drop(world);
        closer.join().unwrap();
        assert_eq!(Rc::strong_count(&token), 1);
    }

    fn a_destructor_that_panics_frees_nothing_under_way(world: World<()>) {
        let ended = Arc::new(AtomicBool::new(false));
        let witness = Witness::of(&ended);
        let (started, start) = mpsc::channel();
        let call = Call::new({
            let ended = Arc::clone(&ended);
            move || {
                started.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(100));
                ended.store(true, Ordering::SeqCst);
            }
        });
        let seen = Rc::clone(&witness.seen);
        // It has the operation's place: where it is dropped, the operation's buffers are.
        world.event_loop.submit(call, move |_, _, _| Ok(drop(witness)));
        start.recv().unwrap();
        let bad = Bad;
        world.event_loop.remote().post(move |_, _| Ok(drop(bad)));
        for _ in 0..10 {
            let bad = Bad;
            world.event_loop.submit(Call::new(move || drop(bad)), |_, _, _| Ok(()));
        }
        let _ = catch_unwind(AssertUnwindSafe(|| drop(world)));
        assert_eq!(seen.get(), Some(true), "dropped, and not before its end");
    }

    fn a_panic_on_a_helper_does_not_come_out_of_the_drop(world: World<()>) {
        let (started, start) = mpsc::channel();
        let call = Call::new(move || {
            started.send(()).unwrap();
            panic!("on purpose");
        });
        world.event_loop.submit(call, |_, _, end: std::io::Result<()>| Ok(end?));
        start.recv().unwrap();
        drop(world);
    }

    fn cancelled_work_that_panics_as_it_is_dropped_is_told_of(world: World<Vec<String>>) {
        let busy = Busy::new(&mut world.event_loop);
        let bad = Bad;
        let waiting = world.event_loop.submit(Call::new(move || drop(bad)), |log: &mut Vec<String>, _, end| {
            Ok(log.push(end.unwrap_err().to_string()))
        });
        assert!(catch_unwind(AssertUnwindSafe(|| world.event_loop.cancel(waiting))).is_err());
        let mut log = Vec::new();
        world.event_loop.turn(&mut log, Some(Duration::ZERO)).unwrap();
        assert_eq!(log, ["Operation canceled (os error 125)"]);
        drop(busy);
    }

    /// Safe code can exchange what two loops hold: no answer of a callback may then free what is under way.
    fn loops_exchanged_in_a_callback_lose_no_operation(world: World<bool>) {
        let ended = Arc::new(AtomicBool::new(false));
        let witness = Witness::of(&ended);
        let seen = Rc::clone(&witness.seen);
        let (release, gate) = mpsc::channel();
        let mut other = Loop::new().unwrap();
        other.submit(Call::new(move || {
            gate.recv().unwrap();
            ended.store(true, Ordering::SeqCst);
        }), move |done, _, _| {
            drop(witness);
            Ok(*done = true)
        });
        let probe = world.probe();
        world.event_loop.add(probe.source(), Ready::READ, Mode::Level, move |_, ctx, _, _| {
            std::mem::swap(ctx, &mut *other);
            Ok(Next::Remove)
        }).unwrap();
        probe.raise();
        let mut done = false;
        world.event_loop.turn(&mut done, Some(LONG)).unwrap();
        assert_eq!(seen.get(), None, "it is still under way");
        release.send(()).unwrap();
        world.event_loop.run(&mut done).unwrap();
        assert_eq!((done, seen.get()), (true, Some(true)));
    }

    fn a_failure_names_its_operation(world: World<String>) {
        let id = world.event_loop.submit(Open::read("/does/not/exist").unwrap(), |_, _, file| Ok(drop(file?)));
        world.event_loop.set_name(id, "settings");
        world.event_loop.on_error(move |log, _, fault| {
            assert_eq!(fault.id(), Some(id.into()));
            *log = fault.to_string();
        });
        let mut log = String::new();
        world.event_loop.run(&mut log).unwrap();
        assert_eq!(log, "settings: No such file or directory (os error 2)");
    }

    fn an_error_is_the_operations_own(world: World<Vec<ErrorKind>>) {
        let (_, writer) = pipe().unwrap();
        world.event_loop.submit(Read::new(writer, vec![0; 1], None), |seen: &mut Vec<_>, _, end| {
            let error = end.result.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(9)); // EBADF: not open for reading
            Ok(seen.push(error.kind()))
        });
        assert_eq!(Open::read("a\0b").unwrap_err().kind(), ErrorKind::InvalidInput);
        let mut seen = Vec::new();
        world.event_loop.run(&mut seen).unwrap();
        assert_eq!(seen.len(), 1);
    }

    fn a_panic_on_a_helper_goes_on_in_the_loop(world: World<()>) {
        world.event_loop.submit(Call::new(|| panic!("on the helper")), |_, _, end: std::io::Result<()>| Ok(end?));
        let run = catch_unwind(AssertUnwindSafe(|| world.event_loop.run(&mut ())));
        assert_eq!(run.unwrap_err().downcast_ref(), Some(&"on the helper"));
    }
}
