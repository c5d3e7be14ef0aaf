//! The example programs mqtt_pub, mqtt_sub and mqtt_request: beside each other, and beside those of mosquitto.

use becket_tests::broker::{Broker, free_port};
use becket_tests::program::{Finished, Program};
use becket_tests::{examples, tools};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

fn start(program: &Path, broker: &Broker, args: &[&str]) -> Program {
    let port = broker.port().to_string();
    Program::start(program, [&["-h", "127.0.0.1", "-p", &port], args].concat())
}

/// Starts our subscriber, and waits until the broker has its subscription.
fn subscriber(broker: &Broker, args: &[&str]) -> Program {
    let program = start(&examples::path("mqtt_sub"), broker, &[&["-d"], args].concat());
    program.expect_stderr("subscribed to", SOON);
    program
}

fn publish(broker: &Broker, args: &[&str]) -> Finished {
    let end = start(&examples::path("mqtt_pub"), broker, args).finish(SOON);
    assert_eq!(end.status.code(), Some(0), "{args:?}: {}", end.stderr);
    end
}

#[test]
fn what_one_publishes_the_other_prints() {
    let broker = Broker::start();
    for version in ["311", "5"] {
        let all = ["-V", version, "-q", "1"];
        let sub = subscriber(&broker, &[&all[..], &["-t", "a/#", "-T", "a/no", "-v", "-C", "4"]].concat());
        publish(&broker, &[&all[..], &["-t", "a/1", "-m", "text"]].concat());
        publish(&broker, &[&all[..], &["-t", "a/no", "-m", "left out"]].concat());
        publish(&broker, &[&all[..], &["-t", "a/2", "-n"]].concat());
        publish(&broker, &[&all[..], &["-t", "a/3", "-m", "again", "--repeat", "2"]].concat());
        let end = sub.finish(SOON);
        assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
        assert_eq!(end.stdout, "a/1 text\na/2 \na/3 again\na/3 again\n");
    }
}

#[test]
fn a_url_names_broker_and_topic() {
    let broker = Broker::start();
    let url = format!("{}/a/b", broker.url());
    let sub = Program::start(examples::path("mqtt_sub"), ["-d", "-L", &url, "-C", "1", "-v", "-q", "1"]);
    sub.expect_stderr("subscribed to a/b", SOON);
    let end = Program::start(examples::path("mqtt_pub"), ["-L", &url, "-m", "by URL", "-q", "1"]).finish(SOON);
    assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
    assert_eq!(sub.finish(SOON).stdout, "a/b by URL\n");
}

#[test]
fn each_line_is_a_message_and_a_file_is_one() {
    let broker = Broker::start();
    let sub = subscriber(&broker, &["-t", "lines", "-q", "2", "-C", "1001", "-F", r"%l %p\n", "-N"]);
    let shell = |command: &str| {
        let program = examples::path("mqtt_pub");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{command} | {} -p {} -q 2 -t lines -l", program.display(), broker.port()));
        Program::spawn(shell).finish(SOON)
    };
    let end = shell("seq 1 1000");
    assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
    let file = std::env::temp_dir().join(format!("becket-mqtt-tools-{}", std::process::id()));
    std::fs::write(&file, "two\nlines").unwrap();
    publish(&broker, &["-t", "lines", "-q", "2", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    let end = sub.finish(SOON);
    let mut expected: String = (1..=1000).map(|n| format!("{} {n}\n", n.to_string().len())).collect();
    expected.push_str("9 two\nlines\n");
    assert_eq!(end.stdout, expected);
}

#[test]
fn they_work_beside_those_of_mosquitto() {
    let theirs = |tool| -> Option<PathBuf> { tools::find_or_skip(tool) };
    let (Some(their_pub), Some(their_sub)) = (theirs("mosquitto_pub"), theirs("mosquitto_sub")) else { return };
    let Some(broker) = Broker::start_mosquitto() else { return };
    let properties = [
        ["-D", "publish", "content-type", "text/plain"].as_slice(),
        &["-D", "publish", "response-topic", "answers"],
        &["-D", "publish", "correlation-data", "42"],
        &["-D", "publish", "user-property", "unit", "celsius"],
        &["-D", "publish", "message-expiry-interval", "100"],
    ]
    .concat();
    let message = [&["-V", "5", "-q", "1", "-r", "-t", "kept", "-m", "{\"n\":1}"], &properties[..]].concat();
    for (publisher, subscriber) in
        [(&examples::path("mqtt_pub"), &their_sub), (&their_pub, &examples::path("mqtt_sub"))]
    {
        let end = start(publisher, &broker, &message).finish(SOON);
        assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
        // Retained, so that it comes whenever the subscriber does.
        let sub = ["-V", "5", "-q", "1", "-t", "kept", "-C", "1", "-W", "20"];
        let end = start(subscriber, &broker, &[&sub[..], &["-F", "%t %q %r %C %R %D %P %p"]].concat()).finish(SOON);
        assert_eq!(end.stdout, "kept 1 1 text/plain answers 42 unit:celsius {\"n\":1}\n", "{}", end.stderr);
        let end = start(subscriber, &broker, &[&sub[..], &["-F", "%j"]].concat()).finish(SOON);
        for part in [
            r#""topic":"kept""#,
            r#""qos":1"#,
            r#""retain":1"#,
            r#""payloadlen":7"#,
            r#""content-type":"text/plain""#,
            r#""response-topic":"answers""#,
            r#""correlation-data":"42""#,
            r#"{"unit":"celsius"}"#,
            r#""payload":"{\"n\":1}""#,
        ] {
            assert!(end.stdout.contains(part), "{part} in {}", end.stdout);
        }
        // Taken back by a message without a payload.
        start(publisher, &broker, &["-r", "-n", "-t", "kept"]).finish(SOON);
        let end = start(subscriber, &broker, &["-t", "kept", "-W", "1"]).finish(SOON);
        assert_eq!((end.status.code(), &*end.stdout), (Some(27), ""));
    }
}

#[test]
fn a_will_is_published_where_its_program_is_killed() {
    let Some(broker) = Broker::start_mosquitto() else { return };
    let sub = subscriber(&broker, &["-t", "will", "-C", "1"]);
    let will = ["--will-topic", "will", "--will-payload", "gone", "--will-qos", "1"];
    subscriber(&broker, &[&["-t", "other"], &will[..]].concat()).kill();
    assert_eq!(sub.finish(SOON).stdout, "gone\n");
}

#[test]
fn what_is_wrong_is_said() {
    let cases = [
        ("mqtt_pub", vec!["-t", "t"], 2, "missing one of -m"),
        ("mqtt_pub", vec!["-m", "x"], 2, "missing option -t"),
        ("mqtt_pub", vec!["-t", "t", "-m", "x", "-n"], 2, "more than one"),
        ("mqtt_pub", vec!["-t", "t", "-m", "x", "-q", "3"], 2, "none of 0, 1, 2"),
        ("mqtt_pub", vec!["-t", "t", "-m", "x", "-D", "publish", "color", "red"], 2, "color: no such property"),
        ("mqtt_pub", vec!["-t", "t", "-m", "x", "-h", "a b"], 2, "host"),
        ("mqtt_pub", vec!["-m", "x", "-L", "mqtt://h"], 2, "/TOPIC"),
        ("mqtt_pub", vec!["-m", "x", "-L", "http://h/t"], 2, "`http`"),
        ("mqtt_sub", vec![], 2, "missing option -t"),
        ("mqtt_sub", vec!["-t", "a/#/b"], 2, "a/#/b"),
        ("mqtt_sub", vec!["-t", "t", "-F", "%z"], 2, "%z: no such conversion"),
        ("mqtt_sub", vec!["-t", "t", "-c"], 2, "client id"),
        ("mqtt_sub", vec!["-t", "t", "-P", "secret"], 2, "--username"),
        ("mqtt_request", vec![], 2, "usage:"),
        ("mqtt_request", vec!["mqtt://127.0.0.1", "t", "q", "soon"], 2, "SECONDS soon"),
    ];
    for (program, args, status, told) in cases {
        let end = Program::start(examples::path(program), &args).finish(SOON);
        assert_eq!(end.status.code(), Some(status), "{program} {args:?}: {}", end.stderr);
        assert!(end.stderr.starts_with(program) && end.stderr.contains(told), "{program} {args:?}: {}", end.stderr);
    }
    let nobody = free_port().to_string();
    for args in [["mqtt_pub", "-m"], ["mqtt_sub", "-F"]] {
        let end = Program::start(examples::path(args[0]), ["-p", &nobody, "-t", "t", args[1], "x"]).finish(SOON);
        assert_eq!(end.status.code(), Some(1), "{}", end.stderr);
        assert!(end.stderr.contains("refused"), "{}", end.stderr);
    }
}

#[test]
fn a_question_has_its_answer() {
    let broker = Broker::start();
    let program = examples::path("mqtt_request");
    let other = Program::start(&program, [&broker.url(), "time", "--answer", "noon", "20"]);
    other.expect_stderr("subscribed to time", SOON);
    let end = Program::start(&program, [&broker.url(), "time", "what?"]).finish(SOON);
    assert_eq!((end.status.code(), &*end.stdout), (Some(0), "noon\n"), "{}", end.stderr);
    assert_eq!(other.finish(SOON).stdout, "time what?\n");
    let end = Program::start(&program, [&broker.url(), "nobody", "?", "1"]).finish(SOON);
    assert_eq!(end.status.code(), Some(1), "{}", end.stderr);
}

/// A file of this test's own, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Scratch {
        let file = std::env::temp_dir().join(format!("becket-mqtt-tools-{}-{name}", std::process::id()));
        std::fs::write(&file, text).unwrap();
        Scratch(file)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What one publishes the other prints, by the programs that are built with TLS.
fn check_secured(broker: &Broker, options: &[&str]) {
    let sub = ["-q", "1", "-t", "t", "-C", "1", "-d"];
    let sub = start(&examples::path_with("tls", "mqtt_sub"), broker, &[options, &sub[..]].concat());
    sub.expect_stderr("subscribed to", SOON);
    let publisher = examples::path_with("tls", "mqtt_pub");
    let end = start(&publisher, broker, &[options, &["-q", "1", "-t", "t", "-m", "secret"]].concat()).finish(SOON);
    assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
    assert_eq!(sub.finish(SOON).stdout, "secret\n");
}

#[test]
fn tls_by_an_authority() {
    if !tools::has_headers_or_skip("openssl") {
        return;
    }
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) =
        (Scratch::new("cert.pem", &made.cert.pem()), Scratch::new("key.pem", &made.signing_key.serialize_pem()));
    let files = format!("certfile {}\nkeyfile {}", cert.path(), key.path());
    let Some(broker) = Broker::start_configured(&files) else { return };
    check_secured(&broker, &["--cafile", cert.path()]);

    let url = format!("mqtts://127.0.0.1:{}", broker.port());
    let secured = examples::path_with("tls", "mqtt_secured");
    assert_eq!(Program::start(&secured, [&url, cert.path()]).finish(SOON).stdout, "for your eyes\n");
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other = Scratch::new("other.pem", &other.cert.pem());
    let end = Program::start(&secured, [&url, other.path()]).finish(SOON);
    assert!(end.stdout.starts_with("gave up: ") && end.stdout.contains("certificate"), "{end:?}");
    // Nor by one that the system believes, of which this is none.
    let end = Program::start(examples::path_with("tls", "mqtt_request"), [&url, "t", "?", "5"]).finish(SOON);
    assert_eq!(end.status.code(), Some(1), "{end:?}");
    // Who believes nobody in particular gets no connection, and a program without TLS says so.
    let end = start(&examples::path("mqtt_pub"), &broker, &["--cafile", cert.path(), "-t", "t", "-n"]).finish(SOON);
    assert!(end.status.code() == Some(2) && end.stderr.contains("without the feature `tls`"), "{end:?}");
}

#[test]
fn tls_by_a_key_that_is_shared() {
    if !tools::has_headers_or_skip("openssl") {
        return;
    }
    let keys = Scratch::new("keys", "me:c0ffee00c0ffee00\n");
    let Some(broker) = Broker::start_configured(&format!("psk_hint hint\npsk_file {}", keys.path())) else { return };
    check_secured(&broker, &["--psk", "c0ffee00c0ffee00", "--psk-identity", "me"]);
    let url = format!("mqtts://127.0.0.1:{}", broker.port());
    let secured = examples::path_with("tls", "mqtt_secured");
    assert_eq!(Program::start(&secured, [&url, "me", "c0ffee00c0ffee00"]).finish(SOON).stdout, "for your eyes\n");
    let end = Program::start(&secured, [&url, "me", "c0ffe"]).finish(SOON);
    assert!(!end.status.success() && end.stderr.contains("two digits"), "{end:?}");
}
