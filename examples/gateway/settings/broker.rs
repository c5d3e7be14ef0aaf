//! The broker, and how to speak to it.

use super::PREFIX;
use becket_mosquitto::{Address, Options, OptionsError, QoS};
use std::fmt;
use std::time::Duration;

/// The broker, and how to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerSettings {
    pub place: Broker,
    pub tls: Option<TlsSettings>,
    pub client_id: Option<String>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// How often the broker must hear from us.
    pub keepalive: Duration,
    pub qos: QoS,
    /// What every topic begins with.
    pub prefix: String,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        BrokerSettings {
            place: Broker::Embedded { port: 0 },
            tls: None,
            client_id: None,
            user: None,
            password: None,
            keepalive: Duration::from_secs(30),
            qos: QoS::AtLeastOnce,
            prefix: PREFIX.to_owned(),
        }
    }
}

impl BrokerSettings {
    /// These settings for a client of the broker at `address`.
    pub fn options(&self, address: Address) -> Result<Options, OptionsError> {
        let mut options = Options::new(address).keep_alive(self.keepalive);
        if let Some(id) = &self.client_id {
            options = options.client_id(id);
        }
        options = match (&self.user, &self.password) {
            (Some(user), Some(password)) => options.credentials(user, String::from_utf8_lossy(&password.0)),
            (Some(user), None) => options.user(user),
            (None, _) => options,
        };
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            options = options.tls(tls.to_tls()?);
        }
        Ok(options)
    }
}

/// What TLS needs to know beside the address. Certificates and keys are as their files have them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsSettings {
    /// `None`: the authorities of the system.
    pub ca: Option<Vec<u8>>,
    pub identity: Option<(Vec<u8>, Secret)>,
    pub psk: Option<(String, Secret)>,
    pub server_name: Option<String>,
    /// Takes a certificate whomever it is made out to.
    pub insecure: bool,
}

#[cfg(feature = "tls")]
impl TlsSettings {
    /// The same as the library has it.
    pub fn to_tls(&self) -> Result<becket_mosquitto::Tls, OptionsError> {
        let mut tls = becket_mosquitto::Tls::new();
        if let Some(pem) = &self.ca {
            tls = tls.ca_pem(pem)?;
        }
        if let Some((cert, key)) = &self.identity {
            tls = tls.client_cert_pem(cert, &key.0, None)?;
        }
        if let Some((identity, key)) = &self.psk {
            tls = tls.psk(identity, &key.0)?;
        }
        if let Some(name) = &self.server_name {
            tls = tls.server_name(name)?;
        }
        Ok(if self.insecure { tls.danger_accept_any_name() } else { tls })
    }
}

/// What is not to be read in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}

/// Which broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broker {
    /// In this process; port 0 stands for a free one.
    Embedded { port: u16 },
    /// The machine's, started by us.
    Mosquitto,
    /// Somebody else's.
    At(Address),
}
