//! What goes out and what comes in.

use crate::ffi;
use crate::properties::Properties;
use std::fmt;
use std::time::{Duration, Instant};

/// How surely a message arrives.
///
/// ```
/// use becket_mosquitto::QoS;
///
/// assert_eq!(QoS::AtLeastOnce as u8, 1);
/// assert_eq!(QoS::try_from(2), Ok(QoS::ExactlyOnce));
/// assert_eq!(QoS::try_from(3), Err(3));
/// assert!(QoS::AtMostOnce < QoS::AtLeastOnce);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum QoS {
    /// QoS 0: sent once, acknowledged by nobody, and lost where the connection is.
    AtMostOnce = 0,
    /// QoS 1: sent until it is acknowledged (PUBACK); may arrive more than once. The default.
    #[default]
    AtLeastOnce = 1,
    /// QoS 2: sent until it is acknowledged (PUBCOMP); arrives once.
    ExactlyOnce = 2,
}

impl TryFrom<u8> for QoS {
    type Error = u8;

    fn try_from(level: u8) -> Result<QoS, u8> {
        match level {
            0 => Ok(QoS::AtMostOnce),
            1 => Ok(QoS::AtLeastOnce),
            2 => Ok(QoS::ExactlyOnce),
            other => Err(other),
        }
    }
}

/// A message to publish: a topic and a payload, at QoS 1 unless told otherwise.
///
/// ```
/// use becket_mosquitto::{Publish, QoS};
///
/// let publish = Publish::new("plant/boiler/temp", "21.5").retain(true);
/// assert_eq!(publish.topic(), "plant/boiler/temp");
/// assert_eq!(publish.payload(), b"21.5");
/// assert_eq!(publish.clone().qos(QoS::ExactlyOnce).level(), QoS::ExactlyOnce);
/// ```
///
/// The deadline of a message is a point in time of this process, of the clock that [`Instant`] reads.
#[derive(Clone, PartialEq, Eq)]
pub struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: Option<Box<Properties>>,
    /// Never for no deadline.
    pub(crate) deadline: Option<Instant>,
    pub(crate) expiry_to_broker: bool,
}

impl Publish {
    /// A message at QoS 1, not retained. Whether the topic is one is checked when it is published.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Publish {
        Publish {
            topic: topic.into(),
            payload: payload.into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: None,
            deadline: None,
            expiry_to_broker: false,
        }
    }

    /// How surely it shall arrive.
    pub fn qos(mut self, qos: QoS) -> Publish {
        self.qos = qos;
        self
    }

    /// Whether the broker keeps it for those who subscribe later. Default: no.
    pub fn retain(mut self, retain: bool) -> Publish {
        self.retain = retain;
        self
    }

    /// Properties, which only MQTT 5 can carry. Default: none.
    pub fn properties(mut self, properties: Properties) -> Publish {
        self.properties = (!properties.is_empty()).then(|| Box::new(properties));
        self
    }

    /// Until when it may wait to be sent; then it is given up as [`Expired`](crate::Outcome::Expired). Default: for as
    /// long as the client lives. What is under way is not called back. One that has passed already is accepted, and
    /// expires at once.
    pub fn deadline(mut self, at: Instant) -> Publish {
        self.deadline = Some(at);
        self
    }

    /// A [deadline](Self::deadline) so long from now; none where that is beyond the clock's range.
    pub fn expire_after(mut self, after: Duration) -> Publish {
        self.deadline = Instant::now().checked_add(after);
        self
    }

    /// Whether the broker too is to give the message up at the deadline: what is left of the time when it is sent, in
    /// whole seconds and at least one, goes with it as its message expiry, unless the
    /// [one given](crate::Properties::message_expiry) is shorter. Default: no. Needs MQTT 5, and does nothing without a
    /// deadline.
    #[doc(alias = "MQTT_PROP_MESSAGE_EXPIRY_INTERVAL")]
    pub fn expiry_to_broker(mut self, tell: bool) -> Publish {
        self.expiry_to_broker = tell;
        self
    }

    /// The topic it goes to.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Its bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// How surely it shall arrive.
    pub fn level(&self) -> QoS {
        self.qos
    }

    /// What the broker is told about the deadline, where it is.
    pub(crate) fn set_expiry(&mut self, now: Instant) {
        if let (Some(at), true) = (self.deadline, self.expiry_to_broker) {
            let left = at.saturating_duration_since(now);
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX).max(1);
            let given = &mut self.properties.get_or_insert_default().message_expiry;
            *given = Some(given.map_or(seconds, |given| given.min(seconds)));
        }
    }

    /// The bytes of its PUBLISH packet, beyond the first byte and the length field.
    pub(crate) fn remaining_length(&self, v5: bool) -> usize {
        let id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties = if v5 {
            let len = self.properties.as_ref().map_or(0, |p| p.len());
            varint_len(len) + len
        } else {
            0
        };
        2 + self.topic.len() + id + properties + self.payload.len()
    }

    /// The bytes of its PUBLISH packet.
    pub(crate) fn packet_len(&self, v5: bool) -> usize {
        let remaining = self.remaining_length(v5);
        1 + varint_len(remaining) + remaining
    }
}

/// The bytes that `n` takes as a variable byte integer.
fn varint_len(n: usize) -> usize {
    match n {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("Publish");
        s.field("topic", &self.topic).field("payload", &self.payload.escape_ascii().to_string());
        s.field("qos", &self.qos).field("retain", &self.retain).field("properties", &self.properties);
        s.field("deadline", &self.deadline).finish()
    }
}

/// A message that arrived.
///
/// When it is acknowledged to the broker is said by [`Options::acknowledge`](crate::Options::acknowledge).
///
/// ```
/// use becket_mosquitto::Message;
///
/// fn celsius(message: &Message) -> Option<f32> {
///     std::str::from_utf8(&message.payload).ok()?.parse().ok()
/// }
/// let message = Message { topic: "plant/temp".into(), payload: b"21.5".into(), ..Message::default() };
/// assert_eq!(celsius(&message), Some(21.5));
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The topic it was published to.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// The level at which the broker delivered it: the lower of the publisher's and the subscription's.
    pub qos: QoS,
    /// Whether the broker had kept it from before the subscription.
    pub retain: bool,
    /// Its properties; `None` where it has none, and with MQTT 3.1.1.
    pub properties: Option<Box<Properties>>,
    /// The [identifiers](crate::SubscribeOptions::id) of the subscriptions that it came for; empty where none has one.
    #[doc(alias = "MQTT_PROP_SUBSCRIPTION_IDENTIFIER")]
    pub subscription_ids: Vec<u32>,
}

impl Message {
    /// The answer to this message: to its response topic, with its correlation data, at its level. `None` where it has
    /// no response topic, or one that is no topic. MQTT 5 only.
    ///
    /// ```
    /// use becket_mosquitto::{Message, Properties};
    ///
    /// let response_topic = Some("answers/7".to_owned());
    /// let properties = Properties { response_topic, correlation_data: Some(vec![1]), ..Properties::default() };
    /// let request = Message { topic: "time".into(), properties: Some(Box::new(properties)), ..Message::default() };
    /// let answer = request.response("12:00").unwrap();
    /// assert_eq!((answer.topic(), answer.payload()), ("answers/7", &b"12:00"[..]));
    /// assert!(Message::default().response("").is_none());
    /// ```
    pub fn response(&self, payload: impl Into<Vec<u8>>) -> Option<Publish> {
        let asked = self.properties.as_ref()?;
        let topic = asked.response_topic.as_ref().filter(|topic| ffi::is_topic(topic))?;
        let properties = Properties { correlation_data: asked.correlation_data.clone(), ..Properties::default() };
        Some(Publish::new(topic, payload).qos(self.qos).properties(properties))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("Message");
        s.field("topic", &self.topic).field("payload", &self.payload.escape_ascii().to_string());
        s.field("qos", &self.qos).field("retain", &self.retain).field("properties", &self.properties);
        s.field("subscription_ids", &self.subscription_ids).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_wire() {
        let publish = Publish::new("a/b", "12345").qos(QoS::AtMostOnce);
        assert_eq!(publish.packet_len(false), 2 + 2 + 3 + 5);
        assert_eq!(publish.clone().qos(QoS::AtLeastOnce).packet_len(false), 2 + 2 + 3 + 2 + 5);
        assert_eq!(publish.packet_len(true), 2 + 2 + 3 + 1 + 5);
        let properties = Properties { message_expiry: Some(1), ..Properties::default() };
        assert_eq!(publish.properties(properties).packet_len(true), 2 + 2 + 3 + 1 + 5 + 5);
        assert_eq!(Publish::new("a", vec![0; 200]).packet_len(false), 3 + 2 + 1 + 2 + 200);
    }
}
