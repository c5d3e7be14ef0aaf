//! MQTT over libmosquitto, driven by the becket loop.
//!
//! One client is one connection to one broker, kept up over every failure: names are looked up off the thread, all
//! addresses are tried, lost connections come back with back-off, subscriptions are made again, and what was published
//! meanwhile waits in a bounded queue. Each published message is answered once: sent, acknowledged, refused or dropped.

mod address;
mod backoff;
mod client;
mod delivery;
mod error;
mod event;
#[allow(unsafe_code, reason = "the one place where libmosquitto is called")]
mod ffi;
#[cfg(feature = "fiber")]
pub mod fiber;
mod link;
mod machine;
mod message;
mod options;
mod properties;
mod queue;
mod reason;
mod resolve;

pub use address::{Address, AddressError};
pub use client::{Backlog, Client};
pub use delivery::{Delivery, DeliveryId, Dropped, Outcome};
pub use error::{OptionsError, PublishError, PublishRefusal, SubscribeError};
pub use event::Event;
pub use message::{Message, Publish, QoS};
pub use options::{LogLevel, Options, Protocol};
pub use properties::Properties;
pub use reason::{Reason, ReasonCode};

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
