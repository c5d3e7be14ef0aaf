//! The command line. Every error names the option, what was given, and what is wrong with it, in one line.

use crate::config::QUEUE;
use crate::settings::{
    Broker, BrokerSettings, DeviceSettings, GpioLine, GpioSettings, Names, PREFIX, PortSettings, name_of,
};
use becket_mosquitto::AddressError;
use becket_sys::gpio::Edge;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub const USAGE: &str = "\
usage: gateway [OPTIONS]
       gateway --config FILE [--for DURATION] [--json] [--quiet]
       gateway --config FILE --check-config

Publishes what serial devices say to an MQTT broker, and hands them the commands that come back.
Each field of a line `temp=21.53 hum=40` of a device goes to becket/DEVICE/FIELD at QoS 1; messages on
becket/DEVICE/set are written to the device as a line; they have 4096 bytes at most. A line without any field
answers a command: it is no reading. DEVICE is the last part of the path.

  --serial PATH[:BAUD]     a serial device, at 115200 baud unless said; repeatable; default: a simulated one
  --broker mqtt://HOST[:PORT] | unix:PATH | embedded[:PORT] | mosquitto
                           the broker: somewhere (port 1883 unless said), in this process on the loopback
                           interface (the default), or the machine's mosquitto on a free loopback port
  --gpio CHIP:LINE[:EDGE]  publish the edges of a GPIO line to becket/gpio/NAME; CHIP is a path, a name such as
                           gpiochip0, a number or a label; LINE an offset or what the board calls it; EDGE is
                           rising, falling or both (the default); repeatable. NAME is that of the line, or
                           CHIP-OFFSET
  --gpio-sysfs N[:EDGE]    the same by the line's number in sysfs, to becket/gpio/N; repeatable
  --keepalive SECONDS      how often the broker must hear from us, 5 to 65535; default 30
  --queue READINGS         how many readings of a device wait for the broker before its new ones are dropped;
                           default 1000
  --store FILE             keep what is published and not acknowledged in this file, up to 100000 messages and 64 MiB
                           instead of 64: however this run ends, the next one with the file sends them, and counts
                           them among its published ones; this run counts them as dropped
  --http PORT | off        a page at http://127.0.0.1:PORT/ that shows all this live; /metrics there is for Prometheus;
                           0 stands for a free port; default: a free one with the simulated device, else off
  --config FILE            take all of this from a file in TOML, and more: TLS, passwords, what becomes of each field.
                           The options above are refused beside it, for the file says them. It is followed: what
                           differs in it is changed at once, and where something is wrong with it, line and reason are
                           logged and everything stays as it is. Devices that are not there are waited for
  --check-config           read the file, say what is wrong with it, and end
  --for DURATION           end by itself after that time, such as 10s, 500ms or 2m
  --json                   each line on standard error is a JSON object: time, level, message, and what it is about
  --quiet                  of these lines those alone that tell of trouble; no status line, no answer to SIGUSR1
  --help                   print this

SIGINT and SIGTERM end it after what waits has gone out, at most 5 s; a second one ends it at once. So does SIGHUP, but
beside --config, where it has the file read again.
SIGUSR1 prints the broker, every device, fiber and source. The last line of standard output is a JSON object that sums
up. Exit status: 0; 1 where the sums do not add up; 2 for a bad argument or something that cannot be opened.";

/// The options that a configuration file has keys for.
const IN_FILE: [&str; 8] = ["serial", "broker", "gpio", "gpio-sysfs", "keepalive", "queue", "store", "http"];

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// Run as a gateway.
    Run(Box<Options>),
    /// Look whether something is wrong with a configuration file.
    Check(PathBuf),
    /// Print the usage and end.
    Help,
}

/// How to run.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// None: a simulated one.
    pub devices: Vec<DeviceSettings>,
    pub gpio: Vec<GpioSettings>,
    pub broker: BrokerSettings,
    /// `None`: until a signal comes.
    pub run_for: Option<Duration>,
    /// How many readings of each device wait for the broker.
    pub queue: usize,
    /// Where what is owed to the broker is kept.
    pub store: Option<PathBuf>,
    /// The port of the page: `Some(None)` for no page, `None` where nothing is said.
    pub http: Option<Option<u16>>,
    /// The file that says all of the above, but for the time.
    pub config: Option<PathBuf>,
}

/// Reads the arguments, without the name of the program before them.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut options = Options {
        devices: Vec::new(),
        gpio: Vec::new(),
        broker: BrokerSettings::default(),
        run_for: None,
        queue: QUEUE,
        store: None,
        http: None,
        config: None,
    };
    let mut checks = false;
    // The first of the options that the file says.
    let mut in_file = None;
    let mut names = Names::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        if let Long(name) = arg
            && IN_FILE.contains(&name)
        {
            in_file.get_or_insert_with(|| name.to_owned());
        }
        match arg {
            Long("config") => options.config = Some(value(&mut parser)?.into()),
            Long("check-config") => checks = true,
            Long("serial") => {
                let port = serial(value(&mut parser)?)?;
                let name = names.unique(&name_of(&port.path));
                let topic = format!("{PREFIX}/{name}");
                options.devices.push(DeviceSettings { name, port, topic, fields: None });
            }
            Long("broker") => {
                let place = broker(&value(&mut parser)?.to_string_lossy());
                options.broker.place = place.map_err(|e| format!("--broker {e}"))?;
            }
            Long("gpio") => add(&mut options.gpio, "--gpio", text(&mut parser, "--gpio", gpio)?)?,
            Long("gpio-sysfs") => {
                add(&mut options.gpio, "--gpio-sysfs", text(&mut parser, "--gpio-sysfs", gpio_sysfs)?)?;
            }
            Long("for") => options.run_for = Some(text(&mut parser, "--for", duration)?),
            Long("keepalive") => options.broker.keepalive = text(&mut parser, "--keepalive", keepalive)?,
            Long("queue") => options.queue = text(&mut parser, "--queue", queue)?,
            Long("store") => options.store = Some(value(&mut parser)?.into()),
            Long("http") => options.http = Some(text(&mut parser, "--http", http)?),
            // Seen to before anything else: what is wrong with other arguments is told so.
            Long("json" | "quiet") => {}
            Short('h') | Long("help") => return Ok(Request::Help),
            other => return Err(other.unexpected().to_string()),
        }
    }
    match (options.config, in_file) {
        (Some(_), Some(option)) => Err(format!("--{option}: not beside --config, whose file says it")),
        (Some(file), None) if checks => Ok(Request::Check(file)),
        (None, _) if checks => Err("--check-config: it needs --config FILE".into()),
        (config, _) => Ok(Request::Run(Box::new(Options { config, ..options }))),
    }
}

/// A line has one edge that it waits for, whoever asks.
fn add(lines: &mut Vec<GpioSettings>, option: &str, line: GpioSettings) -> Result<(), String> {
    if lines.iter().any(|other| other.name == line.name) {
        return Err(format!("{option} {}: the line is there twice", line.name));
    }
    lines.push(line);
    Ok(())
}

fn value(parser: &mut lexopt::Parser) -> Result<OsString, String> {
    parser.value().map_err(|e| e.to_string())
}

/// The value of an option that is text, by `parse`, whose error says what is wrong with it.
fn text<T>(
    parser: &mut lexopt::Parser,
    option: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    let value = value(parser)?;
    let parsed = value.to_str().ok_or_else(|| "not UTF-8".into()).and_then(parse);
    parsed.map_err(|e| format!("{option} {}: {e}", value.display()))
}

/// A colon followed by digits alone is the rate; paths below /dev/serial/by-path hold colons of their own.
fn serial(value: OsString) -> Result<PortSettings, String> {
    let bytes = value.as_bytes();
    let colon = bytes.iter().rposition(|&byte| byte == b':');
    let (path, rate) = match colon.map(|at| (&bytes[..at], &bytes[at + 1..])) {
        Some((path, rate)) if !rate.is_empty() && rate.iter().all(u8::is_ascii_digit) => (path, Some(rate)),
        _ => (bytes, None),
    };
    let wrong = |what: &str| format!("--serial {}: {what}", value.display());
    if path.is_empty() {
        return Err(wrong("no path"));
    }
    let baud = match rate.map(String::from_utf8_lossy) {
        Some(rate) => rate.parse().map_err(|e| wrong(&format!("the rate {rate}: {e}")))?,
        None => 115_200,
    };
    if baud == 0 {
        return Err(wrong("a rate of 0 baud means hanging up"));
    }
    Ok(PortSettings::new(OsString::from_vec(path.to_vec()), baud))
}

/// Where the broker is.
pub fn broker(value: &str) -> Result<Broker, String> {
    match value {
        "embedded" => return Ok(Broker::Embedded { port: 0 }),
        "mosquitto" => return Ok(Broker::Mosquitto),
        _ => {}
    }
    if let Some(of) = value.strip_prefix("embedded:") {
        let port = of.parse().map_err(|e| format!("{value}: the port {of:?}: {e}"))?;
        return Ok(Broker::Embedded { port });
    }
    let error = |e: AddressError| format!("{e}, and it is neither embedded[:PORT] nor mosquitto");
    value.parse().map(Broker::At).map_err(error)
}

/// Labels of chips hold colons of their own: what follows the last one is the edge, or the line.
fn gpio(value: &str) -> Result<GpioSettings, String> {
    let (line, edge) = match value.rsplit_once(':') {
        Some((line, word @ ("rising" | "falling" | "both"))) => (line, edge(word)?),
        _ => (value, Edge::Both),
    };
    let (chip, line) = line.rsplit_once(':').ok_or("it is not CHIP:LINE[:EDGE]")?;
    Ok(GpioSettings::new(GpioLine::of_chip(chip, line)?, edge))
}

fn gpio_sysfs(value: &str) -> Result<GpioSettings, String> {
    let (number, word) = value.split_once(':').unwrap_or((value, "both"));
    let edge = edge(word)?;
    let number = number.parse().map_err(|e| format!("the line {number:?}: {e}"))?;
    Ok(GpioSettings::new(GpioLine::Sysfs(number), edge))
}

fn edge(word: &str) -> Result<Edge, String> {
    match word {
        "rising" => Ok(Edge::Rising),
        "falling" => Ok(Edge::Falling),
        "both" => Ok(Edge::Both),
        other => Err(format!("the edge {other:?} is neither rising nor falling nor both")),
    }
}

fn http(value: &str) -> Result<Option<u16>, String> {
    if value == "off" {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|e| format!("neither off nor a port: {e}"))
}

/// A number and its unit.
pub fn duration(value: &str) -> Result<Duration, String> {
    let unit = value.find(|c: char| !c.is_ascii_digit()).ok_or("no unit: ms, s, m or h")?;
    let (number, unit) = value.split_at(unit);
    if number.is_empty() {
        return Err("a time is a number and a unit, such as 500ms or 10s".into());
    }
    let number: u64 = number.parse().map_err(|e| format!("{number:?}: {e}"))?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        other => return Err(format!("the unit {other:?} is none of ms, s, m, h")),
    };
    // No clock of any use reaches so far, and sums with it must not overflow.
    let sane = milliseconds.filter(|&ms| ms <= 1000 * 366 * 24 * 3_600_000);
    sane.map(Duration::from_millis).ok_or_else(|| "more than a thousand years".into())
}

fn keepalive(value: &str) -> Result<Duration, String> {
    let seconds = value.parse().map_err(|e| format!("{e}"))?;
    if (5..=65_535).contains(&seconds) { Ok(Duration::from_secs(seconds)) } else { Err("not within 5 to 65535".into()) }
}

fn queue(value: &str) -> Result<usize, String> {
    let readings = value.parse().map_err(|e| format!("{e}"))?;
    if (1..=1_000_000).contains(&readings) { Ok(readings) } else { Err("not within 1 to 1000000".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use becket_mosquitto::Address;

    fn options(args: &str) -> Options {
        match parse(args.split_whitespace().map(OsString::from)) {
            Ok(Request::Run(options)) => *options,
            other => panic!("{args}: {other:?}"),
        }
    }

    fn error(args: &str) -> String {
        parse(args.split_whitespace().map(OsString::from)).unwrap_err()
    }

    #[test]
    fn serial_devices_take_a_rate_and_colons_of_their_own() {
        let given = options("--serial /dev/ttyUSB0:9600 --serial /dev/serial/by-path/pci-0000:00:14.0-port0").devices;
        assert_eq!(given[0].port, PortSettings::new("/dev/ttyUSB0", 9600));
        assert_eq!((&*given[0].name, &*given[0].topic), ("ttyUSB0", "becket/ttyUSB0"));
        assert_eq!(given[1].port, PortSettings::new("/dev/serial/by-path/pci-0000:00:14.0-port0", 115_200));
        assert_eq!(error("--serial :9600"), "--serial :9600: no path");
        assert_eq!(
            error("--serial a:99999999999"),
            "--serial a:99999999999: the rate 99999999999: number too large to fit in target type"
        );
    }

    #[test]
    fn brokers() {
        let broker = |text: &str| options(&format!("--broker {text}")).broker.place;
        assert_eq!(options("").broker.place, Broker::Embedded { port: 0 });
        assert_eq!(broker("embedded:1884"), Broker::Embedded { port: 1884 });
        assert_eq!(broker("mosquitto"), Broker::Mosquitto);
        assert_eq!(broker("mqtt://[::1]"), Broker::At(Address::tcp("::1", 1883).unwrap()));
        assert!(error("--broker nonsense").starts_with("--broker broker address `nonsense`: it is neither"));
        assert_eq!(
            error("--broker embedded:70000"),
            "--broker embedded:70000: the port \"70000\": number too large to fit in target type"
        );
    }

    #[test]
    fn gpio_lines() {
        let sysfs = |number, edge| GpioSettings::new(GpioLine::Sysfs(number), edge);
        let given = options("--gpio-sysfs 7 --gpio-sysfs 512:falling").gpio;
        assert_eq!(given, [sysfs(7, Edge::Both), sysfs(512, Edge::Falling)]);
        let chip = |chip: &str, line: &str, edge| {
            GpioSettings::new(GpioLine::Chip { chip: chip.into(), line: line.into() }, edge)
        };
        let given = options("--gpio /dev/gpiochip0:4 --gpio INT34C6:00:17:rising --gpio 1:door:both").gpio;
        assert_eq!(given[0], chip("/dev/gpiochip0", "4", Edge::Both));
        assert_eq!(given[1], chip("INT34C6:00", "17", Edge::Rising));
        assert_eq!(given[2], chip("gpiochip1", "door", Edge::Both));
        assert_eq!(given[0].topic, "becket/gpio/gpiochip0-4");
        assert_eq!(given[2].topic, "becket/gpio/door");
        assert_eq!(error("--gpio 0"), "--gpio 0: it is not CHIP:LINE[:EDGE]");
        assert_eq!(error("--gpio 0:rising"), "--gpio 0:rising: it is not CHIP:LINE[:EDGE]");
        assert_eq!(error("--gpio 0:"), "--gpio 0:: it is not CHIP:LINE");
        assert_eq!(error("--gpio 0:1 --gpio gpiochip0:1"), "--gpio gpiochip0-1: the line is there twice");
        assert!(error("--gpio-sysfs 7:up").contains("\"up\" is neither"));
        assert!(error("--gpio-sysfs x").contains("the line \"x\""));
        assert_eq!(error("--gpio-sysfs 7:rising --gpio-sysfs 7"), "--gpio-sysfs 7: the line is there twice");
    }

    #[test]
    fn numbers_have_units_and_bounds() {
        assert_eq!(options("--for 10s").run_for, Some(Duration::from_secs(10)));
        assert_eq!(options("--for=250ms").run_for, Some(Duration::from_millis(250)));
        assert_eq!(error("--for 10"), "--for 10: no unit: ms, s, m or h");
        assert_eq!(error("--for 99999999999999h"), "--for 99999999999999h: more than a thousand years");
        assert_eq!(error("--keepalive 4"), "--keepalive 4: not within 5 to 65535");
        assert_eq!(error("--queue 0"), "--queue 0: not within 1 to 1000000");
        assert_eq!(error("--queue"), "missing argument for option '--queue'");
        assert_eq!(error("--bogus"), "invalid option '--bogus'");
        assert_eq!(options("--store a/b").store, Some("a/b".into()));
        let http = |args| options(args).http;
        assert_eq!((http(""), http("--http off"), http("--http 0")), (None, Some(None), Some(Some(0))));
        let e = error("--http 70000");
        assert_eq!(e, "--http 70000: neither off nor a port: number too large to fit in target type");
        assert_eq!(parse(["--help".into()]), Ok(Request::Help));
    }

    #[test]
    fn a_file_says_all_but_the_time() {
        let given = options("--config a.toml --for 1s");
        assert_eq!((given.config, given.run_for), (Some("a.toml".into()), Some(Duration::from_secs(1))));
        let check = parse(["--check-config", "--config", "a"].map(OsString::from));
        assert_eq!(check, Ok(Request::Check("a".into())));
        assert_eq!(error("--check-config"), "--check-config: it needs --config FILE");
        let values = ["a", "mosquitto", "0:1", "1", "5", "1", "a", "0"];
        for (name, value) in IN_FILE.iter().zip(values) {
            let refused = format!("--{name}: not beside --config, whose file says it");
            assert_eq!(error(&format!("--{name} {value} --config a")), refused);
        }
    }
}
