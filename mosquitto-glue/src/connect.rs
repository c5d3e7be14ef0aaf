//! What a CONNECT of MQTT 5 says beside that of 3.1.1.

use crate::identity::ClientId;
use crate::options::Options;
use crate::properties::problem_of_user;
use std::time::Duration;

/// The options that only MQTT 5 has.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    pub(crate) session_expiry: Option<Duration>,
    pub(crate) receive_maximum: Option<u16>,
    pub(crate) max_packet_size: Option<u32>,
    pub(crate) problem_information: bool,
    pub(crate) response_information: bool,
    pub(crate) user: Vec<(String, String)>,
    pub(crate) will_delay: Option<Duration>,
    pub(crate) topic_aliases: u16,
}

impl Default for Connect {
    fn default() -> Connect {
        Connect {
            session_expiry: None,
            receive_maximum: None,
            max_packet_size: None,
            problem_information: true,
            response_information: false,
            user: Vec::new(),
            will_delay: None,
            topic_aliases: 0,
        }
    }
}

/// What only MQTT 5 has: with MQTT 3.1.1, each of these is an [`OptionsError`](crate::OptionsError) that names it when
/// the client is made.
impl Options {
    /// For how long, in whole seconds, the broker keeps the session of a client that is gone; `u32::MAX` seconds are
    /// for ever. Default: one hour, and with [`Session::PerConnection`](crate::Session::PerConnection) it ends with the
    /// connection. The broker may [say](crate::Announced::session_expiry) otherwise.
    #[doc(alias = "MQTT_PROP_SESSION_EXPIRY_INTERVAL")]
    pub fn session_expiry(mut self, after: Duration) -> Options {
        self.connect.session_expiry = Some(after);
        self
    }

    /// The most messages of QoS 1 and 2 that the broker may have under way to this client, from 1. Default: 65535. A
    /// broker that sends more is cut off.
    #[doc(alias = "MQTT_PROP_RECEIVE_MAXIMUM")]
    pub fn receive_maximum(mut self, messages: u16) -> Options {
        self.connect.receive_maximum = Some(messages);
        self
    }

    /// The longest packet, in bytes, that the broker may send: it drops messages that are longer. Default: what MQTT
    /// can carry, 256 MiB. It is the broker's word: libmosquitto reads a longer one all the same.
    #[doc(alias = "MQTT_PROP_MAXIMUM_PACKET_SIZE")]
    pub fn max_packet_size(mut self, bytes: u32) -> Options {
        self.connect.max_packet_size = Some(bytes);
        self
    }

    /// Whether the broker may say more than a code in its acknowledgements, see [`Remark`](crate::Remark). Default:
    /// yes.
    #[doc(alias = "MQTT_PROP_REQUEST_PROBLEM_INFORMATION")]
    pub fn request_problem_information(mut self, wanted: bool) -> Options {
        self.connect.problem_information = wanted;
        self
    }

    /// Whether the broker is asked from what to make topics for answers, see
    /// [`Announced::response_information`](crate::Announced::response_information). Default: no.
    #[doc(alias = "MQTT_PROP_REQUEST_RESPONSE_INFORMATION")]
    pub fn request_response_information(mut self, wanted: bool) -> Options {
        self.connect.response_information = wanted;
        self
    }

    /// Adds a pair of a name and a value for the broker to read when this client connects.
    #[doc(alias = "MQTT_PROP_USER_PROPERTY")]
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Options {
        self.connect.user.push((name.into(), value.into()));
        self
    }

    /// How long, in whole seconds, the broker waits with the [will](Self::will), in case the client comes back. It
    /// comes sooner where the session ends. Default: not at all.
    #[doc(alias = "MQTT_PROP_WILL_DELAY_INTERVAL")]
    pub fn will_delay(mut self, delay: Duration) -> Options {
        self.connect.will_delay = Some(delay);
        self
    }

    /// The most topics that are sent as a number of two bytes once the broker knows them: those that were used last.
    /// Default: 0, each message names its topic. The broker may [take fewer](crate::Announced::topic_alias_maximum).
    ///
    /// They hold for one connection. Only messages of QoS 0 have them, but with
    /// [`Session::PerConnection`](crate::Session::PerConnection) all: where a session goes on, libmosquitto sends the
    /// others again on the next connection as they are, and no alias is known there.
    #[doc(alias = "MQTT_PROP_TOPIC_ALIAS")]
    pub fn topic_aliases(mut self, topics: u16) -> Options {
        self.connect.topic_aliases = topics;
        self
    }

    /// Has the broker choose the client id; it stays the same over reconnections, see
    /// [`Client::client_id`](crate::Client::client_id). Where a session is to go on over connections, a connection of
    /// its own asks for the id first.
    #[doc(alias = "MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER")]
    pub fn assigned_client_id(mut self) -> Options {
        self.client_id = ClientId::Assigned;
        self
    }
}

/// The longest time that is told in seconds of four bytes.
const SECONDS_MAX: u64 = u32::MAX as u64;

impl Connect {
    /// What is out of its range.
    pub(crate) fn problem(&self) -> Option<String> {
        for (name, time) in [("session expiry", self.session_expiry), ("will delay", self.will_delay)] {
            if let Some(time) = time.filter(|time| time.as_secs() > SECONDS_MAX) {
                return Some(format!("{name} of {time:?}: it can be up to {SECONDS_MAX} s"));
            }
        }
        if self.receive_maximum == Some(0) {
            return Some("receive maximum of 0: it can be from 1 to 65535".to_owned());
        }
        if self.max_packet_size == Some(0) {
            return Some("maximum packet size of 0: it can be from 1".to_owned());
        }
        problem_of_user(&self.user).map(|why| format!("connect: {why}"))
    }

    /// What goes as a property of the packet itself, and is not made by the library: the first of it.
    pub(crate) fn first_property(&self) -> Option<&'static str> {
        let elsewhere = ["receive maximum", "will delay", "topic aliases"];
        self.set_ones().find(|name| !elsewhere.contains(name))
    }

    /// What needs MQTT 5, the first of it.
    pub(crate) fn needs_v5(&self) -> Option<&'static str> {
        self.set_ones().next()
    }

    /// The names of all that are not as they are by default.
    fn set_ones(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.session_expiry.is_some(), "session expiry"),
            (self.receive_maximum.is_some(), "receive maximum"),
            (self.max_packet_size.is_some(), "maximum packet size"),
            (!self.problem_information, "request of problem information"),
            (self.response_information, "request of response information"),
            (!self.user.is_empty(), "user property"),
            (self.will_delay.is_some(), "will delay"),
            (self.topic_aliases > 0, "topic aliases"),
        ]
        .into_iter()
        .filter_map(|(is_set, name)| is_set.then_some(name))
    }
}
