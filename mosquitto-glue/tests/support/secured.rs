//! A mosquitto that speaks TLS.

use super::broker::{Broker, free_port};
use super::certs::Authority;
use becket_mosquitto::Tls;
use std::path::PathBuf;
use std::{env, fs, process};

/// A mosquitto with a listener of TLS, and what clients need to trust it.
pub struct Secured {
    pub broker: Broker,
    pub port: u16,
    pub tls: Tls,
    pub certs: Certs,
}

impl Secured {
    pub fn start() -> Option<Secured> {
        let port = free_port();
        let folder = env::temp_dir().join(format!("becket-tls-faults-{}-{port}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let authority = Authority::new("Authority");
        let pair = authority.issue(&[], &["127.0.0.1"], 1);
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&cert, pair.cert_pem()).unwrap();
        fs::write(&key, pair.key_pem()).unwrap();
        let listener = format!("listener {port} 127.0.0.1\ncertfile {}\nkeyfile {}", cert.display(), key.display());
        let broker = Broker::mosquitto(&format!("{}\n{listener}", Broker::REMEMBERS))?;
        let tls = Tls::new().ca_pem(authority.pem()).unwrap();
        Some(Secured { broker, port, tls, certs: Certs(folder) })
    }
}

/// A folder of certificates that goes with its broker.
pub struct Certs(PathBuf);

impl Drop for Certs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
