//! What a message carries beside its payload.

use crate::ffi;

/// The properties of an application message, MQTT 5 only.
///
/// ```
/// use becket_mosquitto::Properties;
///
/// let properties = Properties { response_topic: Some("answers/7".to_owned()), ..Properties::default() };
/// assert!(properties.user.is_empty());
/// assert!(!properties.is_empty());
/// assert!(Properties::default().is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// What the payload is, such as a MIME type. An empty one counts as none.
    #[doc(alias = "MQTT_PROP_CONTENT_TYPE")]
    pub content_type: Option<String>,
    /// Where an answer is expected.
    #[doc(alias = "MQTT_PROP_RESPONSE_TOPIC")]
    pub response_topic: Option<String>,
    /// What the answer carries, so that the asker knows which question it belongs to.
    #[doc(alias = "MQTT_PROP_CORRELATION_DATA")]
    pub correlation_data: Option<Vec<u8>>,
    /// Seconds for which the broker keeps the message for subscribers that are away.
    #[doc(alias = "MQTT_PROP_MESSAGE_EXPIRY_INTERVAL")]
    pub message_expiry: Option<u32>,
    /// Whether the payload is said to be UTF-8 text.
    #[doc(alias = "MQTT_PROP_PAYLOAD_FORMAT_INDICATOR")]
    pub is_text: bool,
    /// Pairs of a name and a value, in order; names may repeat.
    #[doc(alias = "MQTT_PROP_USER_PROPERTY")]
    pub user: Vec<(String, String)>,
}

impl Properties {
    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that these take in a packet, without the length before them.
    pub(crate) fn len(&self) -> usize {
        let string = |s: &Option<String>| s.as_ref().filter(|s| !s.is_empty()).map_or(0, |s| 3 + s.len());
        string(&self.content_type)
            + string(&self.response_topic)
            + self.correlation_data.as_ref().map_or(0, |d| 3 + d.len())
            + self.message_expiry.map_or(0, |_| 5)
            + if self.is_text { 2 } else { 0 }
            + self.user.iter().map(|(name, value)| 5 + name.len() + value.len()).sum::<usize>()
    }

    /// The name of the first property that MQTT cannot carry.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let bad = |s: &Option<String>| s.as_ref().is_some_and(|s| !ffi::is_string(s));
        if bad(&self.content_type) {
            Some("the content type is no MQTT string")
        } else if self.response_topic.as_ref().is_some_and(|t| !ffi::is_topic(t)) {
            Some("the response topic is no topic")
        } else if self.correlation_data.as_ref().is_some_and(|d| d.len() > usize::from(u16::MAX)) {
            Some("the correlation data is longer than 65535 bytes")
        } else {
            problem_of_user(&self.user)
        }
    }
}

/// Whether user properties have something that MQTT cannot carry.
pub(crate) fn problem_of_user(pairs: &[(String, String)]) -> Option<&'static str> {
    let is_bad = |(name, value): &(String, String)| !ffi::is_string(name) || !ffi::is_string(value);
    pairs.iter().any(is_bad).then_some("a user property is no MQTT string")
}
