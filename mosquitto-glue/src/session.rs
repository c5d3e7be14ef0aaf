//! Which session a client uses at the broker.

/// Which session a client uses at the broker: what the broker remembers of it over connections, its subscriptions and
/// the messages under way in both directions.
///
/// Only a session that outlives a connection lets a message of QoS 2 that was under way when the connection broke
/// arrive once; see [`Outcome::Uncertain`](crate::Outcome::Uncertain) for what is reported where there is none.
///
/// ```
/// use becket_mosquitto::{Options, Session};
///
/// let options = Options::new("mqtt://localhost".parse()?).session(Session::Kept);
/// assert_eq!(options.check().unwrap_err().to_string(), "a kept session: it needs a client id");
/// options.client_id("gateway-7").check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Session {
    /// The client's own: it begins with the first connection, goes on over reconnections, and ends when the client is
    /// closed. The default. What an earlier client of the same id left at the broker is cleared first, since a new
    /// client begins its packet identifiers anew.
    ///
    /// A client that ends without [`close`](crate::Client::close) leaves its session behind: with MQTT 5 until
    /// [it expires](crate::Options::session_expiry); with 3.1.1 until a client of the same id comes, or for as long as
    /// the broker is configured to keep it. Who is killed often gives a client id, or takes
    /// [`PerConnection`](Self::PerConnection).
    #[default]
    PerClient,
    /// A new one for each connection. Messages of QoS 2 that were under way with the one before are uncertain.
    #[doc(alias = "clean_session")]
    PerConnection,
    /// It goes on where an earlier client of the same id left it, and stays when this one is closed. Needs a client id.
    ///
    /// Messages of QoS 2 that the earlier client had under way are never released to the broker: libmosquitto begins
    /// its packet identifiers anew and has no call for that. A new message of QoS 2 under one of those identifiers may
    /// be taken for a repetition of the old one, which is passed on in its place. Who needs both a kept session and
    /// QoS 2 waits for the outcomes before the client ends.
    Kept,
}

/// What a client expects of the session of its next connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Expect {
    #[default]
    Any,
    Absent,
    Present,
}

impl Expect {
    /// Whether this is not what is there.
    pub(crate) fn fails(self, present: bool) -> bool {
        match self {
            Expect::Any => false,
            Expect::Absent => present,
            Expect::Present => !present,
        }
    }
}
