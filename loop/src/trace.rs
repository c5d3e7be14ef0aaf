//! The events of the feature `tracing`, and their absence.

use crate::backend::Key;
use crate::{Fault, Slow, SourceKind, Stats};
use std::time::Duration;

#[cfg(feature = "tracing")]
mod events {
    use super::*;
    use crate::AnyId;
    use tracing::{Level, enabled, event};

    /// Whether anybody wants to hear of each call: then calls are measured.
    #[inline]
    pub(crate) fn wants_calls() -> bool {
        enabled!(target: "becket_loop::callback", Level::TRACE) || enabled!(target: "becket_loop::turn", Level::TRACE)
    }

    fn micros(time: Duration) -> f64 {
        time.as_nanos() as f64 / 1000.0
    }

    pub(crate) fn callback(key: Option<Key>, name: Option<&str>, kind: Option<SourceKind>, took: Duration) {
        let (id, kind) = (key.map(|key| tracing::field::display(AnyId { key })), kind.map(SourceKind::word));
        let (kind, took_us) = (kind.unwrap_or("loose"), micros(took));
        event!(name: "callback", target: "becket_loop::callback", Level::TRACE, { id, name, kind, took_us });
    }

    pub(crate) fn slow(slow: &Slow) {
        let (id, name) = (slow.id.map(tracing::field::display), slow.name.as_deref());
        let (kind, took_us) = (slow.kind.map_or("loose", SourceKind::word), micros(slow.took));
        event!(name: "slow", target: "becket_loop::slow", Level::WARN, { id, name, kind, took_us });
    }

    pub(crate) fn fault(fault: &Fault) {
        let (id, name, error) = (fault.id().map(tracing::field::display), fault.name(), fault.error());
        event!(name: "fault", target: "becket_loop::fault", Level::WARN, { id, name, error });
    }

    pub(crate) fn turn(stats: &Stats, worked: Duration) {
        let Stats { waits, events, callbacks, .. } = *stats;
        event!(name: "turn", target: "becket_loop::turn", Level::TRACE, { waits, events, callbacks, worked_us = micros(worked) });
    }

    pub(crate) fn backend_error(error: &std::io::Error) {
        event!(name: "wait", target: "becket_loop::backend", Level::ERROR, { error = error as &(dyn std::error::Error + 'static) });
    }

    pub(crate) fn forked() {
        event!(name: "after_fork", target: "becket_loop::backend", Level::DEBUG, { process = std::process::id() });
    }

    pub(crate) fn renewed() {
        event!(name: "renewed", target: "becket_loop::backend", Level::WARN, "the set is made anew");
    }
}

#[cfg(not(feature = "tracing"))]
mod events {
    use super::*;

    #[inline(always)]
    pub(crate) fn wants_calls() -> bool {
        false
    }

    pub(crate) fn callback(_: Option<Key>, _: Option<&str>, _: Option<SourceKind>, _: Duration) {}
    pub(crate) fn slow(_: &Slow) {}
    pub(crate) fn fault(_: &Fault) {}
    pub(crate) fn turn(_: &Stats, _: Duration) {}
    pub(crate) fn backend_error(_: &std::io::Error) {}
    pub(crate) fn forked() {}
    pub(crate) fn renewed() {}
}

pub(crate) use events::{backend_error, callback, fault, forked, renewed, slow, turn, wants_calls};
