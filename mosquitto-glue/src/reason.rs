//! What a broker answers, and why a connection is no more.

use crate::ffi::{self, Code};
use std::{error, fmt, io};

/// A reason code of MQTT 5, with which a broker answers.
///
/// Those of MQTT 3.1.1 (a refused connection or subscription) are given as their counterparts of MQTT 5.
///
/// ```
/// use becket_mosquitto::ReasonCode;
///
/// let code = ReasonCode(0x87);
/// assert!(code.is_error());
/// assert_eq!(code.to_string(), "Not authorized (0x87)");
/// assert!(!ReasonCode::SUCCESS.is_error());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReasonCode(pub u8);

impl ReasonCode {
    /// Done as asked.
    #[doc(alias = "MQTT_RC_SUCCESS")]
    pub const SUCCESS: ReasonCode = ReasonCode(0);
    /// What a client says that wants its will published all the same, see
    /// [`Disconnect::code`](crate::Disconnect::code).
    #[doc(alias = "MQTT_RC_DISCONNECT_WITH_WILL_MSG")]
    pub const WITH_WILL: ReasonCode = ReasonCode(4);
    pub(crate) const NO_MATCHING_SUBSCRIBERS: ReasonCode = ReasonCode(0x10);
    pub(crate) const PROTOCOL_ERROR: ReasonCode = ReasonCode(0x82);
    pub(crate) const PACKET_ID_NOT_FOUND: ReasonCode = ReasonCode(0x92);
    pub(crate) const PACKET_TOO_LARGE: ReasonCode = ReasonCode(0x95);
    pub(crate) const RETAIN_NOT_SUPPORTED: ReasonCode = ReasonCode(0x9a);
    pub(crate) const QOS_NOT_SUPPORTED: ReasonCode = ReasonCode(0x9b);
    pub(crate) const SHARED_NOT_SUPPORTED: ReasonCode = ReasonCode(0x9e);
    pub(crate) const SUBSCRIPTION_IDS_NOT_SUPPORTED: ReasonCode = ReasonCode(0xa1);
    pub(crate) const WILDCARDS_NOT_SUPPORTED: ReasonCode = ReasonCode(0xa2);
    pub(crate) const UNSPECIFIED: ReasonCode = ReasonCode(0x80);

    /// Whether the answer was no: 0x80 and above.
    pub fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The code of a CONNACK, of which MQTT 3.1.1 has its own.
    pub(crate) fn of_connack(code: i32) -> ReasonCode {
        ReasonCode(match code {
            1 => 0x84,
            2 => 0x85,
            3 => 0x88,
            4 => 0x86,
            5 => 0x87,
            other => u8::try_from(other).unwrap_or(0x80),
        })
    }

    /// Whether a connection refused with this code will be refused the next time too: it is about who asks or what
    /// for, not about how the broker feels.
    fn is_final(self) -> bool {
        matches!(self.0, 0x81 | 0x82 | 0x84..=0x87 | 0x8a | 0x8c | 0x90 | 0x95 | 0x99..=0x9b | 0x9d)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#04x})", ffi::reason_text(self.0), self.0)
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReasonCode({self})")
    }
}

/// Why a connection was lost, or did not come about. Prints as one line.
///
/// ```
/// use becket_mosquitto::{Reason, ReasonCode};
///
/// let reason = Reason::Refused(ReasonCode(0x87));
/// assert_eq!(reason.to_string(), "the broker refused the connection: Not authorized (0x87)");
/// assert!(reason.is_final() && !Reason::KeepAlive.is_final());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The host's name was not found: what getaddrinfo(3) said.
    Resolve(String),
    /// The connection attempt, or an established connection, failed with this error of the operating system.
    Os(i32),
    /// No CONNACK came within the connect timeout.
    ConnectTimeout,
    /// The broker answered the connection attempt with this code.
    Refused(ReasonCode),
    /// The broker ended the connection with this code (MQTT 5).
    Server(ReasonCode),
    /// The connection was closed or reset by the other side.
    Lost,
    /// The other side was silent for longer than the keep-alive allows.
    KeepAlive,
    /// What came is not MQTT.
    Protocol,
    /// TLS failed: what OpenSSL said, or the alert that one of the sides sent.
    Tls(String),
    /// The broker's certificate did not pass: what OpenSSL found, and whose certificate it is. The client gives up,
    /// unless [`Options::give_up_when`](crate::Options::give_up_when) says otherwise: for devices that start without
    /// the right time, or whose broker may be given a new certificate.
    Untrusted(String),
    /// The SOCKS5 proxy did not let the connection through.
    Proxy(String),
    /// 65535 messages were published while one stayed unacknowledged: its packet identifier is due again.
    PacketIds,
    /// Another error of libmosquitto, with its text.
    Library(String),
}

impl Reason {
    /// The reason behind a call of the library that failed.
    pub(crate) fn of_code(code: Code, errno: i32) -> Reason {
        match code {
            Code::CONN_LOST | Code::SUCCESS => Reason::Lost,
            Code::KEEPALIVE => Reason::KeepAlive,
            Code::PROTOCOL | Code::MALFORMED_PACKET | Code::DUPLICATE_PROPERTY | Code::MALFORMED_UTF8 => {
                Reason::Protocol
            }
            Code::TLS => Reason::Tls(code.to_string()),
            Code::CONN_REFUSED => Reason::Refused(ReasonCode::UNSPECIFIED),
            // The library's answer to the end of the stream in the middle of a packet, which is no error of the system.
            Code::ERRNO if errno == 0 => Reason::Lost,
            Code::ERRNO => Reason::Os(errno),
            other => Reason::Library(other.to_string()),
        }
    }

    /// Whether the next attempt would end like this one: the broker refused the connection for who asks, or for what is
    /// asked (0x81, 0x82, 0x84 to 0x87, 0x8a, 0x8c, 0x90, 0x95, 0x99 to 0x9b, 0x9d, and what they are in MQTT 3.1.1).
    /// Those and a [certificate that did not pass](Self::Untrusted) are what a client gives up for, unless
    /// [`Options::give_up_when`](crate::Options::give_up_when) says otherwise.
    pub fn is_final(&self) -> bool {
        match self {
            Reason::Refused(code) => code.is_final(),
            Reason::Untrusted(_) => true,
            _ => false,
        }
    }

    /// The operating system's code, where it is the reason.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Reason::Os(code) => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Resolve(why) => write!(f, "the host was not found: {why}"),
            Reason::Os(code) => io::Error::from_raw_os_error(*code).fmt(f),
            Reason::ConnectTimeout => f.write_str("no answer within the connect timeout"),
            Reason::Refused(code) => write!(f, "the broker refused the connection: {code}"),
            Reason::Server(code) => write!(f, "the broker ended the connection: {code}"),
            Reason::Lost => f.write_str("the other side closed the connection"),
            Reason::KeepAlive => f.write_str("the broker was silent for longer than the keep-alive allows"),
            Reason::Protocol => f.write_str("what came is not MQTT"),
            Reason::Tls(text) => write!(f, "TLS failed: {text}"),
            Reason::Proxy(text) => write!(f, "the proxy: {text}"),
            Reason::Untrusted(text) => write!(f, "the broker is not trusted: {text}"),
            Reason::PacketIds => f.write_str("a message stayed unacknowledged through all packet identifiers"),
            Reason::Library(text) => f.write_str(text),
        }
    }
}

impl error::Error for Reason {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connack_codes_of_both_protocols_are_one() {
        assert_eq!(ReasonCode::of_connack(5), ReasonCode(0x87));
        assert_eq!(ReasonCode::of_connack(0x87), ReasonCode(0x87));
        assert!(ReasonCode::of_connack(4).is_final());
        assert!(!ReasonCode::of_connack(3).is_final());
        assert!(!ReasonCode(0x89).is_final());
    }

    #[test]
    fn the_operating_systems_code_is_kept() {
        let reason = Reason::of_code(Code::ERRNO, libc::ECONNREFUSED);
        assert_eq!(reason.raw_os_error(), Some(libc::ECONNREFUSED));
        assert!(reason.to_string().contains("Connection refused"));
        assert_eq!(Reason::of_code(Code::ERRNO, 0), Reason::Lost);
    }
}
