//! A tool that publishes, with the options that people know from mosquitto_pub(1), in a fiber.
//!
//! Exit status 0 when the broker has acknowledged everything (or, at QoS 0, the kernel has it), 1 where something was
//! refused or lost, or the broker could not be reached, and 2 where something was wrong with the arguments. Once
//! connected, it comes back when the connection is lost.

#![allow(unreachable_pub, reason = "a program has no outside")]

mod common;

use becket_fiber::{Runtime, sleep, spawn, stdin};
use becket_mosquitto::fiber::{Client, Delivery, Events};
use becket_mosquitto::{Event, Options, Outcome, Properties, Publish, QoS};
use common::Common;
use lexopt::ValueExt;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: mqtt_pub -t TOPIC (-m TEXT | -f FILE | -l | -s | -n) [OPTION..]
  -t, --topic TOPIC       where to
  -m, --message TEXT      the payload; or
  -f, --file FILE         what is in a file; or
  -l, --stdin-line        each line of standard input, a message each; or
  -s, --stdin-file        all of standard input, as one; or
  -n, --null-message      none
  -q, --qos LEVEL         0 by default
  -r, --retain            the broker keeps it for those who subscribe later
      --repeat COUNT      so often, with --repeat-delay SECS in between
  -D publish PROPERTY VALUE    content-type, response-topic, correlation-data, message-expiry-interval,
                          payload-format-indicator, user-property NAME VALUE
  -D connect PROPERTY VALUE    user-property NAME VALUE, session-expiry-interval";

/// How many messages are on their way at once.
const MOST: usize = 1000;

enum Payload {
    Text(Vec<u8>),
    File(OsString),
    Lines,
    Stdin,
}

struct Args {
    common: Common,
    topic: String,
    payload: Payload,
    qos: QoS,
    retain: bool,
    properties: Properties,
    repeat: u64,
    delay: Duration,
}

fn main() -> ExitCode {
    let failed = |status: u8, e: &dyn std::fmt::Display| {
        eprintln!("mqtt_pub: {e}");
        ExitCode::from(status)
    };
    let mut args = match args() {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(e) => return failed(2, &format_args!("{e} (see --help)")),
    };
    let debug = args.common.debug;
    let options = match std::mem::take(&mut args.common).options() {
        Ok(options) => options.queue_qos0(true),
        Err(e) => return failed(2, &e),
    };
    match Runtime::new().and_then(|mut runtime| runtime.run(|| run(args, options, debug))) {
        Ok(Ok(0)) => ExitCode::SUCCESS,
        Ok(Ok(lost)) => failed(1, &format_args!("{lost} messages did not arrive, or may not have")),
        Ok(Err(e)) => failed(1, &e),
        Err(e) => failed(1, &e),
    }
}

/// Returns how many messages came to anything but their end.
fn run(args: Args, options: Options, debug: bool) -> io::Result<u64> {
    let (client, events) = Client::start(options)?;
    wait_for_broker(&events, debug)?;
    spawn(move || -> io::Result<()> {
        while let Some(event) = events.next()? {
            note(&event, debug);
        }
        Ok(())
    })?;
    let mut under_way = UnderWay { client: &client, args: &args, deliveries: VecDeque::new(), lost: 0 };
    match &args.payload {
        Payload::Text(bytes) => under_way.repeat(bytes)?,
        Payload::File(name) => under_way.repeat(&becket_fiber::fs::read(name).map_err(|e| of_file(name, e))?)?,
        Payload::Stdin => {
            let mut bytes = Vec::new();
            stdin()?.read_to_end(&mut bytes)?;
            under_way.repeat(&bytes)?;
        }
        Payload::Lines => {
            for line in BufReader::new(stdin()?).split(b'\n') {
                under_way.publish(&line?)?;
            }
        }
    }
    under_way.wait_for(0)?;
    let lost = under_way.lost;
    client.close()?;
    Ok(lost)
}

/// Waits for the first connection; an attempt that fails before is an error.
fn wait_for_broker(events: &Events, debug: bool) -> io::Result<()> {
    while let Some(event) = events.next()? {
        note(&event, debug);
        match event {
            Event::Connected { .. } => return Ok(()),
            Event::Disconnected { reason, .. } | Event::Failed(reason) => return Err(io::Error::other(reason)),
            _ => {}
        }
    }
    Err(io::ErrorKind::BrokenPipe.into())
}

fn note(event: &Event, debug: bool) {
    match event {
        Event::Disconnected { reason, retry_in } => eprintln!("mqtt_pub: {reason}; again in {retry_in:.1?}"),
        Event::Log { line, .. } if debug => eprintln!("mqtt_pub: {line}"),
        _ => {}
    }
}

fn of_file(name: &OsString, e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", name.display()))
}

struct UnderWay<'a> {
    client: &'a Client,
    args: &'a Args,
    deliveries: VecDeque<Delivery>,
    lost: u64,
}

impl UnderWay<'_> {
    fn repeat(&mut self, payload: &[u8]) -> io::Result<()> {
        for n in 0..self.args.repeat {
            if n > 0 && !self.args.delay.is_zero() {
                sleep(self.args.delay)?;
            }
            self.publish(payload)?;
        }
        Ok(())
    }

    fn publish(&mut self, payload: &[u8]) -> io::Result<()> {
        let publish = Publish::new(&*self.args.topic, payload).qos(self.args.qos).retain(self.args.retain);
        self.deliveries.push_back(self.client.publish(publish.properties(self.args.properties.clone()))?);
        self.wait_for(MOST)
    }

    /// Waits until no more than so many are under way.
    fn wait_for(&mut self, most: usize) -> io::Result<()> {
        while self.deliveries.len() > most
            && let Some(delivery) = self.deliveries.pop_front()
        {
            let outcome = delivery.wait()?;
            if !matches!(outcome, Outcome::Sent | Outcome::Acknowledged(_)) {
                eprintln!("mqtt_pub: {outcome}");
                self.lost += 1;
            }
        }
        Ok(())
    }
}

/// `None` where only help was asked for.
fn args() -> Result<Option<Args>, lexopt::Error> {
    let (mut common, mut topic, mut payload) = (Common::default(), None, None);
    let (mut qos, mut retain, mut properties) = (QoS::AtMostOnce, false, Properties::default());
    let (mut repeat, mut delay) = (1, Duration::ZERO);
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = common::next(&mut parser)? {
        let name = arg.map_err(|value| format!("unexpected argument {value:?}"))?;
        let mut set = |to| match payload.replace(to) {
            Some(_) => Err("more than one of -m, -f, -l, -s, -n".to_owned()),
            None => Ok(()),
        };
        match name.as_str() {
            "t" | "topic" => topic = Some(parser.value()?.string()?),
            "m" | "message" => set(Payload::Text(parser.value()?.into_encoded_bytes()))?,
            "f" | "file" => set(Payload::File(parser.value()?))?,
            "l" | "stdin-line" => set(Payload::Lines)?,
            "s" | "stdin-file" => set(Payload::Stdin)?,
            "n" | "null-message" => set(Payload::Text(Vec::new()))?,
            "q" | "qos" => qos = parser.value()?.parse_with(common::qos)?,
            "r" | "retain" => retain = true,
            "repeat" => repeat = parser.value()?.parse()?,
            "repeat-delay" => delay = parser.value()?.parse_with(seconds)?,
            "D" | "property" => match common.property(&mut parser)? {
                Some((command, name)) if command == "publish" => {
                    publish_property(&mut properties, &name, &mut parser)?;
                }
                Some((command, _)) => return Err(format!("-D {command}: it is publish or connect").into()),
                None => {}
            },
            "help" => {
                println!("{USAGE}\n{}", common::HELP);
                return Ok(None);
            }
            other if common.take(other, &mut parser)? => {}
            other => return Err(format!("invalid option {other:?}").into()),
        }
    }
    let topic = topic.or_else(|| common.topic.take()).ok_or("missing option -t: the topic")?;
    let payload = payload.ok_or("missing one of -m, -f, -l, -s, -n: the message")?;
    Ok(Some(Args { common, topic, payload, qos, retain, properties, repeat, delay }))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let secs = text.parse::<f64>().map_err(|e| e.to_string())?;
    Duration::try_from_secs_f64(secs).map_err(|e| e.to_string())
}

/// One property of a message, as `-D publish` has it.
fn publish_property(properties: &mut Properties, name: &str, parser: &mut lexopt::Parser) -> Result<(), lexopt::Error> {
    match name {
        "content-type" => properties.content_type = Some(parser.value()?.string()?),
        "response-topic" => properties.response_topic = Some(parser.value()?.string()?),
        "correlation-data" => properties.correlation_data = Some(parser.value()?.into_encoded_bytes()),
        "message-expiry-interval" => properties.message_expiry = Some(parser.value()?.parse()?),
        "payload-format-indicator" => properties.is_text = parser.value()?.parse::<u8>()? == 1,
        "user-property" => properties.user.push((parser.value()?.string()?, parser.value()?.string()?)),
        other => return Err(format!("-D publish {other}: no such property").into()),
    }
    Ok(())
}
