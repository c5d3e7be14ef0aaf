//! How a client connects and what it keeps.

use crate::acknowledge::Acknowledge;
use crate::address::Address;
use crate::connect::Connect;
use crate::error::OptionsError;
use crate::ffi;
use crate::identity::{ClientId, is_id};
use crate::message::Publish;
#[cfg(not(feature = "tls"))]
use crate::no_tls::Tls;
use crate::queue::WhenFull;
use crate::reason::Reason;
use crate::session::Session;
use crate::socks::Socks5;
#[cfg(feature = "tls")]
use crate::tls::Tls;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Says whether a failure is final. It cannot hold a client, which stays on its thread, and so never calls into one.
type GiveUp = Arc<dyn Fn(&Reason) -> bool + Send + Sync>;

/// The version of the protocol to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// MQTT 3.1.1: the default, spoken by every broker.
    #[default]
    V311,
    /// MQTT 5: properties, reason codes for everything, sessions that expire.
    V5,
}

/// How grave a line of libmosquitto's log is, from grave to talkative.
///
/// ```
/// use becket_mosquitto::LogLevel;
///
/// assert!(LogLevel::Error < LogLevel::Debug);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is odd.
    Warning,
    /// Worth knowing.
    Notice,
    /// What happens.
    Info,
    /// Every packet.
    Debug,
}

impl LogLevel {
    /// The bits of this level and all graver ones, as libmosquitto numbers them.
    pub(crate) fn mask(self) -> i32 {
        match self {
            LogLevel::Error => 0x08,
            LogLevel::Warning => 0x0c,
            LogLevel::Notice => 0x0e,
            LogLevel::Info => 0x0f,
            LogLevel::Debug => 0x1f,
        }
    }

    pub(crate) fn of_bit(bit: i32) -> LogLevel {
        match bit {
            0x08 => LogLevel::Error,
            0x04 => LogLevel::Warning,
            0x02 => LogLevel::Notice,
            0x01 => LogLevel::Info,
            _ => LogLevel::Debug,
        }
    }
}

/// How a client connects and what it keeps. What contradicts itself is found when the client is made.
///
/// ```
/// use becket_mosquitto::{Options, Protocol, Publish};
/// use std::time::Duration;
///
/// let options = Options::new("mqtt://localhost".parse()?)
///     .client_id("gateway-7")
///     .protocol(Protocol::V5)
///     .clean_start(false)
///     .session_expiry(Duration::from_secs(3600))
///     .keep_alive(Duration::from_secs(30))
///     .will(Publish::new("gateway-7/state", "gone").retain(true));
/// options.check()?;
///
/// let wrong = options.keep_alive(Duration::from_secs(3));
/// assert_eq!(wrong.check().unwrap_err().to_string(), "keep-alive of 3s: it can be from 5 s to 65535 s");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) address: Address,
    pub(crate) tls: Option<Tls>,
    pub(crate) socks5: Option<Socks5>,
    pub(crate) client_id: ClientId,
    pub(crate) protocol: Protocol,
    pub(crate) session: Session,
    pub(crate) connect: Connect,
    pub(crate) keep_alive: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) backoff: RangeInclusive<Duration>,
    pub(crate) linger: Duration,
    pub(crate) credentials: Option<(String, Option<String>)>,
    pub(crate) will: Option<Publish>,
    pub(crate) window: u16,
    pub(crate) queue_messages: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) queue_plain: bool,
    pub(crate) log: Option<LogLevel>,
    pub(crate) give_up: Option<GiveUp>,
    pub(crate) acknowledge: Acknowledge,
    pub(crate) separate_copies: bool,
    #[cfg(feature = "store")]
    pub(crate) store: Option<crate::Store>,
}

impl Options {
    /// Options with every default, for a broker at `address`.
    pub fn new(address: Address) -> Options {
        Options {
            tls: Tls::of(&address),
            socks5: None,
            address,
            client_id: ClientId::Made,
            protocol: Protocol::default(),
            session: Session::default(),
            connect: Connect::default(),
            keep_alive: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            backoff: Duration::from_secs(1)..=Duration::from_secs(60),
            linger: Duration::from_secs(2),
            credentials: None,
            will: None,
            window: 20,
            queue_messages: 1000,
            queue_bytes: 16 << 20,
            when_full: WhenFull::default(),
            queue_plain: false,
            log: Some(LogLevel::Warning),
            give_up: None,
            acknowledge: Acknowledge::default(),
            separate_copies: false,
            #[cfg(feature = "store")]
            store: None,
        }
    }

    /// The name under which the broker knows this client; a second client of the same name throws the first out.
    /// Default: a random one, which stays the same over reconnections and goes with the client.
    pub fn client_id(mut self, id: impl Into<String>) -> Options {
        self.client_id = ClientId::Given(id.into());
        self
    }

    /// Takes the client id from this file, a line of text. Where there is no such file, an id is made and written to it
    /// when the client is made, so that the program has the same one the next time. The folder has to be there, and two
    /// programs with one file throw each other out.
    pub fn client_id_file(mut self, path: impl Into<PathBuf>) -> Options {
        self.client_id = ClientId::Kept(path.into());
        self
    }

    /// The version of the protocol. Default: [`Protocol::V311`].
    pub fn protocol(mut self, protocol: Protocol) -> Options {
        self.protocol = protocol;
        self
    }

    /// Which session at the broker it uses. Default: [`Session::PerClient`].
    pub fn session(mut self, session: Session) -> Options {
        self.session = session;
        self
    }

    /// Whether the first connection begins a new session at the broker ([`Session::PerClient`], the default) or goes on
    /// with the one that an earlier client of the same id left ([`Session::Kept`], which needs a client id, given or
    /// from a file). Reconnections go on with the session in both.
    #[doc(alias = "clean_session")]
    pub fn clean_start(self, clean: bool) -> Options {
        self.session(if clean { Session::PerClient } else { Session::Kept })
    }

    /// After how much silence, in whole seconds from 5 to 65535, the broker is asked for a sign of life. Default: 60 s.
    /// A broker that froze is noticed after about twice as long.
    #[doc(alias = "keepalive")]
    pub fn keep_alive(mut self, every: Duration) -> Options {
        self.keep_alive = every;
        self
    }

    /// How long one attempt may take from the first packet to the broker's answer, for each address of the host, and
    /// how long the lookup of the host may take. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Options {
        self.connect_timeout = timeout;
        self
    }

    /// The wait before a new attempt: random between nothing and a ceiling that starts at `min` and doubles up to `max`
    /// (the higher one, where they are mixed up). It starts at `min` again after a connection that stood for `max`.
    /// Default: 1 s and 60 s.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Options {
        self.backoff = min..=max;
        self
    }

    /// How long a close waits for its DISCONNECT to leave. Default: 2 s.
    pub fn linger(mut self, timeout: Duration) -> Options {
        self.linger = timeout;
        self
    }

    /// A user name and a password. Over plain TCP everybody on the way can read them.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Options {
        self.credentials = Some((user.into(), Some(password.into())));
        self
    }

    /// A user name without a password.
    pub fn user(mut self, user: impl Into<String>) -> Options {
        self.credentials = Some((user.into(), None));
        self
    }

    /// Whether the broker sends a message that matches several subscriptions once for each of them, as mosquitto does
    /// with MQTT 5, though not with 3.1.1. Default: no, and then each [handler](crate::Client::on) gets each of such
    /// copies.
    ///
    /// With `true` each handler gets the copy that is for it: each subscription has an
    /// [identifier](crate::SubscribeOptions::id), chosen here where the program chooses none. A broker that puts the
    /// identifiers of all subscriptions into one message must not be used so: libmosquitto takes that for an error and
    /// ends the connection ([`Reason::Protocol`](crate::Reason::Protocol)), as often as the broker sends it. With MQTT
    /// 3.1.1, and where the broker has no such identifiers, this changes nothing.
    pub fn separate_copies(mut self, separate: bool) -> Options {
        self.separate_copies = separate;
        self
    }

    /// When messages of QoS 1 that arrive are acknowledged. Default: [`Acknowledge::OnArrival`].
    #[doc(alias = "manual_ack")]
    pub fn acknowledge(mut self, when: Acknowledge) -> Options {
        self.acknowledge = when;
        self
    }

    /// The message that the broker publishes when this client is gone without a word, with MQTT 5 after a
    /// [delay](Self::will_delay). Its properties need MQTT 5.
    pub fn will(mut self, will: Publish) -> Options {
        self.will = Some(will);
        self
    }

    /// The most messages of QoS 1 and 2 under way at once, 1 to 100. Default: 20. The broker may ask for fewer.
    #[doc(alias = "max_inflight_messages")]
    pub fn window(mut self, messages: u16) -> Options {
        self.window = messages;
        self
    }

    /// The most messages that wait to be sent, and their most bytes (topics, payloads and properties). Default: 1000
    /// and 16 MiB. A message that finds no other is accepted whatever its size. Those under way come on top. With a
    /// store, what waits in it counts, whoever left it there.
    pub fn queue(mut self, messages: usize, bytes: usize) -> Options {
        self.queue_messages = messages;
        self.queue_bytes = bytes;
        self
    }

    /// What becomes of a message that finds the queue full. Default: [`WhenFull::Wait`].
    pub fn when_full(mut self, policy: WhenFull) -> Options {
        self.when_full = policy;
        self
    }

    /// Whether messages of QoS 0 wait in the queue, too, for a connection. Default: no, without a connection they are
    /// [refused](crate::PublishRefusal::NotConnected), and those that wait go with the connection.
    pub fn queue_qos0(mut self, queue: bool) -> Options {
        self.queue_plain = queue;
        self
    }

    /// The log lines of libmosquitto to report: those of this level and graver ones. Default: warnings. `None` spares
    /// libmosquitto the making of a line for each packet.
    pub fn log(mut self, level: impl Into<Option<LogLevel>>) -> Options {
        self.log = level.into();
        self
    }

    /// After which failures the client gives up, with [`Event::Failed`](crate::Event::Failed), instead of trying again:
    /// `f` is called with the reason of each failed attempt and each lost connection. Default: [`Reason::is_final`].
    ///
    /// It is called in the middle of the client's work, so it decides from what it is given; the
    /// [event](crate::Event::Refused) has more to say to people.
    ///
    /// ```
    /// use becket_mosquitto::{Options, Reason, ReasonCode};
    ///
    /// // The password may be mended at the broker; but who has taken our name shall keep it.
    /// let taken = Reason::Server(ReasonCode(0x8e));
    /// let options = Options::new("mqtt://localhost".parse()?).give_up_when(move |reason| *reason == taken);
    /// options.check()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn give_up_when(mut self, f: impl Fn(&Reason) -> bool + Send + Sync + 'static) -> Options {
        self.give_up = Some(Arc::new(f));
        self
    }

    /// Whether there is to be no other attempt.
    pub(crate) fn gives_up(&self, reason: &Reason) -> bool {
        self.give_up.as_ref().map_or_else(|| reason.is_final(), |decide| decide(reason))
    }

    /// Keeps messages of QoS 1 and 2 in a file until they have their outcome, and sends first what is in it. Not with
    /// [`Session::Kept`]: the broker would take a message for one of an earlier process with the same packet
    /// identifier. Default: none.
    #[cfg(feature = "store")]
    pub fn store(mut self, store: crate::Store) -> Options {
        self.store = Some(store);
        self
    }

    /// Looks for what contradicts itself or cannot be.
    ///
    /// # Errors
    /// The first option found wrong, with its value and what it can be.
    pub fn check(&self) -> Result<(), OptionsError> {
        self.tls_context()?;
        self.check_socks5()?;
        let fail = |what: String| Err(OptionsError::new(what));
        self.check_values()?;
        if self.session == Session::Kept && !self.client_id.is_kept() {
            return fail("a kept session: it needs a client id".to_owned());
        }
        let v5 = self.protocol == Protocol::V5;
        let assigned = matches!(self.client_id, ClientId::Assigned).then_some("client id assigned by the broker");
        if let Some(what) = self.connect.needs_v5().or(assigned).filter(|_| !v5) {
            return fail(format!("{what}: it needs MQTT 5"));
        }
        match &self.will {
            Some(will) if will.properties.is_some() && !v5 => fail("will: properties need MQTT 5".to_owned()),
            None if self.connect.will_delay.is_some() => fail("will delay: there is no will".to_owned()),
            _ => Ok(()),
        }
    }

    /// Looks for what cannot be, whatever the other options are.
    pub(crate) fn check_values(&self) -> Result<(), OptionsError> {
        let fail = |what: String| Err(OptionsError::new(what));
        if let ClientId::Given(id) = &self.client_id
            && !is_id(id)
        {
            return fail(format!("client id `{}`: it can be a text of 1 to 65535 bytes", id.escape_debug()));
        }
        if let Some(what) = self.connect.problem() {
            return fail(what);
        }
        #[cfg(feature = "store")]
        if self.store.is_some() && self.session == Session::Kept {
            return fail("a store: it needs a session of the client's own".to_owned());
        }
        if !(5..=65535).contains(&self.keep_alive.as_secs()) {
            return fail(format!("keep-alive of {:?}: it can be from 5 s to 65535 s", self.keep_alive));
        }
        if self.connect_timeout.is_zero() {
            return fail("connect timeout of 0 s: it must be longer".to_owned());
        }
        if self.backoff.end().is_zero() && self.backoff.start().is_zero() {
            return fail("back-off of 0 s: it must be longer".to_owned());
        }
        if !(1..=100).contains(&self.window) {
            return fail(format!("window of {}: it can be from 1 to 100", self.window));
        }
        if let Some((user, password)) = &self.credentials {
            if !ffi::is_string(user) {
                return fail("user name: it can be a text of up to 65535 bytes".to_owned());
            }
            if password.as_ref().is_some_and(|p| p.len() > 65535 || p.contains('\0')) {
                return fail("password: it can be up to 65535 bytes without NUL".to_owned());
            }
        }
        match &self.will {
            Some(will) if !ffi::is_topic(&will.topic) => {
                fail(format!("will: `{}` is no topic", will.topic.escape_debug()))
            }
            Some(will) if will.payload.len() > 65535 => fail("will: its payload can be up to 65535 bytes".to_owned()),
            Some(will) => match will.properties.as_ref().and_then(|properties| properties.problem()) {
                Some(why) => fail(format!("will: {why}")),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }
}

/// Without the password.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("Options");
        s.field("address", &self.address).field("client_id", &self.client_id).field("protocol", &self.protocol);
        s.field("user", &self.credentials.as_ref().map(|(user, _)| user)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::Properties;

    #[test]
    fn contradictions_are_named() {
        let new = || Options::new("mqtt://h".parse().unwrap());
        let properties = Properties { is_text: true, ..Properties::default() };
        let bad = Properties { response_topic: Some("a/#".to_owned()), ..Properties::default() };
        for (options, why) in [
            (new().client_id(""), "client id ``"),
            (new().clean_start(false), "needs a client id"),
            (new().session_expiry(Duration::ZERO), "needs MQTT 5"),
            (new().protocol(Protocol::V5).session_expiry(Duration::MAX), "session expiry"),
            (new().clean_start(false).assigned_client_id(), "needs a client id"),
            (new().assigned_client_id(), "client id assigned by the broker: it needs MQTT 5"),
            (new().receive_maximum(5), "receive maximum: it needs MQTT 5"),
            (new().protocol(Protocol::V5).receive_maximum(0), "receive maximum of 0"),
            (new().protocol(Protocol::V5).max_packet_size(0), "maximum packet size of 0"),
            (new().topic_aliases(1), "topic aliases: it needs MQTT 5"),
            (new().request_problem_information(false), "problem information: it needs MQTT 5"),
            (new().request_response_information(true), "response information: it needs MQTT 5"),
            (new().user_property("a", "b"), "user property: it needs MQTT 5"),
            (new().protocol(Protocol::V5).user_property("a", "\0"), "user property"),
            (new().protocol(Protocol::V5).will_delay(Duration::ZERO), "there is no will"),
            (new().will(Publish::new("a", "").properties(properties.clone())), "will: properties need MQTT 5"),
            (new().protocol(Protocol::V5).will(Publish::new("a", "").properties(bad)), "will: the response topic"),
            (new().keep_alive(Duration::ZERO), "keep-alive"),
            (new().keep_alive(Duration::from_secs(65536)), "keep-alive"),
            (new().connect_timeout(Duration::ZERO), "connect timeout"),
            (new().backoff(Duration::ZERO, Duration::ZERO), "back-off"),
            (new().window(0), "window of 0"),
            (new().window(101), "window of 101"),
            (new().credentials("a\0b", ""), "user name"),
            (new().credentials("a", "\0"), "password"),
            (new().will(Publish::new("a/+", "")), "`a/+` is no topic"),
            (new().will(Publish::new("a", vec![0; 65536])), "will"),
        ] {
            let e = options.check().unwrap_err().to_string();
            assert!(e.contains(why), "{why}: {e}");
        }
        new().check().unwrap();
    }

    #[test]
    fn a_password_is_not_printed() {
        let options = Options::new("mqtt://h".parse().unwrap()).credentials("user", "secret");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
