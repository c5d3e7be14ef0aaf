//! The events of the feature `tracing`.

mod support;

use becket_mosquitto::{LogLevel, Publish, QoS};
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use support::broker::Broker;
use support::{Harness, options};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// What was heard, a line for each event.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("becket_mosquitto::")
    }
    fn event(&self, event: &Event<'_>) {
        let meta = event.metadata();
        let mut line = format!("{} {} {}", meta.level(), meta.target(), meta.name());
        event.record(&mut Fields(&mut line));
        self.0.lock().unwrap().push(line);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn what_a_client_reports_is_told() {
    let Some(broker) = Broker::start() else { return };
    let heard = Heard::default();
    tracing::subscriber::with_default(heard.clone(), || {
        let mut harness = Harness::new();
        let client = harness.join(options(&broker.url()).client_id("me").log(LogLevel::Debug));
        client.subscribe("t", QoS::AtLeastOnce).unwrap();
        harness.until("subscribed", |world| world.has(|e| matches!(e, becket_mosquitto::Event::Subscribed { .. })));
        client.publish(Publish::new("t", "123")).unwrap();
        harness.until("a message and an answer", |world| world.messages().len() + world.outcomes().len() == 2);
        client.unsubscribe("t").unwrap();
        harness
            .until("the end of it", |world| world.has(|e| matches!(e, becket_mosquitto::Event::Unsubscribed { .. })));
        harness.close(&client);
    });
    let heard = heard.0.lock().unwrap();
    let has = |expected: &str| assert!(heard.iter().any(|line| line == expected), "{expected}: {heard:#?}");
    has(&format!("DEBUG becket_mosquitto::connection connecting client=\"me\" to={}", broker.url()));
    has("INFO becket_mosquitto::connection connected client=\"me\" session_present=false");
    has("DEBUG becket_mosquitto::subscription subscribed client=\"me\" filter=\"t\" granted=1");
    has("TRACE becket_mosquitto::message delivered client=\"me\" id=1 outcome=acknowledged: Success (0x00)");
    has("TRACE becket_mosquitto::message message client=\"me\" topic=\"t\" bytes=3");
    has("DEBUG becket_mosquitto::subscription unsubscribed client=\"me\" filter=\"t\"");
    has("INFO becket_mosquitto::connection closed client=\"me\"");
    assert!(
        heard.iter().any(|line| line.starts_with("DEBUG becket_mosquitto::library log") && line.contains("CONNACK"))
    );
}

#[test]
fn what_fails_is_a_warning_and_giving_up_an_error() {
    let heard = Heard::default();
    tracing::subscriber::with_default(heard.clone(), || {
        let mut harness = Harness::new();
        let options = options("unix:/nonexistent/socket").client_id("me");
        // The second time is enough.
        let times = std::sync::atomic::AtomicU32::new(0);
        let client =
            harness.join(options.give_up_when(move |_| times.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1));
        harness.until("the end", |world| world.has(|e| matches!(e, becket_mosquitto::Event::Failed(_))));
        assert!(client.is_closed());
    });
    let heard = heard.0.lock().unwrap();
    let begins = [
        "DEBUG becket_mosquitto::connection connecting client=\"me\" to=unix:/nonexistent/socket",
        "WARN becket_mosquitto::connection disconnected client=\"me\" reason=No such file or directory",
        "DEBUG becket_mosquitto::connection connecting",
        "ERROR becket_mosquitto::connection failed client=\"me\" reason=No such file",
    ];
    assert_eq!(heard.len(), begins.len(), "{heard:#?}");
    for (line, begin) in heard.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
}
