//! How a client says goodbye.

use crate::ffi;
use crate::properties::problem_of_user;
use crate::reason::ReasonCode;
use std::time::Duration;
use std::{error, fmt, io};

/// What a client says when it [closes](crate::Client::close_with). All of it needs MQTT 5.
///
/// ```
/// use becket_mosquitto::{Disconnect, ReasonCode};
/// use std::time::Duration;
///
/// // Away for the night, and the broker tells the others by the will.
/// let goodbye = Disconnect::new().code(ReasonCode::WITH_WILL).session_expiry(Duration::from_secs(12 * 3600));
/// assert_ne!(goodbye, Disconnect::default());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disconnect {
    pub(crate) code: u8,
    pub(crate) session_expiry: Option<Duration>,
    pub(crate) reason: Option<String>,
    pub(crate) user: Vec<(String, String)>,
}

impl Disconnect {
    /// A normal end: the broker does not publish the will.
    pub fn new() -> Disconnect {
        Disconnect::default()
    }

    /// Why; with every code but [`ReasonCode::SUCCESS`], the default, the broker publishes the will. A client may say
    /// [`ReasonCode::WITH_WILL`], 0x80 to 0x83, 0x90 and 0x93 to 0x99.
    pub fn code(mut self, code: ReasonCode) -> Disconnect {
        self.code = code.0;
        self
    }

    /// For how long, in whole seconds, the broker shall keep the session from now on, instead of what
    /// [`Options::session_expiry`](crate::Options::session_expiry) said; not where that was 0.
    #[doc(alias = "MQTT_PROP_SESSION_EXPIRY_INTERVAL")]
    pub fn session_expiry(mut self, after: Duration) -> Disconnect {
        self.session_expiry = Some(after);
        self
    }

    /// Why, for people. An empty text counts as none.
    #[doc(alias = "MQTT_PROP_REASON_STRING")]
    pub fn reason_string(mut self, text: impl Into<String>) -> Disconnect {
        self.reason = Some(text.into());
        self
    }

    /// Adds a pair of a name and a value for the broker to read.
    #[doc(alias = "MQTT_PROP_USER_PROPERTY")]
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Disconnect {
        self.user.push((name.into(), value.into()));
        self
    }

    /// What cannot be said, to a broker that was asked to keep the session for `kept` seconds.
    pub(crate) fn problem(&self, v5: bool, kept: u64) -> Option<&'static str> {
        if *self == Disconnect::default() {
            None
        } else if !v5 {
            Some("all but a plain one needs MQTT 5")
        } else if !matches!(self.code, 0 | 4 | 0x80..=0x83 | 0x90 | 0x93..=0x99) {
            Some("a client cannot say this reason code")
        } else if self.session_expiry.is_some_and(|expiry| expiry.as_secs() > u64::from(u32::MAX)) {
            Some("the session expiry can be up to 4294967295 s")
        } else if kept == 0 && self.session_expiry.is_some_and(|expiry| expiry.as_secs() != 0) {
            Some("the session ends with the connection, as it was asked for when it began, and cannot be kept now")
        } else if self.reason.as_ref().is_some_and(|text| !ffi::is_string(text)) {
            Some("the reason is no MQTT string")
        } else {
            problem_of_user(&self.user)
        }
    }
}

/// A goodbye that cannot be said; the client goes on. Prints as one line.
///
/// ```
/// use becket_loop::Loop;
/// use becket_mosquitto::{Client, Disconnect, Options, ReasonCode};
///
/// let mut event_loop = Loop::<()>::new()?;
/// let options = Options::new("mqtt://localhost".parse()?);
/// let client = Client::join(&mut event_loop, options, |_, _, _, _| Ok(()))?;
/// let e = client.close_with(Disconnect::new().code(ReasonCode::WITH_WILL)).unwrap_err();
/// assert_eq!(e.to_string(), "disconnect: all but a plain one needs MQTT 5");
/// assert!(!client.is_closed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisconnectError(pub(crate) &'static str);

impl fmt::Display for DisconnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disconnect: {}", self.0)
    }
}

impl error::Error for DisconnectError {}

/// As `InvalidInput`, with this inside.
impl From<DisconnectError> for io::Error {
    fn from(e: DisconnectError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_said_is_named() {
        let day = Duration::from_secs(86400);
        let new = Disconnect::new;
        for (disconnect, v5, kept, why) in [
            (new(), false, 0, None),
            (new().code(ReasonCode::WITH_WILL), false, 0, Some("needs MQTT 5")),
            (new().code(ReasonCode::WITH_WILL), true, 0, None),
            (new().code(ReasonCode(0x87)), true, 0, Some("reason code")),
            (new().session_expiry(day), true, 0, Some("cannot be kept")),
            (new().session_expiry(Duration::ZERO), true, 0, None),
            (new().session_expiry(day), true, 1, None),
            (new().session_expiry(Duration::MAX), true, 1, Some("up to")),
            (new().reason_string("\0"), true, 0, Some("reason is no")),
            (new().user_property("\0", ""), true, 0, Some("user property")),
        ] {
            let problem = disconnect.problem(v5, kept);
            assert_eq!(problem.is_some(), why.is_some(), "{disconnect:?}: {problem:?}");
            assert!(problem.unwrap_or("").contains(why.unwrap_or("")), "{problem:?}");
        }
    }
}
