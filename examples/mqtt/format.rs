//! How `mqtt_sub` prints a message: the conversions of mosquitto_sub(1).

use becket_mosquitto::{Message, Properties};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// A format, taken apart.
#[derive(Debug)]
pub struct Format(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    Text(Vec<u8>),
    Field(u8),
}

/// What there is: everything of mosquitto_sub but what libmosquitto tells only itself.
const FIELDS: &[u8] = b"tpxXqrlIUjJCDEFPRS";

pub const HELP: &str = r"FORMAT is text with conversions: %t topic, %p payload, %x and %X payload in hexadecimal digits, %l its
length, %q level, %r retained (0 or 1), %I time, %U time in seconds since 1970, %j all of it as JSON, %J the same with
a payload of JSON as such; of MQTT 5: %C content type, %D correlation data, %E expiry, %F payload format, %P user
properties, %R response topic, %S subscription identifiers; %%; and \n \t \r \0 \e \\.";

impl Format {
    /// Takes a format apart.
    ///
    /// # Errors
    /// A conversion or an escape that there is not.
    pub fn parse(text: &str) -> Result<Format, String> {
        let mut parts = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let plain = match byte {
                b'%' => match bytes.next() {
                    Some(b'%') => b'%',
                    Some(field) if FIELDS.contains(&field) => {
                        parts.push(Part::Field(field));
                        continue;
                    }
                    other => return Err(format!("%{}: no such conversion", shown(other))),
                },
                b'\\' => match bytes.next() {
                    Some(b'n') => b'\n',
                    Some(b't') => b'\t',
                    Some(b'r') => b'\r',
                    Some(b'0') => 0,
                    Some(b'e') => 0x1b,
                    Some(b'\\') => b'\\',
                    other => return Err(format!("\\{}: no such escape", shown(other))),
                },
                other => other,
            };
            match parts.last_mut() {
                Some(Part::Text(text)) => text.push(plain),
                _ => parts.push(Part::Text(vec![plain])),
            }
        }
        Ok(Format(parts))
    }

    /// What is printed without any: the payload, or with the topic before it.
    pub fn plain(with_topic: bool) -> Format {
        let payload = Part::Field(b'p');
        Format(if with_topic { vec![Part::Field(b't'), Part::Text(b" ".to_vec()), payload] } else { vec![payload] })
    }

    /// Prints a message, without an end of the line.
    pub fn print(&self, message: &Message, to: &mut impl Write) -> io::Result<()> {
        let none = Properties::default();
        let properties = message.properties.as_deref().unwrap_or(&none);
        for part in &self.0 {
            match part {
                Part::Text(text) => to.write_all(text)?,
                Part::Field(b't') => to.write_all(message.topic.as_bytes())?,
                Part::Field(b'p') => to.write_all(&message.payload)?,
                Part::Field(b'x') => message.payload.iter().try_for_each(|byte| write!(to, "{byte:02x}"))?,
                Part::Field(b'X') => message.payload.iter().try_for_each(|byte| write!(to, "{byte:02X}"))?,
                Part::Field(b'q') => write!(to, "{}", message.qos as u8)?,
                Part::Field(b'r') => write!(to, "{}", u8::from(message.retain))?,
                Part::Field(b'l') => write!(to, "{}", message.payload.len())?,
                Part::Field(b'I') => write!(to, "{}", now())?,
                Part::Field(b'U') => {
                    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    write!(to, "{}.{:09}", since.as_secs(), since.subsec_nanos())?;
                }
                Part::Field(b'j') => write!(to, "{}", json(message, properties, false))?,
                Part::Field(b'J') => write!(to, "{}", json(message, properties, true))?,
                Part::Field(b'C') => to.write_all(properties.content_type.as_deref().unwrap_or("").as_bytes())?,
                Part::Field(b'D') => to.write_all(properties.correlation_data.as_deref().unwrap_or(b""))?,
                Part::Field(b'E') => properties.message_expiry.iter().try_for_each(|secs| write!(to, "{secs}"))?,
                Part::Field(b'F') => write!(to, "{}", u8::from(properties.is_text))?,
                Part::Field(b'P') => {
                    let pairs: Vec<_> = properties.user.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                    to.write_all(pairs.join(" ").as_bytes())?;
                }
                Part::Field(b'R') => to.write_all(properties.response_topic.as_deref().unwrap_or("").as_bytes())?,
                Part::Field(_) => {
                    let ids: Vec<_> = message.subscription_ids.iter().map(u32::to_string).collect();
                    to.write_all(ids.join(" ").as_bytes())?;
                }
            }
        }
        Ok(())
    }
}

fn shown(byte: Option<u8>) -> String {
    byte.map_or_else(String::new, |byte| byte.escape_ascii().to_string())
}

/// The time in UTC, to the microsecond.
fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

/// As mosquitto_sub prints it; a payload that is no UTF-8 has U+FFFD where that is so.
fn json(message: &Message, properties: &Properties, parse: bool) -> Value {
    let text = String::from_utf8_lossy(&message.payload);
    let payload: Option<Value> = if parse { serde_json::from_str(&text).ok() } else { None };
    let mut all = json!({
        "tst": now(),
        "topic": message.topic,
        "qos": message.qos as u8,
        "retain": u8::from(message.retain),
        "payloadlen": message.payload.len(),
        "payload": payload.unwrap_or_else(|| text.into()),
    });
    let mut list = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            list.insert(name.to_owned(), value);
        }
    };
    put("content-type", properties.content_type.clone().map(Value::from));
    put("response-topic", properties.response_topic.clone().map(Value::from));
    put("message-expiry-interval", properties.message_expiry.map(Value::from));
    put("payload-format-indicator", properties.is_text.then(|| 1.into()));
    put("correlation-data", properties.correlation_data.as_ref().map(|data| String::from_utf8_lossy(data).into()));
    put("subscription-identifier", message.subscription_ids.first().map(|id| (*id).into()));
    let pairs = properties.user.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    put("user-properties", (!properties.user.is_empty()).then(|| Value::Object(pairs.collect())));
    if !list.is_empty() {
        all["properties"] = list.into();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: &str, message: &Message) -> String {
        let mut bytes = Vec::new();
        Format::parse(format).unwrap().print(message, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn conversions_print_what_they_say() {
        let properties = Properties {
            content_type: Some("text/plain".into()),
            user: vec![("a".into(), "1".into()), ("b".into(), "2".into())],
            ..Properties::default()
        };
        let message = Message {
            topic: "t/1".into(),
            payload: b"{\"n\":1}".into(),
            retain: true,
            properties: Some(properties.into()),
            subscription_ids: vec![7],
            ..Message::default()
        };
        assert_eq!(printed(r"%t|%p|%l|%r|%%\t\\", &message), "t/1|{\"n\":1}|7|1|%\t\\");
        assert_eq!(printed("%x", &message), "7b226e223a317d");
        assert_eq!(printed("%C %P %S", &message), "text/plain a:1 b:2 7");
        let all: Value = serde_json::from_str(&printed("%J", &message)).unwrap();
        assert_eq!((&all["payload"]["n"], &all["retain"]), (&1.into(), &1.into()));
        assert_eq!(all["properties"]["user-properties"]["b"], "2");
        let all: Value = serde_json::from_str(&printed("%j", &message)).unwrap();
        assert_eq!(all["payload"], "{\"n\":1}");
        assert_eq!(Format::parse("%z").unwrap_err(), "%z: no such conversion");
        assert_eq!(Format::parse("%").unwrap_err(), "%: no such conversion");
        assert_eq!(Format::parse(r"\q").unwrap_err(), r"\q: no such escape");
    }
}
