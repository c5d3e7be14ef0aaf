//! The gateway's page, asked by clients that are no browsers: well-behaved, slow, broken and hostile ones.

use crate::config::{File, of_broker, of_device};
use crate::{MARGIN, Sums, start};
use becket_tests::broker::Broker;
use becket_tests::device::Device;
use becket_tests::program::Program;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// The port of the page of a gateway that has just started.
pub(crate) fn port(gateway: &Program) -> u16 {
    let line = gateway.expect_stderr("page at http://127.0.0.1:", MARGIN);
    let port = line.trim_end_matches('/').rsplit(':').next().unwrap();
    port.parse().unwrap_or_else(|e| panic!("{line}: {e}"))
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(MARGIN)).unwrap();
    stream
}

/// What is answered to these bytes, up to the end of the connection.
fn answer(port: u16, bytes: &[u8]) -> String {
    let mut stream = connect(port);
    stream.write_all(bytes).unwrap();
    rest(&mut stream)
}

fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap_or_else(|e| panic!("{e}, after {answer:?}"));
    String::from_utf8(answer).unwrap()
}

fn request(method: &str, path: &str, port: u16) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")
}

/// The head and the body of what is answered to a GET.
fn get(port: u16, path: &str) -> (String, String) {
    let answer = answer(port, request("GET", path, port).as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    assert!(head.contains("\r\nCache-Control: no-store\r\n"), "{head}");
    (head.to_owned(), body.to_owned())
}

fn metrics(port: u16) -> Value {
    let (head, body) = get(port, "/metrics.json");
    assert!(head.contains("\r\nContent-Type: application/json\r\n"), "{head}");
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"))
}

/// Asks until it is so.
fn metrics_that(port: u16, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + MARGIN;
    loop {
        let seen = metrics(port);
        if is_so(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "{seen}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn end(gateway: Program) {
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN));
}

#[test]
fn the_page_is_there_unless_somebody_says_otherwise() {
    let gateway = start(&[]);
    let port = port(&gateway);
    let (head, body) = get(port, "/?whatever");
    assert!(body.starts_with("<!DOCTYPE html>") && body.ends_with("</html>\n"), "{body}");
    assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
    let nonce = body.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(nonce.len() == 32 && head.contains(&format!("script-src 'nonce-{nonce}'")), "{head}");
    assert!(head.contains("Content-Security-Policy: default-src 'none'; "), "{head}");
    // Another one takes no port that is in use, and says so.
    let second = start(&["--http", &port.to_string()]).finish(MARGIN);
    assert_eq!(second.status.code(), Some(2), "{second:?}");
    assert!(second.stderr.contains(&format!("--http: bind 127.0.0.1:{port}: Address already in use")), "{second:?}");
    end(gateway);
    let without = start(&["--for", "100ms", "--http", "off"]).finish(MARGIN);
    assert!(!without.stderr.contains("page at"), "{without:?}");
    let device = Device::plug("real");
    let real = start(&["--for", "100ms", "--serial", device.path()]).finish(MARGIN);
    assert!(!real.stderr.contains("page at"), "{real:?}");
}

#[test]
fn the_figures_are_those_of_devices_and_broker() {
    let mut broker = Broker::start();
    let (mut first, second) = (Device::plug("shown-first"), Device::plug("shown-second"));
    let url = broker.url();
    let args = ["--http", "0", "--serial", first.path(), "--serial", second.path(), "--broker", &url];
    let gateway = start(&args);
    gateway.expect_stderr("subscribed", MARGIN);
    let port = port(&gateway);
    first.say("temp=21.5 note=<b>\"x\"</b>&amp;\n");
    first.say("temp=22 empty=\n");
    let seen = metrics_that(port, |m| m["acknowledged"] == 2);
    let [one, two] = [&seen["devices"][0], &seen["devices"][1]];
    assert_eq!((&one["name"], &one["path"]), (&first.name().into(), &first.path().into()));
    assert_eq!((&one["readings"], &one["queued"], &one["under_way"]), (&2.into(), &0.into(), &0.into()));
    assert_eq!((&one["open"], &one["trouble"]), (&true.into(), &Value::Null));
    assert_eq!((&two["open"], &two["readings"], &two["fields"]), (&true.into(), &0.into(), &Value::Array(vec![])));
    let fields: Vec<_> = one["fields"].as_array().unwrap().iter().map(|f| (&f["name"], &f["value"])).collect();
    let text = |text: &str| Value::from(text);
    let [empty, note, temp] = ["empty", "note", "temp"].map(text);
    let [nothing, value, number] = ["", "<b>\"x\"</b>&amp;", "22"].map(text);
    assert_eq!(fields, [(&empty, &nothing), (&note, &value), (&temp, &number)]);
    assert_eq!((&seen["broker"]["open"], &seen["broker"]["address"]), (&true.into(), &Value::from(&*url)));
    assert_eq!((&seen["published"], &seen["broker"]["waiting"]), (&4.into(), &0.into()));
    let fibers = seen["fibers"]["fibers"].as_array().unwrap();
    let reader = fibers.iter().find(|f| f["name"] == first.name()).unwrap_or_else(|| panic!("{seen}"));
    assert_eq!(reader["waits_for"], "read", "{reader}");
    assert!(reader["waits_ns"].as_u64().is_some() && seen["loop"]["worked"]["count"].as_u64() > Some(0), "{seen}");
    assert!(seen["process"]["resident_bytes"].as_u64() > Some(1 << 20), "{seen}");

    first.unplug();
    broker.kill();
    let seen = metrics_that(port, |m| m["broker"]["open"] == false && m["devices"][0]["open"] == false);
    assert!(seen["broker"]["trouble"]["text"].is_string(), "{seen}");
    let trouble = metrics_that(port, |m| m["devices"][0]["trouble"]["text"] != "hung up");
    let trouble = trouble["devices"][0]["trouble"]["text"].as_str().unwrap().to_owned();
    assert!(trouble.contains(first.path()) && trouble.contains("No such file"), "{trouble}");
    second.say("a=1\n");
    metrics_that(port, |m| m["devices"][1]["under_way"] == 1);
    broker.restart();
    first.plug_again();
    let seen =
        metrics_that(port, |m| m["reconnects"] == 1 && m["devices"][0]["open"] == true && m["acknowledged"] == 3);
    assert!(seen["devices"][0]["trouble"].is_object(), "{seen}");
    end(gateway);
}

#[test]
fn devices_and_lines_that_are_missing_are_shown_and_those_that_are_removed_are_not() {
    let broker = Broker::start();
    let (there, mut missing) = (Device::plug("page-there"), Device::plug("page-missing"));
    missing.unplug();
    let rest = of_broker(&broker) + &of_device(&there, "");
    let line = "[[gpio]]\nchip = \"no such chip\"\nline = 1\nname = \"door\"\n";
    let file = File::new("page", &format!("http = 0\n{rest}{}{line}", of_device(&missing, "")));
    let gateway = file.start();
    let port = port(&gateway);
    there.say("a=1\n");
    let seen = metrics_that(port, |m| m["acknowledged"] == 1 && m["gpio"][0]["trouble"].is_object());
    let (device, line) = (&seen["devices"][1], &seen["gpio"][0]);
    assert_eq!((&device["name"], &device["open"]), (&missing.name().into(), &false.into()));
    assert!(device["trouble"]["text"].as_str().unwrap().contains("No such file"), "{device}");
    assert_eq!((&line["name"], &line["open"], &line["edges"]), (&"door".into(), &false.into(), &0.into()));
    assert!(line["trouble"]["text"].as_str().unwrap().contains("no such chip"), "{line}");
    let (_, text) = get(port, "/metrics");
    let samples = parse(&text);
    assert_eq!(samples["becket_gpio_open"][0].1, 0.0);
    assert_eq!(samples["becket_device_open"].iter().map(|(_, open)| *open).collect::<Vec<_>>(), [1.0, 0.0]);

    file.rename(&format!("http = 0\n{}", of_broker(&broker)));
    let seen = metrics_that(port, |m| m["devices"] == Value::Array(vec![]) && m["gpio"] == Value::Array(vec![]));
    assert_eq!((&seen["readings"], &seen["acknowledged"]), (&1.into(), &1.into()), "{seen}");
    end(gateway);
}

#[test]
fn one_of_two_devices_of_a_name_is_shown_though_what_the_other_has_said_waits() {
    let mut broker = Broker::start();
    let [first, second] = ["page-one", "page-other"].map(Device::plug);
    let with = |device| format!("http = 0\n{}{}", of_broker(&broker), of_device(device, "name = \"same\""));
    let [before, after] = [&first, &second].map(with);
    let file = File::new("page-same", &before);
    let gateway = file.start();
    gateway.expect_stderr("subscribed", MARGIN);
    let port = port(&gateway);
    broker.kill();
    first.say("a=1\n");
    metrics_that(port, |m| m["readings"] == 1);
    file.rename(&after);
    let seen = metrics_that(port, |m| m["devices"][0]["path"] == second.path());
    assert_eq!((seen["devices"].as_array().map(Vec::len), &seen["acknowledged"]), (Some(1), &0.into()), "{seen}");
    let (_, text) = get(port, "/metrics");
    assert_eq!(text.matches("becket_device_open{device=\"same\"}").count(), 1, "{text}");
    broker.restart();
    metrics_that(port, |m| m["acknowledged"] == 1);
    end(gateway);
}

#[test]
fn a_connection_is_kept_and_head_has_no_body() {
    let gateway = start(&[]);
    let port = port(&gateway);
    let many =
        format!("HEAD /metrics HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").repeat(3) + &request("GET", "/x", port);
    let answers = answer(port, many.as_bytes());
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{answers}");
    assert_eq!(answers.matches("Connection: keep-alive").count(), 3, "{answers}");
    assert!(!answers.contains("# HELP") && answers.contains("\r\nHTTP/1.1 404 Not Found\r\n"), "{answers}");
    end(gateway);
}

#[test]
fn what_is_no_request_for_the_page_is_refused() {
    let gateway = start(&[]);
    let port = port(&gateway);
    let host = |host: &str| format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let long = "x".repeat(9000);
    for (bytes, status) in [
        (request("POST", "/", port), "405 "),
        (request("BREW", "/metrics", port), "405 "),
        (
            format!("POST / HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"),
            "405 ",
        ),
        (request("GET", "/../etc/passwd", port), "404 "),
        (request("GET", "//metrics", port), "404 "),
        (request("OPTIONS", "*", port), "404 "),
        (request("GET", &format!("http://localhost:{port}/metrics"), port), "200 "),
        (request("GET", "http://evil.example/metrics", port), "421 "),
        (request("GET", &format!("/{long}"), port), "431 "),
        (format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\nA: {long}\r\n\r\n"), "431 "),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100)), "431 "),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400 "),
        (format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\nHost: localhost:{port}\r\n\r\n"), "400 "),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), "505 "),
        ("\x16\x03\x01\x02\x00\x01 this is TLS".to_owned(), "400 "),
        ("GET /\r\n\r\n".to_owned(), "400 "),
        (format!("POST / HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 99999999\r\n\r\n"), "413 "),
        (format!("POST / HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"), "501 "),
        // Names that somebody else may have had point here.
        (host("evil.example"), "421 "),
        (host(&format!("evil.example:{port}")), "421 "),
        (host("127.0.0.1"), "421 "),
        (host(&format!("localhost:{}", port ^ 1)), "421 "),
        (host(&format!("localhost.evil.example:{port}")), "421 "),
        (host(&format!("LocalHost:{port}")), "200 "),
        (host(&format!("[::1]:{port}")), "200 "),
        ("GET /metrics HTTP/1.0\r\n\r\n".to_owned(), "200 "),
    ] {
        let answer = answer(port, bytes.as_bytes());
        let shown = bytes.get(..100).unwrap_or(&bytes);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
        assert!(answer.contains("\r\nDate: ") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert_eq!(status == "405 ", answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
    }
    end(gateway);
}

#[test]
fn slow_and_broken_clients_end_and_take_nothing_from_the_others() {
    let gateway = start(&[]);
    let port = port(&gateway);
    let begun = Instant::now();
    // As many as are served at once: silent ones, one that writes byte by byte, one that never reads, broken ones.
    let mut silent: Vec<_> = (0..30).map(|_| connect(port)).collect();
    let mut half: Vec<_> = (0..30).map(|_| connect(port)).collect();
    half.iter_mut().for_each(|stream| stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap());
    let mut deaf = connect(port);
    let flood = request("GET", "/", port).replace("close", "keep-alive").repeat(2000);
    deaf.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    // It takes none of the answers: so at some time none of its requests is taken.
    let _ = deaf.write_all(flood.as_bytes());
    for _ in 0..10 {
        let mut broken = connect(port);
        broken.write_all(b"GET /metr").unwrap();
        drop(broken);
        let mut gone = connect(port);
        gone.write_all(request("GET", "/metrics.json", port).as_bytes()).unwrap();
        drop(gone);
    }
    let answered = metrics(port);
    assert_eq!(answered["dropped"], 0, "{answered}");
    // No sooner than is said, and then with the reason; who says nothing is told nothing.
    for stream in &mut half {
        assert!(rest(stream).starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    }
    assert!(begun.elapsed() >= Duration::from_secs(5));
    silent.iter_mut().for_each(|stream| assert_eq!(rest(stream), ""));
    assert!(begun.elapsed() >= Duration::from_secs(10));
    let left = metrics_that(port, |m| {
        let fibers = m["fibers"]["fibers"].as_array().unwrap();
        fibers.iter().filter(|f| f["name"] == "page client").count() == 1
    });
    println!("{} readings meanwhile", left["readings"]);
    end(gateway);
}

#[test]
fn more_clients_than_are_served_at_once_wait_for_their_turn() {
    let gateway = start(&[]);
    let port = port(&gateway);
    let mut silent: Vec<_> = (0..100).map(|_| connect(port)).collect();
    let mut waiting = connect(port);
    waiting.write_all(request("GET", "/metrics", port).as_bytes()).unwrap();
    // Those in front make room.
    silent.drain(..50);
    assert!(rest(&mut waiting).starts_with("HTTP/1.1 200 OK\r\n"));
    let sums = {
        gateway.signal(Signal::TERM);
        Sums::of(&gateway.finish(MARGIN))
    };
    assert_eq!(sums.dropped, 0, "{sums:?}");
}

/// A sample: its labels, and its value.
type Samples = Vec<(BTreeMap<String, String>, f64)>;

/// The metrics of an exposition, which is checked as strictly as the format is described, by the name of a sample.
fn parse(text: &str) -> BTreeMap<String, Samples> {
    let mut samples = BTreeMap::<String, Samples>::new();
    let (mut family, mut kind, mut seen) = (String::new(), String::new(), BTreeSet::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap().to_owned();
            assert!(help.len() > family.len() + 1 && seen.insert(family.clone()), "{line}");
            kind.clear();
        } else if let Some(said) = line.strip_prefix("# TYPE ") {
            kind = said.strip_prefix(&*family).unwrap_or_else(|| panic!("{line}")).trim().to_owned();
            assert!(["counter", "gauge", "histogram"].contains(&&*kind), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
        } else {
            let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let suffix = name.strip_prefix(&*family).unwrap_or_else(|| panic!("{line} below {family}"));
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(!kind.is_empty() && suffixes.contains(&suffix), "{line}");
            let (labels, value) = labels(&line[name.len()..]);
            let of_name = samples.entry(name).or_default();
            assert!(of_name.iter().all(|(other, _)| *other != labels), "twice: {line}");
            of_name.push((labels, value.parse().unwrap_or_else(|e| panic!("{line}: {e}"))));
        }
    }
    samples
}

/// The labels at the begin of this, and what follows after a blank.
fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (labels, text.strip_prefix(' ').unwrap()) };
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("\\{c} in {text}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{text}");
        rest = &after[end + 1..];
        if let Some(value) = rest.strip_prefix("} ") {
            return (labels, value);
        }
        rest = rest.strip_prefix(',').unwrap();
    }
}

fn check_histogram(samples: &BTreeMap<String, Samples>, name: &str) {
    let one = |suffix: &str| samples[&format!("{name}_{suffix}")][0].1;
    let buckets = &samples[&format!("{name}_bucket")];
    let edges: Vec<f64> = buckets.iter().map(|(labels, _)| labels["le"].parse().unwrap()).collect();
    assert!(edges.is_sorted() && edges.last() == Some(&f64::INFINITY), "{edges:?}");
    assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{buckets:?}");
    assert_eq!(buckets.last().map(|(_, count)| *count), Some(one("count")));
    assert!(one("count") > 0.0 && one("sum") >= 0.0);
}

#[test]
fn prometheus_can_read_it_whatever_devices_are_called() {
    let broker = Broker::start();
    let device = Device::plug("quo\"te\\ back");
    let gateway = start(&["--http", "0", "--serial", device.path(), "--broker", &broker.url()]);
    gateway.expect_stderr("subscribed", MARGIN);
    let port = port(&gateway);
    device.say("temp=-2.5e1 word=on \"\\=7 huge=1e999 odd=nan\n");
    metrics_that(port, |m| m["acknowledged"] == 1 && m["loop"]["lag"]["count"] != 0);
    let (head, text) = get(port, "/metrics");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    let samples = parse(&text);
    let of_device = |name: &str| {
        let own: Vec<_> = samples[name].iter().filter(|(labels, _)| labels["device"] == device.name()).collect();
        own.iter().map(|(labels, value)| (labels.get("field").map_or("", |f| f), *value)).collect::<Vec<_>>()
    };
    assert_eq!(of_device("becket_device_readings_total"), [("", 1.0)]);
    assert_eq!(of_device("becket_device_open"), [("", 1.0)]);
    assert_eq!(of_device("becket_device_field"), [("\"\\", 7.0), ("temp", -25.0)]);
    assert_eq!(samples["becket_readings_total"], [(BTreeMap::new(), 1.0)]);
    assert_eq!(samples["becket_broker_connected"], [(BTreeMap::new(), 1.0)]);
    for name in ["becket_loop_wait_seconds", "becket_loop_turn_seconds", "becket_loop_timer_lag_seconds"] {
        check_histogram(&samples, name);
    }
    let fibers: f64 = samples["becket_fibers"].iter().map(|(_, value)| value).sum();
    assert!(fibers > 5.0 && samples["process_resident_memory_bytes"][0].1 > 1e6);
    end(gateway);
}
