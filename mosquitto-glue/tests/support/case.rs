//! One client behind a proxy, and many of them side by side.

use super::broker::Broker;
use super::proxy::{Proxy, Script};
use super::subscriber::Subscriber;
use super::{Harness, LONG, options};
use becket_mosquitto::{Client, Delivery, Event, Options, Outcome, Protocol, Publish, QoS, Reason};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub const FOLDER: &str = "case";

/// More turns of the loop than any of these cases needs.
pub const TURNS: usize = 500;

/// A client that is soon back.
pub fn soon_back(url: &str, protocol: Protocol) -> Options {
    options(url).protocol(protocol).backoff(Duration::from_millis(1), Duration::from_millis(10)).log(None)
}

/// One client behind a proxy of its own, which publishes to itself.
pub struct Case {
    pub proxy: Proxy,
    pub harness: Harness,
    pub client: Client,
    pub topic: String,
    pub deliveries: Vec<Delivery>,
}

impl Case {
    pub fn new(broker: &Broker, number: usize, protocol: Protocol, scripts: impl IntoIterator<Item = Script>) -> Case {
        Self::with(broker, number, scripts, |url| soon_back(url, protocol).connect_timeout(Duration::from_secs(2)))
    }

    pub fn with(
        broker: &Broker,
        number: usize,
        scripts: impl IntoIterator<Item = Script>,
        options: impl FnOnce(&str) -> Options,
    ) -> Case {
        Self::through(Proxy::new(broker.port()), number, scripts, |port| options(&format!("mqtt://127.0.0.1:{port}")))
    }

    pub fn through(
        proxy: Proxy,
        number: usize,
        scripts: impl IntoIterator<Item = Script>,
        options: impl FnOnce(u16) -> Options,
    ) -> Case {
        proxy.script(scripts);
        let mut harness = Harness::new();
        let client = harness.join(options(proxy.port()));
        // All of one length, so that all packets are.
        let topic = format!("{FOLDER}/{number:05}");
        Case { proxy, harness, client, topic, deliveries: Vec::new() }
    }

    pub fn subscribe(&mut self) {
        self.client.subscribe(&self.topic, QoS::ExactlyOnce).unwrap();
        self.harness.until("subscribed", |world| world.has(|e| matches!(e, Event::Subscribed { granted: Ok(_), .. })));
    }

    /// Publishes, and waits for the answer and for the message.
    pub fn exchange(&mut self, payload: &str) {
        self.deliveries.push(self.client.publish(Publish::new(&*self.topic, payload).qos(QoS::ExactlyOnce)).unwrap());
        let n = self.deliveries.len();
        self.harness.until(payload, |world| world.outcomes().len() >= n && world.messages().len() >= n);
    }

    /// Subscribes and publishes, sees that the act came to pass, and publishes once more: everything came once.
    pub fn run(&mut self) {
        self.subscribe();
        self.exchange("x");
        let end = Instant::now() + LONG;
        while self.proxy.done() == 0 {
            assert!(Instant::now() < end, "it did not come to pass");
            self.harness.run_for(Duration::from_millis(5));
        }
        self.exchange("y");
        let payloads: Vec<_> = self.harness.world.messages().iter().map(|m| m.payload.clone()).collect();
        assert_eq!(payloads, [b"x", b"y"]);
        assert_eq!(self.harness.world.outcomes().len(), 2);
        assert!(self.deliveries.iter().all(|d| d.outcome().is_some_and(Outcome::is_acknowledged)));
        assert!(self.harness.turns < TURNS, "{} turns", self.harness.turns);
        self.harness.close(&self.client);
    }

    pub fn reasons(&self) -> Vec<Reason> {
        let reason = |e: &Event| match e {
            Event::Disconnected { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        self.harness.world.events.iter().filter_map(reason).collect()
    }
}

/// Runs each of `cases`, numbered from 1, a few at a time; says which one failed.
pub fn side_by_side<T: Sync + std::fmt::Debug>(threads: usize, cases: &[T], run: impl Fn(usize, &T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let n = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(case) = cases.get(n)
                {
                    let named = Named(case);
                    run(n + 1, case);
                    drop(named);
                }
            });
        }
    });
}

/// Says what it is about when a panic passes by.
struct Named<'a, T: std::fmt::Debug>(&'a T);

impl<T: std::fmt::Debug> Drop for Named<'_, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("this was {:?}", self.0);
        }
    }
}

/// The witness saw both messages of each of the cases once, and nothing else.
pub fn once_each(witness: Subscriber, cases: usize) {
    let seen = witness.seen();
    for n in 1..=cases {
        for payload in ["x", "y"] {
            assert_eq!(seen.get(&(format!("{n:05}"), payload.to_owned())), Some(&1), "{payload} of {n}");
        }
    }
    assert_eq!(seen.keys().filter(|(topic, _)| topic != "00000").count(), 2 * cases);
}

/// Whether this is how a connection ends that somebody else broke.
pub fn is_loss(reason: &Reason) -> bool {
    matches!(reason, Reason::Lost | Reason::Os(libc::ECONNRESET | libc::EPIPE))
}
