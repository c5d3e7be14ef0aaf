//! Where the broker is.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{error, fmt};

/// The ports of MQTT over plain TCP and over TLS.
const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;

/// The longest path that fits a `sockaddr_un`, without its NUL; see unix(7).
const PATH_MAX: usize = 107;

/// The address of a broker: `mqtt://HOST[:PORT]`, `mqtts://HOST[:PORT]` (with the feature `tls`) or `unix:PATH`.
///
/// The host is a name, an IPv4 address, or an IPv6 address in brackets; the port defaults to 1883, and to
/// 8883 with TLS. Names are
/// looked up at every connection attempt, off the loop's thread.
///
/// ```
/// use becket_mosquitto::Address;
///
/// let address: Address = "mqtt://broker.example".parse()?;
/// assert_eq!(address, Address::tcp("broker.example", 1883)?);
/// assert_eq!("mqtt://[::1]:1884".parse::<Address>()?.to_string(), "mqtt://[::1]:1884");
/// assert_eq!("unix:/run/mosquitto.sock".parse::<Address>()?, Address::unix("/run/mosquitto.sock")?);
///
/// let e = "http://broker".parse::<Address>().unwrap_err();
/// assert_eq!(e.to_string(), "broker address `http://broker`: scheme `http` is not `mqtt`, `mqtts` or `unix`");
/// # Ok::<(), becket_mosquitto::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(pub(crate) Place);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl Address {
    /// The broker at a TCP port of a host, given by name or by number (without brackets).
    ///
    /// # Errors
    /// An empty host, one with a character that no host name has, and port 0.
    pub fn tcp(host: impl Into<String>, port: u16) -> Result<Address, AddressError> {
        Address::host(host.into(), port, false)
    }

    /// The broker at a TCP port of a host that speaks TLS there; with the feature `tls`.
    ///
    /// # Errors
    /// As [`tcp`](Self::tcp).
    #[cfg(feature = "tls")]
    pub fn tls(host: impl Into<String>, port: u16) -> Result<Address, AddressError> {
        Address::host(host.into(), port, true)
    }

    fn host(host: String, port: u16, tls: bool) -> Result<Address, AddressError> {
        match problem_of_host(&host).or((port == 0).then_some("port 0 cannot be connected to")) {
            Some(why) => Err(AddressError::new(format!("{host}:{port}"), why)),
            None => Ok(Address(Place::Tcp { host, port, tls })),
        }
    }

    /// The broker at a unix stream socket in the file system.
    ///
    /// # Errors
    /// An empty path, one with a NUL byte, and one of more than 107 bytes.
    pub fn unix(path: impl AsRef<Path>) -> Result<Address, AddressError> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_encoded_bytes();
        let why = if bytes.is_empty() {
            "the path is empty"
        } else if bytes.contains(&0) {
            "the path has a NUL byte"
        } else if bytes.len() > PATH_MAX {
            "the path is longer than the 107 bytes of a socket address"
        } else {
            return Ok(Address(Place::Unix(path.to_owned())));
        };
        Err(AddressError::new(format!("unix:{}", path.display()), why))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let fail = |why: String| AddressError { text: without_credentials(text), why };
        if let Some(path) = text.strip_prefix("unix:") {
            return Address::unix(path).map_err(|e| fail(e.why));
        }
        let (rest, tls) = match text.split_once("://") {
            Some(("mqtt", rest)) => (rest, false),
            Some(("mqtts", rest)) if cfg!(feature = "tls") => (rest, true),
            Some(("mqtts", _)) => return Err(fail("TLS needs the feature `tls` of becket-mosquitto".to_owned())),
            Some((scheme, _)) if !scheme.contains(':') => {
                return Err(fail(format!("scheme `{scheme}` is not `mqtt`, `mqtts` or `unix`")));
            }
            _ => return Err(fail("it is neither `mqtt[s]://HOST[:PORT]` nor `unix:PATH`".to_owned())),
        };
        if rest.contains('@') {
            return Err(fail("it has credentials, which belong into the options".to_owned()));
        }
        if let Some(at) = rest.find(['/', '?', '#']) {
            return Err(fail(format!("nothing may follow the port, and `{}` does", &rest[at..])));
        }
        let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or_else(|| fail("`]` is missing".to_owned()))?;
            if host.parse::<std::net::Ipv6Addr>().is_err() && !host.contains('%') {
                return Err(fail(format!("`{host}` is no IPv6 address")));
            }
            match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if port.is_empty() => (host, None),
                None => return Err(fail(format!("`{port}` is not `:PORT`"))),
            }
        } else {
            match rest.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(fail("an IPv6 address goes in brackets".to_owned()));
                }
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            }
        };
        let port = match port {
            None if tls => TLS_PORT,
            None => PORT,
            Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(fail(format!("port `{digits}` is no number")));
            }
            Some(digits) => digits.parse().map_err(|_| fail(format!("port {digits} is above 65535")))?,
        };
        Address::host(host.to_owned(), port, tls).map_err(|e| fail(e.why))
    }
}

/// What may be printed of an address: where it has credentials, all but them.
fn without_credentials(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, host)) if !text.starts_with("unix:") => {
            let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}***@{host}")
        }
        _ => text.to_owned(),
    }
}

pub(crate) fn problem_of_host(host: &str) -> Option<&'static str> {
    if host.is_empty() {
        Some("the host is empty")
    } else if host.len() > 255 {
        Some("the host is longer than the 255 bytes of a name")
    } else if host.bytes().any(|b| b <= b' ' || b == 0x7f || b"/?#@[]".contains(&b)) {
        Some("the host has a character that no host has")
    } else {
        None
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Tcp { host, port, tls } => {
                let s = if *tls { "s" } else { "" };
                if host.contains(':') {
                    write!(f, "mqtt{s}://[{host}]:{port}")
                } else {
                    write!(f, "mqtt{s}://{host}:{port}")
                }
            }
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A broker's address made no sense. Prints as one line with the address and what is wrong in it.
///
/// ```
/// use becket_mosquitto::Address;
///
/// let e = "mqtt://broker:99999".parse::<Address>().unwrap_err();
/// assert_eq!(e.to_string(), "broker address `mqtt://broker:99999`: port 99999 is above 65535");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError {
    text: String,
    why: String,
}

impl AddressError {
    fn new(text: String, why: &str) -> AddressError {
        AddressError { text, why: why.to_owned() }
    }
}

impl AddressError {
    /// What is wrong, without the address.
    pub(crate) fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped, so that whatever was given stays on one line.
        write!(f, "broker address `{}`: {}", self.text.escape_debug(), self.why.escape_debug())
    }
}

impl error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("", "it is neither"),
            ("broker", "it is neither"),
            ("broker:1883", "it is neither"),
            ("mqttt://broker", "scheme `mqttt`"),
            ("mqtt://", "the host is empty"),
            ("mqtt://:1883", "the host is empty"),
            ("mqtt://broker:", "port `` is no number"),
            ("mqtt://broker:abc", "port `abc` is no number"),
            ("mqtt://broker:+5", "port `+5` is no number"),
            ("mqtt://broker:0", "port 0 cannot"),
            ("mqtt://broker:65536", "port 65536 is above 65535"),
            ("mqtt://user:pw@broker", "credentials"),
            ("mqtt://broker/topic", "`/topic` does"),
            ("mqtt://::1", "brackets"),
            ("mqtt://[::1", "`]` is missing"),
            ("mqtt://[zz]", "`zz` is no IPv6 address"),
            ("mqtt://[::1]1883", "`1883` is not `:PORT`"),
            ("mqtt://bro ker", "no host has"),
            ("unix:", "the path is empty"),
            ("unix:a\0b", "NUL"),
        ] {
            let e = text.parse::<Address>().unwrap_err().to_string();
            assert!(e.contains(why), "{text:?}: {e}");
            assert_eq!(e.lines().count(), 1);
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(long.parse::<Address>().unwrap_err().to_string().contains("107 bytes"));
    }

    #[test]
    fn credentials_are_not_repeated() {
        for text in
            ["mqtt://user:secret@broker", "mqtts://user:secret@broker", "http://u:sec/ret@x@broker", "secret@broker"]
        {
            let e = text.parse::<Address>().unwrap_err().to_string();
            assert!(e.contains("***@broker`: ") && !e.contains("sec"), "{text:?}: {e}");
        }
        let e = "unix:a@b\0".parse::<Address>().unwrap_err().to_string();
        assert!(e.contains("unix:a@b"), "{e}");
    }

    #[test]
    fn tls_is_a_scheme_with_a_port_of_its_own() {
        let parsed = "mqtts://broker".parse::<Address>();
        if cfg!(feature = "tls") {
            assert_eq!(parsed.unwrap().to_string(), "mqtts://broker:8883");
        } else {
            assert!(parsed.unwrap_err().to_string().contains("needs the feature `tls`"));
        }
    }

    #[test]
    fn a_printed_address_reads_back() {
        for text in ["mqtt://h:1", "mqtt://[fe80::1%lo]:1883", "mqtt://127.0.0.1:1883", "unix:relative/path"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }
}
