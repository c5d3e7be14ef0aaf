//! What becomes of messages: told once, truly, to whoever asked, from wherever they were published.

mod support;

use becket_loop::Loop;
use becket_mosquitto::{
    Client, Delivery, Dropped, Event, Options, Outcome, Protocol, Publish, PublishRefusal, QoS, RemoteDelivery,
    Session, Uncertain, WhenFull,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{env, thread};
use support::broker::Broker;
use support::{Harness, LONG, World, listen, options};

fn payload(n: usize) -> String {
    n.to_string()
}

fn number(message: &becket_mosquitto::Message) -> usize {
    std::str::from_utf8(&message.payload).unwrap().parse().unwrap()
}

#[test]
fn an_outcome_is_called_back_once_in_place_of_its_event() {
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let client = harness.join(options(&broker.url()));
    // Each outcome publishes the next message, and the last one closes the client.
    fn next(
        world: &mut World,
        ctx: &mut becket_loop::Ctx<World>,
        client: &Client,
        left: u32,
    ) -> becket_loop::Result<()> {
        if left == 0 {
            client.close();
            return Ok(());
        }
        let qos = QoS::try_from((left % 3) as u8).unwrap();
        client.publish_then(ctx, Publish::new("t", "x").qos(qos), move |world, ctx, client, outcome| {
            assert_eq!(outcome == Outcome::Sent, qos == QoS::AtMostOnce);
            world.outcomes.push(outcome);
            next(world, ctx, client, left - 1)
        })?;
        assert!(world.outcomes.len() < 30);
        Ok(())
    }
    let mut begun = false;
    harness.until("connected", |world| world.connections() == 1);
    harness.ctx.defer(move |world, ctx| next(world, ctx, &client, 30));
    harness.until("the end", |world| {
        begun |= !world.outcomes.is_empty();
        world.has(|e| *e == Event::Closed)
    });
    assert_eq!((begun, harness.world.outcomes.len()), (true, 30));
    assert!(!harness.world.has(|e| matches!(e, Event::Delivered { .. })));
}

#[test]
fn a_call_that_will_never_come_is_dropped_with_the_loop() {
    let (_silent, url) = listen();
    let mut harness = Harness::new();
    let client = harness.join(options(&url));
    let held = Rc::new(());
    let inside = (Rc::clone(&held), client.clone());
    let delivery = client
        .publish_then(&harness.ctx, Publish::new("t", "x"), move |_, _, _, _| {
            drop(inside);
            unreachable!("nobody turns the loop")
        })
        .unwrap();
    let other: Loop<u8> = Loop::new().unwrap();
    let wrong = client.publish_then(&other, Publish::new("t", "x"), |_, _, _, _| Ok(()));
    assert_eq!(wrong.unwrap_err().refusal(), PublishRefusal::OtherLoop);
    drop(harness);
    assert_eq!(Rc::strong_count(&held), 1);
    assert_eq!(delivery.outcome(), Some(Outcome::Dropped(Dropped::Closed)));
}

#[test]
fn who_was_refused_is_told_of_room() {
    const TOTAL: usize = 300;
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let sent = Rc::new(Cell::new(0));
    let count = Rc::clone(&sent);
    let go_on = move |client: &Client| {
        while count.get() < TOTAL {
            match client.publish(Publish::new("room", payload(count.get()))) {
                Ok(_) => count.set(count.get() + 1),
                Err(e) if e.refusal() == PublishRefusal::QueueFull => return,
                Err(e) => panic!("{e}"),
            }
        }
    };
    let opts = options(&broker.url()).window(2).queue(3, 1 << 20);
    Client::join(&mut harness.ctx, opts, move |world: &mut World, _, client, event| {
        match event {
            Event::Connected { .. } => client.subscribe("room", QoS::AtLeastOnce)?,
            Event::Subscribed { .. } | Event::Room => go_on(client),
            _ => {}
        }
        world.events.push(event);
        Ok(())
    })
    .unwrap();
    harness.until("all messages", |world| world.messages().len() == TOTAL && world.outcomes().len() == TOTAL);
    assert!(harness.world.messages().into_iter().map(number).eq(0..TOTAL));
    assert!(harness.world.has(|e| *e == Event::Room));
    assert_eq!(sent.get(), TOTAL);
}

#[test]
fn threads_publish_and_wait_for_the_outcome() {
    const THREADS: usize = 4;
    const EACH: usize = 100;
    let Some(broker) = Broker::start() else { return };
    let mut harness = Harness::new();
    let client = harness.join(options(&broker.url()).queue(THREADS * EACH, 1 << 20));
    client.subscribe("from/+", QoS::ExactlyOnce).unwrap();
    harness.until("subscribed", |world| world.has(|e| matches!(e, Event::Subscribed { granted: Ok(_), .. })));
    let publish = |at: usize| {
        let remote = client.remote();
        move || -> Vec<Outcome> {
            let wrong = remote.publish(Publish::new("a/+", "")).unwrap_err();
            assert_eq!(wrong.refusal(), PublishRefusal::Topic);
            let publish = |n| Publish::new(format!("from/{at}"), payload(n)).qos(QoS::ExactlyOnce);
            let all: Vec<RemoteDelivery> = (0..EACH).map(|n| remote.publish(publish(n)).unwrap()).collect();
            all.iter().map(|delivery| delivery.wait_timeout(LONG).expect("in time")).collect()
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|at| thread::spawn(publish(at))).collect();
    harness.until("all messages", |world| {
        world.messages().len() == THREADS * EACH && threads.iter().all(|thread| thread.is_finished())
    });
    for thread in threads {
        assert!(thread.join().unwrap().into_iter().all(Outcome::is_acknowledged));
    }
    for at in 0..THREADS {
        let topic = format!("from/{at}");
        let numbers = harness.world.messages().into_iter().filter(|m| m.topic == topic).map(number);
        assert!(numbers.eq(0..EACH), "in order");
    }
    assert!(harness.world.outcomes().is_empty(), "the threads were told, and nobody else");
    let remote = client.remote();
    harness.close(&client);
    assert!(remote.is_closed() && client.remote().is_closed());
    assert_eq!(remote.publish(Publish::new("t", "")).unwrap_err().refusal(), PublishRefusal::Closed);
}

#[test]
fn remotes_have_a_bound_of_their_own_and_an_end() {
    let (_silent, url) = listen();
    let mut harness = Harness::new();
    let client = harness.join(options(&url).queue(2, 1 << 20));
    let remote = client.remote();
    let kept = [(); 2].map(|()| remote.publish(Publish::new("t", "x")).unwrap());
    let full = remote.clone().publish(Publish::new("t", "3")).unwrap_err();
    assert_eq!((full.refusal(), full.into_publish().payload()), (PublishRefusal::QueueFull, &b"3"[..]));
    harness.run_for(Duration::from_millis(20));
    assert_eq!(client.backlog().waiting, 2);
    assert_eq!(kept[0].wait_timeout(Duration::from_millis(10)), None);
    assert_eq!(kept[0].outcome(), None);
    // Beside them the loop's own have the policy's answer.
    assert_eq!(client.publish(Publish::new("t", "x")).unwrap_err().refusal(), PublishRefusal::QueueFull);
    drop(harness);
    assert!(kept.iter().all(|delivery| delivery.wait() == Outcome::Dropped(Dropped::Closed)));
    assert_eq!(remote.publish(Publish::new("t", "x")).unwrap_err().refusal(), PublishRefusal::Closed);
}

#[test]
fn qos_0_without_a_connection_is_dropped_or_waits_as_the_client_says() {
    let Some(broker) = Broker::start() else { return };
    for waits in [false, true] {
        let mut harness = Harness::new();
        let client = harness.join(options(&broker.url()).queue_qos0(waits));
        let plain = || Publish::new("t", "x").qos(QoS::AtMostOnce);
        let remote = client.remote().publish(plain()).unwrap();
        let own = client.publish(plain());
        assert_eq!(own.is_ok(), waits);
        harness.until("connected", |world| world.connections() == 1);
        let expected = if waits { Outcome::Sent } else { Outcome::Dropped(Dropped::ConnectionLost) };
        harness.until("an outcome", |_| remote.outcome() == Some(expected));
        if let Ok(own) = own {
            assert_eq!(own.outcome(), Some(Outcome::Sent));
        }
    }
}

/// What a handler holds, and lets go of.
#[derive(Default)]
struct Holdings {
    client: Option<Client>,
    deliveries: Vec<Delivery>,
    seen: Vec<String>,
}

#[test]
fn a_handler_may_let_go_of_everything() {
    let Some(broker) = Broker::start() else { return };
    let kinds = ["Connected", "Subscribed", "Message", "Delivered", "then", "Disconnected", "Closed"];
    for (closes, kind) in [false, true].into_iter().flat_map(|closes| kinds.map(|kind| (closes, kind))) {
        // A loss is had from a port where nobody is.
        let url = if kind == "Disconnected" { "mqtt://127.0.0.1:1".to_owned() } else { broker.url() };
        let mut event_loop = Loop::new().unwrap();
        let client = Client::join(&mut event_loop, options(&url), move |held: &mut Holdings, ctx, client, event| {
            let text = format!("{event:?}");
            if matches!(event, Event::Connected { .. }) {
                client.subscribe("t", QoS::ExactlyOnce)?;
                let then = move |held: &mut Holdings, _: &mut _, client: &Client, _| {
                    if kind == "then" {
                        let_go(held, client, closes);
                    }
                    client.publish(Publish::new("t", "2")).map(|delivery| held.deliveries.push(delivery)).ok();
                    Ok(())
                };
                held.deliveries.push(client.publish_then(ctx, Publish::new("t", "1"), then)?);
                held.deliveries.push(client.publish(Publish::new("t", "3").qos(QoS::ExactlyOnce))?);
            }
            if text.starts_with(kind) {
                let_go(held, client, closes);
            }
            held.seen.push(text);
            Ok(())
        })
        .unwrap();
        let mut held = Holdings { client: Some(client.clone()), ..Holdings::default() };
        let other = client;
        let end = Instant::now() + LONG;
        let has = |held: &Holdings, what: &str| held.seen.iter().any(|text| text.starts_with(what));
        let settled = |held: &Holdings| held.seen.iter().filter(|text| text.starts_with("Delivered")).count() >= 2;
        while !(other.is_closed() || settled(&held) || kind == "Disconnected" && has(&held, kind)) {
            assert!(Instant::now() < end, "{kind}: {:?}", held.seen);
            event_loop.turn(&mut held, Some(Duration::from_millis(100))).unwrap();
        }
        other.close();
        event_loop.run(&mut held).unwrap();
        assert!(has(&held, "Closed"), "{kind}: {:?}", held.seen);
        assert!(held.deliveries.iter().all(|delivery| delivery.outcome().is_some()));
    }
}

fn let_go(held: &mut Holdings, client: &Client, closes: bool) {
    if closes {
        client.close();
    }
    held.deliveries.clear();
    held.client = None;
}

/// A client of the subscriber's, with a session that the broker keeps over everything.
fn subscriber(harness: &mut Harness, broker: &Broker) -> Client {
    let opts = options(&broker.url()).client_id("subscriber").session(Session::Kept);
    let client = harness.join(opts);
    client.subscribe("once", QoS::ExactlyOnce).unwrap();
    harness.until("subscribed", |world| world.has(|e| matches!(e, Event::Subscribed { granted: Ok(_), .. })));
    client
}

/// Publishes at QoS 2, has something done to the broker now and then, and compares what was told with what arrived.
fn under_trouble(protocol: Protocol, config: &str, mut trouble: impl FnMut(&mut Broker, &mut Harness), forgets: bool) {
    const TOTAL: usize = 600;
    let Some(mut broker) = Broker::mosquitto(config) else { return };
    let mut listening = Harness::new();
    let _subscriber = subscriber(&mut listening, &broker);
    let mut harness = Harness::new();
    let opts = options(&broker.url()).protocol(protocol).keep_alive(Duration::from_secs(5));
    let client = harness.join(opts.queue(TOTAL, 1 << 20));
    let mut deliveries = Vec::new();
    for step in 0..3 {
        for _ in 0..TOTAL / 3 {
            let n = deliveries.len();
            deliveries.push(client.publish(Publish::new("once", payload(n)).qos(QoS::ExactlyOnce)).unwrap());
        }
        harness.until("some answers", |world| world.outcomes().len() > step * TOTAL / 3 + 50);
        trouble(&mut broker, &mut harness);
    }
    harness.until("all answers", |world| world.outcomes().len() == TOTAL);
    let acknowledged = deliveries.iter().filter(|d| d.outcome().unwrap().is_acknowledged()).count();
    listening.until("what was acknowledged", |world| forgets || world.messages().len() >= acknowledged);
    listening.run_for(Duration::from_millis(200));
    let mut seen = HashMap::new();
    for message in listening.world.messages() {
        *seen.entry(number(message)).or_insert(0) += 1;
    }
    for (n, delivery) in deliveries.iter().enumerate() {
        let times = seen.get(&n).copied().unwrap_or(0);
        match delivery.outcome().unwrap() {
            // A broker without a memory loses what it has acknowledged and not passed on.
            Outcome::Acknowledged(_) => assert!(times == 1 || forgets && times == 0, "{n}: {times} times"),
            Outcome::Uncertain(Uncertain::SessionLost) => assert!(forgets && times <= 2, "{n}: {times} times"),
            other => panic!("{n}: {other}"),
        }
    }
    if !forgets {
        assert!(listening.world.messages().into_iter().map(number).eq(0..TOTAL), "in order");
    }
}

#[test]
fn a_broker_with_a_memory_that_is_restarted_passes_each_message_on_once() {
    for protocol in [Protocol::V311, Protocol::V5] {
        let restart = |broker: &mut Broker, _: &mut Harness| {
            broker.terminate();
            broker.restart();
        };
        under_trouble(protocol, Broker::REMEMBERS, restart, false);
    }
}

#[test]
fn a_broker_that_is_killed_passes_no_message_on_more_often_than_told() {
    for protocol in [Protocol::V311, Protocol::V5] {
        under_trouble(protocol, "allow_anonymous true\nmax_queued_messages 0", |broker, _| broker.restart(), true);
    }
}

#[test]
fn a_broker_that_freezes_until_it_is_left_passes_each_message_on_once() {
    let mut frozen = false;
    let freeze = |broker: &mut Broker, harness: &mut Harness| {
        // Once will do: it takes twice the keep-alive.
        if !std::mem::replace(&mut frozen, true) {
            broker.freeze();
            harness.until("a loss", |world| world.has(|e| matches!(e, Event::Disconnected { .. })));
            broker.thaw();
        }
    };
    under_trouble(Protocol::V5, "allow_anonymous true\nmax_queued_messages 0", freeze, false);
}

/// A client for each of many, all on one loop and at one broker; `BECKET_MQTT_CLIENTS` says how many.
#[test]
fn many_clients_on_one_loop_all_publish_and_subscribe() {
    const EACH: usize = 3;
    let count = env::var("BECKET_MQTT_CLIENTS").ok().map_or(100, |n| n.parse().expect("a number"));
    // Three descriptors for each client, and one at the broker.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if limit.maximum.is_some_and(|n| n < count as u64 * 5 + 100) {
        println!("SKIP: {count} clients need more descriptors than {limit:?}");
        return;
    }
    let Some(broker) = Broker::mosquitto("allow_anonymous true") else { return };
    let mut harness = Harness::new();
    let before = resident();
    let opts = options(&broker.url()).connect_timeout(LONG);
    let clients: Vec<_> = (0..count).map(|_| harness.join(opts.clone())).collect();
    for (at, client) in clients.iter().enumerate() {
        client.subscribe(&format!("many/{at}"), QoS::AtLeastOnce).unwrap();
    }
    let granted = |world: &World| world.count(|e| matches!(e, Event::Subscribed { granted: Ok(_), .. }));
    harness.until("all subscribed", |world| granted(world) == count);
    println!("{} KiB for each of {count} clients", (resident() - before) / count);
    for n in 0..EACH {
        for (at, client) in clients.iter().enumerate() {
            let qos = QoS::try_from((at % 3) as u8).unwrap();
            client.publish(Publish::new(format!("many/{}", (at + 1) % count), payload(n)).qos(qos)).unwrap();
        }
    }
    harness.until("all messages", |world| {
        world.messages().len() == count * EACH && world.outcomes().len() == count * EACH
    });
    let mut got: HashMap<String, Vec<usize>> = HashMap::new();
    for message in harness.world.messages() {
        got.entry(message.topic.clone()).or_default().push(number(message));
    }
    assert!(got.len() == count && got.values().all(|numbers| (0..EACH).eq(numbers.iter().copied())));
    for client in &clients {
        client.close();
    }
    harness.until("the end", |world| world.count(|e| *e == Event::Closed) == count);
    assert_eq!(harness.ctx.run(&mut harness.world).unwrap(), 0);
}

/// KiB of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_policy_for_a_full_queue_is_kept() {
    let (_silent, url) = listen();
    let plain = || Publish::new("t", "0").qos(QoS::AtMostOnce);
    let acked = || Publish::new("t", "1");
    let full = |options: Options| {
        let mut harness = Harness::new();
        let client = harness.join(options.queue(3, 1 << 20).queue_qos0(true));
        let kept = [acked(), plain(), acked()].map(|publish| client.publish(publish).unwrap());
        let last = client.publish(acked());
        let outcomes = kept.map(|delivery| delivery.outcome());
        (outcomes, last.map_err(|e| e.refusal()).is_ok(), client.publish(plain()).is_ok())
    };
    let gone = Some(Outcome::Dropped(Dropped::QueueFull));
    for (policy, expected) in [
        (WhenFull::Wait, ([None; 3], false, false)),
        (WhenFull::Refuse, ([None; 3], false, false)),
        (WhenFull::DropOldestQoS0, ([None, gone, None], true, false)),
        (WhenFull::DropOldest, ([gone, None, None], true, true)),
    ] {
        assert_eq!(full(options(&url).when_full(policy)), expected, "{policy:?}");
    }
}

#[test]
fn a_hundred_thousand_messages_wait_and_each_is_told_of_its_end() {
    const COUNT: usize = 100_000;
    let (_silent, url) = listen();
    let mut harness = Harness::new();
    let client = harness.join(options(&url).queue(COUNT, usize::MAX));
    let mut deliveries = Vec::with_capacity(COUNT);
    let before = resident();
    for _ in 0..COUNT {
        deliveries.push(client.publish(Publish::new("plant/boiler/temp", [0; 64])).unwrap());
    }
    println!("{} bytes for each of {COUNT} messages of 64 that wait", (resident() - before) * 1024 / COUNT);
    assert_eq!(client.backlog().waiting, COUNT);
    harness.close(&client);
    assert!(deliveries.iter().all(|d| d.outcome() == Some(Outcome::Dropped(Dropped::Closed))));
    assert_eq!(harness.world.outcomes().len(), COUNT);
}
