//! becket-mosquitto in the benchmark `mqtt`: see `benches/README.md`. `--fibers=1` is its fiber face.

use becket_loop::Loop;
use becket_mosquitto::{Client, Event, Message, Options, Publish, QoS, fiber};
use bench_rig::{Mqtt, bench_name, flag, port, unsupported};
use std::error::Error;

const PEER: &str = "becket-mosquitto";
const TOPIC: &str = "bench";

type Done = Result<(), Box<dyn Error>>;

struct State {
    bench: Mqtt,
    qos: QoS,
}

fn options() -> Result<Options, Box<dyn Error>> {
    Ok(Options::new(format!("mqtt://127.0.0.1:{}", port()).parse()?).queue_qos0(true))
}

fn publish(bench: &mut Mqtt, qos: QoS) -> Option<Publish> {
    Some(Publish::new(TOPIC, bench.payload()?).qos(qos))
}

fn callbacks(bench: Mqtt, qos: QoS) -> Done {
    let mut event_loop = Loop::new()?;
    let client = Client::join(&mut event_loop, options()?, |state: &mut State, _ctx, client, event| {
        match event {
            Event::Subscribed { granted, .. } => _ = granted.map_err(|code| code.to_string())?,
            Event::Message(Message { payload, .. }) if state.bench.came(&payload) => return Ok(client.close()),
            Event::Message(_) => {}
            Event::Disconnected { reason, .. } | Event::Failed(reason) => return Err(reason.into()),
            _ => return Ok(()),
        }
        while let Some(publish) = publish(&mut state.bench, state.qos) {
            client.publish(publish)?;
        }
        Ok(())
    })?;
    client.subscribe(TOPIC, qos)?;
    let mut state = State { bench, qos };
    event_loop.run(&mut state)?;
    state.bench.emit(PEER);
    Ok(())
}

fn fibers(mut bench: Mqtt, qos: QoS) -> Done {
    let bench = becket_fiber::Runtime::new()?.run(|| {
        let client = fiber::Client::connect(options()?)?;
        let messages = client.subscribe(TOPIC, qos)?;
        loop {
            while let Some(publish) = publish(&mut bench, qos) {
                client.publish(publish)?;
            }
            let Some(message) = messages.next()? else { return Err("the client ended".into()) };
            if bench.came(&message.payload) {
                client.close()?;
                return Ok::<_, Box<dyn Error>>(bench);
            }
        }
    })??;
    bench.emit("becket-mosquitto-fiber");
    Ok(())
}

fn main() -> Done {
    if bench_name() != "mqtt" {
        unsupported();
    }
    let bench = Mqtt::new();
    let qos = QoS::try_from(bench.qos).map_err(|qos| format!("--qos={qos}"))?;
    if flag("fibers") { fibers(bench, qos) } else { callbacks(bench, qos) }
}
