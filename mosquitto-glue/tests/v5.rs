//! MQTT 5 through a real broker.

mod support;

use becket_mosquitto::{
    Client, Disconnect, Event, Options, Outcome, Properties, Protocol, Publish, PublishRefusal, QoS, ReasonCode,
    RetainHandling, Session, SubscribeError, SubscribeOptions,
};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process};
use support::broker::Broker;
use support::{Harness, World, options};

fn broker() -> Option<Broker> {
    Broker::mosquitto("allow_anonymous true")
}

fn v5(broker: &Broker) -> Options {
    options(&broker.url()).protocol(Protocol::V5)
}

fn connected(options: Options) -> (Harness, Client) {
    let mut harness = Harness::new();
    let client = harness.join(options);
    harness.until("connected", |world| world.connections() == 1);
    (harness, client)
}

fn subscribe(harness: &mut Harness, client: &Client, filter: &str, options: impl Into<SubscribeOptions>) {
    client.subscribe(filter, options).unwrap();
    let is_granted = |e: &Event| matches!(e, Event::Subscribed { filter: f, granted: Ok(_), .. } if f == filter);
    harness.until("subscribed", |world| world.has(is_granted));
}

/// Publishes, and sees to it that the broker has it.
fn publish(harness: &mut Harness, client: &Client, publish: Publish) -> Outcome {
    let before = harness.world.outcomes().len();
    let delivery = client.publish(publish).unwrap();
    harness.until("an answer", |world| world.outcomes().len() > before);
    delivery.outcome().unwrap()
}

fn payloads(world: &World) -> Vec<&[u8]> {
    world.messages().iter().map(|m| &*m.payload).collect()
}

#[test]
fn options_of_subscriptions_are_heeded() {
    let Some(broker) = broker() else { return };
    let (mut there, other) = connected(v5(&broker));
    publish(&mut there, &other, Publish::new("kept", "old").retain(true));

    let (mut harness, client) = connected(v5(&broker));
    let new = || SubscribeOptions::new(QoS::AtLeastOnce);
    subscribe(&mut harness, &client, "kept", new().retain_handling(RetainHandling::Never).id(1));
    subscribe(&mut harness, &client, "local", new().no_local(true).retain_as_published(true).id(268_435_455));
    publish(&mut harness, &client, Publish::new("local", "own"));
    publish(&mut there, &other, Publish::new("local", "flagged").retain(true));
    publish(&mut there, &other, Publish::new("kept", "new").retain(true));
    harness.until("two messages", |world| world.messages().len() == 2);
    let messages = harness.world.messages();
    let of = |topic| *messages.iter().find(|m| m.topic == topic).unwrap();
    let (flagged, new) = (of("local"), of("kept"));
    assert_eq!(
        (&*flagged.payload, flagged.retain, &*flagged.subscription_ids),
        (&b"flagged"[..], true, &[268_435_455][..])
    );
    assert_eq!((&*new.payload, new.retain, &*new.subscription_ids), (&b"new"[..], false, &[1][..]));
}

#[test]
fn a_message_expires_while_nobody_is_there() {
    let Some(broker) = broker() else { return };
    let kept = || v5(&broker).client_id("kept").session(Session::Kept);
    let (mut harness, client) = connected(kept());
    subscribe(&mut harness, &client, "t", QoS::AtLeastOnce);
    harness.close(&client);
    let (mut there, other) = connected(v5(&broker));
    let expiry = |seconds| Properties { message_expiry: Some(seconds), ..Properties::default() };
    publish(&mut there, &other, Publish::new("t", "short").properties(expiry(1)));
    publish(&mut there, &other, Publish::new("t", "long").properties(expiry(60)));
    std::thread::sleep(Duration::from_millis(2500));
    let mut harness = Harness::new();
    harness.join(kept());
    harness.until("a message", |world| !world.messages().is_empty());
    assert_eq!(payloads(&harness.world), [b"long"]);
    // What is left of its time is told.
    let left = harness.world.messages()[0].properties.as_ref().unwrap().message_expiry.unwrap();
    assert!((1..60).contains(&left), "{left}");
}

#[test]
fn a_will_has_properties_and_comes_late() {
    let Some(broker) = broker() else { return };
    let (mut there, other) = connected(v5(&broker));
    subscribe(&mut there, &other, "will", QoS::AtLeastOnce);
    let properties = Properties {
        content_type: Some("text/plain".into()),
        user: vec![("a".into(), "1".into())],
        ..Properties::default()
    };
    let will = Publish::new("will", "gone").properties(properties.clone());
    let (dying, _) = connected(v5(&broker).will(will.clone()).will_delay(Duration::from_secs(2)));
    let begin = Instant::now();
    drop(dying); // without a word
    there.until("the will", |world| !world.messages().is_empty());
    // The broker counts whole seconds.
    assert!(begin.elapsed() > Duration::from_millis(900), "{:?}", begin.elapsed());
    assert_eq!(there.world.messages()[0].properties.as_deref(), Some(&properties));

    // A goodbye may have it published, too, or not.
    for (goodbye, expected) in [(Disconnect::new().code(ReasonCode::WITH_WILL), 2), (Disconnect::new(), 2)] {
        let (mut leaving, client) = connected(v5(&broker).will(will.clone()));
        client.close_with(goodbye).unwrap();
        leaving.until("the end", |world| world.has(|e| *e == Event::Closed));
        there.until("the will", |world| world.messages().len() >= expected);
    }
    publish(&mut there, &other, Publish::new("will", "last"));
    there.until("the last message", |world| payloads(world).contains(&&b"last"[..]));
    assert_eq!(payloads(&there.world), [&b"gone"[..], b"gone", b"last"]);
}

#[test]
fn the_broker_gives_a_name_and_says_what_it_can() {
    let Some(broker) = broker() else { return };
    for session in [Session::PerClient, Session::PerConnection] {
        let (harness, client) = connected(v5(&broker).assigned_client_id().session(session));
        let announced =
            |e: &Event| if let Event::Connected { announced, .. } = e { Some(announced.clone()) } else { None };
        let announced = harness.world.events.iter().find_map(announced).unwrap();
        assert!(announced.assigned_client_id.as_ref().is_some_and(|id| id.len() > 5), "{announced:?}");
        assert_eq!(client.client_id(), announced.assigned_client_id);
        assert!(announced.topic_alias_maximum > 0 && announced.shared_available, "{announced:?}");
    }
}

#[test]
fn topics_sent_as_numbers_arrive_by_their_names() {
    let Some(broker) = broker() else { return };
    for session in [Session::PerClient, Session::PerConnection] {
        let (mut harness, client) = connected(v5(&broker).session(session).topic_aliases(100));
        subscribe(&mut harness, &client, "t/#", QoS::AtLeastOnce);
        let mut expected = Vec::new();
        for n in 0..400 {
            // Two topics are in constant use, thirty others now and then.
            let topic = if n % 3 == 0 { format!("t/{}", n % 31) } else { format!("t/often/{}", n % 2) };
            let qos = if n % 4 == 0 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
            expected.push((topic.clone(), n.to_string()));
            publish(&mut harness, &client, Publish::new(topic, n.to_string()).qos(qos));
        }
        harness.until("all messages", |world| world.messages().len() == 400);
        let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).unwrap();
        let mut seen: Vec<_> = harness.world.messages().iter().map(|m| (m.topic.clone(), text(&m.payload))).collect();
        seen.sort_by_key(|(_, n)| n.parse::<u32>().unwrap());
        assert_eq!(seen, expected);
        assert_eq!(harness.world.connections(), 1, "nothing was against the protocol");
    }
}

#[test]
fn a_packet_longer_than_announced_is_kept_back_by_the_broker() {
    let Some(broker) = broker() else { return };
    let (mut harness, client) = connected(v5(&broker).max_packet_size(100));
    subscribe(&mut harness, &client, "t", QoS::AtLeastOnce);
    publish(&mut harness, &client, Publish::new("t", vec![0; 200]));
    publish(&mut harness, &client, Publish::new("t", "short"));
    harness.until("a message", |world| !world.messages().is_empty());
    assert_eq!(payloads(&harness.world), [b"short"]);
}

#[test]
fn what_the_broker_does_not_permit_is_said_by_its_answers() {
    let acl = env::temp_dir().join(format!("becket-acl-{}", process::id()));
    fs::write(&acl, "topic readwrite open/#\n").unwrap();
    let Some(broker) = Broker::mosquitto(&format!("allow_anonymous true\nacl_file {}", acl.display())) else { return };
    let (mut harness, client) = connected(v5(&broker));
    assert_eq!(publish(&mut harness, &client, Publish::new("shut", "x")), Outcome::Refused(ReasonCode(0x87)));
    let twice = Publish::new("shut", "x").qos(QoS::ExactlyOnce);
    assert_eq!(publish(&mut harness, &client, twice), Outcome::Refused(ReasonCode(0x87)));
    // Nobody listens there, and that is no refusal.
    assert_eq!(publish(&mut harness, &client, Publish::new("open/a", "x")), Outcome::Acknowledged(ReasonCode(0x10)));
    assert_eq!(harness.world.connections(), 1);
    let _ = fs::remove_file(acl);
}

#[test]
fn bad_input_is_an_error_at_the_call_and_the_client_goes_on() {
    let Some(broker) = broker() else { return };
    for protocol in [Protocol::V311, Protocol::V5] {
        let (mut harness, client) = connected(options(&broker.url()).protocol(protocol));
        let refusal = |publish: Publish| client.publish(publish).unwrap_err().refusal();
        for topic in ["", "a/+", "a\0b", &"x".repeat(65536)] {
            assert_eq!(refusal(Publish::new(topic, "")), PublishRefusal::Topic);
        }
        assert_eq!(refusal(Publish::new("t", vec![0; 268_435_455])), PublishRefusal::TooLong);
        let user = vec![("a".to_owned(), "\0".to_owned())];
        let bad = Publish::new("t", "").properties(Properties { user, ..Properties::default() });
        match protocol {
            Protocol::V5 => assert!(matches!(refusal(bad), PublishRefusal::Property(_))),
            _ => assert_eq!(refusal(bad), PublishRefusal::PropertiesNeedV5),
        }
        for filter in ["", "a/#/b", "a+", "a\0b"] {
            assert_eq!(client.subscribe(filter, QoS::AtLeastOnce), Err(SubscribeError::Filter(filter.into())));
            assert_eq!(client.unsubscribe(filter), Err(SubscribeError::Filter(filter.into())));
        }
        let no_id = SubscribeOptions::new(QoS::AtLeastOnce).id(0);
        assert!(client.subscribe("t", no_id).is_err());
        assert!(client.close_with(Disconnect::new().code(ReasonCode(0x05))).is_err());
        // All of that left it as it was.
        subscribe(&mut harness, &client, "t", QoS::AtLeastOnce);
        publish(&mut harness, &client, Publish::new("t", "well"));
        harness.until("a message", |world| !world.messages().is_empty());
        assert_eq!(payloads(&harness.world), [b"well"]);
        assert_eq!(harness.world.connections(), 1);
    }
}

/// A tool of mosquitto's; `None`, with a line that says SKIP, where it is not installed.
fn tool(name: &str, broker: &Broker) -> Option<Command> {
    if Command::new(name).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        println!("SKIP: no {name} found");
        return None;
    }
    let mut command = Command::new(name);
    command.args(["-V", "5", "-h", "127.0.0.1", "-q", "1", "-p", &broker.port().to_string()]);
    Some(command)
}

#[test]
fn properties_are_those_that_mosquittos_tools_print_and_send() {
    let Some(broker) = broker() else { return };
    let (mut harness, client) = connected(v5(&broker));
    let properties = Properties {
        content_type: Some("text/plain".into()),
        response_topic: Some("back".into()),
        correlation_data: Some(b"abc".into()),
        message_expiry: Some(60),
        is_text: true,
        user: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
    };
    // Kept, so that it is there whenever the tool is.
    publish(&mut harness, &client, Publish::new("out", "hi").retain(true).properties(properties.clone()));
    let Some(mut sub) = tool("mosquitto_sub", &broker) else { return };
    let said = sub.args(["-t", "out", "-C", "1", "-W", "20", "-F", "%j"]).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    for part in [
        r#""content-type":"text/plain""#,
        r#""response-topic":"back""#,
        r#""correlation-data":"abc""#,
        r#""user-properties":{"a":"1","a":"2"}"#,
        r#""message-expiry-interval":"#,
        r#""payload-format-indicator":1"#,
        r#""payload":"hi""#,
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    subscribe(&mut harness, &client, "in", SubscribeOptions::new(QoS::AtLeastOnce).id(77));
    let Some(mut tool) = tool("mosquitto_pub", &broker) else { return };
    let mut property = |what: &[&str]| {
        tool.args(["-D", "publish"]).args(what);
    };
    property(&["content-type", "text/plain"]);
    property(&["response-topic", "back"]);
    property(&["correlation-data", "abc"]);
    property(&["message-expiry-interval", "60"]);
    property(&["payload-format-indicator", "1"]);
    property(&["user-property", "a", "1"]);
    property(&["user-property", "a", "2"]);
    assert!(tool.args(["-t", "in", "-m", "hi"]).status().unwrap().success());
    harness.until("a message", |world| !world.messages().is_empty());
    let message = harness.world.messages()[0];
    assert_eq!((&*message.payload, &*message.subscription_ids), (&b"hi"[..], &[77][..]));
    let mut got = *message.properties.clone().unwrap();
    // The broker counts it down.
    assert!(got.message_expiry.is_some_and(|left| (50..=60).contains(&left)), "{got:?}");
    got.message_expiry = Some(60);
    assert_eq!(got, properties);
}
