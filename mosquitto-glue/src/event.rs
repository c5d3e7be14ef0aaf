//! What a client reports.

use crate::address::Address;
use crate::announced::{Announced, Remark};
use crate::delivery::{DeliveryId, Outcome};
use crate::message::{Message, QoS};
use crate::options::LogLevel;
use crate::reason::{Reason, ReasonCode};
use std::time::{Duration, Instant};

/// What a client reports. After [`Closed`](Self::Closed) or [`Failed`](Self::Failed) nothing more comes.
///
/// ```
/// use becket_mosquitto::{Event, Reason};
/// use std::time::Duration;
///
/// fn line(event: &Event) -> Option<String> {
///     match event {
///         Event::Disconnected { reason, retry_in } => Some(format!("{reason}; again in {retry_in:?}")),
///         _ => None,
///     }
/// }
/// let event = Event::Disconnected { reason: Reason::KeepAlive, retry_in: Duration::from_secs(1) };
/// assert!(line(&event).unwrap().ends_with("again in 1s"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An attempt to connect began; a host has one for each of its addresses, until one answers.
    Connecting {
        /// The host by its number, or the socket's path.
        to: Address,
    },
    /// The broker accepted the connection. Where it kept no session, the subscriptions were sent again already.
    Connected {
        /// Whether the broker still had the session of this client id.
        session_present: bool,
        /// What else it said.
        announced: Box<Announced>,
    },
    /// The broker refused the connection; [`Disconnected`](Self::Disconnected) or [`Failed`](Self::Failed) follows.
    Refused {
        /// Why.
        code: ReasonCode,
        /// What else it said.
        announced: Box<Announced>,
    },
    /// The connection was lost, or an attempt (of all addresses of the host) failed; the next one follows by itself.
    Disconnected {
        /// Why; of several addresses, the last one's.
        reason: Reason,
        /// How long from now the next attempt begins.
        retry_in: Duration,
    },
    /// The wait before the next attempt began. Follows [`Disconnected`](Self::Disconnected).
    BackingOff {
        /// When it ends.
        until: Instant,
    },
    /// A message arrived that the client subscribed to, or that is for none of its [handlers](crate::Client::on).
    Message(Message),
    /// After a message was refused because the queue was full: there is room for it now.
    Room,
    /// What became of a published message: once for each that was accepted.
    Delivered {
        /// Which one.
        id: DeliveryId,
        /// What became of it.
        outcome: Outcome,
        /// What the broker said beside the code.
        remark: Option<Box<Remark>>,
    },
    /// The broker answered a subscription. A refused one is not asked for again.
    Subscribed {
        /// The filter, as it was given.
        filter: String,
        /// The level granted, or why not.
        granted: Result<QoS, ReasonCode>,
        /// What the broker said beside the code.
        remark: Option<Box<Remark>>,
    },
    /// The broker confirmed the end of a subscription, or never knew it.
    Unsubscribed {
        /// The filter, as it was given.
        filter: String,
        /// What the broker said. Its code is not told: libmosquitto does not read it.
        remark: Option<Box<Remark>>,
    },
    /// A line of libmosquitto's log, of the levels asked for.
    Log {
        /// How grave it is.
        level: LogLevel,
        /// The text, one line.
        line: String,
    },
    /// At the start, where the store (`Options::store`) holds messages of an earlier client, which go out first.
    Owed {
        /// How many.
        messages: u64,
        /// Their bytes: topics and payloads.
        bytes: u64,
    },
    /// With a store (`Options::store`): the messages of QoS 1 and 2 up to this one are in it, as safe as was asked
    /// for, or have their outcome. Once for each commit.
    Stored {
        /// The last of them.
        through: DeliveryId,
    },
    /// The store cannot be written or read. What it has not [stored](Self::Stored) is in memory alone, and messages of
    /// QoS 1 and 2 are [refused](crate::PublishRefusal::Store), until it is [`Stored`](Self::Stored) after all.
    #[cfg(feature = "store")]
    StoreFailed(crate::StoreError),
    /// The client was closed by the program.
    Closed,
    /// The client gave up: another attempt would be refused for the same reason, or
    /// [`Options::give_up_when`](crate::Options::give_up_when) said so.
    Failed(Reason),
}
