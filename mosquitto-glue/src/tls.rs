//! What a client wants of TLS.

use crate::address::{Address, Place, problem_of_host};
use crate::error::OptionsError;
use crate::ffi::{TlsContext, openssl_reasons};
use crate::options::Options;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslContextBuilder, SslMethod};
use openssl::x509::X509;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::{env, fmt, fs};

/// The most bytes of a pre-shared key and, with a NUL, of its identity that every OpenSSL takes.
const PSK_MAX: usize = 256;
const PSK_IDENTITY_MAX: usize = 127;

/// A version of TLS.
///
/// ```
/// use becket_mosquitto::TlsVersion;
///
/// assert!(TlsVersion::V1_2 < TlsVersion::V1_3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2: the oldest that is still held for safe.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// How the broker's certificate is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scrutiny {
    /// Signed by an authority, in date, and made out to the broker's name.
    Full,
    /// The name may be any.
    AnyName,
    /// Whatever comes is taken.
    None,
}

/// Whom to believe that it is the broker, and how to prove who this client is: TLS for [`Options::tls`].
///
/// What is not asked for is safe: the authorities are the system's, the certificate has to be made out to the host of
/// the broker's address, the version is TLS 1.2 or 1.3. Files are read, and what is in them is looked at, in the call that
/// names them, and never again: they may change or go while the client runs. A clone shares what was read.
///
/// ```
/// use becket_mosquitto::{Options, Tls, TlsVersion};
///
/// let options = Options::new("mqtts://broker.example".parse()?)
///     .tls(Tls::new().min_version(TlsVersion::V1_3).alpn(&["mqtt"])?);
/// assert_eq!(options.check(), Ok(()));
///
/// let e = Tls::new().ca_file("/nonexistent/ca.pem").unwrap_err();
/// assert_eq!(e.to_string(), "TLS: authorities of `/nonexistent/ca.pem`: No such file or directory (os error 2)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "mosquitto_tls_set")]
#[doc(alias = "mosquitto_tls_opts_set")]
#[derive(Clone)]
pub struct Tls {
    /// The authorities; without any, and without a key, the system's.
    authorities: Vec<X509>,
    /// The system's, once they were read.
    system: Arc<OnceLock<Vec<X509>>>,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) psk: Option<Arc<PreSharedKey>>,
    /// As it goes over the wire: each name behind its length.
    pub(crate) alpn: Vec<u8>,
    pub(crate) min_version: TlsVersion,
    pub(crate) ciphers: Option<String>,
    pub(crate) ciphersuites: Option<String>,
    pub(crate) server_name: Option<String>,
    pub(crate) scrutiny: Scrutiny,
}

/// The certificate of this client, those that lead from it to its authority, and its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<X509>,
    pub(crate) key: PKey<Private>,
}

pub(crate) struct PreSharedKey {
    pub(crate) identity: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Tls {
    /// TLS with every default.
    pub fn new() -> Tls {
        Tls {
            authorities: Vec::new(),
            system: Arc::default(),
            identity: None,
            psk: None,
            alpn: Vec::new(),
            min_version: TlsVersion::default(),
            ciphers: None,
            ciphersuites: None,
            server_name: None,
            scrutiny: Scrutiny::Full,
        }
    }

    /// Believes the authorities whose certificates this file has, in PEM form, beside those named by other calls and
    /// instead of the system's.
    ///
    /// # Errors
    /// A file that cannot be read, has no certificate, or one that is damaged.
    #[doc(alias = "cafile")]
    pub fn ca_file(self, path: impl AsRef<Path>) -> Result<Tls, OptionsError> {
        let path = path.as_ref();
        let what = format!("authorities of `{}`", path.display());
        let pem = fs::read(path).map_err(|e| problem(&what, e))?;
        self.add_authorities(&pem, &what)
    }

    /// Believes the authorities whose certificates the files of this folder have, as [`ca_file`](Self::ca_file) does.
    /// Files without a certificate in PEM form are passed over; the names of the files may be any.
    ///
    /// # Errors
    /// A folder or a file in it that cannot be read, a certificate that is damaged, and no certificate in any file.
    #[doc(alias = "capath")]
    pub fn ca_dir(mut self, path: impl AsRef<Path>) -> Result<Tls, OptionsError> {
        let path = path.as_ref();
        let what = format!("authorities of `{}`", path.display());
        let mut found = Vec::new();
        read_folder(path, &mut found)?;
        if found.is_empty() {
            return Err(problem(&what, "no certificate in PEM form"));
        }
        self.authorities.extend(found);
        Ok(self)
    }

    /// Believes the authorities whose certificates these bytes are, in PEM form, as [`ca_file`](Self::ca_file) does.
    ///
    /// # Errors
    /// No certificate, or one that is damaged.
    pub fn ca_pem(self, pem: impl AsRef<[u8]>) -> Result<Tls, OptionsError> {
        self.add_authorities(pem.as_ref(), "authorities")
    }

    fn add_authorities(mut self, pem: &[u8], what: &str) -> Result<Tls, OptionsError> {
        self.authorities.extend(certificates(pem).map_err(|why| problem(what, why))?);
        Ok(self)
    }

    /// Shows the broker this certificate, followed in its file by those that lead to its authority, if any. Both files
    /// are in PEM form and may be one. A key that is encrypted is opened with the password, here and now.
    ///
    /// # Errors
    /// A file that cannot be read or has not what it should have, a password that is missing or wrong, and a key that
    /// is not the certificate's.
    #[doc(alias = "certfile")]
    #[doc(alias = "keyfile")]
    pub fn client_cert_files(
        self,
        cert: impl AsRef<Path>,
        key: impl AsRef<Path>,
        password: Option<&str>,
    ) -> Result<Tls, OptionsError> {
        let read = |what: &str, path: &Path| {
            let what = format!("{what} `{}`", path.display());
            fs::read(path).map_err(|e| problem(&what, e)).map(|bytes| (what, bytes))
        };
        let (cert_name, cert) = read("client certificate", cert.as_ref())?;
        let (key_name, key) = read("client key", key.as_ref())?;
        self.set_identity((&cert_name, &cert), (&key_name, &key), password)
    }

    /// Shows the broker this certificate, as [`client_cert_files`](Self::client_cert_files) does, from memory.
    ///
    /// # Errors
    /// As there, but for the files.
    pub fn client_cert_pem(
        self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        password: Option<&str>,
    ) -> Result<Tls, OptionsError> {
        self.set_identity(("client certificate", cert.as_ref()), ("client key", key.as_ref()), password)
    }

    fn set_identity(
        mut self,
        (cert_name, cert): (&str, &[u8]),
        (key_name, key): (&str, &[u8]),
        password: Option<&str>,
    ) -> Result<Tls, OptionsError> {
        let chain = certificates(cert).map_err(|why| problem(cert_name, why))?;
        let key = private_key(key, password).map_err(|why| problem(key_name, why))?;
        let public = chain[0].public_key().map_err(|e| problem(cert_name, openssl_reasons(&e)))?;
        if !public.public_eq(&key) {
            return Err(problem(key_name, format!("it is not the key of the {cert_name}")));
        }
        self.identity = Some(Arc::new(Identity { chain, key }));
        Ok(self)
    }

    /// Proves both sides by a secret that they share, instead of by certificates. Only a broker that has the key is
    /// believed then, unless authorities are named too.
    ///
    /// # Errors
    /// An identity that is not 1 to 127 bytes without NUL, and a key that is not 1 to 256 bytes.
    #[doc(alias = "mosquitto_tls_psk_set")]
    pub fn psk(mut self, identity: &str, key: impl AsRef<[u8]>) -> Result<Tls, OptionsError> {
        let key = key.as_ref();
        if !(1..=PSK_IDENTITY_MAX).contains(&identity.len()) || identity.contains('\0') {
            return Err(problem("identity of the pre-shared key", "it can be 1 to 127 bytes without NUL"));
        }
        if !(1..=PSK_MAX).contains(&key.len()) {
            return Err(problem("pre-shared key", format!("it can be 1 to {PSK_MAX} bytes, and has {}", key.len())));
        }
        self.psk = Some(Arc::new(PreSharedKey { identity: identity.as_bytes().to_vec(), key: key.to_vec() }));
        Ok(self)
    }

    /// Tells the broker which protocols this client speaks, the preferred one first (RFC 7301). A broker that knows
    /// none of them ends the handshake; one that does not know of such names goes on.
    ///
    /// # Errors
    /// No name, one that is empty or longer than 255 bytes, and more than 65535 bytes in all.
    #[doc(alias = "MOSQ_OPT_TLS_ALPN")]
    pub fn alpn(mut self, protocols: &[&str]) -> Result<Tls, OptionsError> {
        let mut wire = Vec::new();
        for protocol in protocols {
            let Ok(len @ 1..) = u8::try_from(protocol.len()) else {
                return Err(problem("ALPN", format!("`{}`: a name has 1 to 255 bytes", protocol.escape_debug())));
            };
            wire.push(len);
            wire.extend_from_slice(protocol.as_bytes());
        }
        if wire.is_empty() || wire.len() > usize::from(u16::MAX) {
            return Err(problem("ALPN", "the names have 1 to 65535 bytes"));
        }
        self.alpn = wire;
        Ok(self)
    }

    /// The oldest version to speak. Default: [`TlsVersion::V1_2`].
    pub fn min_version(mut self, version: TlsVersion) -> Tls {
        self.min_version = version;
        self
    }

    /// The ciphers of TLS 1.2, as openssl-ciphers(1) writes them. Default: OpenSSL's.
    ///
    /// # Errors
    /// A list that leaves no cipher.
    pub fn ciphers(mut self, list: &str) -> Result<Tls, OptionsError> {
        scratch().and_then(|mut b| b.set_cipher_list(list)).map_err(|e| list_problem("ciphers", list, &e))?;
        self.ciphers = Some(list.to_owned());
        Ok(self)
    }

    /// The ciphers of TLS 1.3, by their names, with colons in between. Default: OpenSSL's.
    ///
    /// # Errors
    /// A name that is none.
    pub fn ciphersuites(mut self, list: &str) -> Result<Tls, OptionsError> {
        scratch().and_then(|mut b| b.set_ciphersuites(list)).map_err(|e| list_problem("cipher suites", list, &e))?;
        self.ciphersuites = Some(list.to_owned());
        Ok(self)
    }

    /// The name or the IP address that the certificate has to be made out to and, if it is a name, that is asked for
    /// (SNI), where that is not the host of the broker's address: behind a tunnel, for instance.
    ///
    /// # Errors
    /// An empty name, one of more than 255 bytes, and one with a character that no name has.
    pub fn server_name(mut self, name: &str) -> Result<Tls, OptionsError> {
        if let Some(why) = problem_of_host(name) {
            return Err(problem(&format!("server name `{}`", name.escape_debug()), why));
        }
        self.server_name = Some(name.to_owned());
        Ok(self)
    }

    /// Takes a valid certificate whomever it is made out to: whoever has one of any authority that is believed can pose as
    /// the broker. Where the broker merely goes by another name, [`server_name`](Self::server_name) is the way.
    #[doc(alias = "mosquitto_tls_insecure_set")]
    pub fn danger_accept_any_name(mut self) -> Tls {
        self.scrutiny = Scrutiny::AnyName;
        self
    }

    /// Takes any certificate, one that is out of date or signed by nobody too: everybody on the way can pose as the
    /// broker, read all and change all. For tests.
    pub fn danger_accept_invalid_certs(mut self) -> Tls {
        self.scrutiny = Scrutiny::None;
        self
    }

    /// What an address asks for.
    pub(crate) fn of(address: &Address) -> Option<Tls> {
        matches!(address.0, Place::Tcp { tls: true, .. }).then(Tls::new)
    }

    /// The authorities to believe.
    pub(crate) fn authorities(&self) -> Result<&[X509], OptionsError> {
        if !self.authorities.is_empty() || self.psk.is_some() || self.scrutiny == Scrutiny::None {
            return Ok(&self.authorities);
        }
        let system = self.system.get_or_init(system_authorities);
        if system.is_empty() {
            return Err(problem("authorities of the system", "none were found; name some"));
        }
        Ok(system)
    }
}

impl Default for Tls {
    fn default() -> Tls {
        Tls::new()
    }
}

/// Without anything secret.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.authorities.len())
            .field("client_cert", &self.identity.is_some())
            .field("psk", &self.psk.is_some())
            .field("min_version", &self.min_version)
            .field("server_name", &self.server_name)
            .field("scrutiny", &self.scrutiny)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Speaks TLS, as told. Default: for an address that begins with `mqtts`, all of [`Tls::new`]; else not.
    ///
    /// What went wrong with it is said by [`Reason::Untrusted`](crate::Reason::Untrusted), which ends the client,
    /// and [`Reason::Tls`](crate::Reason::Tls).
    pub fn tls(mut self, tls: Tls) -> Options {
        self.tls = Some(tls);
        self
    }

    /// What connections are made with; `None` where they are plain.
    pub(crate) fn tls_context(&self) -> Result<Option<TlsContext>, OptionsError> {
        match (&self.tls, &self.address.0) {
            (None, _) => Ok(None),
            (Some(_), Place::Unix(_)) => Err(OptionsError::new("TLS: not over a unix socket")),
            (Some(tls), Place::Tcp { host, .. }) => TlsContext::new(tls, host).map(Some),
        }
    }
}

fn problem(what: &str, why: impl fmt::Display) -> OptionsError {
    OptionsError::new(format!("TLS: {what}: {why}"))
}

fn list_problem(what: &str, list: &str, e: &ErrorStack) -> OptionsError {
    problem(&format!("{what} `{}`", list.escape_debug()), openssl_reasons(e))
}

/// To try a setting out.
fn scratch() -> Result<SslContextBuilder, ErrorStack> {
    SslContextBuilder::new(SslMethod::tls_client())
}

/// All certificates in PEM form; at least one.
fn certificates(pem: &[u8]) -> Result<Vec<X509>, String> {
    let found = X509::stack_from_pem(pem).map_err(|e| openssl_reasons(&e))?;
    if found.is_empty() { Err("no certificate in PEM form".to_owned()) } else { Ok(found) }
}

fn private_key(pem: &[u8], password: Option<&str>) -> Result<PKey<Private>, String> {
    let mut is_encrypted = false;
    // Without a callback, OpenSSL would ask at the terminal.
    let key = PKey::private_key_from_pem_callback(pem, |room| {
        is_encrypted = true;
        let password = password.unwrap_or_default().as_bytes();
        let room = room.get_mut(..password.len()).ok_or_else(ErrorStack::get)?;
        room.copy_from_slice(password);
        Ok(password.len())
    });
    key.map_err(|e| match password {
        None if is_encrypted => "it is encrypted, and no password was given".to_owned(),
        Some(_) if is_encrypted => format!("the password does not open it ({})", openssl_reasons(&e)),
        _ => format!("no private key in PEM form ({})", openssl_reasons(&e)),
    })
}

/// Reads the certificates of all files of a folder, the links too by which OpenSSL finds them.
fn read_folder(folder: &Path, found: &mut Vec<X509>) -> Result<(), OptionsError> {
    let fail = |path: &Path, why: &dyn fmt::Display| problem(&format!("authorities of `{}`", path.display()), why);
    let mut seen = std::collections::HashSet::new();
    for entry in fs::read_dir(folder).map_err(|e| fail(folder, &e))? {
        let path = entry.map_err(|e| fail(folder, &e))?.path();
        // Links to files that are gone are left behind where an authority was taken off the list.
        let Ok(real) = fs::canonicalize(&path) else { continue };
        if !real.is_file() || !seen.insert(real) {
            continue;
        }
        let pem = fs::read(&path).map_err(|e| fail(&path, &e))?;
        found.extend(X509::stack_from_pem(&pem).map_err(|e| fail(&path, &openssl_reasons(&e)))?);
    }
    Ok(())
}

/// What `SSL_CERT_FILE` and `SSL_CERT_DIR` name, or what is where Linux distributions keep it. One damaged file among
/// them is no reason to believe nobody.
fn system_authorities() -> Vec<X509> {
    let places = openssl_probe::probe();
    let file = places.cert_file.and_then(|file| certificates(&fs::read(file).ok()?).ok());
    let mut found = file.unwrap_or_default();
    // Distributions have the same in both.
    if found.is_empty() || env::var_os(openssl_probe::ENV_CERT_DIR).is_some() {
        for folder in places.cert_dir {
            let _ = read_folder(&folder, &mut found);
        }
    }
    found
}
