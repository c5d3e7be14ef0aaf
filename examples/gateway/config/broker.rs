//! `[broker]`: where messages go, and how.

use super::tables::{Broker, Key, Tls};
use super::{Checked, Files, wrong};
use crate::args;
use crate::settings::{self, BrokerSettings, Secret, TlsSettings, is_topic};
use becket_mosquitto::QoS;
use std::time::Duration;

pub fn check(table: Option<Key<Broker>>, files: &mut Files) -> Checked<BrokerSettings> {
    let mut broker = BrokerSettings::default();
    let Some(table) = table else { return Ok(broker) };
    let at = Key::new(table.span(), ());
    let table = table.into_inner();
    let is_tls = table.url.as_ref().is_some_and(|url| url.as_ref().starts_with("mqtts://"));
    if let Some(url) = &table.url {
        broker.place = args::broker(url.as_ref()).or_else(|e| wrong(url, e))?;
    }
    broker.client_id = table.client_id.map(Key::into_inner);
    if let (None, Some(password)) = (&table.user, place(&table.password, &table.password_file)) {
        return wrong(&password, "a password needs a `user`");
    }
    broker.user = table.user.map(Key::into_inner);
    broker.password = match (table.password, table.password_file) {
        (Some(_), Some(file)) => return wrong(&file, "there is a `password` already"),
        (password, None) => password.map(|password| Secret(password.into_inner().into_bytes())),
        (None, Some(file)) => {
            let text = String::from_utf8(files.read(&file)?).or_else(|_| wrong(&file, "the password is not UTF-8"))?;
            Some(Secret(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec()))
        }
    };
    if let Some(seconds) = table.keepalive {
        if !(5..=65_535).contains(seconds.as_ref()) {
            return wrong(&seconds, "not within 5 to 65535");
        }
        broker.keepalive = Duration::from_secs(seconds.into_inner());
    }
    if let Some(level) = table.qos {
        broker.qos = QoS::try_from(*level.as_ref()).or_else(|_| wrong(&level, "it is none of 0, 1, 2"))?;
    }
    if let Some(prefix) = table.topic_prefix {
        if !is_topic(prefix.as_ref()) {
            return wrong(&prefix, format!("{:?} cannot begin a topic", prefix.as_ref()));
        }
        broker.prefix = prefix.into_inner();
    }
    if let Some(tls) = table.tls {
        if !cfg!(feature = "tls") {
            return wrong(&tls, "TLS: this program was built without the feature `tls`");
        }
        if !is_tls {
            return wrong(&tls, "TLS is for a broker whose `url` begins with mqtts://");
        }
        broker.tls = Some(check_tls(tls.into_inner(), files)?);
    }
    if let settings::Broker::At(address) = &broker.place {
        let options = broker.options(address.clone()).and_then(|options| options.check());
        options.or_else(|e| wrong(&at, e))?;
    }
    Ok(broker)
}

/// Where one of two keys stands.
fn place<T, U>(one: &Option<Key<T>>, other: &Option<Key<U>>) -> Option<Key<()>> {
    let span = one.as_ref().map(Key::span).or(other.as_ref().map(Key::span));
    span.map(|span| Key::new(span, ()))
}

fn check_tls(table: Tls, files: &mut Files) -> Checked<TlsSettings> {
    let mut tls = TlsSettings { insecure: table.insecure, ..TlsSettings::default() };
    if let Some(ca) = &table.ca {
        tls.ca = Some(files.read(ca)?);
        found_wrong(&tls, ca)?;
    }
    match (table.cert, table.key) {
        (Some(cert), Some(key)) => {
            tls.identity = Some((files.read(&cert)?, Secret(files.read(&key)?)));
            found_wrong(&tls, &cert)?;
        }
        (None, None) => {}
        (cert, key) => return lonely("cert", "key", &place(&cert, &key)),
    }
    match (table.psk_identity, table.psk) {
        (Some(identity), Some(psk)) => {
            let key = hex(psk.as_ref()).or_else(|e| wrong(&psk, e))?;
            tls.psk = Some((identity.into_inner(), Secret(key)));
            found_wrong(&tls, &psk)?;
        }
        (None, None) => {}
        (identity, psk) => return lonely("psk-identity", "psk", &place(&identity, &psk)),
    }
    if let Some(name) = table.server_name {
        tls.server_name = Some(name.as_ref().clone());
        found_wrong(&tls, &name)?;
    }
    Ok(tls)
}

fn lonely<T>(one: &str, other: &str, place: &Option<Key<()>>) -> Checked<T> {
    let place = place.clone().unwrap_or_else(|| Key::new(0..0, ()));
    wrong(&place, format!("`{one}` and `{other}` go together"))
}

/// What the library finds wrong after the value of a key has been added.
#[cfg(feature = "tls")]
fn found_wrong<T>(tls: &TlsSettings, key: &Key<T>) -> Checked<()> {
    tls.to_tls().map(drop).or_else(|e| wrong(key, e))
}

#[cfg(not(feature = "tls"))]
fn found_wrong<T>(_: &TlsSettings, _: &Key<T>) -> Checked<()> {
    Ok(())
}

/// Bytes from hexadecimal digits.
fn hex(digits: &str) -> Result<Vec<u8>, &'static str> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap_or(""));
    let bytes = pairs.map(|pair| u8::from_str_radix(pair, 16).ok().filter(|_| pair.len() == 2 && !pair.contains('+')));
    bytes.collect::<Option<_>>().ok_or("the key is in hexadecimal digits, two for each byte")
}
