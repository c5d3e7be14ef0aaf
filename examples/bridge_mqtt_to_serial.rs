//! A serial line and a broker, both ways: what the device says goes to PREFIX/out, what comes to PREFIX/in is told to it.
//! Run it with `cargo run --example bridge_mqtt_to_serial -- mqtt://HOST /dev/ttyUSB0 PREFIX`; without arguments it has a
//! device on a pseudoterminal and a broker of its own. PREFIX/state is `online` or `offline`, also where this dies.

use becket_fiber::serial::Port;
use becket_fiber::{BufReader, Runtime, pty::Controller, race, spawn};
use becket_mosquitto::{Options, Publish, QoS, fiber::Client};
use std::io::{self, BufRead, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    Runtime::new()?.run(|| match &args[..] {
        [] => show(),
        [url, device, prefix] => Ok(bridge(Options::from_url(url)?, &Port::open(device, 115_200)?, prefix)?),
        _ => Err("usage: bridge_mqtt_to_serial [URL DEVICE PREFIX]".into()),
    })?
}

fn bridge(options: Options, port: &Port, prefix: &str) -> io::Result<()> {
    let state = |text: &str| Publish::new(format!("{prefix}/state"), text).retain(true);
    let client = Client::connect(options.will(state("offline")))?;
    let commands = client.subscribe(&format!("{prefix}/in"), QoS::AtLeastOnce)?;
    client.publish(state("online"))?.wait()?;
    let publish = |line| client.publish(Publish::new(format!("{prefix}/out"), line)).map(drop);
    let mut up = || BufReader::new(port).split(b'\n').try_for_each(|line| publish(line?));
    let mut down = || {
        while let Some(message) = commands.next()? {
            (&mut &*port).write_all(&[&message.payload, &b"\n"[..]].concat())?;
        }
        Ok(())
    };
    // Whichever ends first: the device hung up, or the client has given up.
    race([&mut up as &mut dyn FnMut() -> io::Result<()>, &mut down])??;
    client.publish(state("offline"))?;
    client.close() // with all that was published
}

/// A device that answers once and hangs up, and somebody who asks it through the broker.
fn show() -> Result<(), Box<dyn std::error::Error>> {
    let options = becket_examples::broker::options()?; // of one of its own
    let device = Controller::open()?;
    let port = Port::open(device.terminal_path()?, 115_200)?;
    let client = Client::connect(options.clone())?;
    let heard = client.subscribe("line/#", QoS::AtLeastOnce)?;
    let asking = spawn(move || {
        while let Some(message) = heard.next()? {
            println!("{} {}", message.topic, String::from_utf8_lossy(&message.payload));
            match message.topic.as_str() {
                "line/state" => drop(client.publish(Publish::new("line/in", "read temp"))?),
                "line/in" => {
                    BufReader::new(&device).lines().take(1).try_for_each(|q| writeln!(&device, "21.53 for {}", q?))?
                }
                _ => break, // and the device is dropped: it hangs up
            }
        }
        client.close()
    })?;
    bridge(options, &port, "line")?;
    Ok(asking.join()??)
}
