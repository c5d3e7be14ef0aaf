//! MQTT over libmosquitto, driven by the becket loop: for callbacks ([`Client`]), and for fibers (`fiber::Client`,
//! with the feature `fiber`).
//!
//! ```no_run
//! use becket_loop::Loop;
//! use becket_mosquitto::{Client, Event, Options, Publish, QoS};
//!
//! let mut event_loop = Loop::new()?;
//! let options = Options::new("mqtt://localhost".parse()?);
//! let client = Client::join(&mut event_loop, options, |seen: &mut u32, _ctx, client, event| {
//!     if let Event::Message(message) = event {
//!         *seen += 1;
//!         client.publish(Publish::new("answers", message.payload))?;
//!     }
//!     Ok(())
//! })?;
//! client.subscribe("questions/#", QoS::AtLeastOnce)?;
//! event_loop.run(&mut 0)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A client is one connection to one broker, kept up over failures, but those that each attempt would meet: names are
//! looked up off the thread, all addresses of the host are tried, a lost connection comes back after a random wait that
//! grows, subscriptions are made again where the broker has forgotten them, and what is published meanwhile at QoS 1 and 2
//! waits in a bounded queue. Nothing blocks the loop, and an idle client wakes it once a second.
//!
//! # The parts
//!
//! - [`Options`] say where the broker is ([`Address`]), who connects and how, and what the client keeps.
//! - [`Socks5`] is a proxy to connect by way of.
//! - `Tls`, with the feature `tls`, says whom to believe that it is the broker, and how to prove who connects.
//! - [`Publish`] is a message on its way out. Each one that is accepted has a [`Delivery`], which comes to one
//!   [`Outcome`]: sent, acknowledged, refused, expired, dropped, uncertain or kept, never two of them. A [`Remote`]
//!   publishes from other threads.
//! - A [`Session`] is what the broker remembers of a client over connections.
//! - [`Event`] is what a client reports: [`Message`]s, outcomes, connections that come and go and the [`Reason`] why.
//! - Handlers get the messages of one filter each ([`Client::on`]), and requests their answers ([`Client::request`],
//!   [`Client::respond`], [`Message::response`]).
//! - With the feature `store`, `Options::store` keeps messages of QoS 1 and 2 in a file until they have their outcome:
//!   a process that was killed is followed by one that sends what was owed, at least once.
//!
//! # Watching it
//!
//! With the feature `tracing` whatever a client reports is an event for the crate of that name, too, in the order in
//! which the program gets it. `client` is the client id.
//!
//! | target | level | name | fields |
//! |---|---|---|---|
//! | `becket_mosquitto::connection` | debug | `connecting` | `client`, `to` |
//! | `becket_mosquitto::connection` | info | `connected` | `client`, `session_present` |
//! | `becket_mosquitto::connection` | warn | `refused` | `client`, `code`, `reason` |
//! | `becket_mosquitto::connection` | warn | `disconnected` | `client`, `reason`, `retry_in_ms` |
//! | `becket_mosquitto::connection` | info | `closed` | `client` |
//! | `becket_mosquitto::connection` | error | `failed` | `client`, `reason` |
//! | `becket_mosquitto::subscription` | debug or warn | `subscribed` | `client`, `filter`, `granted` or `refused` |
//! | `becket_mosquitto::subscription` | debug | `unsubscribed` | `client`, `filter` |
//! | `becket_mosquitto::message` | trace | `delivered` | `client`, `id`, `outcome` |
//! | `becket_mosquitto::message` | trace | `message` | `client`, `topic`, `bytes` |
//! | `becket_mosquitto::store` | info | `owed` | `client`, `messages`, `bytes` |
//! | `becket_mosquitto::store` | trace | `stored` | `client`, `through` |
//! | `becket_mosquitto::store` | error | `store_failed` | `client`, `error` |
//! | `becket_mosquitto::library` | as the line: error to debug | `log` | `client`, `line` |
//!
//! # Special problems
//!
//! - *A message of QoS 1 or 2 that is under way* when its connection breaks goes on where it was in the next one, since
//!   the broker keeps the [`Session`] meanwhile: at QoS 2 it arrives once. Where the broker has lost the session, what
//!   is not acknowledged is published anew, after the subscriptions and before what waits; a message of QoS 2 may then
//!   arrive twice, and is reported as [uncertain](Outcome::Uncertain). A broker that comes back with an old state of
//!   the session, as after SIGKILL, cannot be told from one that forgot nothing.
//! - *An incoming message is acknowledged when it comes*, before the program has seen it, unless
//!   [`Options::acknowledge`] says something else; what cannot be had at all is said at [`Acknowledge`].
//! - *A program that is too slow for what comes* has fibers drop messages, or the broker wait: `fiber::Buffer` and
//!   [`Client::pause`].
//! - *A broker that froze* is noticed by the keep-alive alone, after about twice its time.
//! - *SIGPIPE* is ignored in the whole process from the first client on: libmosquitto sees to that.
//! - *A pair of sockets* of libmosquitto's own, one for each client, is inherited by child processes.
//!
//! # The other crates
//!
//! Becket is four crates, each complete without those above it.
//!
//! | crate | what it is |
//! |---|---|
//! | [`becket_sys`] | typed descriptors, under any loop or none |
//! | [`becket_loop`] | a callback loop over them |
//! | [`becket_fiber`](https://docs.rs/becket-fiber) | the same work as straight-line code |
//! | `becket_mosquitto` (this one) | MQTT over libmosquitto, for callbacks and for fibers |
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `vendored` (default) | libmosquitto is built here, by the C compiler, instead of linked from the system |
//! | `tls` | TLS: `Tls`, `Options::tls`, the scheme `mqtts` |
//! | `tls-vendored` | the same, with an OpenSSL built from source |
//! | `fiber` | the module `fiber`: the client for fibers |
//! | `store` | `Store`, `Options::store`: what is owed outlives the process |
//! | `tracing` | the events of the table above |
//!
//! # Which libmosquitto
//!
//! | features | libmosquitto | needs |
//! |---|---|---|
//! | (default) | 2.0.9, built here, without TLS and SOCKS | a C compiler |
//! | `tls` | 2.0.9, built here, with the system's OpenSSL | its headers too |
//! | `tls-vendored` | 2.0.9 and OpenSSL, both built here, for minutes | perl and make too |
//! | none of the default | the system's, unused TLS | its headers, pkg-config |
//! | none of the default, `tls` | the system's and its OpenSSL | the headers of both, pkg-config |
//!
//! SOCKS5 is there where the system's libmosquitto has it, as Debian's has.
//!
//! [`library_version`] says which one it is. For production, and with TLS above all, link the system's: it gets
//! security updates. The one built here is of March 2021, as `libmosquitto-sys` carries it. Since then a SUBACK without
//! reason codes was found to hand programs an empty list that they may read beyond (CVE-2024-10525; this crate looks at
//! the count), and mistakes in its TLS were mended up to 2.0.16; those known, this crate goes around.
//!
//! # What libmosquitto cannot do
//!
//! MQTT 5 is offered as far as libmosquitto 2.0 goes. What it leaves out, and what a program gets instead:
//!
//! | what | what happens |
//! |---|---|
//! | an incoming message is acknowledged when the program says so | at QoS 1 it can wait, see [`Acknowledge`] |
//! | an incoming message is refused | it is acknowledged with success |
//! | whether an incoming message is a duplicate | is not told |
//! | topic aliases of the broker's | none are asked for; a broker that sends one all the same: [`Reason::Protocol`] |
//! | a message with the identifiers of several subscriptions | [`Reason::Protocol`], see below |
//! | a property that MQTT 5 does not know, from a broker | [`Reason::Protocol`]; the system's library ends the process |
//! | a message of QoS 2 that comes again after a reconnection | comes once; its copy stays, and comes in place of a later one, see below |
//! | topic aliases for QoS 1 and 2 in a session that goes on | topics are written out, see [`Options::topic_aliases`] |
//! | enhanced authentication (AUTH) | a broker that asks for it: [`Reason::Refused`] (0x8c), final |
//! | what a broker's DISCONNECT says beside its code | [`Reason::Server`] has the code |
//! | the code of an answer to an unsubscription | [`Event::Unsubscribed`] comes whatever it is |
//! | what a PUBREC says beside its code | the outcome has the code, and no [`Remark`] |
//! | holding a broker to [`Options::max_packet_size`] | what is longer is read all the same |
//! | a keep-alive of none, or below 5 s | [`OptionsError`] |
//! | a password without a user name, or with a NUL | cannot be said; [`OptionsError`] |
//! | an empty content type | counts as none |
//! | by way of a [proxy](Socks5): CONNECT with properties, sessions that go on with MQTT 5 or TLS | [`OptionsError`] |
//! | WebSockets | the scheme `ws`: [`AddressError`], [`UrlError`] |
//!
//! So subscriptions with identifiers should not overlap, unless the broker sends a message for each, as mosquitto does:
//! see [`Options::separate_copies`].
//!
//! A message of QoS 2 of which the broker does not know that it arrived is sent again in the session that goes on, and
//! libmosquitto keeps both. It hands out one, and the other one when the broker uses the packet identifier again, after
//! 65535 messages or in a new session, in place of the message that then has it. Who gets so many messages of QoS 2 over
//! connections that break looks at what they say.
//!
//! # What is wrong, and what is said
//!
//! A mistake is an error at the call that made it, and the client goes on as if that had not been called; what only the
//! broker can know is told by events.
//!
//! | mistake | error |
//! |---|---|
//! | options that cannot be, or contradict each other, or need MQTT 5 | [`OptionsError`], when the client is made |
//! | a URL or an address that makes no sense | [`UrlError`], [`AddressError`], naming the part |
//! | a topic with a wildcard, empty, too long, no text | [`PublishRefusal::Topic`] |
//! | a message longer than MQTT can carry | [`PublishRefusal::TooLong`] |
//! | a message that is too long, retained, or of a QoS that the broker has not | [`Outcome::Refused`], unsent |
//! | properties that are no text or too long | [`PublishRefusal::Property`] |
//! | properties with MQTT 3.1.1 | [`PublishRefusal::PropertiesNeedV5`] |
//! | a filter that is none | [`SubscribeError::Filter`] |
//! | options of a subscription that cannot be | [`SubscribeError::Options`] |
//! | options of a subscription with MQTT 3.1.1 | [`SubscribeError::NeedsV5`] |
//! | a subscription of a kind that the broker does not have | [`Event::Subscribed`] (0x9e, 0xa1, 0xa2), unsent |
//! | a filter that the broker does not permit | [`Event::Subscribed`] (0x87, or 0x80) |
//! | a topic that the broker does not permit | [`Outcome::Refused`] (0x87); with MQTT 3.1.1 nothing |
//! | a wrong name or password | [`Event::Refused`], then [`Event::Failed`], or what [`Options::give_up_when`] says |
//! | a goodbye that cannot be said | [`DisconnectError`] |

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod acknowledge;
mod address;
mod announced;
mod backoff;
mod client;
mod connect;
mod delivery;
mod disconnect;
mod error;
mod event;
#[allow(unsafe_code, reason = "the one place where libmosquitto is called")]
mod ffi;
#[cfg(feature = "fiber")]
pub mod fiber;
mod handlers;
mod identity;
mod link;
mod machine;
mod message;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod options;
mod properties;
mod queue;
mod reason;
mod remote;
mod request;
mod resolve;
mod router;
mod session;
mod socks;
#[cfg(feature = "store")]
mod store;
mod subscribe;
#[cfg(feature = "tls")]
mod tls;
mod trace;
mod url;

pub use acknowledge::{Acknowledge, Hold};
pub use address::{Address, AddressError};
pub use announced::{Announced, Remark};
pub use client::{Backlog, Client, Pause};
pub use delivery::{Delivery, DeliveryId, Dropped, Outcome, Uncertain};
pub use disconnect::{Disconnect, DisconnectError};
pub use error::{OptionsError, PublishError, PublishRefusal, SubscribeError};
pub use event::Event;
pub use handlers::Handler;
pub use message::{Message, Publish, QoS};
pub use options::{LogLevel, Options, Protocol};
pub use properties::Properties;
pub use queue::WhenFull;
pub use reason::{Reason, ReasonCode};
pub use remote::{Remote, RemoteDelivery};
pub use request::{RequestError, RequestId};
pub use router::topic_matches;
pub use session::Session;
pub use socks::Socks5;
#[cfg(feature = "store")]
pub use store::{Durability, Store, StoreError, StoreProblem};
pub use subscribe::{RetainHandling, SubscribeOptions};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsVersion};
pub use url::UrlError;

/// The version of the libmosquitto in use: major, minor, revision.
///
/// ```
/// let (major, ..) = becket_mosquitto::library_version();
/// assert_eq!(major, 2);
/// ```
#[doc(alias = "mosquitto_lib_version")]
pub fn library_version() -> (i32, i32, i32) {
    ffi::version()
}
