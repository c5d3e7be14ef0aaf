//! What a broker says beside its answers, with MQTT 5.

use crate::message::{Publish, QoS};
use crate::reason::ReasonCode;
use crate::subscribe::{SubscribeOptions, has_wildcard, is_shared};

/// What a broker says beside the code of an acknowledgement, for people and for programs that know the broker. MQTT 5
/// only, and few brokers say anything.
///
/// ```
/// use becket_mosquitto::Remark;
///
/// let remark = Remark { reason: Some("quota of the month".into()), ..Remark::default() };
/// assert_eq!(remark.reason.as_deref(), Some("quota of the month"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remark {
    /// Why, for people.
    #[doc(alias = "MQTT_PROP_REASON_STRING")]
    pub reason: Option<String>,
    /// Pairs of a name and a value, in order; names may repeat.
    #[doc(alias = "MQTT_PROP_USER_PROPERTY")]
    pub user: Vec<(String, String)>,
}

/// What a broker said when it accepted a connection, or refused it. With MQTT 3.1.1, and where it said nothing, these
/// are the values that the protocol has for that, see [`Default`].
///
/// The client keeps to the limits by itself; what breaks one is [refused](crate::Outcome::Refused), or refused by
/// [`Event::Subscribed`](crate::Event::Subscribed), without being sent.
///
/// ```
/// use becket_mosquitto::{Announced, QoS};
///
/// let silent = Announced::default();
/// assert_eq!((silent.receive_maximum, silent.maximum_qos), (65535, QoS::ExactlyOnce));
/// assert!(silent.retain_available && silent.shared_available);
/// assert_eq!(silent.topic_alias_maximum, 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// For how many seconds it keeps the session, where that differs from what was asked for; `u32::MAX` is for ever.
    #[doc(alias = "MQTT_PROP_SESSION_EXPIRY_INTERVAL")]
    pub session_expiry: Option<u32>,
    /// The most messages of QoS 1 and 2 that may be under way to it at once.
    #[doc(alias = "MQTT_PROP_RECEIVE_MAXIMUM")]
    pub receive_maximum: u16,
    /// The highest level of messages that it takes.
    #[doc(alias = "MQTT_PROP_MAXIMUM_QOS")]
    pub maximum_qos: QoS,
    /// Whether it keeps messages that are published with [`retain`](crate::Publish::retain).
    #[doc(alias = "MQTT_PROP_RETAIN_AVAILABLE")]
    pub retain_available: bool,
    /// The most bytes of a packet that it takes.
    #[doc(alias = "MQTT_PROP_MAXIMUM_PACKET_SIZE")]
    pub maximum_packet_size: Option<u32>,
    /// The client id that it chose, see [`Options::assigned_client_id`](crate::Options::assigned_client_id).
    #[doc(alias = "MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER")]
    pub assigned_client_id: Option<String>,
    /// The most topic aliases that it takes, see [`Options::topic_aliases`](crate::Options::topic_aliases).
    #[doc(alias = "MQTT_PROP_TOPIC_ALIAS_MAXIMUM")]
    pub topic_alias_maximum: u16,
    /// Whether a filter may have wildcards.
    #[doc(alias = "MQTT_PROP_WILDCARD_SUB_AVAILABLE")]
    pub wildcards_available: bool,
    /// Whether a subscription may have an [identifier](SubscribeOptions::id).
    #[doc(alias = "MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE")]
    pub subscription_ids_available: bool,
    /// Whether a subscription may be shared (`$share/GROUP/FILTER`).
    #[doc(alias = "MQTT_PROP_SHARED_SUB_AVAILABLE")]
    pub shared_available: bool,
    /// The keep-alive that it wants, in seconds: it counts instead of ours. With 0 a broker that froze is never
    /// noticed.
    #[doc(alias = "MQTT_PROP_SERVER_KEEP_ALIVE")]
    pub server_keep_alive: Option<u16>,
    /// From what a topic for answers is to be made, see
    /// [`Options::request_response_information`](crate::Options::request_response_information).
    #[doc(alias = "MQTT_PROP_RESPONSE_INFORMATION")]
    pub response_information: Option<String>,
    /// Another broker, which this one points to.
    #[doc(alias = "MQTT_PROP_SERVER_REFERENCE")]
    pub server_reference: Option<String>,
    /// What else it says.
    pub remark: Remark,
}

impl Default for Announced {
    /// What counts where a broker says nothing.
    fn default() -> Announced {
        Announced {
            session_expiry: None,
            receive_maximum: u16::MAX,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            maximum_packet_size: None,
            assigned_client_id: None,
            topic_alias_maximum: 0,
            wildcards_available: true,
            subscription_ids_available: true,
            shared_available: true,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            remark: Remark::default(),
        }
    }
}

impl Announced {
    /// Whether the library has learnt a limit that it never forgets.
    pub(crate) fn limits_library(&self) -> bool {
        self.maximum_qos != QoS::ExactlyOnce || self.maximum_packet_size.is_some()
    }

    /// With which code the broker would refuse this message, or rather end the connection for it.
    pub(crate) fn refuses_publish(&self, publish: &Publish, v5: bool) -> Option<ReasonCode> {
        if self.maximum_packet_size.is_some_and(|max| publish.packet_len(v5) > max as usize) {
            Some(ReasonCode::PACKET_TOO_LARGE)
        } else if publish.qos > self.maximum_qos {
            Some(ReasonCode::QOS_NOT_SUPPORTED)
        } else if publish.retain && !self.retain_available {
            // The library would send it without the flag.
            Some(ReasonCode::RETAIN_NOT_SUPPORTED)
        } else {
            None
        }
    }

    /// With which code the broker would refuse this subscription, or rather end the connection for it.
    pub(crate) fn refuses(&self, filter: &str, options: &SubscribeOptions) -> Option<ReasonCode> {
        if !self.shared_available && is_shared(filter) {
            Some(ReasonCode::SHARED_NOT_SUPPORTED)
        } else if !self.wildcards_available && has_wildcard(filter) {
            Some(ReasonCode::WILDCARDS_NOT_SUPPORTED)
        } else if !self.subscription_ids_available && options.id.is_some() {
            Some(ReasonCode::SUBSCRIPTION_IDS_NOT_SUPPORTED)
        } else {
            None
        }
    }
}
