//! SOCKS5: by way of a proxy of the tests' own.

mod support;

use becket_mosquitto::{Event, Options, Outcome, Protocol, Publish, QoS, Reason, Session, Socks5};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use support::broker::Broker;
use support::{Harness, LONG, World, options};

/// What the proxy does with a client.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Willing,
    /// Asks for `me` and `secret`.
    Strict,
    /// Answers the request with this code.
    Refusing(u8),
    /// Takes the request and says nothing.
    Silent,
    /// Sends what no proxy sends.
    Foreign,
}

/// A proxy that connects every client to one port of this machine, whatever it asks for, and tells what that was.
struct Proxy {
    port: u16,
    asked: Receiver<String>,
}

impl Proxy {
    fn start(target: u16, mood: Mood) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, asked) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let sender = sender.clone();
                thread::spawn(move || serve(stream?, target, mood, &sender));
            }
        });
        Proxy { port, asked }
    }

    fn socks5(&self) -> Socks5 {
        Socks5::new("127.0.0.1", self.port).unwrap()
    }

    fn asked(&self) -> String {
        self.asked.recv_timeout(LONG).unwrap()
    }
}

fn take<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn take_text(stream: &mut TcpStream) -> io::Result<String> {
    let [len] = take(stream)?;
    let mut text = vec![0; len.into()];
    stream.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn serve(mut client: TcpStream, target: u16, mood: Mood, asked: &Sender<String>) -> io::Result<()> {
    let [version, methods] = take(&mut client)?;
    assert_eq!(version, 5);
    let mut offered = vec![0; methods.into()];
    client.read_exact(&mut offered)?;
    match mood {
        Mood::Foreign => return client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        Mood::Strict if !offered.contains(&2) => return client.write_all(&[5, 0xff]),
        Mood::Strict => {
            client.write_all(&[5, 2])?;
            let [_] = take(&mut client)?;
            let login = (take_text(&mut client)?, take_text(&mut client)?);
            let is_right = login == ("me".to_owned(), "secret".to_owned());
            client.write_all(&[1, if is_right { 0 } else { 2 }])?;
        }
        _ => client.write_all(&[5, 0])?,
    }
    let [_, command, _, kind] = take(&mut client)?;
    assert_eq!(command, 1, "CONNECT");
    let host = match kind {
        1 => Ipv4Addr::from(take::<4>(&mut client)?).to_string(),
        4 => std::net::Ipv6Addr::from(take::<16>(&mut client)?).to_string(),
        _ => format!("the name {}", take_text(&mut client)?),
    };
    let port = u16::from_be_bytes(take(&mut client)?);
    let _ = asked.send(format!("{host}, port {port}"));
    let code = match mood {
        Mood::Refusing(code) => code,
        Mood::Silent => return client.read(&mut [0; 1]).map(drop),
        _ => 0,
    };
    client.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0])?;
    if code != 0 {
        return Ok(());
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let _ = io::copy(&mut client, &mut &server);
    server.shutdown(std::net::Shutdown::Both)
}

/// Whether this libmosquitto has SOCKS; says SKIP where it has not.
fn has_socks() -> bool {
    match Socks5::new("localhost", 1080) {
        Ok(_) => true,
        Err(e) => {
            assert_eq!(e.to_string(), "SOCKS5: this libmosquitto was built without it");
            println!("SKIP: this libmosquitto has no SOCKS5");
            false
        }
    }
}

fn reasons(world: &World) -> Vec<Reason> {
    let reason = |e: &Event| if let Event::Disconnected { reason, .. } = e { Some(reason.clone()) } else { None };
    world.events.iter().filter_map(reason).collect()
}

fn refusal(options: Options) -> Reason {
    let mut harness = Harness::new();
    harness.join(options);
    harness.until("a refusal", |world| !reasons(world).is_empty());
    assert_eq!(harness.world.connections(), 0);
    reasons(&harness.world).remove(0)
}

/// Waits for the connection, publishes, and sees it acknowledged.
fn works(options: Options) -> Harness {
    let mut harness = Harness::new();
    let client = harness.join(options);
    harness.until("connected", |world| world.connections() == 1);
    let delivery = client.publish(Publish::new("t", "x").qos(QoS::ExactlyOnce)).unwrap();
    harness.until("an answer", |_| delivery.outcome().is_some());
    assert!(delivery.outcome().is_some_and(Outcome::is_acknowledged));
    harness
}

#[test]
fn the_brokers_name_goes_to_the_proxy() {
    let Some(broker) = has_socks().then(Broker::start).flatten() else { return };
    let proxy = Proxy::start(broker.port(), Mood::Willing);
    // The name exists for the proxy alone.
    works(options("mqtt://broker.invalid:4711").socks5(proxy.socks5()));
    assert_eq!(proxy.asked(), "the name broker.invalid, port 4711");
    // The proxy's own name is looked up here.
    works(options("mqtt://10.1.2.3").socks5(Socks5::new("localhost", proxy.port).unwrap()));
    assert_eq!(proxy.asked(), "10.1.2.3, port 1883");
    let v5 = options("mqtt://[2001:db8::1]").protocol(Protocol::V5).session(Session::PerConnection);
    works(v5.socks5(proxy.socks5()));
    assert_eq!(proxy.asked(), "2001:db8::1, port 1883");
}

#[test]
fn a_client_comes_back_by_way_of_the_proxy() {
    let Some(mut broker) = has_socks().then(Broker::start).flatten() else { return };
    for session in [Session::PerClient, Session::PerConnection] {
        let proxy = Proxy::start(broker.port(), Mood::Willing);
        let mut harness = works(options("mqtt://broker.invalid").socks5(proxy.socks5()).session(session));
        broker.kill();
        harness.until("a loss", |world| !reasons(world).is_empty());
        broker.restart();
        harness.until("connected again", |world| world.connections() == 2);
    }
}

#[test]
fn a_proxy_may_ask_who_it_is() {
    let Some(broker) = has_socks().then(Broker::start).flatten() else { return };
    let proxy = Proxy::start(broker.port(), Mood::Strict);
    let options = || options("mqtt://broker.invalid");
    works(options().socks5(proxy.socks5().login("me", "secret").unwrap()));
    for wrong in [proxy.socks5().login("me", "wrong").unwrap(), proxy.socks5()] {
        let reason = refusal(options().socks5(wrong));
        assert!(matches!(&reason, Reason::Proxy(text) if text.contains("refuses")), "{reason}");
    }
}

#[test]
fn a_proxy_that_fails_is_named() {
    if !has_socks() {
        return;
    }
    let options = || options("mqtt://broker.invalid").connect_timeout(Duration::from_secs(1));
    for (mood, why) in [
        (Mood::Refusing(1), "it failed"),
        (Mood::Refusing(2), "it refuses"),
        (Mood::Refusing(4), "it cannot reach the broker"),
        (Mood::Refusing(5), "it cannot reach the broker"),
        (Mood::Refusing(99), "a reason that is none"),
        (Mood::Foreign, "it failed, or is no SOCKS5 proxy"),
    ] {
        let reason = refusal(options().socks5(Proxy::start(1, mood).socks5()));
        assert!(matches!(&reason, Reason::Proxy(text) if text.contains(why)), "{why}: {reason}");
    }
    assert_eq!(refusal(options().socks5(Proxy::start(1, Mood::Silent).socks5())), Reason::ConnectTimeout);
    let nobody = Socks5::new("127.0.0.1", support::broker::free_port()).unwrap();
    assert_eq!(refusal(options().socks5(nobody)).raw_os_error(), Some(libc::ECONNREFUSED));
    let unknown = Socks5::new("no-such-proxy.invalid", 1080).unwrap();
    assert!(matches!(refusal(options().socks5(unknown)), Reason::Resolve(_)));
}

#[test]
fn a_silent_proxy_costs_nothing() {
    if !has_socks() {
        return;
    }
    for mut harness in [Harness::new(), Harness::over_poll()] {
        let proxy = Proxy::start(1, Mood::Silent);
        let options = options("mqtt://broker.invalid").connect_timeout(Duration::from_secs(1));
        harness.join(options.socks5(proxy.socks5()));
        harness.until("a loss", |world| !reasons(world).is_empty());
        assert!(harness.turns <= 12, "{} turns", harness.turns);
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_goes_through_with_the_brokers_name() {
    use becket_mosquitto::Tls;
    use support::certs::Authority;

    if !has_socks() {
        return;
    }
    let folder = std::env::temp_dir().join(format!("becket-socks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let authority = Authority::new("Authority");
    let pair = authority.issue(&["broker.invalid"], &[], 1);
    let (cert, key, port) = (folder.join("cert"), folder.join("key"), support::broker::free_port());
    std::fs::write(&cert, pair.cert_pem()).unwrap();
    std::fs::write(&key, pair.key_pem()).unwrap();
    let config = format!(
        "allow_anonymous true\nlistener {port} 127.0.0.1\ncertfile {}\nkeyfile {}",
        cert.display(),
        key.display()
    );
    let Some(broker) = Broker::mosquitto(&config) else { return };
    let proxy = Proxy::start(port, Mood::Willing);
    let through = |url: &str| {
        let tls = Tls::new().ca_pem(authority.pem()).unwrap();
        options(url).tls(tls).session(Session::PerConnection).socks5(proxy.socks5())
    };
    works(through("mqtts://broker.invalid"));
    // A handshake that breaks off does not spoil the next one.
    broker.freeze();
    let mut harness = Harness::new();
    harness.join(through("mqtts://broker.invalid").connect_timeout(Duration::from_secs(1)));
    harness.until("a loss", |world| reasons(world).contains(&Reason::ConnectTimeout));
    broker.thaw();
    harness.until("connected", |world| world.connections() == 1);

    let mut harness = Harness::new();
    harness.join(through("mqtts://other.invalid"));
    harness.until("the end", |world| world.has(|e| matches!(e, Event::Failed(Reason::Untrusted(_)))));
    std::fs::remove_dir_all(folder).unwrap();

    let e = through("mqtts://broker.invalid").session(Session::PerClient).check().unwrap_err().to_string();
    assert_eq!(e, "SOCKS5: MQTT 5 and TLS need a session per connection");
}

#[test]
fn what_cannot_go_by_way_of_a_proxy_is_refused() {
    assert!(Socks5::new("a b", 1080).unwrap_err().to_string().contains("`a b`"));
    assert!(Socks5::new("a", 0).unwrap_err().to_string().contains("port 0"));
    if !has_socks() {
        return;
    }
    let proxy = || Socks5::new("proxy", 1080).unwrap();
    assert!(proxy().login("", "x").unwrap_err().to_string().contains("user name"));
    assert!(proxy().login("me", "x".repeat(256)).unwrap_err().to_string().contains("password"));
    assert!(!format!("{:?}", proxy().login("me", "secret").unwrap()).contains("secret"));
    let v5 = || options("mqtt://h").protocol(Protocol::V5).socks5(proxy());
    for (options, why) in [
        (options("unix:/run/socket").socks5(proxy()), "not to a unix socket"),
        (v5(), "a session per connection"),
        (v5().session(Session::PerConnection).receive_maximum(9).user_property("a", "b"), "user property"),
    ] {
        let e = options.check().unwrap_err().to_string();
        assert!(e.starts_with("SOCKS5: ") && e.contains(why), "{e}");
    }
    v5().session(Session::PerConnection).receive_maximum(9).topic_aliases(5).check().unwrap();
}
