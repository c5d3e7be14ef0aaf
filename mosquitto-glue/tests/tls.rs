//! TLS: against mosquitto, and against servers of the tests' own.

mod support;

use becket_mosquitto::{
    Acknowledge, Client, Event, Options, OptionsError, Publish, QoS, Reason, Session, Tls, TlsVersion,
};
use openssl::ssl::{AlpnError, NameType, SslAcceptor, SslAcceptorBuilder, SslMethod, SslStream, SslVersion};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use support::broker::{Broker, free_port};
use support::certs::{Authority, Pair};
use support::{Harness, LONG, World, options};

/// CONNACK of MQTT 3.1.1: no session, accepted.
const ACCEPTED: &[u8] = &[0x20, 2, 0, 0];

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let name = format!("becket-tls-{}-{}", std::process::id(), free_port());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A mosquitto with one more listener, of these lines.
fn mosquitto(listener: &str) -> Option<(Broker, u16)> {
    let port = free_port();
    let broker = Broker::mosquitto(&format!("allow_anonymous true\nlistener {port} 127.0.0.1\n{listener}"))?;
    Some((broker, port))
}

/// A mosquitto that shows this certificate.
fn mosquitto_with(folder: &Folder, pair: &Pair, more: &str) -> Option<(Broker, u16)> {
    let cert = folder.write("server.pem", &pair.cert_pem());
    let key = folder.write("server.key", &pair.key_pem());
    mosquitto(&format!("certfile {}\nkeyfile {}\n{more}", cert.display(), key.display()))
}

fn url(port: u16) -> String {
    format!("mqtts://localhost:{port}")
}

fn reasons(world: &World) -> Vec<&Reason> {
    fn reason(event: &Event) -> Option<&Reason> {
        match event {
            Event::Disconnected { reason, .. } | Event::Failed(reason) => Some(reason),
            _ => None,
        }
    }
    world.events.iter().filter_map(reason).collect()
}

fn connects(options: Options) -> (Harness, Client) {
    let mut harness = Harness::new();
    let client = harness.join(options);
    harness.until("connected", |world| world.connections() == 1);
    (harness, client)
}

/// The first reason, other than that nobody listens yet, why a connection does not come about.
fn refusal(options: Options) -> (Harness, Reason) {
    let mut harness = Harness::new();
    harness.join(options);
    let told = |world: &World| {
        let refused = |r: &&Reason| r.raw_os_error() != Some(libc::ECONNREFUSED);
        reasons(world).into_iter().find(refused).cloned()
    };
    harness.until("a refusal", |world| told(world).is_some());
    let reason = told(&harness.world).unwrap();
    assert_eq!(harness.world.connections(), 0);
    (harness, reason)
}

fn is_failed(harness: &Harness) -> bool {
    matches!(harness.world.events.last(), Some(Event::Failed(_)))
}

/// A server of one's own that speaks TLS.
struct Server {
    listener: TcpListener,
    acceptor: SslAcceptor,
}

impl Server {
    fn new(pair: &Pair, f: impl FnOnce(&mut SslAcceptorBuilder)) -> (Server, u16) {
        let mut b = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        b.set_certificate(&pair.cert).unwrap();
        b.set_private_key(&pair.key).unwrap();
        f(&mut b);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (Server { listener, acceptor: b.build() }, port)
    }

    /// Accepts a client, up to its CONNECT.
    fn accept(&self) -> SslStream<TcpStream> {
        let stream = self.listener.accept().unwrap().0;
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut stream = self.acceptor.accept(stream).unwrap();
        assert_eq!(read_packet(&mut stream)[0], 0x10);
        stream
    }

    /// Accepts a client and has `f` talk to it, on another thread.
    fn serve<T: Send + 'static>(
        self,
        f: impl FnOnce(&mut SslStream<TcpStream>) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        thread::spawn(move || {
            let mut stream = self.accept();
            stream.write_all(ACCEPTED).unwrap();
            f(&mut stream)
        })
    }
}

fn read_packet(stream: &mut impl Read) -> Vec<u8> {
    let mut packet = vec![0; 2];
    stream.read_exact(&mut packet).unwrap();
    packet.resize(2 + usize::from(packet[1]), 0);
    stream.read_exact(&mut packet[2..]).unwrap();
    packet
}

#[test]
fn messages_go_both_ways() {
    let (folder, authority) = (Folder::new(), Authority::new("Authority"));
    let Some((_broker, port)) = mosquitto_with(&folder, &authority.issue(&["localhost"], &[], 1), "") else { return };
    let tls = Tls::new().ca_pem(authority.pem()).unwrap();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let (mut harness, client) = connects(options(&url(port)).tls(tls.clone().min_version(version)));
        client.subscribe("t", QoS::ExactlyOnce).unwrap();
        let large = vec![b'x'; 1 << 20];
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            client.publish(Publish::new("t", large.clone()).qos(qos)).unwrap();
        }
        harness.until("the messages", |world| world.messages().len() == 3 && world.outcomes().len() == 3);
        assert!(harness.world.messages().iter().all(|m| m.payload == large));
        harness.close(&client);
        assert!(reasons(&harness.world).is_empty());
    }
}

#[test]
fn a_client_outlives_its_broker_and_its_files() {
    let (folder, authority) = (Folder::new(), Authority::new("Authority"));
    let Some((mut broker, port)) = mosquitto_with(&folder, &authority.issue(&["localhost"], &[], 1), "") else {
        return;
    };
    let ca = folder.write("ca.pem", &authority.pem());
    for session in [Session::PerConnection, Session::PerClient, Session::Kept] {
        let tls = Tls::new().ca_file(&ca).unwrap();
        let (mut harness, client) = connects(options(&url(port)).tls(tls).client_id("me").session(session));
        fs::remove_file(&ca).unwrap();
        broker.kill();
        harness.until("a loss", |world| !reasons(world).is_empty());
        assert!(matches!(reasons(&harness.world)[0], Reason::Lost), "{:?}", reasons(&harness.world));
        harness.until("an attempt", |world| reasons(world).len() >= 3);
        assert_eq!(reasons(&harness.world)[2].raw_os_error(), Some(libc::ECONNREFUSED));
        broker.restart();
        harness.until("connected again", |world| world.connections() == 2);
        client.publish(Publish::new("t", "x")).unwrap();
        harness.until("an answer", |world| world.outcomes().iter().any(|(_, o)| o.is_acknowledged()));
        fs::write(&ca, authority.pem()).unwrap();
    }
}

#[test]
fn the_name_is_asked_for_and_looked_at() {
    let authority = Authority::new("Authority");
    let tls = || Tls::new().ca_pem(authority.pem()).unwrap();
    let asked_for = |stream: &mut SslStream<TcpStream>| stream.ssl().servername(NameType::HOST_NAME).map(str::to_owned);
    let pair = authority.issue(&["localhost", "broker.example"], &["127.0.0.1"], 1);
    for (host, tls, sni) in [
        ("localhost", tls(), Some("localhost")),
        ("127.0.0.1", tls(), None),
        ("127.0.0.1", tls().server_name("broker.example").unwrap(), Some("broker.example")),
        ("localhost", tls().server_name("127.0.0.1").unwrap(), None),
    ] {
        let (server, port) = Server::new(&pair, |_| {});
        let server = server.serve(asked_for);
        connects(options(&format!("mqtts://{host}:{port}")).tls(tls));
        assert_eq!(server.join().unwrap().as_deref(), sni, "{host}");
    }
}

#[test]
fn each_connection_asks_for_the_name_anew() {
    let authority = Authority::new("Authority");
    let (server, port) = Server::new(&authority.issue(&["localhost"], &[], 1), |_| {});
    let server = thread::spawn(move || {
        for _ in 0..3 {
            let mut stream = server.accept();
            assert_eq!(stream.ssl().servername(NameType::HOST_NAME), Some("localhost"));
            stream.write_all(ACCEPTED).unwrap();
        }
    });
    let mut harness = Harness::new();
    harness.join(options(&url(port)).tls(Tls::new().ca_pem(authority.pem()).unwrap()));
    harness.until("three connections", |world| world.connections() == 3);
    server.join().unwrap();
}

#[test]
fn whoever_is_not_the_broker_is_refused_for_good() {
    let (authority, stranger) = (Authority::new("Authority"), Authority::new("Stranger"));
    let tls = || Tls::new().ca_pem(authority.pem()).unwrap();
    let other_name = authority.issue(&["other.example"], &["127.0.0.2"], 1);
    let expired = authority.issue(&["localhost"], &[], -1);
    let unknown = stranger.issue(&["localhost"], &["127.0.0.1"], 1);
    let fine = authority.issue(&["localhost"], &[], 1);
    for (pair, host, tls, why) in [
        (
            &other_name,
            "localhost",
            tls(),
            "hostname mismatch: the certificate is `other.example`, the broker's name `localhost`",
        ),
        (&other_name, "127.0.0.1", tls(), "IP address mismatch"),
        (&expired, "localhost", tls(), "certificate has expired: the certificate is `localhost`"),
        (&expired, "localhost", tls().danger_accept_any_name(), "certificate has expired"),
        (&unknown, "localhost", tls(), "unable to get local issuer certificate"),
        (&unknown, "localhost", tls().danger_accept_any_name(), "unable to get local issuer certificate"),
        (&fine, "localhost", tls().server_name("other.example").unwrap(), "hostname mismatch"),
        (&fine, "localhost", Tls::new().psk("me", "secret").unwrap(), "unable to get local issuer certificate"),
    ] {
        let (server, port) = Server::new(pair, |b| drop(b.set_max_proto_version(Some(SslVersion::TLS1_2))));
        let server = thread::spawn(move || {
            let stream = server.listener.accept().unwrap().0;
            server.acceptor.accept(stream).map(drop).unwrap_err();
        });
        let (harness, reason) = refusal(options(&format!("mqtts://{host}:{port}")).tls(tls));
        assert!(matches!(&reason, Reason::Untrusted(text) if text.contains(why)), "{why}: {reason}");
        assert!(is_failed(&harness), "{:?}", harness.world.events);
        server.join().unwrap();
    }
}

#[test]
fn the_systems_authorities_are_the_default() {
    let (server, port) = Server::new(&Authority::new("Stranger").issue(&["localhost"], &[], 1), |_| {});
    let options = options(&url(port));
    if let Err(e) = options.check() {
        assert_eq!(e.to_string(), "TLS: authorities of the system: none were found; name some");
        println!("SKIP: this system has no certificates of authorities");
        return;
    }
    let server = thread::spawn(move || server.acceptor.accept(server.listener.accept().unwrap().0).map(drop));
    let (harness, reason) = refusal(options);
    assert!(matches!(reason, Reason::Untrusted(_)), "{reason}");
    assert!(is_failed(&harness));
    assert!(server.join().unwrap().is_err());
}

#[test]
fn what_is_dangerous_has_to_be_said() {
    let (authority, stranger) = (Authority::new("Authority"), Authority::new("Stranger"));
    let other_name = authority.issue(&["other.example"], &[], 1);
    let expired = stranger.issue(&["other.example"], &[], -1);
    let tls = Tls::new().ca_pem(authority.pem()).unwrap();
    for (pair, tls) in
        [(&other_name, tls.danger_accept_any_name()), (&expired, Tls::new().danger_accept_invalid_certs())]
    {
        let (server, port) = Server::new(pair, |_| {});
        let server = server.serve(|_| ());
        connects(options(&url(port)).tls(tls));
        server.join().unwrap();
    }
}

#[test]
fn a_client_that_does_not_give_up_finds_the_mended_broker() {
    let (folder, authority) = (Folder::new(), Authority::new("Authority"));
    let expired = authority.issue(&["localhost"], &[], -1);
    let Some((mut broker, port)) = mosquitto_with(&folder, &expired, "") else { return };
    let tls = Tls::new().ca_pem(authority.pem()).unwrap();
    let (mut harness, reason) = refusal(options(&url(port)).tls(tls).give_up_when(|_| false));
    assert!(matches!(reason, Reason::Untrusted(_)), "{reason}");
    let renewed = authority.issue(&["localhost"], &[], 1);
    folder.write("server.pem", &renewed.cert_pem());
    folder.write("server.key", &renewed.key_pem());
    broker.restart();
    harness.until("connected", |world| world.connections() == 1);
}

#[test]
fn a_url_says_it_all() {
    let (folder, authority) = (Folder::new(), Authority::new("Authority"));
    let ca = folder.write("ca.pem", &authority.pem());
    let config = format!("cafile {}\nrequire_certificate true", ca.display());
    let Some((_broker, port)) = mosquitto_with(&folder, &authority.issue(&["localhost"], &[], 1), &config) else {
        return;
    };
    let pair = authority.issue(&["client"], &[], 1);
    let both = folder.write("client.pem", &[pair.cert_pem(), pair.key_pem()].concat());
    let url = format!("mqtts://127.0.0.1:{port}?cafile={}&cert={}", ca.display(), both.display());
    connects(Options::from_url(&format!("{url}&server_name=localhost&version=5&keepalive=9")).unwrap());
    refusal(Options::from_url(&url).unwrap());
}

#[test]
fn a_client_shows_its_certificate() {
    let (folder, authority) = (Folder::new(), Authority::new("Authority"));
    let ca = folder.write("ca.pem", &authority.pem());
    let config = format!("cafile {}\nrequire_certificate true\nuse_identity_as_username true", ca.display());
    let Some((_broker, port)) = mosquitto_with(&folder, &authority.issue(&["localhost"], &[], 1), &config) else {
        return;
    };
    let tls = || Tls::new().ca_file(&ca).unwrap();
    let pair = authority.issue(&["client"], &[], 1);
    let cert = folder.write("client.pem", &pair.cert_pem());
    let key = folder.write("client.key", &pair.encrypted_key_pem("open sesame"));
    for tls in [
        tls().client_cert_files(&cert, &key, Some("open sesame")).unwrap(),
        tls().client_cert_pem(pair.cert_pem(), pair.key_pem(), None).unwrap(),
    ] {
        fs::remove_file(&cert).unwrap_or_default();
        connects(options(&url(port)).tls(tls));
    }
    let stranger = Authority::new("Stranger").issue(&["client"], &[], 1);
    let strange = tls().client_cert_pem(stranger.cert_pem(), stranger.key_pem(), None).unwrap();
    for tls in [tls(), strange] {
        // Where the broker closes at once, what it said may be lost with the connection; the next attempt tells.
        let mut harness = Harness::new();
        harness.join(options(&url(port)).tls(tls));
        let told = |r: &&Reason| matches!(r, Reason::Tls(text) if text.contains("the broker sent the alert"));
        harness.until("a reason", |world| reasons(world).iter().any(told));
        assert!(!is_failed(&harness), "an attempt that failed");
    }
}

#[test]
fn a_shared_key_proves_both_sides() {
    let folder = Folder::new();
    let keys = folder.write("keys", b"me:0123456789abcdef\n");
    let Some((_broker, port)) = mosquitto(&format!("psk_hint hint\npsk_file {}", keys.display())) else { return };
    let key = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    let (mut harness, client) = connects(options(&url(port)).tls(Tls::new().psk("me", key).unwrap()));
    client.publish(Publish::new("t", "x")).unwrap();
    harness.until("an answer", |world| !world.outcomes().is_empty());
    assert!(harness.world.outcomes()[0].1.is_acknowledged());
    for tls in [Tls::new().psk("me", "wrong").unwrap(), Tls::new().psk("you", key).unwrap()] {
        let (_, reason) = refusal(options(&url(port)).tls(tls));
        assert!(matches!(&reason, Reason::Tls(_)), "{reason}");
    }
}

#[test]
fn protocols_are_offered_and_a_refusal_of_them_is_told() {
    let authority = Authority::new("Authority");
    let pair = authority.issue(&["localhost"], &[], 1);
    let tls = || Tls::new().ca_pem(authority.pem()).unwrap();
    let choose = |b: &mut SslAcceptorBuilder| {
        b.set_alpn_select_callback(|_, offered| {
            openssl::ssl::select_next_proto(b"\x04mqtt", offered).ok_or(AlpnError::ALERT_FATAL)
        });
    };
    let (server, port) = Server::new(&pair, choose);
    let server = server.serve(|stream| stream.ssl().selected_alpn_protocol().map(<[u8]>::to_vec));
    connects(options(&url(port)).tls(tls().alpn(&["x-other", "mqtt"]).unwrap()));
    assert_eq!(server.join().unwrap().as_deref(), Some(&b"mqtt"[..]));

    let (server, port) = Server::new(&pair, choose);
    let server = thread::spawn(move || server.acceptor.accept(server.listener.accept().unwrap().0).map(drop));
    let (harness, reason) = refusal(options(&url(port)).tls(tls().alpn(&["x-other"]).unwrap()));
    assert!(matches!(&reason, Reason::Tls(text) if text.contains("no application protocol")), "{reason}");
    assert!(!is_failed(&harness));
    assert!(server.join().unwrap().is_err());
}

#[test]
fn a_server_that_does_not_speak_tls_is_named_so() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
        let _ = stream.read(&mut [0; 8]);
        // The next one is closed at once, the one after that reset.
        drop(listener.accept().unwrap());
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.peek(&mut [0; 1]).unwrap();
    });
    let tls = Tls::new().ca_pem(Authority::new("Authority").pem()).unwrap();
    let mut harness = Harness::new();
    harness.join(options(&format!("mqtts://127.0.0.1:{port}")).tls(tls));
    harness.until("three losses", |world| reasons(world).len() == 3);
    server.join().unwrap();
    let reasons = reasons(&harness.world);
    assert!(
        matches!(reasons[0], Reason::Tls(text) if text.contains("version") || text.contains("packet")),
        "{reasons:?}"
    );
    assert!(matches!(reasons[1], Reason::Lost | Reason::Os(libc::ECONNRESET | libc::EPIPE)), "{reasons:?}");
    assert!(matches!(reasons[2], Reason::Os(libc::ECONNRESET)), "{reasons:?}");
    assert!(harness.turns < 60, "{} turns", harness.turns);
}

#[test]
fn many_packets_in_one_record_are_all_read() {
    for when in [Acknowledge::OnArrival, Acknowledge::WhenHandled] {
        many_packets(when);
    }
}

fn many_packets(when: Acknowledge) {
    let authority = Authority::new("Authority");
    let (server, port) = Server::new(&authority.issue(&["localhost"], &[], 1), |_| {});
    const COUNT: u8 = 200;
    let server = server.serve(|stream| {
        // Of QoS 1, so that each one is answered in between, and leaves the EAGAIN of the answer behind.
        let publishes: Vec<u8> = (1..=COUNT).flat_map(|id| [0x32, 6, 0, 1, b't', 0, id, id]).collect();
        assert_eq!(stream.ssl_write(&publishes).unwrap(), publishes.len(), "one record");
        let mut answered = 0;
        while answered < COUNT {
            let packet = read_packet(stream);
            answered += u8::from(packet[0] == 0x40);
        }
    });
    let mut harness = Harness::new();
    harness.join(options(&url(port)).tls(Tls::new().ca_pem(authority.pem()).unwrap()).acknowledge(when));
    harness.until("connected", |world| world.connections() == 1);
    let begin = Instant::now();
    harness.until("the messages", |world| world.messages().len() == usize::from(COUNT));
    let payloads: Vec<_> = harness.world.messages().iter().map(|m| m.payload[0]).collect();
    assert_eq!(payloads, (1..=COUNT).collect::<Vec<_>>(), "after {:?}", begin.elapsed());
    // Acknowledgements may leave after the handlers have returned.
    let end = Instant::now() + LONG;
    while !server.is_finished() && Instant::now() < end {
        harness.run_for(Duration::from_millis(10));
    }
    server.join().unwrap();
}

#[test]
fn a_record_is_read_to_its_end_though_no_answer_can_leave() {
    let authority = Authority::new("Authority");
    let (server, port) = Server::new(&authority.issue(&["localhost"], &[], 1), |_| {});
    let (full, is_full) = std::sync::mpsc::channel();
    const COUNT: u16 = 1000;
    let server = server.serve(move |stream| {
        is_full.recv_timeout(LONG).unwrap();
        let ids = || (1..=COUNT).map(u16::to_be_bytes);
        let publishes = ids().flat_map(|[a, b]| [0x34, 5, 0, 1, b't', a, b]);
        let packets: Vec<u8> = publishes.chain(ids().flat_map(|[a, b]| [0x62, 2, a, b])).collect();
        assert_eq!(stream.ssl_write(&packets).unwrap(), packets.len(), "one record");
        // Nothing is read until the client has ended the connection.
        stream.get_ref().set_read_timeout(Some(LONG)).unwrap();
        let end = Instant::now() + LONG;
        while stream.ssl_read(&mut [0; 1 << 14]).is_ok() && Instant::now() < end {}
    });
    let mut harness = Harness::new();
    let client = harness.join(options(&url(port)).tls(Tls::new().ca_pem(authority.pem()).unwrap()));
    harness.until("connected", |world| world.connections() == 1);
    // With the way out blocked, each answer leaves an EAGAIN of its own behind.
    client.publish(Publish::new("t", vec![0; 32 << 20]).qos(QoS::AtMostOnce)).unwrap();
    harness.run_for(Duration::from_millis(300));
    full.send(()).unwrap();
    let begin = Instant::now();
    harness.until("the messages", |world| world.messages().len() == usize::from(COUNT));
    println!("read within {:?}", begin.elapsed());
    drop(harness);
    server.join().unwrap();
}

/// How often the loop turns, with edges and without.
fn both(f: impl Fn(Harness)) {
    f(Harness::new());
    f(Harness::over_poll());
}

#[test]
fn a_handshake_and_an_idle_connection_take_few_turns() {
    let (folder, authority) = (Folder::new(), Authority::new("Authority"));
    let Some((_broker, port)) = mosquitto_with(&folder, &authority.issue(&["localhost"], &["127.0.0.1"], 1), "") else {
        return;
    };
    let tls = Tls::new().ca_pem(authority.pem()).unwrap();
    connects(options(&url(port)).tls(tls.clone()));
    both(|mut harness| {
        harness.join(options(&format!("mqtts://127.0.0.1:{port}")).tls(tls.clone()));
        harness.until("connected", |world| world.connections() == 1);
        println!("{} turns for a handshake", harness.turns);
        assert!(harness.turns <= 16, "{} turns", harness.turns);
        let before = harness.turns;
        harness.run_for(Duration::from_millis(3500));
        assert!(harness.turns - before <= 8, "{} turns", harness.turns - before);
    });
}

#[test]
fn a_silent_server_is_left_after_the_connect_timeout_and_costs_nothing_meanwhile() {
    let tls = Tls::new().ca_pem(Authority::new("Authority").pem()).unwrap();
    both(|mut harness| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = options(&format!("mqtts://127.0.0.1:{port}")).tls(tls.clone());
        harness.join(options.connect_timeout(Duration::from_secs(1)));
        harness.until("a loss", |world| !reasons(world).is_empty());
        assert_eq!(reasons(&harness.world), [&Reason::ConnectTimeout]);
        assert!(harness.turns <= 8, "{} turns", harness.turns);
        // The connection was ended: after the greeting there is the end of the stream.
        let mut stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut greeting = Vec::new();
        stream.read_to_end(&mut greeting).unwrap();
        assert_eq!(greeting[0], 22, "a handshake record");
    });
}

#[test]
fn half_a_handshake_costs_nothing_either() {
    // The greeting of a server in TLS 1.2, and then nothing.
    let authority = Authority::new("Authority");
    let pair = authority.issue(&["localhost"], &["127.0.0.1"], 1);
    both(|mut harness| {
        let (server, port) = Server::new(&pair, |b| drop(b.set_max_proto_version(Some(SslVersion::TLS1_2))));
        let stalled = thread::spawn(move || {
            let stream = server.listener.accept().unwrap().0;
            stream.set_nonblocking(true).unwrap();
            let mut stream = server.acceptor.accept(stream);
            let end = Instant::now() + Duration::from_millis(900);
            while let Err(openssl::ssl::HandshakeError::WouldBlock(half)) = stream {
                if half.ssl().state_string_long().contains("write server done") || Instant::now() > end {
                    thread::sleep(Duration::from_millis(1500));
                    return;
                }
                thread::sleep(Duration::from_millis(5));
                stream = half.handshake();
            }
        });
        let tls = Tls::new().ca_pem(authority.pem()).unwrap();
        let options = options(&format!("mqtts://127.0.0.1:{port}")).tls(tls);
        harness.join(options.connect_timeout(Duration::from_secs(1)));
        harness.until("an end", |world| !world.events.is_empty());
        assert!(harness.turns <= 16, "{} turns", harness.turns);
        stalled.join().unwrap();
    });
}

#[test]
fn what_is_wrong_with_a_file_is_said_at_once() {
    let folder = Folder::new();
    let authority = Authority::new("Authority");
    let (pair, other) = (authority.issue(&["a"], &[], 1), authority.issue(&["b"], &[], 1));
    let ca = folder.write("ca.pem", &authority.pem());
    let cert = folder.write("cert.pem", &pair.cert_pem());
    let key = folder.write("key.pem", &pair.key_pem());
    let locked = folder.write("locked.pem", &pair.encrypted_key_pem("password"));
    let other_key = folder.write("other.pem", &other.key_pem());
    let rubbish = folder.write("rubbish.pem", b"not a certificate");
    let mut bytes = pair.cert_pem();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8].fill(b'*');
    let damaged = folder.write("damaged.pem", &bytes);
    let gone = folder.0.join("gone.pem");
    let empty = Folder::new();

    let error = |result: Result<Tls, OptionsError>| result.map(drop).unwrap_err().to_string();
    let client = |cert: &Path, key: &Path, password| error(Tls::new().client_cert_files(cert, key, password));
    for (text, file, why) in [
        (error(Tls::new().ca_file(&gone)), &gone, "No such file"),
        (error(Tls::new().ca_file(&folder.0)), &folder.0, "Is a directory"),
        (error(Tls::new().ca_file(&rubbish)), &rubbish, "no certificate in PEM form"),
        (error(Tls::new().ca_file(&damaged)), &damaged, "base64"),
        (error(Tls::new().ca_dir(&gone)), &gone, "No such file"),
        (error(Tls::new().ca_dir(&empty.0)), &empty.0, "no certificate"),
        (error(Tls::new().ca_dir(&folder.0)), &damaged, "base64"),
        (client(&gone, &key, None), &gone, "No such file"),
        (client(&cert, &gone, None), &gone, "No such file"),
        (client(&rubbish, &key, None), &rubbish, "no certificate"),
        (client(&cert, &rubbish, None), &rubbish, "no private key"),
        (client(&cert, &cert, None), &cert, "no private key"),
        (client(&cert, &other_key, None), &other_key, "it is not the key of the client certificate"),
        (client(&cert, &locked, None), &locked, "it is encrypted, and no password was given"),
        (client(&cert, &locked, Some("wrong")), &locked, "the password does not open it"),
        (client(&cert, &locked, Some(&"x".repeat(5000))), &locked, "the password does not open it"),
    ] {
        assert!(text.starts_with("TLS: ") && text.contains(&file.display().to_string()), "{text}");
        assert!(text.contains(why), "{why}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    fs::remove_file(damaged).unwrap();
    Tls::new().ca_dir(&folder.0).unwrap();
    Tls::new().ca_file(&ca).unwrap().client_cert_files(&cert, &locked, Some("password")).unwrap();
    // One file may have both.
    let both = [pair.cert_pem(), pair.key_pem()].concat();
    Tls::new().client_cert_pem(&both, &both, None).unwrap();
}

#[test]
fn what_cannot_be_is_refused() {
    let error = |result: Result<Tls, OptionsError>| result.map(drop).unwrap_err().to_string();
    for (text, why) in [
        (error(Tls::new().alpn(&[])), "ALPN"),
        (error(Tls::new().alpn(&["mqtt", ""])), "ALPN"),
        (error(Tls::new().alpn(&[&"x".repeat(256)])), "ALPN"),
        (error(Tls::new().ciphers("NONSENSE")), "ciphers `NONSENSE`"),
        (error(Tls::new().ciphersuites("NONSENSE")), "cipher suites `NONSENSE`"),
        (error(Tls::new().server_name("")), "server name ``"),
        (error(Tls::new().server_name("a b")), "server name `a b`"),
        (error(Tls::new().psk("", "x")), "identity"),
        (error(Tls::new().psk(&"x".repeat(128), "x")), "identity"),
        (error(Tls::new().psk("me", "")), "pre-shared key"),
        (error(Tls::new().psk("me", [0; 257])), "has 257"),
    ] {
        assert!(text.contains(why), "{why}: {text}");
    }
    let e = Options::new("unix:/run/socket".parse().unwrap()).tls(Tls::new()).check().unwrap_err();
    assert_eq!(e.to_string(), "TLS: not over a unix socket");
    Tls::new().ciphers("HIGH").unwrap().ciphersuites("TLS_AES_128_GCM_SHA256").unwrap();
    let psk = Tls::new().psk("me", "secret").unwrap();
    assert!(!format!("{psk:?}").contains("secret"));
}
