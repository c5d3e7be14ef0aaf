//! An event that opens for all, a barrier that waits until all are there, a group that waits until all are gone. Run it
//! with `cargo run -p becket-fiber --example start_together`.

use becket_fiber::sync::{Barrier, Event, WaitGroup};
use becket_fiber::{Runtime, spawn, yield_now};
use std::cell::Cell;
use std::io;
use std::rc::Rc;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let gate = Rc::new((Event::new(), Barrier::new(3), Cell::new(0)));
        let group = WaitGroup::new();
        for _ in 0..3 {
            let (gate, member) = (Rc::clone(&gate), group.member());
            spawn(move || {
                let _member = member; // counts until it is dropped
                let (open, all, there) = &*gate;
                open.wait()?;
                there.set(there.get() + 1);
                let is_last = all.wait()?; // true for one of them
                if is_last {
                    println!("{} are there", there.get());
                }
                Ok::<_, io::Error>(())
            })?;
        }
        yield_now();
        println!("{} have passed the gate", gate.2.get());
        gate.0.set();
        group.wait()?;
        println!("{} are left", group.count());
        Ok(())
    })?
}
