//! What MQTT 5 has beyond 3.1.1, byte by byte.

use super::*;
use crate::announced::{Announced, Remark};
use crate::error::SubscribeError;
use crate::reason::ReasonCode;
use crate::session::Session;
use crate::subscribe::{RetainHandling, SubscribeOptions};

fn v5(f: impl FnOnce(Options) -> Options) -> Bench {
    Bench::new(|o| f(o.protocol(Protocol::V5)))
}

/// A CONNACK with properties: no session, accepted.
fn connack(properties: &[u8]) -> Vec<u8> {
    let len = properties.len() as u8;
    [&[0x20, 3 + len, 0, 0, len], properties].concat()
}

/// A name and a value as a user property.
fn pair(name: &str, value: &str) -> Vec<u8> {
    let text = |s: &str| [&(s.len() as u16).to_be_bytes(), s.as_bytes()].concat();
    [vec![38], text(name), text(value)].concat()
}

fn reason_string(text: &str) -> Vec<u8> {
    [&[31, 0, text.len() as u8], text.as_bytes()].concat()
}

impl Bench {
    /// Accepts a connection and its CONNECT, and returns the body of that.
    fn connect_packet(&mut self, answer: &[u8]) -> (Peer, Vec<u8>) {
        let mut peer = self.accept();
        let connect = self.packet(&mut peer, 1);
        peer.send(answer);
        (peer, connect)
    }

    fn up(&mut self, properties: &[u8]) -> Peer {
        let peer = self.connect_packet(&connack(properties)).0;
        self.until("connected", |b| b.machine.is_up().then_some(()));
        peer
    }

    fn lost(&mut self, peer: Peer) {
        drop(peer);
        self.until("a loss", |b| (!b.machine.is_up()).then_some(()));
    }
}

#[test]
fn subscribe_options_are_on_the_wire_each_time() {
    let mut bench = v5(|o| o);
    let options = SubscribeOptions::new(QoS::AtLeastOnce).no_local(true).retain_as_published(true);
    let options = options.retain_handling(RetainHandling::Never).id(300).user_property("a", "1");
    bench.machine.subscribe("t", options).unwrap();
    for _ in 0..2 {
        let mut peer = bench.up(&[]);
        let body = bench.packet(&mut peer, 8);
        let properties = [&[11, 0xac, 2], &pair("a", "1")[..]].concat();
        assert_eq!(body[2..], [&[10], &properties[..], b"\0\x01t\x2d"].concat());
        // The answer, and a message for it.
        let properties = [reason_string("less"), pair("b", "2")].concat();
        let answer = [&body[..2], &[properties.len() as u8], &properties[..], &[0]].concat();
        peer.send(&[&[0x90, answer.len() as u8], &answer[..]].concat());
        peer.send(b"\x30\x08\0\x01t\x03\x0b\xac\x02x");
        let remark = Remark { reason: Some("less".into()), user: vec![("b".into(), "2".into())] };
        let (granted, remark_seen) = bench.event("an answer", |e| match e {
            Event::Subscribed { granted, remark, .. } => Some((*granted, remark.clone())),
            _ => None,
        });
        assert_eq!((granted, remark_seen.as_deref()), (Ok(QoS::AtMostOnce), Some(&remark)));
        let ids = bench.event("a message", |e| match e {
            Event::Message(message) => Some(message.subscription_ids.clone()),
            _ => None,
        });
        assert_eq!(ids, [300]);
        bench.lost(peer);
        bench.seen.clear();
    }
}

#[test]
fn an_unsubscription_carries_user_properties_and_its_answer_a_remark() {
    let mut bench = v5(|o| o);
    let mut peer = bench.up(&[]);
    bench.machine.unsubscribe("t", vec![("a".into(), "1".into())]).unwrap();
    let body = bench.packet(&mut peer, 10);
    assert_eq!(body[2..], [&[7], &pair("a", "1")[..], b"\0\x01t"].concat());
    let remark = reason_string("ok");
    peer.send(&[&[0xb0, 4 + remark.len() as u8, body[0], body[1], remark.len() as u8], &remark[..], &[0]].concat());
    let remark = bench.event("an answer", |e| match e {
        Event::Unsubscribed { remark, .. } => Some(remark.clone()),
        _ => None,
    });
    assert_eq!(remark.unwrap().reason.as_deref(), Some("ok"));
}

#[test]
fn what_3_1_1_has_not_is_refused_at_the_call_and_the_client_goes_on() {
    let mut bench = Bench::new(|o| o);
    let mut peer = bench.connected();
    let new = || SubscribeOptions::new(QoS::AtLeastOnce);
    for (options, what) in [
        (new().no_local(true), "no-local needs MQTT 5"),
        (new().retain_as_published(true), "retain-as-published needs MQTT 5"),
        (new().retain_handling(RetainHandling::New), "retain handling needs MQTT 5"),
        (new().id(1), "a subscription identifier needs MQTT 5"),
        (new().user_property("a", "b"), "a user property needs MQTT 5"),
    ] {
        assert_eq!(bench.machine.subscribe("t", options).unwrap_err().to_string(), what);
    }
    let user = vec![("a".to_owned(), "b".to_owned())];
    assert!(matches!(bench.machine.unsubscribe("t", user), Err(SubscribeError::NeedsV5(_))));
    assert!(matches!(bench.machine.subscribe("a/#/b", new()), Err(SubscribeError::Filter(_))));
    let goodbye = Disconnect::new().code(ReasonCode::WITH_WILL);
    assert!(bench.machine.close_with(goodbye).unwrap_err().to_string().contains("needs MQTT 5"));
    assert_eq!(bench.machine.publish(Publish::new("a/+", "")).unwrap_err().refusal(), PublishRefusal::Topic);
    // Nothing of that went out.
    bench.machine.subscribe("t", new()).unwrap();
    assert_eq!(bench.packet(&mut peer, 8)[2..], *b"\0\x01t\x01");
}

#[test]
fn what_the_broker_announced_not_to_have_is_refused_without_being_sent() {
    let mut bench = v5(|o| o);
    let new = || SubscribeOptions::new(QoS::AtLeastOnce);
    bench.machine.subscribe("a/#", new()).unwrap();
    bench.machine.subscribe("$share/g/a", new()).unwrap();
    bench.machine.subscribe("b", new().id(1)).unwrap();
    bench.machine.subscribe(&"c".repeat(60), new()).unwrap();
    bench.machine.subscribe("d", new()).unwrap();
    // No wildcards, identifiers, shared subscriptions; no retained messages, QoS 1 at most, packets of 50 bytes at
    // most.
    let mut peer = bench.up(&[40, 0, 41, 0, 42, 0, 37, 0, 36, 1, 39, 0, 0, 0, 50]);
    assert_eq!(bench.packet(&mut peer, 8)[2..], *b"\0\0\x01d\x01");
    let refused = bench.seen.iter().filter_map(|e| match e {
        Event::Subscribed { filter, granted: Err(code), .. } => Some((&filter[..1], code.0)),
        _ => None,
    });
    assert_eq!(refused.collect::<Vec<_>>(), [("a", 0xa2), ("$", 0x9e), ("b", 0xa1), ("c", 0x95)]);
    for (publish, code) in [
        (Publish::new("t", "x").retain(true), 0x9a),
        (Publish::new("t", "x").qos(QoS::ExactlyOnce), 0x9b),
        (Publish::new("t", [0; 50]), 0x95),
    ] {
        let delivery = bench.machine.publish(publish).unwrap();
        assert_eq!(delivery.outcome(), Some(Outcome::Refused(ReasonCode(code))));
    }
    bench.machine.publish(Publish::new("t", "fits")).unwrap();
    assert_eq!(bench.packet(&mut peer, 3)[6..], *b"fits");
    assert!(bench.machine.is_up());
}

#[test]
fn what_the_broker_announces_is_told() {
    let mut bench = v5(|o| o.session(Session::PerConnection).assigned_client_id());
    assert_eq!(bench.machine.client_id(), None);
    let properties = [
        &[17, 0, 0, 1, 0, 33, 0, 9, 36, 1, 37, 0, 39, 0, 1, 0, 0, 34, 0, 5, 40, 0, 41, 0, 42, 0, 19, 0, 77][..],
        &[18, 0, 2, b'i', b'd', 26, 0, 1, b'r', 28, 0, 1, b's'],
        &reason_string("hello"),
        &pair("a", "1"),
    ]
    .concat();
    let (peer, connect) = bench.connect_packet(&connack(&properties));
    assert_eq!(connect[connect.len() - 2..], [0, 0], "no client id");
    let announced = bench.event("connected", |e| match e {
        Event::Connected { announced, .. } => Some(announced.clone()),
        _ => None,
    });
    let expected = Announced {
        session_expiry: Some(256),
        receive_maximum: 9,
        maximum_qos: QoS::AtLeastOnce,
        retain_available: false,
        maximum_packet_size: Some(65536),
        assigned_client_id: Some("id".into()),
        topic_alias_maximum: 5,
        wildcards_available: false,
        subscription_ids_available: false,
        shared_available: false,
        server_keep_alive: Some(77),
        response_information: Some("r".into()),
        server_reference: Some("s".into()),
        remark: Remark { reason: Some("hello".into()), user: vec![("a".into(), "1".into())] },
    };
    assert_eq!(*announced, expected);
    assert_eq!(bench.machine.client_id(), Some("id"));
    // The next connection bears the name that this one was given.
    bench.lost(peer);
    let (_peer, connect) = bench.connect_packet(&connack(&[]));
    assert_eq!(connect[connect.len() - 4..], *b"\0\x02id");
}

#[test]
fn all_of_the_connect_packet() {
    let mut bench = v5(|o| {
        let properties = Properties {
            content_type: Some("c".into()),
            response_topic: Some("r".into()),
            correlation_data: Some(vec![0]),
            message_expiry: Some(7),
            is_text: true,
            user: vec![("w".into(), "1".into())],
        };
        let will = Publish::new("w", "gone").qos(QoS::ExactlyOnce).retain(true).properties(properties);
        o.client_id("me")
            .session(Session::PerConnection)
            .session_expiry(Duration::from_secs(5))
            .receive_maximum(3)
            .max_packet_size(1000)
            .request_problem_information(false)
            .request_response_information(true)
            .user_property("u", "2")
            .keep_alive(Duration::from_secs(9))
            .credentials("user", "pw")
            .will(will)
            .will_delay(Duration::from_secs(4))
    });
    for _ in 0..2 {
        let (peer, connect) = bench.connect_packet(&[]);
        let properties = [&[17, 0, 0, 0, 5, 39, 0, 0, 3, 232, 25, 1, 23, 0], &pair("u", "2")[..], &[33, 0, 3]].concat();
        let will =
            [&[24, 0, 0, 0, 4, 1, 1, 2, 0, 0, 0, 7, 3, 0, 1, b'c', 8, 0, 1, b'r', 9, 0, 1, 0][..], &pair("w", "1")]
                .concat();
        let expected = [
            b"\0\x04MQTT\x05\xf6\0\x09",
            &[properties.len() as u8][..],
            &properties,
            b"\0\x02me",
            &[will.len() as u8],
            &will,
            b"\0\x01w\0\x04gone\0\x04user\0\x02pw",
        ]
        .concat();
        assert_eq!(connect, expected);
        drop(peer);
    }
}

#[test]
fn a_session_that_goes_on_asks_for_a_client_id_first() {
    let mut bench = v5(|o| o.assigned_client_id().will(Publish::new("w", "")));
    let (mut peer, connect) = bench.connect_packet(&connack(&[18, 0, 2, b'i', b'd']));
    assert_eq!(
        (connect[7], &connect[connect.len() - 2..]),
        (2, &[0, 0][..]),
        "a clean session, no will and no client id"
    );
    assert_eq!(bench.packet(&mut peer, 14), b"");
    for _ in 0..2 {
        let (peer, connect) = bench.connect_packet(&connack(&[]));
        assert_eq!(connect[7] & 2, 0, "the session goes on");
        assert!(connect.windows(4).any(|w| w == b"\0\x02id"), "{connect:?}");
        let announced = bench.event("connected", |e| match e {
            Event::Connected { announced, .. } => Some(announced.clone()),
            _ => None,
        });
        assert_eq!(announced.assigned_client_id.as_deref(), Some("id"));
        bench.lost(peer);
        bench.seen.clear();
    }
}

#[test]
fn acknowledgements_say_why() {
    let mut bench = v5(|o| o);
    let mut peer = bench.up(&[]);
    let delivery = bench.machine.publish(Publish::new("t", "x")).unwrap();
    let body = bench.packet(&mut peer, 3);
    let remark = [reason_string("quota"), pair("a", "1")].concat();
    let (id, len) = (id_of(&body), remark.len() as u8);
    peer.send(&[&[0x40, 4 + len, id[0], id[1], 0x97, len], &remark[..]].concat());
    let remark = bench.event("an answer", |e| match e {
        Event::Delivered { remark, .. } => Some(remark.clone()),
        _ => None,
    });
    let expected = Remark { reason: Some("quota".into()), user: vec![("a".into(), "1".into())] };
    assert_eq!((remark.as_deref(), delivery.remark()), (Some(&expected), Some(&expected)));
    assert_eq!(delivery.outcome(), Some(Outcome::Refused(ReasonCode(0x97))));
    // No subscribers is an answer that is no refusal.
    let delivery = bench.machine.publish(Publish::new("t", "x")).unwrap();
    let id = id_of(&bench.packet(&mut peer, 3));
    peer.send(&[0x40, 3, id[0], id[1], 0x10]);
    assert_eq!(bench.until("an answer", |_| delivery.outcome()), Outcome::Acknowledged(ReasonCode(0x10)));
}

#[test]
fn a_goodbye_carries_what_it_was_given() {
    let mut bench = v5(|o| o.session_expiry(Duration::from_secs(1)));
    let mut peer = bench.up(&[]);
    let wrong = Disconnect::new().code(ReasonCode(0x01));
    assert!(bench.machine.close_with(wrong).is_err());
    assert!(!bench.machine.close_asked);
    let goodbye = Disconnect::new().code(ReasonCode::WITH_WILL).session_expiry(Duration::from_secs(258));
    bench.machine.close_with(goodbye.reason_string("night").user_property("a", "1")).unwrap();
    bench.until("the end", |b| b.machine.is_closed().then_some(()));
    let properties = [&[17, 0, 0, 1, 2], &reason_string("night")[..], &pair("a", "1")].concat();
    let expected = [&[4, properties.len() as u8], &properties[..]].concat();
    assert_eq!(bench.packet(&mut peer, 14), expected);
    assert_eq!(bench.seen.last(), Some(&Event::Closed));
}

#[test]
fn an_empty_text_is_left_out_at_every_level() {
    let mut bench = v5(|o| o);
    let mut peer = bench.up(&[]);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let user = vec![(String::new(), String::new())];
        let properties = Properties {
            content_type: Some(String::new()),
            correlation_data: Some(Vec::new()),
            user,
            ..Properties::default()
        };
        bench.machine.publish(Publish::new("t", "x").qos(qos).properties(properties)).unwrap();
        let body = bench.packet(&mut peer, 3);
        assert_eq!(body[body.len() - 10..], *b"\x08\x09\0\0\x26\0\0\0\0x");
    }
}

/// The topic and the alias of a PUBLISH of QoS 0 whose only property is an alias, or that has none.
fn alias_of(body: &[u8]) -> (String, u16) {
    let len = usize::from(body[1]);
    let topic = String::from_utf8(body[2..2 + len].to_vec()).unwrap();
    match &body[2 + len..] {
        [3, 35, a, b, ..] => (topic, u16::from_be_bytes([*a, *b])),
        [0, ..] => (topic, 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn topics_become_numbers_on_each_connection_anew() {
    let mut bench = v5(|o| o.topic_aliases(10));
    for max in [2, 0, 1] {
        let properties = if max > 0 { vec![34, 0, max] } else { vec![] };
        let mut peer = bench.up(&properties);
        let seen: Vec<_> = ["a", "b", "a", "c", "b", "a"]
            .map(|topic| {
                bench.machine.publish(Publish::new(topic, "x").qos(QoS::AtMostOnce)).unwrap();
                alias_of(&bench.packet(&mut peer, 3))
            })
            .into();
        let expected = match max {
            2 => [("a", 1), ("b", 2), ("", 1), ("c", 1), ("", 2), ("a", 2)],
            1 => [("a", 1), ("b", 1), ("a", 1), ("c", 1), ("b", 1), ("a", 1)],
            _ => [("a", 0), ("b", 0), ("a", 0), ("c", 0), ("b", 0), ("a", 0)],
        };
        assert_eq!(seen, expected.map(|(topic, alias)| (topic.to_owned(), alias)));
        bench.lost(peer);
    }
}

/// Publishes twice at QoS 1 with aliases, breaks the connection, and returns the bodies of both connections without the
/// packet identifiers.
fn aliases_over_a_break(f: impl FnOnce(Options) -> Options, second: &[u8]) -> [Vec<Vec<u8>>; 2] {
    let mut bench = v5(|o| f(o.topic_aliases(10)));
    for _ in 0..2 {
        bench.machine.publish(Publish::new("t", "x")).unwrap();
    }
    let strip = |body: Vec<u8>| {
        let len = 2 + usize::from(body[1]);
        [&body[..len], &body[len + 2..]].concat()
    };
    let mut peer = bench.up(&[34, 0, 10]);
    let first = [(); 2].map(|()| strip(bench.packet(&mut peer, 3)));
    bench.lost(peer);
    let mut peer = bench.connect_packet(second).0;
    let second = [(); 2].map(|()| strip(bench.packet(&mut peer, 3)));
    [first.into(), second.into()]
}

#[test]
fn no_alias_of_a_past_connection_is_sent_again() {
    // In a new session it is we who send again, with what the new connection knows: here nothing, for the broker takes
    // none.
    let [first, second] = aliases_over_a_break(|o| o.session(Session::PerConnection), &connack(&[]));
    assert_eq!(first, [b"\0\x01t\x03\x23\0\x01x".to_vec(), b"\0\0\x03\x23\0\x01x".to_vec()]);
    assert_eq!(second, [b"\0\x01t\0x".to_vec(), b"\0\x01t\0x".to_vec()]);
    // Where the session goes on it is the library, so there are none.
    let [first, second] = aliases_over_a_break(|o| o, &[0x20, 3, 1, 0, 0]);
    assert_eq!(first, [b"\0\x01t\0x".to_vec(), b"\0\x01t\0x".to_vec()]);
    assert_eq!(second, first);
}

#[test]
fn an_alias_that_would_make_a_message_too_long_is_left_out() {
    let mut bench = v5(|o| o.topic_aliases(10));
    let mut peer = bench.up(&[34, 0, 10, 39, 0, 0, 0, 30]);
    let fits = Publish::new("t", vec![0; 30 - 2 - 3 - 1]).qos(QoS::AtMostOnce);
    let delivery = bench.machine.publish(fits).unwrap();
    assert_eq!(alias_of(&bench.packet(&mut peer, 3)), ("t".to_owned(), 0));
    assert_eq!(bench.until("it is sent", |_| delivery.outcome()), Outcome::Sent);
}

/// A CONNACK that says that the password is wrong, and what to do about it.
fn refusal() -> Vec<u8> {
    let properties = [&[28, 0, 5], &b"other"[..], &reason_string("typo"), &pair("a", "1")].concat();
    [&[0x20, 3 + properties.len() as u8, 0, 0x86, properties.len() as u8], &properties[..]].concat()
}

#[test]
fn a_refusal_says_why_and_the_program_may_try_again() {
    let mut bench = v5(|o| o.credentials("me", "wrong").give_up_when(|_| false));
    let delivery = bench.machine.publish(Publish::new("t", "x")).unwrap();
    let _refused = bench.connect_packet(&refusal()).0;
    let until = bench.event("a wait", |e| if let Event::BackingOff { until } = e { Some(*until) } else { None });
    let told = bench.told();
    let [Event::Refused { code: ReasonCode(0x86), announced }, Event::Disconnected { reason, retry_in }] = told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(*reason, Reason::Refused(ReasonCode(0x86)));
    assert!(reason.is_final());
    assert_eq!((announced.server_reference.as_deref(), announced.remark.user.len()), (Some("other"), 1));
    assert_eq!(announced.remark.reason.as_deref(), Some("typo"));
    assert!(until <= Instant::now() + *retry_in);
    let mut peer = bench.up(&[]);
    let [a, b] = id_of(&bench.packet(&mut peer, 3));
    peer.send(&[0x40, 2, a, b]);
    assert!(bench.until("an answer", |_| delivery.outcome()).is_acknowledged());
}

#[test]
fn what_is_final_is_for_the_program_to_say() {
    let mut bench = v5(|o| o);
    let _refused = bench.connect_packet(&refusal()).0;
    bench.until("the end", |b| b.machine.is_closed().then_some(()));
    assert_eq!(bench.seen.last(), Some(&Event::Failed(Reason::Refused(ReasonCode(0x86)))));

    let taken_over = Reason::Server(ReasonCode(0x8e));
    let taken = taken_over.clone();
    let mut bench = v5(move |o| o.give_up_when(move |reason| *reason == taken));
    let peer = bench.up(&[]);
    bench.lost(peer);
    let mut peer = bench.up(&[]);
    peer.send(&[0xe0, 1, 0x8e]);
    bench.until("the end", |b| b.machine.is_closed().then_some(()));
    assert_eq!(bench.seen.last(), Some(&Event::Failed(taken_over)));
}

#[test]
fn limits_of_a_broker_go_with_its_connection() {
    let mut bench = v5(|o| o);
    let peer = bench.up(&[36, 0, 39, 0, 0, 0, 30]);
    for publish in [Publish::new("t", "x"), Publish::new("t", [0; 30]).qos(QoS::AtMostOnce)] {
        assert!(matches!(bench.machine.publish(publish).unwrap().outcome(), Some(Outcome::Refused(_))));
    }
    bench.lost(peer);
    let mut peer = bench.up(&[]);
    bench.machine.publish(Publish::new("t", [7; 30]).qos(QoS::ExactlyOnce)).unwrap();
    assert!(bench.packet(&mut peer, 3).ends_with(&[7; 30]));
}

/// What a client makes of something that a broker sends; and it is there again afterwards.
fn made_of(packet: &[u8], f: impl FnOnce(Options) -> Options) -> Reason {
    let mut bench = v5(f);
    let mut peer = bench.up(&[]);
    peer.send(packet);
    let reason = bench.event("a loss", |e| match e {
        Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    bench.lost(peer);
    bench.up(&[]);
    reason
}

#[test]
fn what_the_library_cannot_do_ends_in_the_errors_of_the_table() {
    // A topic alias, that no broker may use, since we announce that we take none.
    assert_eq!(made_of(b"\x30\x07\0\0\x03\x23\0\x01x", |o| o), Reason::Protocol);
    // A message with the identifiers of two subscriptions.
    assert_eq!(made_of(b"\x30\x09\0\x01t\x04\x0b\x01\x0b\x02x", |o| o), Reason::Protocol);
    // More messages of QoS 2 at once than were asked for.
    let three = b"\x34\x06\0\x01t\0\x01\0\x34\x06\0\x01t\0\x02\0\x34\x06\0\x01t\0\x03\0";
    assert_eq!(made_of(three, |o| o.receive_maximum(2)), Reason::Protocol);
    // Of a DISCONNECT, the code alone is told.
    let goodbye = [&[0xe0, 7, 0x8b, 5][..], &reason_string("eh")].concat();
    assert_eq!(made_of(&goodbye, |o| o), Reason::Server(ReasonCode(0x8b)));
}

#[test]
fn what_the_library_does_not_hand_out_is_not_told() {
    let mut bench = v5(|o| o);
    let mut peer = bench.up(&[]);
    // A packet of enhanced authentication, which no client without a method may be sent.
    peer.send(b"\xf0\x05\x19\x03\x15\0\0");
    // Of the answer to an unsubscription, its code.
    bench.machine.unsubscribe("t", Vec::new()).unwrap();
    let body = bench.packet(&mut peer, 10);
    peer.send(&[0xb0, 4, body[0], body[1], 0, 0x87]);
    bench.event("an answer", |e| matches!(e, Event::Unsubscribed { .. }).then_some(()));
    // Of a PUBREC, all but its code.
    let delivery = bench.machine.publish(Publish::new("t", "x").qos(QoS::ExactlyOnce)).unwrap();
    let [a, b] = id_of(&bench.packet(&mut peer, 3));
    peer.send(&[&[0x50, 9, a, b, 0x87, 5], &reason_string("no")[..]].concat());
    let remark = bench.event("an answer", |e| match e {
        Event::Delivered { remark, .. } => Some(remark.clone()),
        _ => None,
    });
    assert_eq!((delivery.outcome(), remark), (Some(Outcome::Refused(ReasonCode(0x87))), None));
}

#[test]
fn the_keep_alive_of_the_broker_counts() {
    let mut bench = v5(|o| o);
    let mut peer = bench.up(&[19, 0, 5]);
    let begin = Instant::now();
    bench.packet(&mut peer, 12);
    // The library's clock counts whole seconds.
    assert!(begin.elapsed() > Duration::from_secs(3), "{:?}", begin.elapsed());
}
