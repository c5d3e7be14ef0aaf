//! Other threads start fibers, wait for them, and get what they return. Run it with
//! `cargo run -p becket-fiber --example spawn_from_threads`.

use becket_fiber::sync::thread_channel;
use becket_fiber::{Runtime, sleep};
use std::io;
use std::thread;
use std::time::Duration;

fn main() -> io::Result<()> {
    let mut runtime = Runtime::new()?;
    let remote = runtime.remote(); // `Send`, as handles of fibers are not
    let (done, is_done) = thread_channel::<()>(1);
    let other = thread::spawn(move || -> io::Result<u32> {
        let fibers = [20, 22].map(|n| {
            remote.spawn(move || {
                sleep(Duration::from_millis(2))?; // on the runtime's thread, beside its other fibers
                Ok::<_, io::Error>(n)
            })
        });
        let mut sum = 0;
        for fiber in fibers {
            sum += fiber?.join()??; // blocks this thread
        }
        drop(done);
        Ok(sum)
    });
    runtime.run(|| is_done.recv())??;
    println!("{}", other.join().map_err(|_| io::Error::other("the thread panicked"))??);
    Ok(())
}
