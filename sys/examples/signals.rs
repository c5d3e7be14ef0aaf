//! Signals read from a descriptor: a request to end, one with a value, a child's end; and what is read, changed.
//!
//! Run it with `cargo run -p becket-sys --example signals`.

use becket_sys::Ready;
use becket_sys::process::Child;
use becket_sys::signal::{CommandSignalExt, Signal, SignalSet, Signals, act_by_default, queue, raise};
use std::process::Command;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let custom = Signal::real_time(1).ok_or("no real-time signals")?;
    // In the main thread, before there is any other.
    let signals = Signals::new([Signal::CHLD, Signal::TERM, "SIGINT".parse()?, custom])?;

    let child = Child::spawn(Command::new("sh").args(["-c", "exit 3"]).reset_sigmask())?;
    queue(std::process::id(), custom, 42)?;
    raise(Signal::TERM)?;

    let deadline = Instant::now() + Duration::from_secs(20);
    let mut seen = SignalSet::new();
    while seen != SignalSet::from([Signal::CHLD, Signal::TERM, custom]) {
        signals.wait_ready(Ready::READ, Some(deadline))?.ok_or("a signal is missing")?;
        while let Some(info) = signals.try_read()? {
            println!("{} from {:?}: value {:?}, status {:?}", info.signal(), info.pid(), info.value(), info.status());
            seen.insert(info.signal());
        }
    }
    println!("the child: {}", child.wait(Some(deadline))?.ok_or("it runs still")?);

    signals.change([Signal::WINCH])?; // the others are as they were before
    assert!(!SignalSet::blocked().contains(Signal::TERM));
    act_by_default(Signal::WINCH)?; // nothing; SIGTERM would end us here
    Ok(())
}
