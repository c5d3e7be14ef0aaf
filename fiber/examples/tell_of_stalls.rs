//! Somebody keeps the thread to himself: a watchdog says who, and in which system call. Here a std `Mutex` that is held
//! across a wait. Run it with `cargo run -p becket-fiber --example tell_of_stalls`.

use becket_fiber::{Runtime, spawn_named};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

fn main() -> io::Result<()> {
    let (told, stalls) = mpsc::channel();
    let mut runtime = Runtime::new()?;
    let _watchdog = runtime.on_stall(Duration::from_millis(50), move |stall| drop(told.send(stall)))?;
    let lock = Arc::new(Mutex::new(()));
    let elsewhere = Arc::clone(&lock);
    let (tell_held, held) = mpsc::channel();
    // Held by a thread here, so that it ends. Held by a fiber that waits, it would stay so for ever: use `sync::Mutex`.
    let holder = thread::spawn(move || {
        let guard = elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = tell_held.send(());
        let mut careless = stalls.iter().filter(|stall| stall.to_string().contains("careless"));
        careless.next().inspect(|stall| println!("{stall}"));
        drop(guard); // now that the watchdog has spoken
        careless.next().inspect(|stall| println!("{stall}"));
    });
    held.recv().map_err(io::Error::other)?;
    runtime.run(|| {
        let careless = spawn_named("careless", move || drop(lock.lock()))?; // blocks the thread, not the fiber
        Ok::<_, io::Error>(careless.join()?)
    })??;
    holder.join().map_err(|_| io::Error::other("the holder panicked"))
}
