//! Connections by way of a SOCKS5 proxy.

use crate::address::{Place, problem_of_host};
use crate::error::OptionsError;
use crate::ffi::{self, Code};
use crate::options::{Options, Protocol};
use crate::reason::Reason;
use crate::session::Session;
use std::fmt;

/// A SOCKS5 proxy (RFC 1928): who connects to the broker instead of this client.
///
/// The proxy's own name is looked up here, off the loop's thread; that of the broker goes to the proxy as it is.
///
/// ```
/// use becket_mosquitto::{Options, Session, Socks5};
///
/// let options = Options::new("mqtt://broker.example".parse()?);
/// match Socks5::new("proxy.example", 1080) {
///     Ok(proxy) => options.socks5(proxy.login("me", "secret")?).check()?,
///     // The libmosquitto that this crate builds.
///     Err(e) => assert_eq!(e.to_string(), "SOCKS5: this libmosquitto was built without it"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "mosquitto_socks5_set")]
#[derive(Clone, PartialEq, Eq)]
pub struct Socks5 {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) login: Option<(String, String)>,
}

impl Socks5 {
    /// The proxy at this port of a host, given by name or by number (without brackets); 1080 is the usual one.
    ///
    /// # Errors
    /// A libmosquitto that was built without SOCKS, which the one that this crate builds is: the system's mostly has it. An
    /// empty host, one with a character that no host name has, and port 0.
    pub fn new(host: impl Into<String>, port: u16) -> Result<Socks5, OptionsError> {
        let host = host.into();
        if let Some(why) = problem_of_host(&host).or((port == 0).then_some("port 0 cannot be connected to")) {
            return Err(OptionsError::new(format!("SOCKS5: `{}`: {why}", host.escape_debug())));
        }
        if !ffi::has_socks5() {
            return Err(OptionsError::new("SOCKS5: this libmosquitto was built without it"));
        }
        Ok(Socks5 { host, port, login: None })
    }

    /// Offers the proxy a user name and a password (RFC 1929). Both go to it in the clear.
    ///
    /// # Errors
    /// One of them is not 1 to 255 bytes without NUL.
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Result<Socks5, OptionsError> {
        let (user, password) = (user.into(), password.into());
        for (what, text) in [("user name", &user), ("password", &password)] {
            if !(1..=255).contains(&text.len()) || text.contains('\0') {
                return Err(OptionsError::new(format!("SOCKS5: {what}: it can be 1 to 255 bytes without NUL")));
            }
        }
        self.login = Some((user, password));
        Ok(self)
    }
}

/// Without the password.
impl fmt::Debug for Socks5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.login.as_ref().map(|(user, _)| user);
        f.debug_struct("Socks5").field("host", &self.host).field("port", &self.port).field("user", &user).finish()
    }
}

impl Options {
    /// Connects by way of a proxy. Default: directly.
    ///
    /// Where the protocol is MQTT 5, and where it is TLS that goes through the proxy, the [session](Self::session) has to
    /// be one [per connection](Session::PerConnection): libmosquitto sends no properties in CONNECT then, and it cannot
    /// use a client again whose handshake broke off.
    pub fn socks5(mut self, proxy: Socks5) -> Options {
        self.socks5 = Some(proxy);
        self
    }

    /// Looks for what cannot go by way of a proxy.
    pub(crate) fn check_socks5(&self) -> Result<(), OptionsError> {
        if self.socks5.is_none() {
            return Ok(());
        }
        let fail = |what: &str| Err(OptionsError::new(format!("SOCKS5: {what}")));
        let v5 = self.protocol == Protocol::V5;
        if matches!(self.address.0, Place::Unix(_)) {
            return fail("not to a unix socket");
        }
        if self.session != Session::PerConnection && (v5 || self.tls.is_some()) {
            return fail("MQTT 5 and TLS need a session per connection");
        }
        match self.connect.first_property() {
            Some(what) if v5 => fail(&format!("libmosquitto does not send this by way of a proxy: {what}")),
            _ => Ok(()),
        }
    }
}

impl Reason {
    /// The reason behind a code of the library's, while a proxy is talked to.
    pub(crate) fn of_proxy(code: Code) -> Option<Reason> {
        let why = match code {
            Code::AUTH => "it refuses the user name and the password, or this client",
            Code::NO_CONN => "it cannot reach the broker",
            Code::PROXY => "it failed, or is no SOCKS5 proxy",
            Code::INVAL => "it gave a reason that is none",
            _ => return None,
        };
        Some(Reason::Proxy(why.to_owned()))
    }
}
