//! Messages to handlers, through a real broker.

mod support;

use becket_loop::{Ctx, Next, Result};
use becket_mosquitto::{
    Acknowledge, Client, Event, Message, Options, Protocol, Publish, QoS, Reason, Session, SubscribeError,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use support::broker::Broker;
use support::{Harness, World, options};

const QOS: QoS = QoS::AtLeastOnce;
const BOTH: [Protocol; 2] = [Protocol::V311, Protocol::V5];

fn connected(harness: &mut Harness, options: Options) -> Client {
    let before = harness.world.connections();
    let client = harness.join(options);
    harness.until("connected", |world| world.connections() > before);
    client
}

fn granted(world: &World) -> usize {
    world.count(|e| matches!(e, Event::Subscribed { granted: Ok(_), .. }))
}

fn unsubscribed(world: &World, of: &str) -> bool {
    world.has(|e| matches!(e, Event::Unsubscribed { filter, .. } if filter == of))
}

/// Notes the payloads that a handler gets, under a name.
fn note(name: &'static str) -> impl FnMut(&mut World, &mut Ctx<World>, &Client, Message) -> Result {
    move |world, _, _, message| {
        world.log.push((name, String::from_utf8(message.payload)?));
        Ok(Next::Keep)
    }
}

#[test]
fn overlapping_filters_get_a_message_once_each() {
    for protocol in BOTH {
        let Some(broker) = Broker::mosquitto("allow_anonymous true") else { return };
        let mut harness = Harness::new();
        let client = connected(&mut harness, options(&broker.url()).protocol(protocol).separate_copies(true));
        for (filter, name) in [("a/#", "wide"), ("a/+", "narrow"), ("a/b", "exact"), ("+/+/#", "any"), ("b/#", "never")]
        {
            client.on(filter, QOS, note(name)).unwrap();
        }
        client.on("a/b", QoS::AtMostOnce, note("same")).unwrap();
        client.subscribe("a/b/#", QOS).unwrap();
        harness.until("all subscriptions", |world| granted(world) >= 6);
        for n in 0..20 {
            client.publish(Publish::new("a/b", n.to_string())).unwrap();
        }
        client.publish(Publish::new("a", "end")).unwrap();
        harness.until("the end", |world| world.noted("wide").len() == 21 && world.messages().len() == 20);
        let expected: Vec<_> = (0..20).map(|n| n.to_string()).collect();
        for name in ["wide", "narrow", "exact", "same", "any"] {
            let mut got = harness.world.noted(name);
            got.retain(|text| *text != "end");
            assert_eq!(got, expected, "{name} {protocol:?}");
        }
        assert_eq!(harness.world.noted("never").len(), 0);
        assert!(harness.world.messages().iter().all(|m| m.subscription_ids.is_empty() && m.topic == "a/b"));
        if protocol == Protocol::V311 {
            // One message for all, in the order in which the handlers were made.
            let first: Vec<_> = harness.world.log.iter().take(5).map(|(name, _)| *name).collect();
            assert_eq!(first, ["wide", "narrow", "exact", "any", "same"]);
        }
    }
}

#[test]
fn what_is_for_no_handler_is_an_event() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&broker.url()));
    let handler = client.on("a", QOS, note("a")).unwrap();
    client.subscribe("b", QOS).unwrap();
    for topic in ["a", "b"] {
        client.publish(Publish::new(topic, topic)).unwrap();
    }
    harness.until("both", |world| world.log.len() == 1 && world.messages().len() == 1);
    assert_eq!(harness.world.messages()[0].topic, "b");
    // What comes after a handler is gone, before the broker knows, is for nobody.
    broker.freeze();
    client.publish(Publish::new("a", "late")).unwrap();
    harness.run_for(Duration::from_millis(50));
    assert!(client.off(handler));
    broker.thaw();
    harness.until("the late one", |world| world.messages().len() == 2 && unsubscribed(world, "a"));
    assert_eq!(harness.world.log.len(), 1);
}

#[test]
fn handlers_come_and_go_from_inside_handlers() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let client = connected(&mut harness, options(&broker.url()));
    let by_answer = |world: &mut World, _: &mut Ctx<World>, _: &Client, _| {
        world.log.push(("answer", String::new()));
        Ok(Next::Remove)
    };
    client.on("t", QOS, by_answer).unwrap();

    let name = Rc::new(Cell::new(None));
    let (own, alive) = (Rc::clone(&name), Rc::new(()));
    let watch = Rc::downgrade(&alive);
    let by_hand = move |world: &mut World, _: &mut Ctx<World>, client: &Client, _| {
        assert!(client.off(own.get().unwrap()));
        assert!(!client.off(own.get().unwrap()));
        assert_eq!(Rc::strong_count(&alive), 1, "it is not dropped while it runs");
        world.log.push(("own hand", String::new()));
        // A new one does not get the message that is being handed out.
        client.on("t", QOS, note("new"))?;
        Ok(Next::Keep)
    };
    name.set(Some(client.on("t", QOS, by_hand).unwrap()));

    let victim = Rc::new(Cell::new(None));
    let other = Rc::clone(&victim);
    let killer = move |world: &mut World, _: &mut Ctx<World>, client: &Client, _| {
        world.log.push(("killer", String::new()));
        assert_eq!(other.take().map(|other| client.off(other)), (world.log.len() < 4).then_some(true));
        Ok(Next::Keep)
    };
    client.on("t", QOS, killer).unwrap();
    victim.set(Some(client.on("t", QOS, note("victim")).unwrap()));

    client.publish(Publish::new("t", "1")).unwrap();
    harness.until("the first", |world| world.log.len() == 3);
    client.publish(Publish::new("t", "2")).unwrap();
    harness.until("the second", |world| world.log.len() == 5);
    let names: Vec<_> = harness.world.log.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["answer", "own hand", "killer", "killer", "new"]);
    assert!(watch.upgrade().is_none() && harness.world.messages().is_empty());
}

#[test]
fn a_filter_is_unsubscribed_with_its_last_handler() {
    for protocol in BOTH {
        let Some(broker) = Broker::start() else { return };
        let mut harness = Harness::new();
        let client = connected(&mut harness, options(&broker.url()).protocol(protocol));
        let one = client.on("t", QOS, note("one")).unwrap();
        let two = client.on("t", QoS::ExactlyOnce, note("two")).unwrap();
        client.subscribe("t", QoS::AtMostOnce).unwrap();
        client.on("end", QOS, note("end")).unwrap();
        assert!(client.off(one));
        client.unsubscribe("t").unwrap();
        harness.until("an answer", |world| unsubscribed(world, "t"));
        client.publish(Publish::new("t", "1")).unwrap();
        harness.until("the first", |world| world.log == [("two", "1".to_owned())]);
        harness.world.events.clear();
        assert!(client.off(two) && !client.off(two));
        harness.until("unsubscribed", |world| unsubscribed(world, "t"));
        client.publish(Publish::new("t", "2")).unwrap();
        client.publish(Publish::new("end", "")).unwrap();
        harness.until("the end", |world| world.log.len() == 2);
        assert!(harness.world.messages().is_empty());
    }
}

#[test]
fn a_shared_subscription_is_served_by_one_of_its_clients_and_matched_by_its_filter() {
    for protocol in BOTH {
        let Some(broker) = Broker::mosquitto("allow_anonymous true") else { return };
        let mut harness = Harness::new();
        let workers =
            [(); 3].map(|()| connected(&mut harness, options(&broker.url()).protocol(protocol).separate_copies(true)));
        for (worker, name) in workers.iter().zip(["one", "two", "three"]) {
            worker.on("$share/group/jobs/+", QOS, note(name)).unwrap();
        }
        workers[0].on("jobs/#", QOS, note("all")).unwrap();
        harness.until("all subscriptions", |world| granted(world) == 4);
        for n in 0..60 {
            workers[1].publish(Publish::new("jobs/x", n.to_string())).unwrap();
        }
        let shared = |world: &World| ["one", "two", "three"].iter().flat_map(|n| world.noted(n)).count();
        harness.until("all", |world| world.noted("all").len() >= 60 && shared(world) >= 60);
        harness.run_for(Duration::from_millis(100));
        if protocol == Protocol::V5 {
            // The identifiers tell the copies for the group from those for the client alone.
            assert_eq!((shared(&harness.world), harness.world.noted("all").len()), (60, 60));
        }
        assert!(["one", "two", "three"].iter().all(|name| !harness.world.noted(name).is_empty()));
    }
}

#[test]
fn a_handler_that_fails_keeps_no_other_from_the_message() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    harness.ctx.on_error(|world: &mut World, _, error| world.log.push(("error", error.to_string())));
    let client = connected(&mut harness, options(&broker.url()));
    client.on("t", QOS, |_: &mut World, _, _, _| Err("it failed".into())).unwrap();
    client.on("t", QOS, note("other")).unwrap();
    for _ in 0..2 {
        client.publish(Publish::new("t", "x")).unwrap();
    }
    harness.until("both", |world| world.log.len() == 4);
    assert_eq!(harness.world.noted("error").len(), 2);
    assert!(harness.world.noted("error")[0].contains("it failed"));
    assert_eq!(harness.world.noted("other"), ["x", "x"]);
}

#[test]
fn what_is_wrong_is_said_at_the_call() {
    let mut harness = Harness::new();
    let client = harness.join(options("unix:/nobody/listens"));
    let wrong = client.on("a/#/b", QOS, note("never")).unwrap_err();
    assert_eq!(wrong, SubscribeError::Filter("a/#/b".to_owned()));
    let state = client.on("a", QOS, |_: &mut String, _, _, _| Ok(Next::Keep)).unwrap_err();
    assert_eq!(state, SubscribeError::OtherLoop);
    harness.close(&client);
    assert_eq!(client.on("a", QOS, note("never")).unwrap_err(), SubscribeError::Closed);
}

#[test]
fn a_client_ends_inside_its_handlers_and_what_they_hold_is_dropped() {
    let Some(broker) = Broker::start() else { return };
    // One closes it; one has the loop dropped with everything in it.
    for closes in [true, false] {
        let mut harness = Harness::new();
        let client = connected(&mut harness, options(&broker.url()));
        let held = Rc::new(client.clone());
        let watch = Rc::downgrade(&held);
        let close = move |world: &mut World, _: &mut Ctx<World>, _: &Client, _| {
            world.log.push(("called", String::new()));
            if closes {
                held.close();
            }
            Ok(Next::Keep)
        };
        client.on("t", QOS, close).unwrap();
        client.on("t", QOS, note("other")).unwrap();
        client.publish(Publish::new("t", "x")).unwrap();
        drop(client);
        harness.until("both", |world| world.log.len() == 2);
        if closes {
            harness.until("the end", |world| world.has(|e| *e == Event::Closed));
            assert_eq!(harness.ctx.run(&mut harness.world).unwrap(), 0, "nothing is left");
        } else {
            drop(harness);
        }
        assert!(watch.upgrade().is_none(), "handlers that hold their client are dropped with it");
    }
}

/// Another client of the same name throws the first one out, whose session is lost.
fn lose_session(broker: &Broker, protocol: Protocol) {
    let mut other = Harness::new();
    let usurper = connected(&mut other, options(&broker.url()).protocol(protocol).client_id("same"));
    other.close(&usurper);
}

#[test]
fn many_filters_come_back_after_a_lost_session_before_anything_is_published() {
    const MANY: usize = 2000;
    for protocol in BOTH {
        let Some(broker) = Broker::mosquitto("allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0")
        else {
            return;
        };
        let mut harness = Harness::new();
        let client = connected(&mut harness, options(&broker.url()).protocol(protocol).client_id("same"));
        for n in 0..MANY {
            let handler = move |world: &mut World, _: &mut Ctx<World>, _: &Client, message: Message| {
                assert_eq!(message.topic, format!("many/{n}"));
                let name = if message.retain { "retained" } else { "published" };
                world.log.push((name, n.to_string()));
                Ok(Next::Keep)
            };
            client.on(&format!("many/{n}/#"), QOS, handler).unwrap();
        }
        harness.until("all subscriptions", |world| granted(world) == MANY);
        for n in 0..200 {
            client.publish(Publish::new(format!("many/{n}"), "kept").retain(true)).unwrap();
        }
        harness.until("all as they are published", |world| world.noted("published").len() == 200);
        assert!(harness.world.noted("retained").is_empty());
        harness.world.log.clear();
        harness.world.events.clear();

        lose_session(&broker, protocol);
        harness.until("a loss", |world| world.has(|e| matches!(e, Event::Disconnected { .. })));
        // What is published now goes to its own publisher, who is there before it.
        for n in 0..MANY {
            client.publish(Publish::new(format!("many/{n}"), "new")).unwrap_or_else(|e| panic!("{e}"));
            if n % 500 == 499 {
                harness.until("some", |world| world.outcomes().len() > n.saturating_sub(500));
            }
        }
        harness.until("all", |world| world.noted("published").len() == MANY && granted(world) == MANY);
        let mut retained: Vec<usize> = harness.world.noted("retained").iter().map(|n| n.parse().unwrap()).collect();
        retained.sort_unstable();
        assert!(retained.into_iter().eq(0..200), "{protocol:?}");
        let subscribed = harness.world.events.iter().position(|e| matches!(e, Event::Subscribed { .. })).unwrap();
        let delivered = harness.world.events.iter().position(|e| matches!(e, Event::Delivered { .. })).unwrap();
        assert!(subscribed < delivered);
    }
}

#[test]
fn a_pause_keeps_messages_at_the_broker_and_costs_no_turns() {
    const MANY: usize = 20_000;
    let config = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\nmax_queued_bytes 0";
    let Some(broker) = Broker::mosquitto(config) else { return };
    for mut harness in [Harness::new(), Harness::over_poll()] {
        let client = connected(&mut harness, options(&broker.url()));
        client.on("t", QOS, note("got")).unwrap();
        harness.until("subscribed", |world| granted(world) == 1);
        let mut other = Harness::new();
        let sender = connected(&mut other, options(&broker.url()).window(100).queue(MANY, 1 << 30));
        sender.subscribe("from the paused", QOS).unwrap();

        let pause = client.pause();
        for n in 0..MANY {
            sender.publish(Publish::new("t", n.to_string())).unwrap();
        }
        other.until("all acknowledged", |world| world.outcomes().len() == MANY);
        // It can publish all the while.
        client.publish(Publish::new("from the paused", "x")).unwrap();
        let before = harness.turns;
        harness.run_for(Duration::from_millis(1500));
        assert!(harness.turns - before < 20, "{} turns", harness.turns - before);
        other.until("a message", |world| !world.messages().is_empty());
        assert!(harness.world.log.is_empty() && client.is_paused());
        assert_eq!(client.backlog().under_way, 1, "its acknowledgement is not read");

        drop(pause);
        harness.until("all", |world| world.log.len() == MANY);
        let numbers = harness.world.noted("got");
        assert!(numbers.iter().map(|n| n.parse::<usize>().unwrap()).eq(0..MANY));
        assert_eq!(client.backlog().under_way, 0);
    }
}

#[test]
fn what_was_not_handled_comes_again_to_the_next_client_of_a_kept_session() {
    let Some(broker) = Broker::mosquitto("allow_anonymous true") else { return };
    for (acknowledge, again) in [(Acknowledge::OnArrival, vec![]), (Acknowledge::WhenHandled, vec!["1", "2", "3"])] {
        let id = format!("{acknowledge:?}");
        let kept = || options(&broker.url()).client_id(id.as_str()).session(Session::Kept).acknowledge(acknowledge);
        let mut dying = Harness::new();
        let client = connected(&mut dying, kept());
        let holds = RefCell::new(Vec::new());
        let mut first = true;
        let mut note_all = note("got");
        let handler = move |world: &mut World, ctx: &mut Ctx<World>, client: &Client, message: Message| {
            // The first one is handled when this returns, the others never.
            if !std::mem::take(&mut first) {
                holds.borrow_mut().push(client.hold());
            }
            note_all(world, ctx, client, message)
        };
        client.on("t", QOS, handler).unwrap();
        dying.until("subscribed", |world| granted(world) == 1);
        let mut other = Harness::new();
        let sender = connected(&mut other, options(&broker.url()));
        sender.publish(Publish::new("t", "0")).unwrap();
        dying.until("the first", |world| world.log.len() == 1);
        dying.run_for(Duration::from_millis(100));
        for n in 1..4 {
            sender.publish(Publish::new("t", n.to_string())).unwrap();
        }
        other.until("all taken by the broker", |world| world.outcomes().len() == 4);
        dying.until("another one", |world| world.log.len() > 1);
        // What did not come is not acknowledged either; without a hold all of it comes.
        dying.run_for(Duration::from_millis(200));
        drop(dying);

        let mut harness = Harness::new();
        let client = harness.join(kept());
        // Before what comes with the session.
        client.on("t", QOS, note("again")).unwrap();
        client.subscribe("end", QOS).unwrap();
        client.publish(Publish::new("end", "")).unwrap();
        harness.until("the end", |world| world.messages().iter().any(|m| m.topic == "end"));
        assert_eq!(harness.world.noted("again"), again, "{acknowledge:?}");
    }
}

#[test]
fn a_pause_that_is_longer_than_the_keep_alive_ends_the_connection_and_loses_nothing_of_a_kept_session() {
    let Some(broker) = Broker::mosquitto("allow_anonymous true") else { return };
    let mut harness = Harness::new();
    let kept = options(&broker.url()).client_id("kept").clean_start(false).keep_alive(Duration::from_secs(5));
    let client = connected(&mut harness, kept);
    client.on("t", QOS, note("got")).unwrap();
    harness.until("subscribed", |world| granted(world) == 1);
    let pause = client.pause();
    let mut other = Harness::new();
    let sender = connected(&mut other, options(&broker.url()));
    for n in 0..50 {
        sender.publish(Publish::new("t", n.to_string())).unwrap();
    }
    other.until("all acknowledged", |world| world.outcomes().len() == 50);
    harness.until("the end", |world| world.has(|e| matches!(e, Event::Disconnected { reason: Reason::KeepAlive, .. })));
    harness.until("again", |world| world.connections() == 2);
    drop(pause);
    harness.until("all", |world| world.noted("got").contains(&"49"));
    let mut got: Vec<usize> = harness.world.noted("got").iter().map(|n| n.parse().unwrap()).collect();
    got.sort_unstable();
    got.dedup();
    assert!(got.into_iter().eq(0..50));
}
