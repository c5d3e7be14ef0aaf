//! The options that `mqtt_pub` and `mqtt_sub` share: those of mosquitto_pub(1) and mosquitto_sub(1).

use becket_mosquitto::{Address, LogLevel, Options, Protocol, Publish, QoS, Session, Socks5};
use lexopt::ValueExt;
use std::error::Error;
use std::ffi::OsString;
use std::time::Duration;

type Fallible<T> = Result<T, Box<dyn Error>>;

pub const HELP: &str = "  -h, --host HOST         the broker: localhost by default
  -p, --port PORT         1883 by default, and 8883 with TLS
  -L, --url URL           mqtt(s)://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC
      --unix PATH         a unix socket in place of host and port
  -i, --id ID             the client id; made anew by default
  -u, --username USER     with -P, --pw PASSWORD
  -k, --keepalive SECS    60 by default
  -V, --protocol-version  311 (default) or 5
  -x SECS                 keeps the session for so long (MQTT 5)
  -c, --disable-clean-session  keeps it where an earlier client left it; needs -i
      --will-topic TOPIC  with --will-payload, --will-qos, --will-retain
      --cafile FILE, --capath DIR     believed authorities: this is TLS, as is port 8883
      --cert FILE, --key FILE         the client's own certificate
      --insecure          takes a certificate whomever it is made out to
      --psk HEX, --psk-identity NAME, --tls-alpn PROTOCOL
      --proxy URL         socks5h://[USER[:PASSWORD]@]HOST[:PORT]
  -d, --debug             what happens, on standard error";

/// What was asked for of the connection.
#[derive(Default)]
pub struct Common {
    /// Without its topic.
    url: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    unix: Option<OsString>,
    id: Option<String>,
    user: Option<String>,
    password: Option<String>,
    keep_alive: Option<u64>,
    v5: bool,
    session_expiry: Option<u64>,
    keeps_session: bool,
    will_topic: Option<String>,
    will_payload: Vec<u8>,
    will_qos: Option<QoS>,
    will_retain: bool,
    user_properties: Vec<(String, String)>,
    proxy: Option<String>,
    uses_tls: bool,
    tls: Tls,
    /// The topic of `--url`.
    pub topic: Option<String>,
    pub debug: bool,
}

#[derive(Default)]
struct Tls {
    ca_file: Option<OsString>,
    ca_dir: Option<OsString>,
    cert: Option<OsString>,
    key: Option<OsString>,
    insecure: bool,
    psk: Option<String>,
    psk_identity: Option<String>,
    alpn: Option<String>,
}

/// The next option by its name, and a value as `Err`; `None` at the end.
pub fn next(parser: &mut lexopt::Parser) -> Result<Option<Result<String, OsString>>, lexopt::Error> {
    Ok(parser.next()?.map(|arg| match arg {
        lexopt::Arg::Short(c) => Ok(c.to_string()),
        lexopt::Arg::Long(name) => Ok(name.to_owned()),
        lexopt::Arg::Value(value) => Err(value),
    }))
}

impl Common {
    /// Takes the option `name`, if it is one of these.
    pub fn take(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<bool, lexopt::Error> {
        match name {
            "h" | "host" => self.host = Some(parser.value()?.string()?),
            "p" | "port" => self.port = Some(parser.value()?.parse()?),
            "L" | "url" => self.url(&parser.value()?.string()?)?,
            "unix" => self.unix = Some(parser.value()?),
            "i" | "id" => self.id = Some(parser.value()?.string()?),
            "u" | "username" => self.user = Some(parser.value()?.string()?),
            "P" | "pw" => self.password = Some(parser.value()?.string()?),
            "k" | "keepalive" => self.keep_alive = Some(parser.value()?.parse()?),
            "V" | "protocol-version" => self.v5 = parser.value()?.parse_with(version)?,
            "x" => (self.session_expiry, self.v5) = (Some(parser.value()?.parse()?), true),
            "c" | "disable-clean-session" => self.keeps_session = true,
            "will-topic" => self.will_topic = Some(parser.value()?.string()?),
            "will-payload" => self.will_payload = parser.value()?.into_encoded_bytes(),
            "will-qos" => self.will_qos = Some(parser.value()?.parse_with(qos)?),
            "will-retain" => self.will_retain = true,
            "proxy" => self.proxy = Some(parser.value()?.string()?),
            "cafile" => (self.tls.ca_file, self.uses_tls) = (Some(parser.value()?), true),
            "capath" => (self.tls.ca_dir, self.uses_tls) = (Some(parser.value()?), true),
            "cert" => (self.tls.cert, self.uses_tls) = (Some(parser.value()?), true),
            "key" => (self.tls.key, self.uses_tls) = (Some(parser.value()?), true),
            "insecure" => (self.tls.insecure, self.uses_tls) = (true, true),
            "psk" => (self.tls.psk, self.uses_tls) = (Some(parser.value()?.string()?), true),
            "psk-identity" => (self.tls.psk_identity, self.uses_tls) = (Some(parser.value()?.string()?), true),
            "tls-alpn" => (self.tls.alpn, self.uses_tls) = (Some(parser.value()?.string()?), true),
            "d" | "debug" => self.debug = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes what follows `-D`: a command, which may be `connect`, a property and its value. Other commands are given
    /// back, with the property. Properties are of MQTT 5, which is spoken then.
    pub fn property(&mut self, parser: &mut lexopt::Parser) -> Result<Option<(String, String)>, lexopt::Error> {
        self.v5 = true;
        let (command, property) = (parser.value()?.string()?, parser.value()?.string()?);
        if command != "connect" {
            return Ok(Some((command, property)));
        }
        match property.as_str() {
            "user-property" => {
                self.user_properties.push((parser.value()?.string()?, parser.value()?.string()?));
            }
            "session-expiry-interval" => self.session_expiry = Some(parser.value()?.parse()?),
            other => return Err(format!("-D connect {other}: no such property").into()),
        }
        Ok(None)
    }

    /// Takes the topic off a URL; what is left is the library's to read.
    fn url(&mut self, url: &str) -> Result<(), lexopt::Error> {
        let wrong = || format!("--url {url:?}: it is mqtt(s)://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC");
        let place = url.find("://").ok_or_else(wrong)? + 3;
        let slash = place + url[place..].find('/').ok_or_else(wrong)?;
        (self.url, self.topic) = (Some(url[..slash].to_owned()), Some(url[slash + 1..].to_owned()));
        Ok(())
    }

    /// All of it as the client takes it.
    ///
    /// # Errors
    /// Whatever is wrong with an option, or with two of them.
    pub fn options(self) -> Fallible<Options> {
        let uses_tls = self.uses_tls || self.url.is_none() && self.unix.is_none() && self.port == Some(8883);
        let mut options = match (&self.url, &self.unix) {
            (Some(url), _) => Options::from_url(url)?,
            (None, Some(path)) => Options::new(Address::unix(path)?),
            (None, None) => {
                let host = self.host.as_deref().unwrap_or("localhost");
                Options::new(Address::tcp(host, self.port.unwrap_or(if uses_tls { 8883 } else { 1883 }))?)
            }
        };
        options = options.protocol(if self.v5 { Protocol::V5 } else { Protocol::V311 });
        if uses_tls {
            options = self.tls.to(options)?;
        }
        if self.keeps_session {
            options = options.session(Session::Kept);
        }
        if let Some(id) = self.id {
            options = options.client_id(id);
        }
        match (self.user, self.password) {
            (Some(user), Some(password)) => options = options.credentials(user, password),
            (Some(user), None) => options = options.user(user),
            (None, Some(_)) => return Err("--pw: it needs a --username".into()),
            (None, None) => {}
        }
        if let Some(secs) = self.keep_alive {
            options = options.keep_alive(Duration::from_secs(secs));
        }
        if let Some(secs) = self.session_expiry {
            options = options.session_expiry(Duration::from_secs(secs));
        }
        for (name, value) in self.user_properties {
            options = options.user_property(name, value);
        }
        if let Some(topic) = self.will_topic {
            let will = Publish::new(topic, self.will_payload).qos(self.will_qos.unwrap_or(QoS::AtMostOnce));
            options = options.will(will.retain(self.will_retain));
        }
        if let Some(url) = &self.proxy {
            options = options.socks5(proxy(url)?);
        }
        if self.debug {
            options = options.log(LogLevel::Debug);
        }
        options.check()?;
        Ok(options)
    }
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), lexopt::Error> {
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let port = port.map(|port| port.parse().map_err(|e| format!("port {port:?}: {e}"))).transpose()?;
    Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

fn proxy(url: &str) -> Fallible<Socks5> {
    let rest = url.strip_prefix("socks5h://").ok_or("--proxy: it begins with socks5h://")?;
    let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
    let (host, port) = host_and_port(place)?;
    let proxy = Socks5::new(host, port.unwrap_or(1080))?;
    let Some(login) = login else { return Ok(proxy) };
    let (user, password) = login.split_once(':').ok_or("--proxy: a user has a password, after a colon")?;
    Ok(proxy.login(user, password)?)
}

impl Tls {
    #[cfg(not(feature = "tls"))]
    fn to(self, _: Options) -> Fallible<Options> {
        let Tls { ca_file, ca_dir, cert, key, insecure, psk, psk_identity, alpn } = self;
        drop((ca_file, ca_dir, cert, key, insecure, psk, psk_identity, alpn));
        Err("TLS: this program was built without the feature `tls`".into())
    }

    #[cfg(feature = "tls")]
    fn to(self, options: Options) -> Fallible<Options> {
        let mut tls = becket_mosquitto::Tls::new();
        if let Some(file) = self.ca_file {
            tls = tls.ca_file(file)?;
        }
        if let Some(folder) = self.ca_dir {
            tls = tls.ca_dir(folder)?;
        }
        match (self.cert, self.key) {
            (Some(cert), Some(key)) => tls = tls.client_cert_files(cert, key, None)?,
            (None, None) => {}
            _ => return Err("--cert and --key go together".into()),
        }
        match (self.psk, self.psk_identity) {
            (Some(key), Some(identity)) => tls = tls.psk(&identity, bytes(&key)?)?,
            (None, None) => {}
            _ => return Err("--psk and --psk-identity go together".into()),
        }
        if let Some(protocol) = self.alpn {
            tls = tls.alpn(&[&protocol])?;
        }
        if self.insecure {
            tls = tls.danger_accept_any_name();
        }
        Ok(options.tls(tls))
    }
}

/// Bytes from hexadecimal digits.
#[cfg(feature = "tls")]
fn bytes(hex: &str) -> Fallible<Vec<u8>> {
    let pairs = hex.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("--psk: the key is in hexadecimal digits, two for each byte".into());
    }
    Ok(pairs.map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16)).collect::<Result<_, _>>()?)
}

fn version(text: &str) -> Result<bool, String> {
    match text {
        "311" | "mqttv311" | "3.1.1" => Ok(false),
        "5" | "mqttv5" => Ok(true),
        _ => Err(format!("{text:?} is none of 311, 5")),
    }
}

/// A level of service, from its number.
pub fn qos(text: &str) -> Result<QoS, String> {
    let level = text.parse().ok().and_then(|level: u8| QoS::try_from(level).ok());
    level.ok_or_else(|| format!("{text:?} is none of 0, 1, 2"))
}
