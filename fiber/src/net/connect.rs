//! Connecting to one of several addresses: RFC 8305.

use crate::several::Several;
use crate::{Io, Ready, time};
use becket_sys::SetupError;
use becket_sys::tcp::{Connecting, Progress, Stream};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long an attempt has for itself before the next one begins beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// The same addresses, where the families take turns, beginning with that of the first.
pub(super) fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else { return addresses };
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut all = Vec::with_capacity(one.len() + other.len());
    loop {
        let pair = (one.next(), other.next());
        if pair == (None, None) {
            return all;
        }
        all.extend(pair.0.into_iter().chain(pair.1));
    }
}

pub(super) fn to_one(addr: SocketAddr) -> Result<Stream, SetupError> {
    let failed = |e: io::Error| SetupError::new("connect", addr.to_string(), e);
    let mut connecting = Stream::connect(addr)?;
    loop {
        let io = Io::new(connecting).map_err(failed)?;
        io.wait(Ready::WRITE, None).map_err(failed)?;
        match io.into_inner().try_finish()? {
            Progress::Connected(stream) => return Ok(stream),
            Progress::Pending(still) => connecting = still,
        }
    }
}

/// Tries them in order, each [`STAGGER`] after the one before or as soon as that has failed; the first success wins, the
/// others are closed.
pub(super) fn to_any(addresses: &[SocketAddr]) -> Result<Stream, SetupError> {
    if let [addr] = addresses {
        return to_one(*addr);
    }
    let all = || addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
    let failed = |e: io::Error| SetupError::new("connect", all(), e);
    let mut several = Several::new(addresses.len()).map_err(failed)?;
    let mut attempts: Vec<Option<Connecting>> = Vec::new();
    let mut next = addresses.iter();
    let mut error = None;
    let mut begin = true;
    let mut at = None;
    loop {
        while begin && let Some(addr) = next.next() {
            match Stream::connect(*addr) {
                Ok(connecting) => {
                    several.add(&connecting, attempts.len(), Ready::WRITE).map_err(failed)?;
                    attempts.push(Some(connecting));
                    at = time::now().checked_add(STAGGER);
                    begin = false;
                }
                Err(e) => error = Some(e),
            }
        }
        if attempts.iter().all(Option::is_none) && next.len() == 0 {
            let none = || SetupError::new("connect", "no address", io::ErrorKind::InvalidInput);
            return Err(error.unwrap_or_else(none));
        }
        let ready = several.wait(at.filter(|_| next.len() > 0)).map_err(failed)?;
        begin = ready.is_empty();
        for i in ready {
            let Some(connecting) = attempts[i].take() else { continue };
            match connecting.try_finish() {
                Ok(Progress::Connected(stream)) => return Ok(stream),
                Ok(Progress::Pending(still)) => attempts[i] = Some(still),
                Err(e) => (error, begin) = (Some(e), true),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::interleave;

    #[test]
    fn families_take_turns() {
        let list = |text: &str| text.split(' ').map(|a| a.parse().unwrap()).collect::<Vec<_>>();
        let mixed = list("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 2.2.2.2:1");
        assert_eq!(interleave(mixed), list("[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1"));
        assert_eq!(interleave(list("1.1.1.1:1 [::1]:1")), list("1.1.1.1:1 [::1]:1"));
        assert_eq!(interleave(Vec::new()), []);
    }
}
