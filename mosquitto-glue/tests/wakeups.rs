//! How often the loop wakes up for a client that has nothing to do: counted, on every backend.

mod support;

use becket_loop::{Loop, backend};
use becket_mosquitto::{Event, Options, Protocol, Publish, QoS};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;
use support::broker::{Broker, free_port};
use support::proxy::{Act, Pace, Place, Proxy, Script, Way};
use support::server::{Server, connack};
use support::{Harness, World, listen, options, read_packet};

/// For how long an idle client is watched.
const WATCHED: Duration = Duration::from_millis(2500);

/// How often it may turn the loop meanwhile: the library's clock is looked at once a second, which is a turn for
/// the timer, and there may be one for what the timer had sent.
const IDLE: u64 = 8;

/// A harness over each backend.
fn backends() -> Vec<(&'static str, Harness)> {
    let all: [(&str, Loop<World>); 2] = [
        ("epoll", Loop::with_backend(backend::Epoll::new().unwrap())),
        ("poll", Loop::with_backend(backend::Poll::new().unwrap())),
    ];
    all.into_iter().map(|(name, ctx)| (name, Harness { ctx, world: World::default(), turns: 0 })).collect()
}

/// Waits and callbacks of the loop so far.
fn wakes(harness: &Harness) -> u64 {
    let stats = harness.ctx.stats();
    stats.waits + stats.callbacks
}

/// What the loop does in the time that an idle client is watched.
fn watch(harness: &mut Harness) -> u64 {
    let before = harness.ctx.stats().waits;
    harness.run_for(WATCHED);
    harness.ctx.stats().waits - before
}

#[test]
fn a_connection_that_is_idle() {
    let Some(broker) = Broker::start() else { return };
    for (name, mut harness) in backends() {
        harness.join(options(&broker.url()));
        harness.until("connected", |world| world.connections() == 1);
        let waits = watch(&mut harness);
        assert!(waits <= IDLE, "{name}: {waits}");
    }
}

#[test]
fn a_server_that_accepts_and_is_silent() {
    let (_silent, url) = listen();
    for (name, mut harness) in backends() {
        harness.join(options(&url).connect_timeout(Duration::from_secs(60)));
        let waits = watch(&mut harness);
        assert!(waits <= IDLE, "{name}: {waits}");
    }
}

#[test]
fn a_server_whose_queue_of_connections_is_full() {
    let listener = rustix_listener();
    let address = listener.local_addr().unwrap();
    // The kernel takes one more than it was asked to.
    let _full: Vec<_> =
        (0..4).map_while(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()).collect();
    for (name, mut harness) in backends() {
        harness.join(options(&format!("mqtt://{address}")).connect_timeout(Duration::from_secs(60)));
        let waits = watch(&mut harness);
        assert!(waits <= IDLE, "{name}: {waits}");
        assert!(!harness.world.has(|e| matches!(e, Event::Disconnected { .. })), "{name}");
    }
}

/// A listener that queues one connection.
fn rustix_listener() -> TcpListener {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&fd, &std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    listen(&fd, 0).unwrap();
    fd.into()
}

#[test]
fn a_black_hole_with_messages_under_way() {
    let Some(broker) = Broker::start() else { return };
    for (name, mut harness) in backends() {
        let proxy = Proxy::new(broker.port());
        // The first answer to a message is the last thing that anybody hears.
        let place = Place { way: Way::Down, kind: 4, nth: 0, bytes: 0 };
        proxy.script([Script::act(place, Act::BlackHole)]);
        let client = harness.join(options(&proxy.url()));
        client.subscribe("t", QoS::ExactlyOnce).unwrap();
        for _ in 0..100 {
            client.publish(Publish::new("t", "x")).unwrap();
        }
        harness.until("the hole", |_| proxy.done() == 1);
        harness.run_for(Duration::from_millis(100));
        let waits = watch(&mut harness);
        assert!(waits <= IDLE, "{name}: {waits}");
    }
}

#[test]
fn a_server_that_reads_no_more() {
    for (name, mut harness) in backends() {
        let server = Server::start(|_, mut stream| {
            read_packet(&mut stream);
            stream.write_all(&connack(Protocol::V311, 0)).unwrap();
            std::thread::sleep(WATCHED * 3);
        });
        let client = harness.join(options(&server.url()));
        harness.until("connected", |world| world.connections() == 1);
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            client.publish(Publish::new("t", vec![0; 32 << 20]).qos(qos)).unwrap();
        }
        // The kernel's buffers grow for a while.
        harness.run_for(Duration::from_millis(500));
        let waits = watch(&mut harness);
        assert!(waits <= IDLE, "{name}: {waits}");
    }
}

#[test]
fn a_packet_that_is_half_there() {
    for (name, mut harness) in backends() {
        let server = Server::start(|_, mut stream| {
            read_packet(&mut stream);
            stream.write_all(&connack(Protocol::V311, 0)).unwrap();
            stream.write_all(&[0x30, 0xff, 0xff, 0x7f, 0, 1, b't']).unwrap();
            let _ = stream.read(&mut [0; 100]);
            std::thread::sleep(WATCHED * 2);
        });
        harness.join(options(&server.url()));
        harness.until("connected", |world| world.connections() == 1);
        let waits = watch(&mut harness);
        assert!(waits <= IDLE, "{name}: {waits}");
    }
}

#[test]
fn one_byte_at_a_time_is_a_turn_for_each() {
    let Some(broker) = Broker::start() else { return };
    for (name, mut harness) in backends() {
        let proxy = Proxy::new(broker.port());
        proxy.script([Script::pace(Pace::Bytes(Duration::from_millis(1)))]);
        let client = harness.join(options(&proxy.url()));
        client.subscribe("t", QoS::ExactlyOnce).unwrap();
        client.publish(Publish::new("t", [b'x'; 200]).qos(QoS::ExactlyOnce)).unwrap();
        harness.until("all", |world| !world.messages().is_empty() && !world.outcomes().is_empty());
        let bytes: usize =
            proxy.passed().iter().filter(|packet| packet.way == Way::Down).map(|packet| packet.len).sum();
        let waits = harness.ctx.stats().waits;
        // Two turns for each byte at most, and those of the connection.
        assert!(waits <= 2 * bytes as u64 + 30, "{name}: {waits} for {bytes} bytes");
    }
}

#[test]
fn a_back_off_is_slept_through() {
    for (name, mut harness) in backends() {
        let nobody = Options::new(format!("mqtt://127.0.0.1:{}", free_port()).parse().unwrap());
        harness.join(nobody.backoff(Duration::from_secs(3600), Duration::from_secs(3600)));
        harness.run_for(Duration::from_millis(200));
        assert!(harness.world.has(|e| matches!(e, Event::Disconnected { .. })));
        let waits = watch(&mut harness);
        // The wait is random, from nothing on.
        let attempts = harness.world.events.len() as u64;
        assert!(waits <= IDLE + 6 * (attempts - 1), "{name}: {waits}, {attempts} attempts");
    }
}

#[test]
fn a_server_that_accepts_and_closes_is_not_called_ever_so_often() {
    for (name, mut harness) in backends() {
        let server = Server::start(|_, mut stream| {
            read_packet(&mut stream);
            stream.write_all(&connack(Protocol::V311, 0)).unwrap();
        });
        harness.join(options(&server.url()).backoff(Duration::from_millis(50), Duration::from_secs(60)));
        harness.run_for(WATCHED);
        let attempts = server.accepted();
        // The ceilings double: 50 ms, 100 ms, and so on, of which half is waited on average.
        assert!((2..=20).contains(&attempts), "{name}: {attempts} attempts");
        let wakes = wakes(&harness);
        assert!(wakes <= 30 * attempts as u64, "{name}: {wakes} for {attempts} attempts");
    }
}
