//! What a subscription asks for.

use crate::message::QoS;
use crate::properties::problem_of_user;

/// Which of the messages that a broker has kept it sends for a new subscription. MQTT 5 only.
///
/// ```
/// use becket_mosquitto::RetainHandling;
///
/// assert_eq!(RetainHandling::default(), RetainHandling::Always);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[doc(alias = "mqtt5_sub_options")]
pub enum RetainHandling {
    /// All that match, each time: as with MQTT 3.1.1. The default.
    #[doc(alias = "MQTT_SUB_OPT_SEND_RETAIN_ALWAYS")]
    #[default]
    Always = 0,
    /// All that match, unless the session has the subscription already.
    #[doc(alias = "MQTT_SUB_OPT_SEND_RETAIN_NEW")]
    New = 1,
    /// None.
    #[doc(alias = "MQTT_SUB_OPT_SEND_RETAIN_NEVER")]
    Never = 2,
}

/// How a subscription is served. A [`QoS`] alone will do where one of these is asked for; all else needs MQTT 5.
///
/// ```
/// use becket_mosquitto::{QoS, RetainHandling, SubscribeOptions};
///
/// let options = SubscribeOptions::new(QoS::AtLeastOnce).no_local(true).retain_handling(RetainHandling::Never).id(7);
/// assert_ne!(options, QoS::AtLeastOnce.into());
/// assert_eq!(SubscribeOptions::new(QoS::AtMostOnce), QoS::AtMostOnce.into());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscribeOptions {
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) retain_handling: RetainHandling,
    pub(crate) id: Option<u32>,
    pub(crate) user: Vec<(String, String)>,
}

impl SubscribeOptions {
    /// The largest identifier of a subscription.
    pub const ID_MAX: u32 = 268_435_455;

    /// A subscription of this level, with every default.
    pub fn new(qos: QoS) -> SubscribeOptions {
        SubscribeOptions { qos, ..SubscribeOptions::default() }
    }

    /// Whether messages that this very client publishes are kept from it. Default: no. A shared subscription cannot
    /// have it.
    #[doc(alias = "MQTT_SUB_OPT_NO_LOCAL")]
    pub fn no_local(mut self, no_local: bool) -> SubscribeOptions {
        self.no_local = no_local;
        self
    }

    /// Whether messages keep the retain flag of their publisher. Default: no, and then the flag tells those that the
    /// broker had kept from those that come as they are published.
    #[doc(alias = "MQTT_SUB_OPT_RETAIN_AS_PUBLISHED")]
    pub fn retain_as_published(mut self, keep: bool) -> SubscribeOptions {
        self.retain_as_published = keep;
        self
    }

    /// Which kept messages are sent. Default: [`RetainHandling::Always`].
    pub fn retain_handling(mut self, handling: RetainHandling) -> SubscribeOptions {
        self.retain_handling = handling;
        self
    }

    /// A number, from 1 to [`ID_MAX`](Self::ID_MAX), that comes with each message of this subscription, see
    /// [`Message::subscription_ids`](crate::Message::subscription_ids). Default: none.
    #[doc(alias = "MQTT_PROP_SUBSCRIPTION_IDENTIFIER")]
    pub fn id(mut self, id: u32) -> SubscribeOptions {
        self.id = Some(id);
        self
    }

    /// Adds a pair of a name and a value for the broker to read.
    #[doc(alias = "MQTT_PROP_USER_PROPERTY")]
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> SubscribeOptions {
        self.user.push((name.into(), value.into()));
        self
    }

    /// The bits that a SUBSCRIBE has beside the level.
    pub(crate) fn flags(&self) -> u8 {
        u8::from(self.no_local) << 2 | u8::from(self.retain_as_published) << 3 | (self.retain_handling as u8) << 4
    }

    /// What of these needs MQTT 5, the first of it.
    pub(crate) fn needs_v5(&self) -> Option<&'static str> {
        [
            (self.no_local, "no-local"),
            (self.retain_as_published, "retain-as-published"),
            (self.retain_handling != RetainHandling::Always, "retain handling"),
            (self.id.is_some(), "a subscription identifier"),
            (!self.user.is_empty(), "a user property"),
        ]
        .into_iter()
        .find_map(|(is_set, name)| is_set.then_some(name))
    }

    /// What MQTT cannot carry, or forbids for this filter.
    pub(crate) fn problem(&self, filter: &str) -> Option<&'static str> {
        if self.id.is_some_and(|id| !(1..=Self::ID_MAX).contains(&id)) {
            Some("a subscription identifier can be from 1 to 268435455")
        } else if self.no_local && is_shared(filter) {
            Some("a shared subscription cannot have no-local")
        } else {
            problem_of_user(&self.user)
        }
    }
}

impl From<QoS> for SubscribeOptions {
    fn from(qos: QoS) -> SubscribeOptions {
        SubscribeOptions::new(qos)
    }
}

/// Whether this filter is one that several clients share.
pub(crate) fn is_shared(filter: &str) -> bool {
    filter.starts_with("$share/")
}

/// Whether this filter has a wildcard.
pub(crate) fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_those_of_the_protocol() {
        let options = SubscribeOptions::new(QoS::ExactlyOnce);
        assert_eq!(options.flags(), 0);
        assert_eq!(options.clone().no_local(true).flags(), 0x04);
        assert_eq!(options.clone().retain_as_published(true).flags(), 0x08);
        assert_eq!(options.clone().retain_handling(RetainHandling::New).flags(), 0x10);
        assert_eq!(options.retain_handling(RetainHandling::Never).flags(), 0x20);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let new = || SubscribeOptions::new(QoS::AtMostOnce);
        assert_eq!(new().problem("a"), None);
        assert_eq!(new().needs_v5(), None);
        assert_eq!(new().id(1).needs_v5(), Some("a subscription identifier"));
        assert!(new().id(0).problem("a").unwrap().contains("from 1"));
        assert!(new().id(SubscribeOptions::ID_MAX + 1).problem("a").is_some());
        assert!(new().no_local(true).problem("$share/g/a").unwrap().contains("shared"));
        assert!(new().user_property("a", "\0").problem("a").unwrap().contains("user property"));
    }
}
