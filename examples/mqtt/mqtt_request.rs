//! A tool that asks a question over MQTT 5 and prints the answer: `mqtt_request URL TOPIC [QUESTION] [SECONDS]`.
//!
//! Exit status 0 with an answer, 1 without one in time (10 seconds by default), 2 where something was wrong with the
//! arguments. With `--answer TEXT` in place of the question it is the other side: answers one question with TEXT and
//! ends.

use becket_fiber::{Runtime, timeout};
use becket_mosquitto::fiber::Client;
use becket_mosquitto::{Options, Protocol, Publish, QoS};
use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str =
    "usage: mqtt_request URL TOPIC [QUESTION] [SECONDS] | mqtt_request URL TOPIC --answer TEXT [SECONDS]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("mqtt_request: {e}");
            let no_answer = e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() != ErrorKind::InvalidInput);
            ExitCode::from(if no_answer { 1 } else { 2 })
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(topic)) = (args.next(), args.next()) else { return Err(USAGE.into()) };
    let question = args.next().unwrap_or_default();
    let answer = (question == "--answer").then(|| args.next().ok_or(USAGE)).transpose()?;
    let seconds = args.next().map_or(Ok(10), |text| text.parse().map_err(|e| format!("SECONDS {text}: {e}")))?;
    let options = Options::from_url(&url)?.protocol(Protocol::V5);
    let mut runtime = Runtime::new()?;
    let all = || match answer {
        Some(answer) => give(options, &topic, &answer),
        None => ask(options, &topic, &question),
    };
    Ok(runtime.run(|| timeout(Duration::from_secs(seconds), all))??)
}

fn ask(options: Options, topic: &str, question: &str) -> io::Result<()> {
    let client = Client::connect(options)?;
    let answer = client.request(Publish::new(topic, question))?;
    io::stdout().write_all(&[&answer.payload, &b"\n"[..]].concat())?;
    client.close()
}

fn give(options: Options, topic: &str, text: &str) -> io::Result<()> {
    let client = Client::connect(options)?;
    let questions = client.subscribe(topic, QoS::AtLeastOnce)?;
    eprintln!("subscribed to {topic}");
    while let Some(question) = questions.next()? {
        if let Some(answer) = question.response(text) {
            println!("{} {}", question.topic, String::from_utf8_lossy(&question.payload));
            client.publish(answer)?.wait()?;
            return client.close();
        }
    }
    Ok(())
}
