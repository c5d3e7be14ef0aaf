//! The brokers that the other tests lean on: they start, die, come back on the same port, and freeze.

use becket_tests::broker::Broker;
use becket_tests::mqtt::{Client, Message};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// CONNECT of MQTT 3.1.1 and 5: clean session, keep-alive 60 s, a client id of one letter.
const CONNECT_4: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a";
const CONNECT_5: &[u8] = b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01a";
const PINGREQ: &[u8] = &[0xc0, 0];

/// A connection on which the broker has answered CONNECT.
fn connect(broker: &Broker, packet: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, broker.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(packet).unwrap();
    let mut header = [0; 2];
    stream.read_exact(&mut header).unwrap();
    assert_eq!(header[0], 0x20, "CONNACK");
    let mut body = vec![0; header[1].into()];
    stream.read_exact(&mut body).unwrap();
    assert_eq!(body[..2], [0, 0], "no session, accepted");
    stream
}

fn check(mut broker: Broker) {
    connect(&broker, CONNECT_4);
    let mut client = Client::connect(broker.port(), "both");
    client.subscribe("a/+");
    client.publish("b/1", "nobody asked for it");
    client.publish("a/1", "somebody did");
    let message = client.next(Duration::from_secs(20));
    assert_eq!(message, Message { topic: "a/1".into(), payload: "somebody did".into() });

    let mut stream = connect(&broker, CONNECT_5);

    broker.freeze();
    stream.write_all(PINGREQ).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut answer = [0; 2];
    assert_eq!(stream.read(&mut answer).unwrap_err().kind(), ErrorKind::WouldBlock, "a frozen broker is silent");
    broker.thaw();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0xd0, 0], "PINGRESP");

    let port = broker.port();
    broker.kill();
    assert!(matches!(stream.read(&mut answer), Ok(0) | Err(_)), "the connection is gone");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "nobody listens");
    broker.restart();
    assert_eq!(broker.port(), port);
    connect(&broker, CONNECT_4);
}

#[test]
fn the_embedded_broker_serves_both_versions_and_can_be_killed_restarted_and_frozen() {
    check(Broker::embedded());
}

#[test]
fn mosquitto_serves_both_versions_and_can_be_killed_restarted_and_frozen() {
    if let Some(broker) = Broker::start_mosquitto() {
        check(broker);
    }
}
