//! Opening what may not be there yet.

use crate::log::log;
use becket_fiber::sleep;
use becket_sys::SetupError;
use std::io;
use std::time::Duration;

/// How long to wait before something is opened again: at first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Tries to open it, ever less often, until that succeeds or this fiber is cancelled.
pub fn open<T>(name: &str, open: impl Fn() -> Result<T, SetupError>) -> io::Result<T> {
    let (mut wait, most) = BACKOFF;
    loop {
        match open() {
            Ok(opened) => return Ok(opened),
            // Said once, and not for each of the attempts that follow.
            Err(e) if wait == BACKOFF.0 => log!(Warning, about = name, error = e; "{name}: {e}; trying again"),
            Err(_) => {}
        }
        sleep(wait)?;
        wait = (2 * wait).min(most);
    }
}

/// The same where it was open until now: not at once.
pub fn open_again<T>(name: &str, again: impl Fn() -> Result<T, SetupError>) -> io::Result<T> {
    sleep(BACKOFF.0)?;
    let opened = open(name, again)?;
    log!(Info, about = name; "{name}: open again");
    Ok(opened)
}
