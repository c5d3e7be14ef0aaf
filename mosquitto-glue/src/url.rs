//! A broker and how to connect to it, as one line of text.

use crate::address::Address;
use crate::message::{Publish, QoS};
use crate::options::{Options, Protocol};
use crate::session::Session;
use std::str::FromStr;
use std::time::Duration;
use std::{error, fmt};

/// A broker's URL made no sense. Prints as one line with the part, and what is wrong in it, and never shows the
/// password.
///
/// ```
/// use becket_mosquitto::Options;
///
/// let e = "mqtt://me:secret@broker?keepalive=soon".parse::<Options>().unwrap_err();
/// assert_eq!(e.to_string(), "broker URL: `keepalive=soon`: it is no number of seconds");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlError {
    what: String,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped, so that whatever was given stays on one line.
        write!(f, "broker URL: {}", self.what.escape_debug())
    }
}

impl error::Error for UrlError {}

/// As `InvalidInput`, with this inside.
impl From<UrlError> for std::io::Error {
    fn from(e: UrlError) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, e)
    }
}

fn fail<T>(what: impl Into<String>) -> Result<T, UrlError> {
    Err(UrlError { what: what.into() })
}

impl Options {
    /// Options from a URL: `mqtt://[USER[:PASSWORD]@]HOST[:PORT][?KEY=VALUE[&KEY=VALUE]..]`, and with the feature `tls`
    /// the same with `mqtts`; for a unix socket `unix:PATH[?..]` or `unix://[USER[:PASSWORD]@]/PATH[?..]`.
    ///
    /// Host and port are as in an [`Address`]. `%41` stands for the byte 0x41 in user, password, path and values; a `+`
    /// is a
    /// `+`. What is not given has the default of [`Options::new`], and what contradicts another option is found when
    /// the client is made.
    ///
    /// | key | value | as |
    /// |---|---|---|
    /// | `client_id` | text | [`client_id`](Self::client_id) |
    /// | `client_id_file` | path | [`client_id_file`](Self::client_id_file) |
    /// | `version` | `3.1.1` (or `4`), `5` | [`protocol`](Self::protocol) |
    /// | `clean` | `true`, `false` | [`clean_start`](Self::clean_start) |
    /// | `session` | `client`, `connection`, `kept` | [`session`](Self::session) |
    /// | `session_expiry` | seconds, or `never` | [`session_expiry`](Self::session_expiry) |
    /// | `keepalive` | seconds | [`keep_alive`](Self::keep_alive) |
    /// | `connect_timeout` | seconds | [`connect_timeout`](Self::connect_timeout) |
    /// | `backoff_min`, `backoff_max` | seconds | [`backoff`](Self::backoff) |
    /// | `linger` | seconds | [`linger`](Self::linger) |
    /// | `window` | number | [`window`](Self::window) |
    /// | `queue` | number of messages | [`queue`](Self::queue) |
    /// | `receive_maximum`, `max_packet_size`, `topic_aliases` | number | the options of these names |
    /// | `will_topic`, `will_payload` | text | [`will`](Self::will) |
    /// | `will_qos` | `0`, `1`, `2` | its level |
    /// | `will_retain` | `true`, `false` | its flag |
    /// | `will_delay` | seconds | [`will_delay`](Self::will_delay) |
    /// | `cafile`, `capath` | path | with `mqtts`: the authorities to believe, instead of the system's |
    /// | `cert`, `key` | path | with `mqtts`: the client's certificate and its key, which may be in one file |
    /// | `alpn` | names, with commas | with `mqtts`: the protocols to offer |
    /// | `server_name` | name | with `mqtts`: whom the broker's certificate names |
    ///
    /// Seconds may have a fraction where the option takes one (`0.5`).
    ///
    /// ```
    /// use becket_mosquitto::Options;
    ///
    /// let url = "mqtt://gateway:p%40ss@broker.example:1884?client_id=gateway-7&version=5&clean=false";
    /// Options::from_url(url)?.check()?;
    ///
    /// let e = Options::from_url("mqtt://broker:70000").unwrap_err();
    /// assert_eq!(e.to_string(), "broker URL: port 70000 is above 65535");
    /// let e = Options::from_url("mqtt://broker?color=red").unwrap_err();
    /// assert_eq!(e.to_string(), "broker URL: `color` is no option");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The first part that is wrong, with its name and what it can be.
    pub fn from_url(url: &str) -> Result<Options, UrlError> {
        if url.contains('#') {
            return fail("a fragment has no meaning here; a `#` in a user name, password or value is %23");
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (user, address) = if let Some(rest) = place.strip_prefix("unix:") {
            let (user, path) = match rest.strip_prefix("//") {
                Some(rest) => {
                    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                    match authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host)) {
                        (user, "") => (user, path),
                        (_, host) => return fail(format!("a unix socket has no host, and `{host}` is one")),
                    }
                }
                None => (None, rest),
            };
            (user, Address::unix(decode("path", path)?))
        } else {
            let (scheme, rest) = match place.split_once("://") {
                Some(parts) => parts,
                None => return fail("it begins neither with `mqtt://` nor with `unix:`"),
            };
            let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
            if user.is_none() && query.contains('@') && rest.contains(':') {
                // What comes before may be the half of a password.
                return fail("a `?` in a user name or password is %3F, and an `@` in a value is %40");
            }
            (user, format!("{scheme}://{}", rest.strip_suffix('/').unwrap_or(rest)).parse::<Address>())
        };
        let mut options = Options::new(address.or_else(|e| fail(e.why()))?);
        if let Some(user) = user {
            let (name, password) = user.split_once(':').map_or((user, None), |(name, word)| (name, Some(word)));
            let name = decode("user name", name)?;
            options = match password {
                Some(password) => options.credentials(name, decode("password", password)?),
                None => options.user(name),
            };
        }
        options.check_values().or_else(|e| fail(e.to_string()))?;
        options.with_query(query)
    }

    fn with_query(mut self, query: &str) -> Result<Options, UrlError> {
        let mut seen: Vec<&str> = Vec::new();
        let mut will = Will::default();
        let mut tls: Vec<(&str, String)> = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let Some((key, text)) = part.split_once('=') else {
                return fail(format!("`{part}` is not KEY=VALUE"));
            };
            if seen.contains(&key) {
                return fail(format!("`{key}` is there twice"));
            }
            seen.push(key);
            let text = decode(key, text)?;
            let text = text.as_str();
            let value = Value { key, text };
            let defaults = (*self.backoff.start(), *self.backoff.end());
            self = match key {
                "client_id" => self.client_id(text),
                "client_id_file" => self.client_id_file(text),
                "version" => match text {
                    "3.1.1" | "4" => self.protocol(Protocol::V311),
                    "5" => self.protocol(Protocol::V5),
                    _ => return value.fail("it can be `3.1.1` or `5`"),
                },
                "clean" => {
                    let clean = value.flag()?;
                    self.clean_start(clean)
                }
                "session" => match text {
                    "client" => self.session(Session::PerClient),
                    "connection" => self.session(Session::PerConnection),
                    "kept" => self.session(Session::Kept),
                    _ => return value.fail("it can be `client`, `connection` or `kept`"),
                },
                "session_expiry" if text == "never" => self.session_expiry(Duration::from_secs(u32::MAX.into())),
                "session_expiry" => self.session_expiry(value.seconds()?),
                "keepalive" => self.keep_alive(value.seconds()?),
                "connect_timeout" => self.connect_timeout(value.seconds()?),
                "backoff_min" => self.backoff(value.seconds()?, defaults.1),
                "backoff_max" => self.backoff(defaults.0, value.seconds()?),
                "linger" => self.linger(value.seconds()?),
                "window" => self.window(value.number()?),
                "queue" => {
                    let bytes = self.queue_bytes;
                    self.queue(value.number()?, bytes)
                }
                "receive_maximum" => self.receive_maximum(value.number()?),
                "max_packet_size" => self.max_packet_size(value.number()?),
                "topic_aliases" => self.topic_aliases(value.number()?),
                "will_delay" => self.will_delay(value.seconds()?),
                "will_topic" => {
                    will.topic = Some(text.to_owned());
                    self
                }
                "will_payload" => {
                    will.payload = Some(text.to_owned());
                    self
                }
                "will_qos" => {
                    let level = value.number::<u8>()?;
                    will.qos = Some(QoS::try_from(level).or_else(|_| value.fail("it can be `0`, `1` or `2`"))?);
                    self
                }
                "will_retain" => {
                    will.retain = Some(value.flag()?);
                    self
                }
                "cafile" | "capath" | "cert" | "key" | "alpn" | "server_name" => {
                    tls.push((key, text.to_owned()));
                    self
                }
                _ => return fail(format!("`{key}` is no option")),
            };
            if let Err(e) = self.check_values() {
                return value.fail(&e.to_string());
            }
        }
        if !tls.is_empty() {
            self = self.with_tls(&tls)?;
        }
        will.put_into(self)
    }

    #[cfg(not(feature = "tls"))]
    fn with_tls(self, parts: &[(&str, String)]) -> Result<Options, UrlError> {
        fail(format!("`{}` needs the feature `tls` of becket-mosquitto", parts[0].0))
    }

    #[cfg(feature = "tls")]
    fn with_tls(self, parts: &[(&str, String)]) -> Result<Options, UrlError> {
        let Some(mut tls) = self.tls.clone() else {
            return fail(format!("`{}` goes with `mqtts` alone", parts[0].0));
        };
        let part = |name: &str| parts.iter().find(|(key, _)| *key == name).map(|(_, text)| text);
        for (key, text) in parts {
            let changed = match *key {
                "cafile" => tls.ca_file(text),
                "capath" => tls.ca_dir(text),
                "alpn" => tls.alpn(&text.split(',').collect::<Vec<_>>()),
                "server_name" => tls.server_name(text),
                "cert" => tls.client_cert_files(text, part("key").unwrap_or(text), None),
                _ if part("cert").is_none() => return fail("there is a `key` without `cert`"),
                _ => Ok(tls),
            };
            tls = changed.or_else(|e| fail(e.to_string()))?;
        }
        Ok(self.tls(tls))
    }
}

impl FromStr for Options {
    type Err = UrlError;

    /// As [`Options::from_url`].
    fn from_str(url: &str) -> Result<Options, UrlError> {
        Options::from_url(url)
    }
}

/// The parts of a will.
#[derive(Default)]
struct Will {
    topic: Option<String>,
    payload: Option<String>,
    qos: Option<QoS>,
    retain: Option<bool>,
}

impl Will {
    fn put_into(self, options: Options) -> Result<Options, UrlError> {
        match self.topic {
            Some(topic) => {
                let will = Publish::new(topic, self.payload.unwrap_or_default());
                let options = options.will(will.qos(self.qos.unwrap_or_default()).retain(self.retain.unwrap_or(false)));
                options.check_values().or_else(|e| fail(e.to_string()))?;
                Ok(options)
            }
            None if self.payload.is_some() || self.qos.is_some() || self.retain.is_some() => {
                fail("there is a will without `will_topic`")
            }
            None => Ok(options),
        }
    }
}

/// The value of a key, decoded.
struct Value<'a> {
    key: &'a str,
    text: &'a str,
}

impl Value<'_> {
    fn fail<T>(&self, why: &str) -> Result<T, UrlError> {
        fail(format!("`{}={}`: {why}", self.key, self.text))
    }

    fn flag(&self) -> Result<bool, UrlError> {
        match self.text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => self.fail("it can be `true` or `false`"),
        }
    }

    fn number<T: FromStr>(&self) -> Result<T, UrlError> {
        let digits = !self.text.is_empty() && self.text.bytes().all(|b| b.is_ascii_digit());
        match self.text.parse() {
            Ok(number) if digits => Ok(number),
            _ if digits => self.fail("the number is too large"),
            _ => self.fail("it is no number"),
        }
    }

    fn seconds(&self) -> Result<Duration, UrlError> {
        let plain = self.text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let seconds = self.text.parse().ok().filter(|_| plain).and_then(|s| Duration::try_from_secs_f64(s).ok());
        seconds.map_or_else(|| self.fail("it is no number of seconds"), Ok)
    }
}

/// The text behind percent signs. The text itself, which may be a password, is in no error.
fn decode(part: &str, text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let hex = after.first_chunk::<2>().filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let Some(hex) = hex.and_then(|hex| std::str::from_utf8(hex).ok()) else {
            return fail(format!("{part}: a `%` has no two digits after it; a percent sign is %25"));
        };
        bytes.push(u8::from_str_radix(hex, 16).expect("two digits"));
        rest = &after[2..];
    }
    String::from_utf8(bytes).or_else(|_| fail(format!("{part}: it is no UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ClientId;

    #[test]
    fn all_parts_are_taken() {
        let url = "mqtt://a%3ab:p%40%25+@[::1]:1884/?client_id=x%20y&version=5&clean=false&session_expiry=60\
            &keepalive=9&connect_timeout=0.5&backoff_min=2&backoff_max=3&linger=1&window=7&queue=8&receive_maximum=9\
            &max_packet_size=1000&topic_aliases=4&will_topic=w&will_payload=gone%00&will_qos=2\
            &will_retain=true&will_delay=6";
        let options: Options = url.parse().unwrap();
        assert_eq!(options.address.to_string(), "mqtt://[::1]:1884");
        assert_eq!(options.credentials, Some(("a:b".into(), Some("p@%+".into()))));
        assert!(matches!(&options.client_id, ClientId::Given(id) if id == "x y"));
        assert_eq!((options.protocol, options.session), (Protocol::V5, Session::Kept));
        let seconds = Duration::from_secs;
        assert_eq!(options.connect.session_expiry, Some(seconds(60)));
        assert_eq!((options.keep_alive, options.connect_timeout), (seconds(9), Duration::from_millis(500)));
        assert_eq!((options.backoff.clone(), options.linger), (seconds(2)..=seconds(3), seconds(1)));
        assert_eq!((options.window, options.queue_messages, options.queue_bytes), (7, 8, 16 << 20));
        let connect = &options.connect;
        assert_eq!((connect.receive_maximum, connect.max_packet_size), (Some(9), Some(1000)));
        assert_eq!((connect.topic_aliases, connect.will_delay), (4, Some(seconds(6))));
        let will = Publish::new("w", "gone\0").qos(QoS::ExactlyOnce).retain(true);
        assert_eq!(options.will, Some(will));
        options.check().unwrap();
    }

    #[test]
    fn little_is_enough() {
        for (url, address) in [
            ("mqtt://h", "mqtt://h:1883"),
            ("mqtt://h/", "mqtt://h:1883"),
            ("mqtt://h?", "mqtt://h:1883"),
            ("mqtt://@h:7", "mqtt://h:7"),
            ("unix:relative", "unix:relative"),
            ("unix:/a%3fb", "unix:/a?b"),
            ("unix:///a/b?keepalive=5", "unix:/a/b"),
            ("unix://user:pw@/a", "unix:/a"),
        ] {
            assert_eq!(Options::from_url(url).unwrap().address.to_string(), address, "{url}");
        }
        let options = Options::from_url("unix://user:pw@/a?session_expiry=never&version=5").unwrap();
        assert_eq!(options.credentials, Some(("user".into(), Some("pw".into()))));
        assert_eq!(options.connect.session_expiry, Some(Duration::from_secs(u32::MAX.into())));
        assert_eq!(Options::from_url("mqtt://h?session=connection").unwrap().session, Session::PerConnection);
        assert_eq!(Options::from_url("mqtt://user@h").unwrap().credentials, Some(("user".into(), None)));
    }

    #[test]
    fn tls_has_parts_of_its_own() {
        let error = |url: &str| Options::from_url(url).unwrap_err().to_string();
        if cfg!(feature = "tls") {
            let url = "mqtts://h?server_name=other&alpn=mqtt,x";
            assert_eq!(Options::from_url(url).unwrap().address.to_string(), "mqtts://h:8883");
            assert!(error("mqtt://h?cafile=x").contains("`cafile` goes with `mqtts`"));
            assert!(error("mqtts://h?cafile=/nonexistent").contains("No such file"));
            assert!(error("mqtts://h?cert=/nonexistent&key=/other").contains("client certificate `/nonexistent`"));
            assert!(error("mqtts://h?key=/nonexistent").contains("without `cert`"));
            assert!(error("mqtts://h?server_name=").contains("server name"));
        } else {
            assert!(error("mqtts://h").contains("needs the feature `tls`"));
            assert!(error("mqtt://h?cafile=x").contains("`cafile` needs the feature `tls`"));
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_is_shown() {
        for (url, why) in [
            ("broker", "neither with `mqtt://`"),
            ("http://u:secret@broker", "scheme `http`"),
            ("mqtts://u:secret@", if cfg!(feature = "tls") { "the host is empty" } else { "the feature `tls`" }),
            ("mqtt://u:sec?ret@broker", "a `?` in a user name or password is %3F"),
            ("mqtt://u:sec#ret@broker", "a `#` in a user name"),
            ("mqtt://h?session=none", "it can be `client`"),
            ("mqtt://", "the host is empty"),
            ("mqtt://u:secret@", "the host is empty"),
            ("mqtt://u:se%ret@broker", "password: a `%`"),
            ("mqtt://u:secret%ff@broker", "password: it is no UTF-8"),
            ("mqtt://u:secret%00@broker", "password: it can be"),
            ("mqtt://h?will_qos=%0a", "`will_qos=\\n`: it is no number"),
            ("mqtt://%zz:secret@broker", "user name: a `%`"),
            ("mqtt://u:secret@broker:x", "port `x`"),
            ("mqtt://u:secret@broker/topic", "`/topic`"),
            ("mqtt://u:secret@::1", "brackets"),
            ("mqtt://broker#x", "fragment"),
            ("mqtt://h?clean", "`clean` is not KEY=VALUE"),
            ("mqtt://h?clean=maybe", "`clean=maybe`: it can be"),
            ("mqtt://h?clean=true&clean=true", "`clean` is there twice"),
            ("mqtt://h?version=3", "`version=3`: it can be `3.1.1` or `5`"),
            ("mqtt://h?keepalive=1", "keep-alive of 1s"),
            ("mqtt://h?keepalive=-1", "it is no number"),
            ("mqtt://h?keepalive=", "it is no number"),
            ("mqtt://h?keepalive=nan", "it is no number"),
            ("mqtt://h?window=101", "window of 101"),
            ("mqtt://h?window=70000", "too large"),
            ("mqtt://h?window=+1", "no number"),
            ("mqtt://h?client_id=", "client id ``"),
            ("mqtt://h?client_id=%00", "client id"),
            ("mqtt://h?will_topic=a/%23", "will: `a/#` is no topic"),
            ("mqtt://h?will_qos=3", "it can be `0`, `1` or `2`"),
            ("mqtt://h?will_payload=x", "without `will_topic`"),
            ("unix:", "the path is empty"),
            ("unix:%00", "NUL"),
            ("unix://host/path", "`host` is one"),
        ] {
            let e = Options::from_url(url).unwrap_err().to_string();
            assert!(e.contains(why), "{url:?}: {e}");
            assert!(!e.contains("secret") && !e.contains("ret@") && !e.contains("`sec"), "{e}");
            assert_eq!(e.lines().count(), 1);
        }
    }
}
