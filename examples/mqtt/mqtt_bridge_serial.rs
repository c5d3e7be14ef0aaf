//! Between a serial line and a broker, both ways, in fibers: `mqtt_bridge_serial URL DEVICE[:BAUD] PREFIX`.
//!
//! Each line that the device sends goes to the topic `PREFIX/out`; each message to `PREFIX/in` goes to the device as a
//! line. `PREFIX/state` says `online` or `offline`, also where this program dies (by a will). It ends when the device
//! hangs up, and by SIGINT and SIGTERM. Without arguments it shows itself, with a device on a pseudoterminal and a broker
//! of its own.

use becket_examples::broker;
use becket_fiber::serial::Port;
use becket_fiber::signal::{Signal, Signals};
use becket_fiber::{BufReader, Io, Runtime, race, spawn, timeout};
use becket_mosquitto::fiber::{Client, Messages};
use becket_mosquitto::{Options, Publish, QoS};
use becket_sys::pty::Controller;
use std::error::Error;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("mqtt_bridge_serial: {e}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // Before any other thread.
    let signals = Signals::new([Signal::INT, Signal::TERM])?;
    let mut runtime = Runtime::new()?;
    match &args[..] {
        [] => runtime.run(|| show(&signals))?,
        [url, device, prefix] => {
            let options = Options::from_url(url)?;
            runtime.run(|| bridge(options, device, prefix, &signals))?
        }
        _ => Err("usage: mqtt_bridge_serial [URL DEVICE[:BAUD] PREFIX]".into()),
    }
}

fn bridge(options: Options, device: &str, prefix: &str, signals: &Signals) -> Result<(), Box<dyn Error>> {
    let port = open(device)?;
    let state = |text: &str| Publish::new(format!("{prefix}/state"), text).retain(true);
    let client = timeout(PATIENCE, || Client::connect(options.will(state("offline"))))?;
    let commands = client.subscribe(&format!("{prefix}/in"), QoS::AtLeastOnce)?;
    client.publish(state("online"))?.wait()?;
    let out = format!("{prefix}/out");
    let up: Box<dyn FnOnce() -> io::Result<()>> = Box::new(|| {
        for line in BufReader::new(&port).split(b'\n') {
            client.publish(Publish::new(&*out, line?))?; // waits where the broker is away for long
        }
        Ok(eprintln!("mqtt_bridge_serial: {device} hung up"))
    });
    let down: Box<dyn FnOnce() -> io::Result<()>> = Box::new(|| {
        while let Some(message) = commands.next()? {
            (&port).write_all(&[&message.payload, &b"\n"[..]].concat())?;
        }
        Ok(())
    });
    let ended = race([up, down, Box::new(|| signals.next().map(drop))])?;
    client.publish(state("offline"))?;
    timeout(PATIENCE, || client.close())?;
    Ok(ended?)
}

fn open(device: &str) -> Result<Port, Box<dyn Error>> {
    let (path, baud) = match device.rsplit_once(':') {
        Some((path, baud)) => (path, baud.parse().map_err(|e| format!("baud rate {baud}: {e}"))?),
        None => (device, 115_200),
    };
    Ok(Port::open(path, baud)?)
}

/// A device that answers once, and hangs up when that was heard, and somebody who asks it through the broker.
fn show(signals: &Signals) -> Result<(), Box<dyn Error>> {
    let url = format!("mqtt://{}", broker::start(0)?);
    let device = Io::new(Controller::open()?)?;
    let path = device.get_ref().terminal_path()?.display().to_string();
    let device = spawn(move || {
        let mut line = String::new();
        BufReader::new(&device).read_line(&mut line)?;
        (&device).write_all(format!("temp=21.53 # for {line}").as_bytes()).map(|()| device)
    })?;
    let options = Options::from_url(&url)?;
    let asker = spawn(move || -> io::Result<()> {
        let client = timeout(PATIENCE, || Client::connect(options))?;
        let (state, out) =
            (client.subscribe("line/state", QoS::AtLeastOnce)?, client.subscribe("line/out", QoS::AtLeastOnce)?);
        // A state that is kept may come twice.
        let print = |messages: &Messages, wanted: &str| -> io::Result<()> {
            loop {
                let message = timeout(PATIENCE, || messages.next())?.ok_or(io::ErrorKind::BrokenPipe)?;
                if message.payload.starts_with(wanted.as_bytes()) {
                    return writeln!(io::stdout(), "{} {}", message.topic, String::from_utf8_lossy(&message.payload));
                }
            }
        };
        print(&state, "online")?;
        client.publish(Publish::new("line/in", "read temp"))?.wait()?;
        print(&out, "")?;
        drop(device.join()?); // it hangs up
        print(&state, "offline")?;
        client.close()
    })?;
    bridge(Options::from_url(&url)?, &path, "line", signals)?;
    Ok(asker.join()??)
}
