//! Operations that are submitted and end later.

use super::*;
use becket_loop::op::{Call, Open, Read, Sync, Write};
use std::fs::File;
use std::io::{ErrorKind, pipe};
use std::sync::mpsc;

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

    #[should_panic(expected = "on the helper")]
    fn a_panic_on_a_helper_goes_on_in_the_loop(world: World<()>) {
        world.event_loop.submit(Call::new(|| panic!("on the helper")), |_, _, end: std::io::Result<()>| Ok(end?));
        let _ = world.event_loop.run(&mut ());
    }
}
