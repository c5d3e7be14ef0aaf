//! Messages out and in, through a real broker.

mod support;

use becket_mosquitto::{Client, Event, Options, Outcome, Properties, Protocol, Publish, PublishRefusal, QoS};
use support::broker::Broker;
use support::{Harness, World, options};

const LEVELS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn connected(harness: &mut Harness, options: Options) -> Client {
    let client = harness.join(options);
    harness.until("connected", |world| world.connections() == 1);
    client
}

/// Publishes at each level to an own subscription, many messages each, and sees each arrive and be answered once.
fn round_trip(harness: &mut Harness, broker: &Broker, options: Options) {
    const EACH: usize = 300;
    let client = connected(harness, options);
    client.subscribe("t/+", QoS::ExactlyOnce).unwrap();
    harness.until("subscribed", |world| world.has(|e| matches!(e, Event::Subscribed { granted: Ok(_), .. })));
    for qos in LEVELS {
        harness.world.events.clear();
        let deliveries: Vec<_> = (0..EACH)
            .map(|n| client.publish(Publish::new(format!("t/{}", qos as u8), n.to_string()).qos(qos)).unwrap())
            .collect();
        harness.until("all messages and answers", |world| {
            world.messages().len() == EACH && world.outcomes().len() == EACH
        });
        for (n, message) in harness.world.messages().into_iter().enumerate() {
            assert_eq!(message.payload, n.to_string().as_bytes());
            // The embedded broker delivers everything at the level of the subscription.
            assert_eq!(message.qos, if broker.is_mosquitto() { qos } else { QoS::ExactlyOnce });
            assert_eq!(message.topic, format!("t/{}", qos as u8));
        }
        for (delivery, (id, outcome)) in deliveries.iter().zip(harness.world.outcomes()) {
            assert_eq!((delivery.id(), delivery.outcome()), (id, Some(outcome)));
            match qos {
                QoS::AtMostOnce => assert_eq!(outcome, Outcome::Sent),
                _ => assert!(outcome.is_acknowledged(), "{outcome}"),
            }
        }
        assert_eq!(client.backlog(), Default::default());
    }
    harness.close(&client);
    assert!(client.is_closed());
    assert_eq!(client.publish(Publish::new("t", "")).unwrap_err().refusal(), PublishRefusal::Closed);
}

#[test]
fn every_level_over_3_1_1() {
    let Some(broker) = Broker::start() else { return };
    round_trip(&mut Harness::new(), &broker, options(&broker.url()));
}

#[test]
fn every_level_over_5() {
    let Some(broker) = Broker::start() else { return };
    round_trip(&mut Harness::new(), &broker, options(&broker.url()).protocol(Protocol::V5));
}

#[test]
fn every_level_over_a_unix_socket() {
    let Some(broker) = Broker::start() else { return };
    let Some(url) = broker.unix_url() else { return };
    round_trip(&mut Harness::new(), &broker, options(&url));
}

#[test]
fn every_level_without_edges() {
    let Some(broker) = Broker::start() else { return };
    round_trip(&mut Harness::over_poll(), &broker, options(&broker.url()));
}

#[test]
fn a_window_of_one_sends_everything_in_order() {
    let Some(broker) = Broker::start() else { return };
    round_trip(&mut Harness::new(), &broker, options(&broker.url()).window(1));
}

#[test]
fn large_messages_arrive_whole() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&broker.url()));
    client.subscribe("large", QoS::AtLeastOnce).unwrap();
    // The embedded broker takes up to 256 KiB.
    let size = if broker.is_mosquitto() { 3_000_000 } else { 250_000 };
    let payload: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
    for _ in 0..3 {
        client.publish(Publish::new("large", payload.clone())).unwrap();
    }
    harness.until("three messages", |world| world.messages().len() == 3 && world.outcomes().len() == 3);
    assert!(harness.world.messages().iter().all(|m| m.payload == payload));
}

#[test]
fn properties_travel_with_version_5_and_are_refused_without() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&broker.url()).protocol(Protocol::V5));
    client.subscribe("p", QoS::AtLeastOnce).unwrap();
    let properties = Properties {
        content_type: Some("text/plain".into()),
        response_topic: Some("back".into()),
        correlation_data: Some(vec![7, 0, 7]),
        is_text: true,
        user: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
        ..Properties::default()
    };
    let publish = Publish::new("p", "x").properties(properties.clone());
    client.publish(publish.clone()).unwrap();
    harness.until("a message", |world| !world.messages().is_empty());
    assert_eq!(harness.world.messages()[0].properties.as_deref(), Some(&properties));

    let mut harness = Harness::new();
    let old = connected(&mut harness, options(&broker.url()));
    assert_eq!(old.publish(publish).unwrap_err().refusal(), PublishRefusal::PropertiesNeedV5);
}

#[test]
fn a_retained_message_and_the_will_are_there_for_others() {
    let Some(broker) = Broker::start() else { return };
    let mut dying = Harness::new();
    let will = Publish::new("state/dying", "gone").retain(true);
    let client = connected(&mut dying, options(&broker.url()).will(will));
    client.publish(Publish::new("kept", "1").retain(true)).unwrap();
    dying.until("an answer", |world| !world.outcomes().is_empty());
    drop(dying); // without a word

    let mut harness = Harness::new();
    let other = connected(&mut harness, options(&broker.url()));
    other.subscribe("kept", QoS::AtLeastOnce).unwrap();
    other.subscribe("state/+", QoS::AtLeastOnce).unwrap();
    harness.until("both", |world| {
        world.messages().iter().any(|m| m.topic == "kept" && m.retain)
            && world.messages().iter().any(|m| m.topic == "state/dying" && m.payload == b"gone")
    });
}

#[test]
fn a_callback_may_publish_and_close() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    // A message of each level is answered by one of the next, from inside the callback; the last closes the client.
    let client = Client::join(&mut harness.ctx, options(&broker.url()), |world: &mut World, _, client, event| {
        match &event {
            Event::Connected { .. } => client.subscribe("ping", QoS::ExactlyOnce)?,
            Event::Subscribed { .. } => drop(client.publish(Publish::new("ping", "0").qos(QoS::AtMostOnce))?),
            Event::Message(message) if message.payload.len() < 10 => {
                let qos = LEVELS[message.payload.len() % 3];
                client.publish(Publish::new("ping", [&*message.payload, b"."].concat()).qos(qos))?;
            }
            Event::Message(_) => client.close(),
            _ => {}
        }
        world.events.push(event);
        Ok(())
    })
    .unwrap();
    harness.until("the end", |world| world.has(|e| *e == Event::Closed));
    assert_eq!(harness.world.messages().len(), 10);
    assert!(client.is_closed());
    // Nothing is left that could wake the loop.
    assert_eq!(harness.ctx.run(&mut harness.world).unwrap(), 0);
}

#[test]
fn an_unsubscribed_topic_is_silent() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&broker.url()));
    client.subscribe("a", QoS::AtLeastOnce).unwrap();
    client.subscribe("b", QoS::AtLeastOnce).unwrap();
    client.unsubscribe("a").unwrap();
    harness
        .until("unsubscribed", |world| world.has(|e| *e == Event::Unsubscribed { filter: "a".into(), remark: None }));
    client.publish(Publish::new("a", "no")).unwrap();
    client.publish(Publish::new("b", "yes")).unwrap();
    harness.until("a message", |world| !world.messages().is_empty());
    assert_eq!(harness.world.messages()[0].payload, b"yes");
}

#[test]
fn a_full_queue_refuses_and_hands_the_message_back() {
    let mut harness = Harness::new();
    let (_silent, url) = support::listen();
    let client = harness.join(options(&url).queue(2, 1 << 20));
    let kept = [(); 2].map(|()| client.publish(Publish::new("t", "kept")).unwrap());
    let refused = client.publish(Publish::new("t", "refused")).unwrap_err();
    assert_eq!(refused.refusal(), PublishRefusal::QueueFull);
    assert_eq!(refused.to_string(), "publish to `t`: the queue is full");
    assert_eq!(refused.into_publish().payload(), b"refused");
    assert_eq!(client.backlog().waiting, 2);
    // With the loop goes the client, and what waits is answered.
    drop(harness);
    assert!(kept.iter().all(|d| matches!(d.outcome(), Some(Outcome::Dropped(_)))));
}
