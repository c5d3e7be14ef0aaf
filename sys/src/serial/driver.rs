use super::refused::refused;
use crate::ffi::serial as ffi;
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How long closing a port waits for output that is still queued, and then drops it.
///
/// ```
/// use becket_sys::serial::ClosingWait;
/// use std::time::Duration;
///
/// let customary = ClosingWait::AtMost(Duration::from_secs(30));
/// assert_ne!(customary, ClosingWait::Forever);
/// ```
#[doc(alias = "closing_wait")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClosingWait {
    /// Not at all: what is queued is dropped.
    #[doc(alias = "ASYNC_CLOSING_WAIT_NONE")]
    Not,
    /// For at most this long, in hundredths of a second, rounded up: 10 ms to 655.34 s. 30 s where nobody set it.
    AtMost(Duration),
    /// Until it is sent.
    #[doc(alias = "ASYNC_CLOSING_WAIT_INF")]
    Forever,
}

/// The kernel's words, `linux/tty_flags.h` and `linux/serial.h`.
const ASYNC_LOW_LATENCY: i32 = 1 << 13;
const WAIT_FOREVER: u16 = 0;
const WAIT_NOT: u16 = 65535;

impl ClosingWait {
    fn from_raw(raw: u16) -> ClosingWait {
        match raw {
            WAIT_FOREVER => ClosingWait::Forever,
            WAIT_NOT => ClosingWait::Not,
            n => ClosingWait::AtMost(Duration::from_millis(10 * u64::from(n))),
        }
    }

    fn to_raw(self) -> Option<u16> {
        match self {
            ClosingWait::Forever => Some(WAIT_FOREVER),
            ClosingWait::Not => Some(WAIT_NOT),
            ClosingWait::AtMost(d) => {
                u16::try_from(d.as_nanos().div_ceil(10_000_000)).ok().filter(|n| (1..WAIT_NOT).contains(n))
            }
        }
    }
}

pub(super) fn low_latency(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(ffi::driver(fd)?.flags & ASYNC_LOW_LATENCY != 0)
}

pub(super) fn set_low_latency(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let mut driver = ffi::driver(fd)?;
    driver.flags = if on { driver.flags | ASYNC_LOW_LATENCY } else { driver.flags & !ASYNC_LOW_LATENCY };
    ffi::set_driver(fd, driver)?;
    let word = |on| if on { "on" } else { "off" };
    if low_latency(fd)? == on { Ok(()) } else { Err(refused("low latency", word(on), word(!on))) }
}

pub(super) fn closing_wait(fd: BorrowedFd<'_>) -> io::Result<ClosingWait> {
    Ok(ClosingWait::from_raw(ffi::driver(fd)?.closing_wait))
}

pub(super) fn set_closing_wait(fd: BorrowedFd<'_>, wait: ClosingWait) -> io::Result<()> {
    let mut driver = ffi::driver(fd)?;
    let raw = wait.to_raw().ok_or(Errno::INVAL)?;
    driver.closing_wait = raw;
    ffi::set_driver(fd, driver)?;
    // The kernel counts in ticks of its own, of at most 10 ms.
    let got = ffi::driver(fd)?.closing_wait;
    let kind = |raw| matches!(raw, WAIT_FOREVER | WAIT_NOT);
    if got == raw || (!kind(raw) && !kind(got) && got.abs_diff(raw) <= 1) {
        return Ok(());
    }
    Err(refused("closing wait", format!("{wait:?}"), format!("{:?}", ClosingWait::from_raw(got))))
}

#[cfg(test)]
mod tests {
    use super::ClosingWait;
    use std::time::Duration;

    #[test]
    fn times_of_closing_round_up_and_keep_off_the_words_for_never_and_ever() {
        let raw = |ns| ClosingWait::AtMost(Duration::from_nanos(ns)).to_raw();
        assert_eq!(raw(0), None);
        assert_eq!(raw(1), Some(1));
        assert_eq!(raw(10_000_001), Some(2));
        assert_eq!(raw(655_340_000_000), Some(65534));
        assert_eq!(raw(655_340_000_001), None);
        assert_eq!(ClosingWait::AtMost(Duration::MAX).to_raw(), None);
        for raw in [0, 1, 3000, 65534, 65535] {
            assert_eq!(ClosingWait::from_raw(raw).to_raw(), Some(raw));
        }
    }
}
