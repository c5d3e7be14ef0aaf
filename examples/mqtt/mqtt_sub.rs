//! A tool that subscribes and prints what comes, with the options of mosquitto_sub(1), by callbacks.
//!
//! Exit status 0 after the messages asked for, and after SIGINT or SIGTERM; 1 where the broker refuses or could not be
//! reached; 2 where something was wrong with the arguments; 27 where the time given was over first. Once connected, it
//! comes back when the connection is lost.

#![allow(unreachable_pub, reason = "a program has no outside")]

mod common;
mod format;

use becket_loop::{Ctx, Loop, Next};
use becket_mosquitto::{Client, Event, Message, QoS, SubscribeOptions};
use becket_sys::signal::{Signal, Signals};
use common::Common;
use format::Format;
use lexopt::ValueExt;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: mqtt_sub -t FILTER [-t FILTER..] [OPTION..]
  -t, --topic FILTER      what to subscribe to
  -T, --filter-out FILTER what to leave out of that
  -q, --qos LEVEL         0 by default
  -C COUNT                ends after so many messages
  -W SECS                 ends after so long, with status 27
  -E                      ends once the broker has answered the subscriptions
  -R                      leaves out what the broker had kept from before
      --retained-only     leaves out all else
      --retain-as-published    keeps the flag as it was published (MQTT 5)
  -v, --verbose           prints the topic before the payload
  -N                      no end of the line after a message
  -F, --format FORMAT     prints by a format of one's own
  -D connect PROPERTY VALUE, -D subscribe user-property NAME VALUE";

struct Args {
    common: Common,
    filters: Vec<String>,
    left_out: Vec<String>,
    subscribe: SubscribeOptions,
    count: Option<u64>,
    time: Option<Duration>,
    ends_subscribed: bool,
    stale: bool,
    fresh: bool,
    newline: bool,
    format: Format,
}

/// What the callbacks share.
struct State {
    args: Args,
    /// How many subscriptions are not answered yet.
    unanswered: usize,
    was_connected: bool,
    debug: bool,
    status: u8,
}

fn main() -> ExitCode {
    let failed = |status: u8, e: &dyn std::fmt::Display| {
        eprintln!("mqtt_sub: {e}");
        ExitCode::from(status)
    };
    match args() {
        Ok(Some(args)) => match run(args) {
            Ok(status) => ExitCode::from(status),
            Err(e) => failed(2, &e),
        },
        Ok(None) => ExitCode::SUCCESS,
        Err(e) => failed(2, &format_args!("{e} (see --help)")),
    }
}

/// Returns the exit status.
fn run(mut args: Args) -> Result<u8, Box<dyn Error>> {
    let mut event_loop = Loop::new()?;
    // Before the client, which starts a thread to look up the host's name.
    let signals = Signals::new([Signal::INT, Signal::TERM])?;
    let debug = args.common.debug;
    let options = std::mem::take(&mut args.common).options()?;
    let client = Client::join(&mut event_loop, options, on_event)?;
    for filter in &args.filters {
        client.subscribe(filter, args.subscribe.clone())?;
    }
    if let Some(time) = args.time {
        let client = client.clone();
        event_loop.after(time, move |state: &mut State, _| {
            state.status = 27;
            client.close();
            Ok(())
        });
    }
    event_loop.on(signals, move |_, _, _| {
        client.close();
        Ok(Next::Keep)
    })?;
    let mut state = State { unanswered: args.filters.len(), args, was_connected: false, debug, status: 0 };
    event_loop.run(&mut state)?;
    Ok(state.status)
}

fn on_event(state: &mut State, ctx: &mut Ctx<State>, client: &Client, event: Event) -> becket_loop::Result<()> {
    match event {
        Event::Connected { .. } => state.was_connected = true,
        Event::Disconnected { reason, .. } if !state.was_connected => {
            eprintln!("mqtt_sub: {reason}");
            state.status = 1;
            client.close();
        }
        Event::Disconnected { reason, retry_in } => eprintln!("mqtt_sub: {reason}; again in {retry_in:.1?}"),
        Event::Subscribed { filter, granted, .. } => {
            state.unanswered = state.unanswered.saturating_sub(1);
            if let Err(code) = granted {
                eprintln!("mqtt_sub: subscribe to {filter}: {code}");
                state.status = 1;
                client.close();
            } else if state.debug {
                eprintln!("mqtt_sub: subscribed to {filter}");
            }
            if state.unanswered == 0 && state.args.ends_subscribed {
                client.close();
            }
        }
        // Others may be behind the last one already.
        Event::Message(message) if state.args.count != Some(0) && state.args.wants(&message) => {
            if state.args.print(&message).is_err() {
                return Ok(client.close()); // nobody reads it
            }
            state.args.count = state.args.count.map(|count| count - 1);
            if state.args.count == Some(0) {
                client.close();
            }
        }
        Event::Log { line, .. } if state.debug => eprintln!("mqtt_sub: {line}"),
        Event::Failed(reason) => {
            eprintln!("mqtt_sub: {reason}");
            state.status = 1;
            ctx.exit(0);
        }
        Event::Closed => ctx.exit(0),
        _ => {}
    }
    Ok(())
}

impl Args {
    fn wants(&self, message: &Message) -> bool {
        (if message.retain { self.stale } else { self.fresh })
            && !self.left_out.iter().any(|filter| becket_mosquitto::topic_matches(filter, &message.topic))
    }

    fn print(&self, message: &Message) -> io::Result<()> {
        let mut out = io::stdout().lock();
        self.format.print(message, &mut out)?;
        if self.newline {
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

/// `None` where only help was asked for.
fn args() -> Result<Option<Args>, lexopt::Error> {
    let mut common = Common::default();
    let (mut filters, mut left_out, mut qos) = (Vec::new(), Vec::new(), QoS::AtMostOnce);
    let (mut count, mut time, mut ends_subscribed) = (None, None, false);
    let (mut stale, mut fresh, mut newline, mut verbose, mut format) = (true, true, true, false, None);
    let (mut as_published, mut user_properties) = (false, Vec::new());
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = common::next(&mut parser)? {
        let name = arg.map_err(|value| format!("unexpected argument {value:?}"))?;
        match name.as_str() {
            "t" | "topic" => filters.push(parser.value()?.string()?),
            "T" | "filter-out" => left_out.push(parser.value()?.string()?),
            "q" | "qos" => qos = parser.value()?.parse_with(common::qos)?,
            "C" => count = Some(parser.value()?.parse()?),
            "W" => time = Some(Duration::from_secs(parser.value()?.parse()?)),
            "E" => ends_subscribed = true,
            "R" => stale = false,
            "retained-only" => fresh = false,
            "retain-as-published" => as_published = true,
            "v" | "verbose" => verbose = true,
            "N" => newline = false,
            "F" | "format" => format = Some(parser.value()?.parse_with(Format::parse)?),
            "D" | "property" => match common.property(&mut parser)? {
                Some((command, name)) if command == "subscribe" && name == "user-property" => {
                    user_properties.push((parser.value()?.string()?, parser.value()?.string()?));
                }
                Some((command, name)) => return Err(format!("-D {command} {name}: no such property").into()),
                None => {}
            },
            "help" => {
                println!("{USAGE}\n{}\n\n{}", common::HELP, format::HELP);
                return Ok(None);
            }
            other if common.take(other, &mut parser)? => {}
            other => return Err(format!("invalid option {other:?}").into()),
        }
    }
    filters.extend(common.topic.take());
    if filters.is_empty() {
        return Err("missing option -t: what to subscribe to".into());
    }
    if count == Some(0) {
        return Err("-C 0: it is 1 or more".into());
    }
    let mut subscribe = SubscribeOptions::new(qos);
    if as_published {
        subscribe = subscribe.retain_as_published(true);
    }
    for (name, value) in user_properties {
        subscribe = subscribe.user_property(name, value);
    }
    let format = format.unwrap_or_else(|| Format::plain(verbose));
    let args =
        Args { common, filters, left_out, subscribe, count, time, ends_subscribed, stale, fresh, newline, format };
    Ok(Some(args))
}
