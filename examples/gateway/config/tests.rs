use super::*;
use crate::settings::{Broker, PortSettings};
use becket_mosquitto::{Address, QoS};
use becket_sys::gpio::{Bias, Edge};
use becket_sys::serial::Parity;
use std::time::Duration;

fn parsed(text: &str) -> Result<Config, String> {
    let mut files = Files { folder: "/etc/gateway".into(), read: Vec::new() };
    parse(text.as_bytes(), &mut files).map_err(|problem| problem.in_line_of(text.as_bytes()))
}

fn config(text: &str) -> Config {
    parsed(text).unwrap_or_else(|e| panic!("{e} in:\n{text}"))
}

#[test]
fn the_example_is_what_its_comments_say() {
    let example = include_str!("../gateway.toml");
    let given = config(example);
    assert_eq!(given.devices[0].port, PortSettings::new("/dev/ttyUSB0", 9600));
    assert_eq!((&*given.devices[0].name, &*given.devices[0].topic), ("ttyUSB0", "becket/ttyUSB0"));
    assert_eq!(given.devices[0].fields, None);
    let heating = &given.devices[1];
    assert_eq!((&*heating.name, &*heating.topic, heating.port.line.parity), ("heating", "house/heating", Parity::Even));
    let fields = heating.fields.as_ref().unwrap();
    assert_eq!(
        (&*fields[0].topic, fields[0].scale, fields[0].every),
        ("flow/temperature", Some(0.1), Duration::from_secs(10))
    );
    assert_eq!((&*fields[1].topic, fields[1].retain), ("pump", false));
    let [line] = &given.gpio[..] else { panic!("{:?}", given.gpio) };
    assert_eq!(
        (line.edge, line.bias, line.active_low, &*line.topic),
        (Edge::Both, Some(Bias::PullUp), true, "becket/gpio/door")
    );
    assert_eq!(line.debounce, Duration::from_millis(5));
    // What is set there is the default, but for the two devices and the line.
    let plain = config("");
    assert_eq!((given.broker, given.queue), (plain.broker, plain.queue));
    assert_eq!((given.store, given.http), (None, None));

    // What is commented out is right, too, but for files that are not there.
    let all: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key)
                if key.starts_with(|c: char| c == '[' || c.is_ascii_lowercase())
                    && !key.starts_with("[broker.tls]") =>
            {
                format!("{key}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let (tls, others): (Vec<_>, Vec<_>) = all.lines().partition(|line| {
        ["ca ", "cert ", "key ", "server-name ", "psk-identity ", "psk ", "insecure ", "password-file "]
            .iter()
            .any(|key| line.starts_with(key))
    });
    assert_eq!(tls.len(), 8);
    let all = config(&others.join("\n"));
    assert_eq!((all.store, all.http), (Some("/var/lib/gateway/owed".into()), Some(8080)));
    assert_eq!(all.broker.client_id.as_deref(), Some("gateway-7"));
    assert_eq!(all.gpio.len(), 2);
}

#[test]
fn brokers_and_topics() {
    let given = config(
        "[broker]\nurl='mqtt://h:1'\nuser='u'\npassword='p'\nqos=2\nkeepalive=5\ntopic-prefix='a/b'\n[[device]]\npath='x'",
    );
    assert_eq!(given.broker.place, Broker::At(Address::tcp("h", 1).unwrap()));
    assert_eq!((given.broker.qos, given.broker.keepalive), (QoS::ExactlyOnce, Duration::from_secs(5)));
    assert_eq!(format!("{:?}", given.broker.password), "Some(secret)");
    assert_eq!((&*given.devices[0].topic, &given.devices[0].port.path), ("a/b/x", &"/etc/gateway/x".into()));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (text, wrong) in [
        ("a = ", "1: this is not TOML"),
        ("queue = 1\n[[device]\n", "2: invalid table header, expected"),
        ("queue = 1\nqueue = 2", "2: duplicate key `queue`"),
        ("\nstore = /var/owed", "2: "),
        ("queue = 1\nqeue = 2", "2: unknown field `qeue`, expected one of `broker`"),
        ("queue = 0", "1: not within 1 to 1000000"),
        ("http = 70000", "1: invalid value: integer `70000`, expected u16"),
        ("queue = 'x'", "1: invalid type: string \"x\", expected usize"),
        ("\n[[device]]\nbaud = 9600", "2: missing field `path`"),
        ("[[device]]\npath = ''", "2: no path"),
        ("[[device]]\npath = 'a'\nbaud = 0", "3: a rate of 0 baud"),
        ("[[device]]\npath = 'a'\nbaud = -1", "3: invalid value: integer `-1`, expected u32"),
        ("[[device]]\npath = 'a'\nparity = 'evne'", "3: unknown variant `evne`, expected one of `none`"),
        ("[[device]]\npath = 'a'\ndata-bits = 9", "3: a character has 5 to 8 bits"),
        ("[[device]]\npath = 'a'\nstop-bits = 3", "3: there are 1 or 2"),
        ("[[device]]\npath = 'a'\nname = 'b/c'", "3: a name is one level"),
        ("[[device]]\npath = 'a'\ntopic = 'b/+'", "3: it cannot be a topic"),
        ("[[device]]\npath = 'a'\n[[device]]\npath = '/etc/gateway/a'", "4: the device /etc/gateway/a is there twice"),
        ("[[device]]\npath = 'a'\n[[device]]\npath = 'b/a'", "4: the name \"a\" is taken"),
        ("[[device]]\npath = 'gpio'", "2: the name \"gpio\" is taken"),
        ("[[device]]\npath = 'a'\n[[device]]\npath = 'b'\ntopic = 'becket/a'", "4: the topic \"becket/a\" is another"),
        ("[[device]]\npath = 'a'\n[[device.field]]\nname = 'b#'", "4: \"b#\" cannot be a field"),
        ("[[device]]\npath = 'a'\n[[device.field]]\nname = 'set'", "4: \"set\" cannot be a field"),
        ("[[device]]\npath = 'a'\n[[device.field]]\nname = 'b'\ntopic = 'c//d'", "5: it cannot be the rest of a topic"),
        (
            "[[device]]\npath = 'a'\n[[device.field]]\nname = 'b'\n[[device.field]]\nname = 'b'",
            "6: the field \"b\" is there twice",
        ),
        ("[[device]]\npath = 'a'\n[[device.field]]\nname = 'b'\nscale = 0.0", "5: it cannot be multiplied by that"),
        ("[[device]]\npath = 'a'\n[[device.field]]\nname = 'b'\ndeadband = -1.0", "5: a deadband is 0 or more"),
        ("[[device]]\npath = 'a'\n[[device.field]]\nname = 'b'\nevery = '5'", "5: \"5\": no unit"),
        ("[[gpio]]\nchip = 0", "1: a GPIO line has a `chip` and a `line`"),
        ("[[gpio]]\nchip = 0\nline = 1\nsysfs = 7", "1: a GPIO line has"),
        ("[[gpio]]\nsysfs = 7\nbias = 'pull-up'", "3: sysfs cannot do this"),
        ("[[gpio]]\nchip = 0\nline = 1\n[[gpio]]\nchip = 'gpiochip0'\nline = '1'", "4: this GPIO line is there twice"),
        (
            "[[gpio]]\nchip = 0\nline = 1\nname = 'x'\n[[gpio]]\nsysfs = 1\nname = 'x'",
            "5: the name \"x\" is another line's",
        ),
        ("[broker]\nurl = 'http://h'", "2: broker address `http://h`: scheme"),
        ("[broker]\nkeepalive = 4", "2: not within 5 to 65535"),
        ("[broker]\nqos = 3", "2: it is none of 0, 1, 2"),
        ("[broker]\ntopic-prefix = '$SYS'", "2: \"$SYS\" cannot begin a topic"),
        ("[broker]\npassword = 'p'", "2: a password needs a `user`"),
        ("[broker]\nuser = 'u'\npassword = 'p'\npassword-file = 'f'", "4: there is a `password` already"),
        ("[broker]\nuser = 'u'\npassword-file = 'f'", "3: /etc/gateway/f: No such file or directory"),
        ("[broker]\nurl = 'mqtt://h'\nclient-id = ''", "1: client id ``"),
        ("[broker]\nurl = 'mqtt://h'\n[broker.tls]\nbogus = 1", "4: unknown field `bogus`"),
    ] {
        let error = parsed(text).unwrap_err();
        assert!(error.starts_with(wrong) && !error.contains('\n'), "{error}\nin:\n{text}");
    }
}

#[test]
fn tls_is_checked_where_the_program_can_do_it() {
    let plain = parsed("[broker]\nurl = 'mqtt://h'\n[broker.tls]\nca = 'ca.pem'").unwrap_err();
    let secure = parsed("[broker]\nurl = 'mqtts://h'\n[broker.tls]\nca = 'ca.pem'").map(|_| ()).unwrap_err();
    if !cfg!(feature = "tls") {
        assert!(plain.ends_with("was built without the feature `tls`"), "{plain}");
        assert!(secure.starts_with("2: ") && secure.contains("`tls`"), "{secure}");
        return;
    }
    assert!(plain.starts_with("3: TLS is for a broker whose `url`"), "{plain}");
    assert!(secure.starts_with("4: /etc/gateway/ca.pem: No such file or directory"), "{secure}");
    for (keys, wrong) in [
        ("cert = 'c.pem'", "4: `cert` and `key` go together"),
        ("psk = '00'", "4: `psk-identity` and `psk` go together"),
        ("psk-identity = 'i'\npsk = '0'", "5: the key is in hexadecimal digits"),
        ("psk-identity = 'i'\npsk = '0+'", "5: the key is in hexadecimal digits"),
        ("server-name = ''", "4: TLS: server name"),
    ] {
        let error = parsed(&format!("[broker]\nurl = 'mqtts://h'\n[broker.tls]\n{keys}")).unwrap_err();
        assert!(error.starts_with(wrong), "{error}");
    }
    let tls = config("[broker]\nurl = 'mqtts://h'\n[broker.tls]\npsk-identity = 'i'\npsk = '00ff'\ninsecure = true")
        .broker
        .tls;
    assert_eq!(tls.unwrap().psk.unwrap().1.0, [0, 0xff]);
}

#[test]
fn files_are_named_with_the_line_and_listed() {
    let folder = std::env::temp_dir().join(format!("becket-config-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("gateway.toml");
    fs::write(folder.join("password"), "secret\n").unwrap();
    fs::write(&file, "[broker]\nuser = 'u'\npassword-file = 'password'\n").unwrap();
    let given = read(&file);
    assert_eq!(given.config.unwrap().broker.password, Some(crate::settings::Secret(b"secret".to_vec())));
    assert_eq!(given.files, [file.clone(), folder.join("password")]);
    fs::write(&file, b"queue = 1\n\xff").unwrap();
    assert_eq!(read(&file).config.unwrap_err(), format!("{}:2: this is not UTF-8", file.display()));
    fs::remove_dir_all(&folder).unwrap();
    assert!(read(&file).config.unwrap_err().ends_with("gateway.toml: No such file or directory (os error 2)"));
}

#[test]
fn what_never_ends_or_has_something_else_each_time_is_no_configuration() {
    for path in ["/dev/zero", "/dev/null"] {
        assert_eq!(read(Path::new(path)).config.unwrap_err(), format!("{path}: it is no regular file"));
        let named = format!("[broker]\nuser = \"u\"\npassword-file = \"{path}\"\n");
        assert_eq!(parsed(&named).unwrap_err(), format!("3: {path}: it is no regular file"));
    }
}
