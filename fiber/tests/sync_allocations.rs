//! Waiting for other fibers allocates nothing.

mod common;

use becket_fiber::sync::{Event, Mutex, Notify, RwLock, Semaphore, channel, oneshot};
use becket_fiber::{race, scope, select, yield_now};
use common::{each_backend, skips_valgrind};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;

/// Counts what its thread allocates.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator can be written in no other way")]
// SAFETY: the system's allocator does it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Calls `step` some times, then counts what it allocates in further ones.
fn allocations(mut step: impl FnMut() -> io::Result<()>) -> io::Result<usize> {
    (0..1000).try_for_each(|_| step())?; // with some turns of the loop among them
    let before = COUNT.get();
    (0..1000).try_for_each(|_| step())?;
    Ok(COUNT.get() - before)
}

#[test]
fn a_wait_allocates_nothing() {
    if skips_valgrind("it brings its own allocator") {
        return;
    }
    each_backend(|runtime| {
        runtime
            .run(|| {
                for capacity in [0, 1, 8] {
                    let (to_far, far) = channel(capacity);
                    let (to_near, near) = channel(capacity);
                    scope(|s| {
                        s.spawn(move || {
                            while let Some(n) = far.recv().unwrap() {
                                to_near.send(n).unwrap();
                            }
                        })?;
                        let sends = move || {
                            to_far.send(1)?;
                            near.recv().map(|got| assert_eq!(got, Some(1)))
                        };
                        assert_eq!(allocations(sends)?, 0, "a channel of {capacity}");
                        Ok::<_, io::Error>(())
                    })?;
                }
                let (mutex, lock, permits) = (Mutex::new(()), RwLock::new(()), Semaphore::new(1));
                let (event, signal) = (Event::new(), Notify::new());
                let ((values, value), never) = (channel(0), Semaphore::new(0));
                let stop = Cell::new(false);
                scope(|s| {
                    // Contends for all of it, and tells of everything.
                    s.spawn(|| {
                        while !stop.get() {
                            let guards = (mutex.lock()?, lock.write()?, permits.acquire()?);
                            yield_now();
                            drop(guards);
                            event.set();
                            event.reset();
                            signal.notify_one();
                            let _ = values.try_send(1);
                            yield_now();
                        }
                        Ok::<_, io::Error>(())
                    })?;
                    assert_eq!(allocations(|| mutex.lock().map(drop))?, 0, "a mutex");
                    assert_eq!(allocations(|| lock.read().map(drop))?, 0, "a lock for reading");
                    assert_eq!(allocations(|| lock.write().map(drop))?, 0, "a lock for writing");
                    assert_eq!(allocations(|| permits.acquire().map(drop))?, 0, "a semaphore");
                    assert_eq!(allocations(|| event.wait())?, 0, "an event");
                    assert_eq!(allocations(|| signal.wait())?, 0, "a signal");
                    let selects = || {
                        select! {
                            value = value.on_recv() => assert_eq!(value, Some(1)),
                            () = event.on_set() => (),
                            permit = never.on_permits(1) => permit.map(drop)?,
                        }
                    };
                    assert_eq!(allocations(selects)?, 0, "select");
                    stop.set(true);
                    Ok::<_, io::Error>(())
                })?;
                // What is made for one use is one piece of memory.
                let answers = || {
                    let (sender, receiver) = oneshot();
                    sender.send(1).map_err(io::Error::from)?;
                    receiver.recv().map(drop)
                };
                assert_eq!(allocations(answers)?, 1000);
                race([|| ()])
            })
            .unwrap()
            .unwrap();
    });
}
