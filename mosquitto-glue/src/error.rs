//! Why a call was refused.

use crate::message::Publish;
use std::{error, fmt, io};

/// The options contradict themselves, or libmosquitto refused them. Prints as one line with the option and what it
/// can be.
///
/// ```
/// use becket_mosquitto::Options;
///
/// let e = Options::new("mqtt://h".parse()?).window(101).check().unwrap_err();
/// assert_eq!(e.to_string(), "window of 101: it can be from 1 to 100");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionsError {
    what: String,
}

impl OptionsError {
    pub(crate) fn new(what: impl Into<String>) -> OptionsError {
        OptionsError { what: what.into() }
    }
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl error::Error for OptionsError {}

/// As `InvalidInput`, with this inside.
impl From<OptionsError> for io::Error {
    fn from(e: OptionsError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, e)
    }
}

/// Why a message was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublishRefusal {
    /// The queue holds as many messages or bytes as it may; later there may be room.
    QueueFull,
    /// A message of QoS 0, and there is no connection to send it on.
    NotConnected,
    /// The client was closed, or gave up.
    Closed,
    /// What is to be called is of another loop's state than the client's.
    OtherLoop,
    /// The store could not take it, for this reason.
    Store(io::ErrorKind),
    /// The topic is empty, too long, or has a wildcard or a forbidden character.
    Topic,
    /// Topic, payload and properties are longer than MQTT's 256 MiB.
    TooLong,
    /// There are properties, and the protocol is MQTT 3.1.1.
    PropertiesNeedV5,
    /// A property is something that MQTT cannot carry; the text says which.
    Property(&'static str),
}

/// A message was not accepted: why, and the message itself.
///
/// ```
/// use becket_mosquitto::{PublishError, PublishRefusal};
///
/// fn again_later(e: &PublishError) -> bool {
///     e.refusal() == PublishRefusal::QueueFull
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishError {
    pub(crate) refusal: PublishRefusal,
    pub(crate) publish: Publish,
}

impl PublishError {
    /// Why.
    pub fn refusal(&self) -> PublishRefusal {
        self.refusal
    }

    /// The message, to try again.
    pub fn into_publish(self) -> Publish {
        self.publish
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "publish to `{}`: ", self.publish.topic.escape_debug())?;
        f.write_str(match self.refusal {
            PublishRefusal::QueueFull => "the queue is full",
            PublishRefusal::NotConnected => "there is no connection, and QoS 0 does not wait for one",
            PublishRefusal::Closed => "the client is closed",
            PublishRefusal::OtherLoop => "the client is on another loop",
            PublishRefusal::Store(kind) => return write!(f, "the store cannot take it: {kind}"),
            PublishRefusal::Topic => "it is no topic",
            PublishRefusal::TooLong => "the message is longer than MQTT can carry",
            PublishRefusal::PropertiesNeedV5 => "properties need MQTT 5",
            PublishRefusal::Property(why) => why,
        })
    }
}

impl error::Error for PublishError {}

/// As `WouldBlock` (a full queue), `NotConnected`, `BrokenPipe` (closed), what the store said, or `InvalidInput`, with
/// this inside.
impl From<PublishError> for io::Error {
    fn from(e: PublishError) -> io::Error {
        let kind = match e.refusal {
            PublishRefusal::QueueFull => io::ErrorKind::WouldBlock,
            PublishRefusal::NotConnected => io::ErrorKind::NotConnected,
            PublishRefusal::Closed => io::ErrorKind::BrokenPipe,
            PublishRefusal::Store(kind) => kind,
            _ => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, e)
    }
}

/// A subscription could not be asked for, or its end.
///
/// ```
/// use becket_mosquitto::SubscribeError;
///
/// let e = SubscribeError::Filter("a/#/b".to_owned());
/// assert_eq!(e.to_string(), "`a/#/b` is no topic filter");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// This is no topic filter.
    Filter(String),
    /// Something that MQTT 3.1.1 does not have; the text says what.
    NeedsV5(&'static str),
    /// Something that MQTT cannot carry, or forbids for this filter; the text says what.
    Options(&'static str),
    /// The client was closed, or gave up.
    Closed,
    /// A handler for another type of state than that of the loop that the client is on.
    OtherLoop,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubscribeError::Filter(filter) => write!(f, "`{}` is no topic filter", filter.escape_debug()),
            SubscribeError::NeedsV5(what) => write!(f, "{what} needs MQTT 5"),
            SubscribeError::Options(why) => f.write_str(why),
            SubscribeError::Closed => f.write_str("the client is closed"),
            SubscribeError::OtherLoop => f.write_str("the client's loop has another type of state than the handler"),
        }
    }
}

impl error::Error for SubscribeError {}

/// As `BrokenPipe` (closed) or `InvalidInput`, with this inside.
impl From<SubscribeError> for io::Error {
    fn from(e: SubscribeError) -> io::Error {
        let kind = match e {
            SubscribeError::Closed => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, e)
    }
}
