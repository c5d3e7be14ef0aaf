//! The gateway: serial devices and GPIO lines on one side, an MQTT broker on the other; one thread, in fibers.
//!
//! `gateway --help` says what it does. Where to begin reading: [`run`] for the whole, `device` for a fiber that reads
//! top to bottom, `uplink` for what becomes of a reading.

#![allow(unreachable_pub, reason = "a program has no outside")]

mod args;
mod broker;
mod device;
mod gpio;
mod heartbeat;
mod line;
mod log;
mod mqtt;
mod records;
mod report;
mod setup;
mod signals;
mod simulator;
mod uplink;

use crate::args::{Options, Request};
use crate::log::log;
use crate::mqtt::Mqtt;
use crate::report::Report;
use crate::setup::Setup;
use becket_fiber::sync::channel;
use becket_fiber::{JoinHandle, Runtime, is_cancelled, spawn_named, timeout, with_ctx};
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// How long what waits may take to go out at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// How many readings may be handed to the client and not yet be acknowledged.
const UNDER_WAY: usize = 64;

/// The same where they are kept in a file.
const UNDER_WAY_KEPT: usize = 100_000;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => print(args::USAGE).map(|()| ExitCode::SUCCESS),
        Ok(Request::Run(options)) => run(&options),
        Err(e) => Err(e),
    };
    done.unwrap_or_else(|e| {
        log!("{e}");
        ExitCode::from(2)
    })
}

/// Opens everything, runs until the end, and prints the sums.
fn run(options: &Options) -> Result<ExitCode, String> {
    let report = Rc::<Report>::default();
    let setup = Setup::new(options, &report)?;
    let mut runtime = Runtime::new().map_err(|e| format!("event loop: {e}"))?;
    let result = runtime.run(|| serve(options, setup, &report));
    // Whatever still holds a reading lets go of it here.
    drop(runtime);
    print(&report.to_string())?;
    match result.and_then(|served| served) {
        Err(e) => Err(e.to_string()),
        Ok(()) if report.adds_up() => Ok(ExitCode::SUCCESS),
        Ok(()) => Ok(ExitCode::FAILURE),
    }
}

fn print(text: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{text}").map_err(|e| format!("standard output: {e}"))
}

/// Starts a fiber for each thing that is waited for, waits for the end, and lets out what still waits.
fn serve(options: &Options, setup: Setup, report: &Rc<Report>) -> io::Result<()> {
    let Setup { signals, broker, devices, commands, gpio, simulator, store } = setup;
    let broker = Rc::new(broker);
    log!("broker at {}", broker.address);
    let under_way_limit = if store.is_some() { UNDER_WAY_KEPT } else { UNDER_WAY };
    let mqtt = Mqtt::connect(broker.address.clone(), options.keepalive, store, commands, report.clone())?;
    let mqtt = Rc::new(mqtt);
    let (stop, stopped) = channel(1);
    let (under_way, unconfirmed) = channel(under_way_limit);
    let (drained, all_drained) = channel::<()>(1);

    let (b, s, m, r) = (broker.clone(), stop.clone(), mqtt.clone(), report.clone());
    spawn_named("signals", move || signals::run(&signals, &s, &b, &m, &r))?.detach();
    let b = broker.clone();
    spawn_named("broker", move || b.watch())?.detach();
    let m = mqtt.clone();
    let events = spawn_named("mqtt", move || {
        let ended = m.run();
        if let Err(e) = &ended {
            // Nobody waits for it where the end has begun already.
            let _ = stop.try_send(e.to_string());
        }
        ended
    })?;
    let m = mqtt.clone();
    let confirmer = spawn_named("confirmer", move || {
        let _drained = drained;
        uplink::confirm(&unconfirmed, &m)
    })?;

    let mut inputs = Vec::new();
    for (line, edge) in gpio {
        let (m, r) = (mqtt.clone(), report.clone());
        inputs.push(input(format!("gpio {}", line.number()), move || gpio::run(&line, edge, &m, &r.records))?);
    }
    let mut publishers = Vec::new();
    for (device, port, readings) in devices {
        let (m, u, name) = (mqtt.clone(), under_way.clone(), device.name.clone());
        let of_device = format!("{name} readings");
        publishers.push(spawn_named(of_device, move || uplink::publish(&name, &readings, &m, &u))?);
        inputs.push(input(device.name.to_string(), move || device.run(port))?);
    }
    drop(under_way);
    if let Some(simulator) = simulator {
        inputs.push(input("simulator".to_owned(), move || simulator.run())?);
    }
    let (m, r) = (mqtt.clone(), report.clone());
    inputs.push(input("heartbeat".to_owned(), move || heartbeat::run(&m, &r))?);

    let cause = match options.run_for {
        Some(limit) => timeout(limit, || stopped.recv()).unwrap_or_else(|_| Some("the time is up".to_owned())),
        None => stopped.recv()?,
    };
    let cause = cause.unwrap_or_else(|| "nobody is left who could ask for the end".to_owned());
    log!("{cause}: letting out what waits");
    inputs.iter().for_each(|input| input.cancel());
    for input in inputs {
        // Cancelled, or failed before and said so. A panic has been told by its hook.
        let _ = input.join();
    }
    // The devices were the last to hold the other ends of the queues: the publishers end when they have emptied them,
    // and the confirmer after them. The edges of GPIO lines are nobody's readings: they are waited for by themselves.
    let _ = timeout(DRAIN, || all_drained.recv().and_then(|_| mqtt.answered()));
    publishers.push(confirmer);
    publishers.iter().for_each(|outward| outward.cancel());
    for outward in publishers {
        let _ = outward.join();
    }
    mqtt.close();
    let ended = events.join()?;
    let stats = with_ctx(|ctx| ctx.stats())?;
    let (packets, lines) = (report.packets.get(), report.lines.get());
    log!("waited {} times, for {} timers, {packets} packets and {lines} lines", stats.waits, stats.timers);
    ended
}

/// Starts a fiber that runs until it is cancelled, and says so where it ends before.
fn input(name: String, f: impl FnOnce() -> io::Result<()> + 'static) -> io::Result<JoinHandle<()>> {
    let fiber = spawn_named(name.clone(), move || match f() {
        Err(e) if !is_cancelled(&e) => log!("{name}: {e}"),
        _ => {}
    })?;
    Ok(fiber)
}
