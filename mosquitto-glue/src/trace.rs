//! The events of the feature `tracing`, and their absence.

use crate::event::Event;

#[cfg(feature = "tracing")]
pub(crate) fn event(client: Option<&str>, event: &Event) {
    use crate::options::LogLevel;
    use tracing::{Level, event as emit};

    /// Where connections, subscriptions, messages and stores are told of.
    const CONNECTION: &str = "becket_mosquitto::connection";
    const SUBSCRIPTION: &str = "becket_mosquitto::subscription";
    const MESSAGE: &str = "becket_mosquitto::message";
    const STORE: &str = "becket_mosquitto::store";

    macro_rules! log {
        ($level:ident, $line:ident) => {
            emit!(name: "log", target: "becket_mosquitto::library", Level::$level, { client, line = $line.as_str() })
        };
    }

    match event {
        Event::Connecting { to } => {
            emit!(name: "connecting", target: CONNECTION, Level::DEBUG, { client, to = %to });
        }
        Event::Connected { session_present, .. } => {
            emit!(name: "connected", target: CONNECTION, Level::INFO, { client, session_present });
        }
        Event::Refused { code, announced } => {
            let reason = announced.remark.reason.as_deref();
            emit!(name: "refused", target: CONNECTION, Level::WARN, { client, code = %code, reason });
        }
        Event::Disconnected { reason, retry_in } => {
            let retry_in_ms = retry_in.as_millis() as u64;
            emit!(name: "disconnected", target: CONNECTION, Level::WARN, { client, reason = %reason, retry_in_ms });
        }
        Event::Closed => emit!(name: "closed", target: CONNECTION, Level::INFO, { client }),
        Event::Failed(reason) => emit!(name: "failed", target: CONNECTION, Level::ERROR, { client, reason = %reason }),
        Event::Subscribed { filter, granted: Ok(qos), .. } => {
            let (filter, granted) = (filter.as_str(), *qos as u8);
            emit!(name: "subscribed", target: SUBSCRIPTION, Level::DEBUG, { client, filter, granted });
        }
        Event::Subscribed { filter, granted: Err(code), .. } => {
            let filter = filter.as_str();
            emit!(name: "subscribed", target: SUBSCRIPTION, Level::WARN, { client, filter, refused = %code });
        }
        Event::Unsubscribed { filter, .. } => {
            emit!(name: "unsubscribed", target: SUBSCRIPTION, Level::DEBUG, { client, filter = filter.as_str() });
        }
        Event::Delivered { id, outcome, .. } => {
            emit!(name: "delivered", target: MESSAGE, Level::TRACE, { client, id = id.0, outcome = %outcome });
        }
        Event::Message(message) => {
            let (topic, bytes) = (message.topic.as_str(), message.payload.len());
            emit!(name: "message", target: MESSAGE, Level::TRACE, { client, topic, bytes });
        }
        Event::Log { level, line } => match level {
            LogLevel::Error => log!(ERROR, line),
            LogLevel::Warning => log!(WARN, line),
            LogLevel::Notice | LogLevel::Info => log!(INFO, line),
            LogLevel::Debug => log!(DEBUG, line),
        },
        Event::Owed { messages, bytes } => {
            emit!(name: "owed", target: STORE, Level::INFO, { client, messages, bytes });
        }
        Event::Stored { through } => {
            emit!(name: "stored", target: STORE, Level::TRACE, { client, through = through.0 });
        }
        #[cfg(feature = "store")]
        Event::StoreFailed(e) => emit!(name: "store_failed", target: STORE, Level::ERROR, { client, error = %e }),
        // Told by others, or nothing to tell of.
        Event::BackingOff { .. } | Event::Room => {}
    }
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn event(_: Option<&str>, _: &Event) {}
