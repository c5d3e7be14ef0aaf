//! Brokers of several makes: mosquitto, the project's own embedded one, and whichever the environment variable
//! `BECKET_MQTT_BROKER` names (`mqtt://HOST:PORT`), which serves everybody. What one of them is known not to do is said
//! here.

mod support;

use becket_mosquitto::{Client, Event, Message, Options, Outcome, Properties, Protocol, Publish, QoS};
use std::time::Duration;
use std::{env, process};
use support::broker::Broker;
use support::{Harness, kept, options};

const LEVELS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// A broker, and what it does otherwise than others.
struct Make {
    name: &'static str,
    url: String,
    /// It hands out each message at the level of the subscription.
    raises_levels: bool,
    _process: Option<Broker>,
}

fn makes() -> Vec<Make> {
    let mut all = Vec::new();
    if let Some(broker) = Broker::mosquitto("allow_anonymous true") {
        all.push(Make { name: "mosquitto", url: broker.url(), raises_levels: false, _process: Some(broker) });
    }
    if let Some(broker) = Broker::embedded() {
        all.push(Make { name: "embedded", url: broker.url(), raises_levels: true, _process: Some(broker) });
    }
    match env::var("BECKET_MQTT_BROKER") {
        Ok(url) => all.push(Make { name: "BECKET_MQTT_BROKER", url, raises_levels: false, _process: None }),
        Err(_) => println!("SKIP: BECKET_MQTT_BROKER names no third broker"),
    }
    all
}

/// Runs `f` for each broker and version.
fn everywhere(f: impl Fn(&Make, Protocol)) {
    for make in makes() {
        for protocol in [Protocol::V311, Protocol::V5] {
            println!("{} over {protocol:?}", make.name);
            f(&make, protocol);
        }
    }
}

/// A topic that nobody else uses, on a broker that others may use.
fn topic(protocol: Protocol, name: &str) -> String {
    format!("becket-{}/{protocol:?}/{name}", process::id())
}

fn connected(harness: &mut Harness, options: Options) -> Client {
    let before = harness.world.connections();
    let client = harness.join(options);
    harness.until("connected", |world| world.connections() == before + 1);
    client
}

fn subscribed(harness: &mut Harness, client: &Client, filter: &str, qos: QoS) {
    client.subscribe(filter, qos).unwrap();
    harness.until("subscribed", |world| {
        world.has(|e| matches!(e, Event::Subscribed { filter: of, granted, .. } if of == filter && granted.is_ok()))
    });
}

#[test]
fn messages_of_each_level_come_back() {
    everywhere(|make, protocol| {
        let mut harness = Harness::new();
        let client = connected(&mut harness, options(&make.url).protocol(protocol));
        let folder = topic(protocol, "levels");
        subscribed(&mut harness, &client, &format!("{folder}/+"), QoS::ExactlyOnce);
        for (n, qos) in LEVELS.into_iter().enumerate() {
            harness.world.events.clear();
            let topic = format!("{folder}/{n}");
            for n in 0..100 {
                client.publish(Publish::new(&*topic, n.to_string()).qos(qos)).unwrap();
            }
            harness
                .until("messages and answers", |world| world.messages().len() >= 100 && world.outcomes().len() >= 100);
            for (n, message) in harness.world.messages().into_iter().enumerate() {
                assert_eq!((&message.topic, &*message.payload), (&topic, n.to_string().as_bytes()));
                assert!(message.qos == qos || make.raises_levels, "{:?}", message.qos);
                assert!(!message.retain);
            }
            let is_good = |outcome: Outcome| outcome.is_acknowledged() || outcome == Outcome::Sent;
            assert!(harness.world.outcomes().into_iter().all(|(_, outcome)| is_good(outcome)));
        }
        harness.close(&client);
    });
}

#[test]
fn a_retained_message_greets_and_is_taken_back() {
    everywhere(|make, protocol| {
        let topic = topic(protocol, "retained");
        let mut harness = Harness::new();
        let client = connected(&mut harness, options(&make.url).protocol(protocol));
        client.publish(Publish::new(&*topic, "kept").retain(true)).unwrap();
        harness.until("an answer", |world| world.outcomes().len() == 1);
        let mut other = Harness::new();
        let reader = connected(&mut other, options(&make.url).protocol(protocol));
        subscribed(&mut other, &reader, &topic, QoS::AtLeastOnce);
        other.until("the message", |world| !world.messages().is_empty());
        let message = other.world.messages()[0].clone();
        assert_eq!((&*message.payload, message.retain), (&b"kept"[..], true));
        // An empty one is the end of it.
        client.publish(Publish::new(&*topic, "").retain(true)).unwrap();
        harness.until("an answer", |world| world.outcomes().len() == 2);
        let mut third = Harness::new();
        let reader = connected(&mut third, options(&make.url).protocol(protocol));
        subscribed(&mut third, &reader, &topic, QoS::AtLeastOnce);
        third.run_for(Duration::from_millis(200));
        assert_eq!(third.world.messages(), Vec::<&Message>::new());
    });
}

#[test]
fn a_will_is_published_for_who_is_lost_and_not_for_who_leaves() {
    everywhere(|make, protocol| {
        let topic = topic(protocol, "will");
        let mut harness = Harness::new();
        let watcher = connected(&mut harness, options(&make.url).protocol(protocol));
        subscribed(&mut harness, &watcher, &format!("{topic}/+"), QoS::AtLeastOnce);
        let with_will = |name: &str| {
            let will = Publish::new(format!("{topic}/{name}"), "gone");
            options(&make.url).protocol(protocol).will(will)
        };
        let mut leaves = Harness::new();
        let client = connected(&mut leaves, with_will("leaves"));
        leaves.close(&client);
        let mut lost = Harness::new();
        connected(&mut lost, with_will("lost"));
        drop(lost);
        harness.until("the will", |world| !world.messages().is_empty());
        harness.run_for(Duration::from_millis(200));
        let topics: Vec<_> = harness.world.messages().iter().map(|m| &m.topic).collect();
        assert_eq!(topics, [&format!("{topic}/lost")]);
    });
}

#[test]
fn properties_come_back_as_they_went() {
    for make in makes() {
        let topic = topic(Protocol::V5, "properties");
        let mut harness = Harness::new();
        let client = connected(&mut harness, options(&make.url).protocol(Protocol::V5));
        subscribed(&mut harness, &client, &topic, QoS::AtLeastOnce);
        let properties = Properties {
            content_type: Some("text/plain".into()),
            response_topic: Some("back".into()),
            correlation_data: Some(vec![7, 0, 7]),
            is_text: true,
            user: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
            ..Properties::default()
        };
        client.publish(Publish::new(&*topic, "x").properties(properties.clone())).unwrap();
        harness.until("a message", |world| !world.messages().is_empty());
        assert_eq!(harness.world.messages()[0].properties.as_deref(), Some(&properties), "{}", make.name);
    }
}

#[test]
fn an_unsubscribed_filter_is_silent() {
    everywhere(|make, protocol| {
        let folder = topic(protocol, "unsubscribed");
        let mut harness = Harness::new();
        let client = connected(&mut harness, options(&make.url).protocol(protocol));
        for name in ["a", "b"] {
            subscribed(&mut harness, &client, &format!("{folder}/{name}"), QoS::AtLeastOnce);
        }
        client.unsubscribe(&format!("{folder}/a")).unwrap();
        harness.until("unsubscribed", |world| world.has(|e| matches!(e, Event::Unsubscribed { .. })));
        for name in ["a", "b"] {
            client.publish(Publish::new(format!("{folder}/{name}"), name)).unwrap();
        }
        harness.until("a message", |world| !world.messages().is_empty() && world.outcomes().len() == 2);
        assert_eq!(harness.world.messages()[0].payload, b"b");
    });
}

#[test]
fn a_kept_session_keeps_what_came_meanwhile() {
    everywhere(|make, protocol| {
        let topic = topic(protocol, "session");
        // The embedded broker refuses a client whose identifier has a slash.
        let id = topic.replace('/', "-");
        let mut harness = Harness::new();
        let client = connected(&mut harness, kept(&make.url, protocol, &id));
        subscribed(&mut harness, &client, &topic, QoS::AtLeastOnce);
        harness.close(&client);
        let mut other = Harness::new();
        let sender = connected(&mut other, options(&make.url).protocol(protocol));
        sender.publish(Publish::new(&*topic, "while away")).unwrap();
        other.until("an answer", |world| !world.outcomes().is_empty());
        let mut harness = Harness::new();
        connected(&mut harness, kept(&make.url, protocol, &id));
        harness.until("the message", |world| !world.messages().is_empty());
        assert!(harness.world.has(|e| matches!(e, Event::Connected { session_present: true, .. })));
        assert_eq!(harness.world.messages()[0].payload, b"while away");
    });
}
