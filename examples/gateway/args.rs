//! The command line. Every error names the option, what was given, and what is wrong with it, in one line.

use becket_mosquitto::{Address, AddressError};
use becket_sys::gpio::sysfs::Edge;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub const USAGE: &str = "\
usage: gateway [OPTIONS]

Publishes what serial devices say to an MQTT broker, and hands them the commands that come back.
Each field of a line `temp=21.53 hum=40` of a device goes to becket/DEVICE/FIELD at QoS 1; messages on
becket/DEVICE/set are written to the device as a line; they have 4096 bytes at most. A line without any field
answers a command: it is no reading. DEVICE is the last part of the path.

  --serial PATH[:BAUD]     a serial device, at 115200 baud unless said; repeatable; default: a simulated one
  --broker mqtt://HOST[:PORT] | unix:PATH | embedded[:PORT] | mosquitto
                           the broker: somewhere (port 1883 unless said), in this process on the loopback
                           interface (the default), or the machine's mosquitto on a free loopback port
  --gpio-sysfs N[:EDGE]    publish the edges of the GPIO line N of sysfs; EDGE is rising, falling or both
                           (the default); repeatable
  --for DURATION           end by itself after that time, such as 10s, 500ms or 2m
  --keepalive SECONDS      how often the broker must hear from us, 5 to 65535; default 30
  --queue READINGS         how many readings of a device wait for the broker before its new ones are dropped;
                           default 1000
  --store FILE             keep what is published and not acknowledged in this file, up to 100000 messages and 64 MiB
                           instead of 64: however this run ends, the next one with the file sends them, and counts
                           them among its published ones; this run counts them as dropped
  --help                   print this

SIGINT, SIGTERM and SIGHUP end it after what waits has gone out, at most 5 s; a second one ends it at once.
SIGUSR1 prints the broker, every device, fiber and source. The last line of standard output is a JSON object that sums
up. Exit status: 0; 1 where the sums do not add up; 2 for a bad argument or something that cannot be opened.";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Run as a gateway.
    Run(Options),
    /// Print the usage and end.
    Help,
}

/// How to run.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    pub serial: Vec<SerialPort>,
    pub broker: Broker,
    pub gpio: Vec<GpioLine>,
    /// `None`: until a signal comes.
    pub run_for: Option<Duration>,
    pub keepalive: Duration,
    /// How many readings of each device wait for the broker.
    pub queue: usize,
    /// Where what is owed to the broker is kept.
    pub store: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct SerialPort {
    pub path: PathBuf,
    pub baud: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Broker {
    /// In this process; port 0 stands for a free one.
    Embedded { port: u16 },
    /// The machine's, started by us.
    Mosquitto,
    /// Somebody else's.
    At(Address),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpioLine {
    pub number: u32,
    pub edge: Edge,
}

/// Reads the arguments, without the name of the program before them.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut options = Options {
        serial: Vec::new(),
        broker: Broker::Embedded { port: 0 },
        gpio: Vec::new(),
        run_for: None,
        keepalive: Duration::from_secs(30),
        queue: 1000,
        store: None,
    };
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Long("serial") => options.serial.push(serial(value(&mut parser)?)?),
            Long("broker") => options.broker = broker(&value(&mut parser)?.to_string_lossy())?,
            Long("gpio-sysfs") => {
                let line = text(&mut parser, "--gpio-sysfs", gpio)?;
                // A line has one edge that it waits for, whoever asks.
                if options.gpio.iter().any(|other| other.number == line.number) {
                    return Err(format!("--gpio-sysfs {}: the line is there twice", line.number));
                }
                options.gpio.push(line);
            }
            Long("for") => options.run_for = Some(text(&mut parser, "--for", duration)?),
            Long("keepalive") => options.keepalive = text(&mut parser, "--keepalive", keepalive)?,
            Long("queue") => options.queue = text(&mut parser, "--queue", queue)?,
            Long("store") => options.store = Some(value(&mut parser)?.into()),
            Short('h') | Long("help") => return Ok(Request::Help),
            other => return Err(other.unexpected().to_string()),
        }
    }
    Ok(Request::Run(options))
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
fn serial(value: OsString) -> Result<SerialPort, String> {
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
    Ok(SerialPort { path: OsString::from_vec(path.to_vec()).into(), baud })
}

fn broker(value: &str) -> Result<Broker, String> {
    match value {
        "embedded" => return Ok(Broker::Embedded { port: 0 }),
        "mosquitto" => return Ok(Broker::Mosquitto),
        _ => {}
    }
    if let Some(of) = value.strip_prefix("embedded:") {
        let port = of.parse().map_err(|e| format!("--broker {value}: the port {of:?}: {e}"))?;
        return Ok(Broker::Embedded { port });
    }
    let error = |e: AddressError| format!("--broker: {e}, and it is neither embedded[:PORT] nor mosquitto");
    value.parse().map(Broker::At).map_err(error)
}

fn gpio(value: &str) -> Result<GpioLine, String> {
    let (number, edge) = value.split_once(':').unwrap_or((value, "both"));
    let edge = match edge {
        "rising" => Edge::Rising,
        "falling" => Edge::Falling,
        "both" => Edge::Both,
        other => return Err(format!("the edge {other:?} is neither rising nor falling nor both")),
    };
    Ok(GpioLine { number: number.parse().map_err(|e| format!("the line {number:?}: {e}"))?, edge })
}

fn duration(value: &str) -> Result<Duration, String> {
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

    fn options(args: &str) -> Options {
        match parse(args.split_whitespace().map(OsString::from)) {
            Ok(Request::Run(options)) => options,
            other => panic!("{args}: {other:?}"),
        }
    }

    fn error(args: &str) -> String {
        parse(args.split_whitespace().map(OsString::from)).unwrap_err()
    }

    #[test]
    fn serial_devices_take_a_rate_and_colons_of_their_own() {
        let given = options("--serial /dev/ttyUSB0:9600 --serial /dev/serial/by-path/pci-0000:00:14.0-port0").serial;
        assert_eq!(given[0], SerialPort { path: "/dev/ttyUSB0".into(), baud: 9600 });
        assert_eq!(given[1], SerialPort { path: "/dev/serial/by-path/pci-0000:00:14.0-port0".into(), baud: 115_200 });
        assert_eq!(error("--serial :9600"), "--serial :9600: no path");
        assert_eq!(
            error("--serial a:99999999999"),
            "--serial a:99999999999: the rate 99999999999: number too large to fit in target type"
        );
    }

    #[test]
    fn brokers() {
        let broker = |text: &str| options(&format!("--broker {text}")).broker;
        assert_eq!(options("").broker, Broker::Embedded { port: 0 });
        assert_eq!(broker("embedded:1884"), Broker::Embedded { port: 1884 });
        assert_eq!(broker("mosquitto"), Broker::Mosquitto);
        assert_eq!(broker("mqtt://[::1]"), Broker::At(Address::tcp("::1", 1883).unwrap()));
        assert!(error("--broker nonsense").starts_with("--broker: broker address `nonsense`: it is neither"));
        assert_eq!(
            error("--broker embedded:70000"),
            "--broker embedded:70000: the port \"70000\": number too large to fit in target type"
        );
    }

    #[test]
    fn gpio_lines() {
        let given = options("--gpio-sysfs 7 --gpio-sysfs 512:falling").gpio;
        let both = GpioLine { number: 7, edge: Edge::Both };
        assert_eq!(given, [both, GpioLine { number: 512, edge: Edge::Falling }]);
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
        assert_eq!(parse(["--help".into()]), Ok(Request::Help));
    }
}
