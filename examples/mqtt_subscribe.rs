//! A tool that subscribes to a topic filter and prints what comes, one message a line: the topic, a space, the payload.
//!
//! Exit status 0 after the messages asked for, and after SIGINT or SIGTERM; 1 where the broker refuses; 2 where
//! something was wrong with the arguments. A broker that is away is waited for.

use becket_loop::{Ctx, Loop, Next};
use becket_mosquitto::{Address, Client, Event, Options, Protocol, QoS};
use becket_sys::signal::{Signal, Signals};
use lexopt::prelude::*;
use std::error::Error;
use std::process::ExitCode;

const USAGE: &str = "usage: mqtt_subscribe URL TOPIC [--count N] [--qos 0|1|2] [--v5]
  URL      the broker: mqtt://HOST[:PORT] or unix:PATH
  TOPIC    a topic filter, such as plant/+/temp or plant/#
  --count  how many messages to wait for; without end by default
  --qos    how surely the broker delivers: 1 by default
  --v5     speak MQTT 5 instead of 3.1.1";

struct Args {
    url: Address,
    topic: String,
    count: Option<u64>,
    qos: QoS,
    protocol: Protocol,
}

/// What the callbacks share.
struct State {
    left: Option<u64>,
    failure: Option<String>,
}

fn main() -> ExitCode {
    let failed = |status: u8, e: &dyn std::fmt::Display| {
        eprintln!("mqtt_subscribe: {e}");
        ExitCode::from(status)
    };
    let args = match args() {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(e) => return failed(2, &e),
    };
    match run(args) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(refusal)) => failed(1, &refusal),
        Err(e) => failed(2, &e),
    }
}

/// Returns what the broker refused, if it refused.
fn run(args: Args) -> Result<Option<String>, Box<dyn Error>> {
    let mut event_loop = Loop::new()?;
    // Before the client, which starts a thread to look up the host's name.
    let signals = Signals::new([Signal::INT, Signal::TERM])?;
    let client = Client::join(&mut event_loop, Options::new(args.url).protocol(args.protocol), on_event)?;
    client.subscribe(&args.topic, args.qos)?;
    event_loop.on(signals, move |_, _, _| {
        client.close();
        Ok(Next::Keep)
    })?;
    let mut state = State { left: args.count, failure: None };
    event_loop.run(&mut state)?;
    Ok(state.failure)
}

fn on_event(state: &mut State, ctx: &mut Ctx<State>, client: &Client, event: Event) -> becket_loop::Result<()> {
    match event {
        Event::Connected { .. } => eprintln!("connected"),
        Event::Disconnected { reason, retry_in } => eprintln!("{reason}; again in {retry_in:.1?}"),
        Event::Subscribed { filter, granted: Ok(qos), .. } => eprintln!("subscribed to {filter} at QoS {}", qos as u8),
        Event::Subscribed { filter, granted: Err(code), .. } => {
            state.failure = Some(format!("subscribe to {filter}: {code}"));
            client.close();
        }
        // Others may be behind the last one already.
        Event::Message(message) if state.left != Some(0) => {
            println!("{} {}", message.topic, String::from_utf8_lossy(&message.payload));
            state.left = state.left.map(|left| left - 1);
            if state.left == Some(0) {
                client.close();
            }
        }
        Event::Failed(reason) => {
            state.failure = Some(reason.to_string());
            ctx.exit(0);
        }
        Event::Closed => ctx.exit(0),
        _ => {}
    }
    Ok(())
}

/// `None` where only help was asked for.
fn args() -> Result<Option<Args>, lexopt::Error> {
    let (mut url, mut topic, mut count, mut qos, mut protocol) = (None, None, None, QoS::default(), Protocol::V311);
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Value(value) if url.is_none() => url = Some(value.parse()?),
            Value(value) if topic.is_none() => topic = Some(value.string()?),
            Long("count") => count = Some(parser.value()?.parse()?),
            Long("qos") => qos = parser.value()?.parse_with(parse_qos)?,
            Long("v5") => protocol = Protocol::V5,
            Short('h') | Long("help") => {
                println!("{USAGE}");
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    let url = url.ok_or("missing argument URL: the broker's address (see --help)")?;
    let topic = topic.ok_or("missing argument TOPIC: a topic filter (see --help)")?;
    if count == Some(0) {
        return Err("--count 0: it is 1 or more".into());
    }
    Ok(Some(Args { url, topic, count, qos, protocol }))
}

fn parse_qos(text: &str) -> Result<QoS, String> {
    let level = text.parse().ok().and_then(|level: u8| QoS::try_from(level).ok());
    level.ok_or_else(|| format!("{text:?} is none of 0, 1, 2"))
}
