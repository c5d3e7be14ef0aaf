//! Tells the service manager that the service is up, alive, and about to end, as systemd's sd_notify(3) does.
//!
//! The manager is played here, so that there is something to see; in a service, `Notifier::from_env` names the real one.
//! `cargo run -p becket-loop --example notify_manager`

use becket_loop::notify::Notifier;
use becket_loop::{HookPoint, Loop, Mode, Next, Ready};
use becket_sys::unix::{Address, Datagram};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let manager = Datagram::bind(&Address::unnamed())?; // which gives it a name of its own
    let notifier = Notifier::to(manager.local_addr()?)?;
    let mut event_loop: Loop<bool> = Loop::new()?;
    event_loop.add(manager, Ready::READ, Mode::Level, |_, _, manager, _| {
        let mut buf = [0; 256];
        while let Some((received, _)) = manager.try_recv_from(&mut buf)? {
            println!("manager: {}", String::from_utf8_lossy(&buf[..received.len()]));
        }
        Ok(Next::Keep)
    })?;

    notifier.ready()?;
    notifier.status("listening on port 1883")?;
    // Twice within each period, and only while all is well: a service that hangs, or says no, is restarted.
    event_loop.watchdog(notifier.clone(), Duration::from_millis(200), |is_well| *is_well);
    event_loop.hook(HookPoint::Exit, move |_, _| {
        notifier.stopping()?;
        Ok(Next::Keep)
    });
    event_loop.after(Duration::from_millis(50), |_, ctx| Ok(ctx.exit(0)));
    let mut is_well = true;
    event_loop.run(&mut is_well)?;
    event_loop.turn(&mut is_well, Some(Duration::ZERO))?; // the manager hears the last of it
    Ok(())
}
