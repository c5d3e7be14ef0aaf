//! The gateway: serial devices and GPIO lines on one side, an MQTT broker on the other; one thread, in fibers.
//!
//! `gateway --help` says what it does. Where to begin reading: [`run`] for the whole, `device` for a fiber that reads
//! top to bottom, `uplink` for what becomes of a reading.

#![allow(unreachable_pub, reason = "a program has no outside")]

mod args;
mod broker;
mod commands;
mod config;
mod device;
mod devices;
mod fields;
mod gpio;
mod heartbeat;
#[path = "../libraries/http_server.rs"]
mod http_server;
mod line;
mod log;
mod mqtt;
mod notify;
mod patience;
mod records;
mod reload;
mod report;
mod screen;
mod settings;
mod setup;
mod signals;
mod simulator;
mod status;
mod uplink;
mod watch;
mod web;

use crate::args::{Options, Request};
use crate::devices::{Devices, end, spawn};
use crate::log::log;
use crate::mqtt::Mqtt;
use crate::notify::Notify;
use crate::reload::Reload;
use crate::report::Report;
use crate::setup::Setup;
use becket_fiber::sync::{self, channel};
use becket_fiber::{Runtime, spawn_named, timeout, with_ctx};
use std::io::{self, Write};
use std::path::Path;
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
    log::set_up(std::env::args_os().skip(1));
    let done = match args::parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => print(args::USAGE).map(|()| ExitCode::SUCCESS),
        Ok(Request::Check(file)) => check(&file),
        Ok(Request::Run(options)) => run(&options),
        Err(e) => Err(e),
    };
    done.unwrap_or_else(|e| {
        log!(Error, error = e; "{e}");
        ExitCode::from(2)
    })
}

/// Says what is wrong with a configuration file, or that nothing is.
fn check(file: &Path) -> Result<ExitCode, String> {
    let config = config::read(file).config?;
    let (devices, lines) = (config.devices.len(), config.gpio.len());
    print(&format!("{}: {devices} devices, {lines} GPIO lines, nothing is wrong", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Opens everything, runs until the end, and prints the sums.
fn run(options: &Options) -> Result<ExitCode, String> {
    let report = Rc::<Report>::default();
    let setup = Setup::new(options, &report)?;
    let mut runtime = Runtime::new().map_err(|e| format!("event loop: {e}"))?;
    // Since when each fiber waits is shown there.
    runtime.observe(setup.page.is_some());
    let result = runtime.run(|| serve(options, setup, &report));
    // Whatever still holds a reading lets go of it here.
    drop(runtime);
    log::end_status();
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
    let Setup { signals, settings, broker, devices, lines, queue, simulator, store, page, config } = setup;
    let broker = Rc::new(broker);
    log!("broker at {}", broker.address);
    let under_way_limit = if store.is_some() { UNDER_WAY_KEPT } else { UNDER_WAY };
    let mqtt = Mqtt::connect(settings, broker.address.clone(), store, config.is_some(), report.clone())?;
    let mqtt = Rc::new(mqtt);
    let notify = Rc::new(Notify::from_env());
    let n = notify.clone();
    // To the very end: letting out what waits takes time, too.
    spawn_named("watchdog", move || n.watch())?.detach();
    let reload = config.is_some().then(|| Rc::new(sync::Notify::new()));
    let (stop, stopped) = channel(1);
    let (under_way, unconfirmed) = channel(under_way_limit);
    let (drained, all_drained) = channel::<()>(1);

    let (b, s, m, r, again) = (broker.clone(), stop.clone(), mqtt.clone(), report.clone(), reload.clone());
    spawn_named("signals", move || signals::run(&signals, &s, again.as_deref(), &b, &m, &r))?.detach();
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
    let confirmer = spawn("confirmer".to_owned(), move || {
        let _drained = drained;
        uplink::confirm(&unconfirmed, &m)
    })?;

    let page = page.map(|page| {
        log!("page at {}", page.url());
        let m = mqtt.clone();
        spawn("page".to_owned(), move || page.run(&m))
    });
    let page = page.transpose()?;
    let served = Rc::new(Devices::new(&mqtt, report, queue, under_way));
    for (settings, line) in lines {
        served.add_line(settings, line)?;
    }
    for (settings, port) in devices {
        served.add(settings, port)?;
    }
    let mut inputs = Vec::new();
    if let Some(simulator) = simulator {
        inputs.push(spawn("simulator".to_owned(), move || simulator.run())?);
    }
    let (m, r) = (mqtt.clone(), report.clone());
    inputs.push(spawn("heartbeat".to_owned(), move || heartbeat::run(&m, &r))?);
    let reloader = match (options.config.clone(), config, reload) {
        (Some(path), Some(running), Some(asked)) => {
            let reload = Reload::new(path, running, broker.address.clone(), &served, &mqtt);
            let n = notify.clone();
            Some(spawn("configuration".to_owned(), move || reload.run(&asked, &n))?)
        }
        _ => None,
    };

    // The last one: what was open at the start is being served by then.
    let (r, n) = (report.clone(), notify.clone());
    inputs.push(spawn("status".to_owned(), move || status::run(&r, &n))?);

    let cause = match options.run_for {
        Some(limit) => timeout(limit, || stopped.recv()).unwrap_or_else(|_| Some("the time is up".to_owned())),
        None => stopped.recv()?,
    };
    let cause = cause.unwrap_or_else(|| "nobody is left who could ask for the end".to_owned());
    log!("{cause}: letting out what waits");
    notify.stopping("letting out what waits");
    // First, for it would begin anew what is ended here.
    reloader.into_iter().for_each(end);
    let mut publishers = served.end();
    inputs.into_iter().for_each(end);
    // The devices were the last to hold the other ends of the queues: the publishers end when they have emptied them,
    // and the confirmer after them. The edges of GPIO lines are nobody's readings: they are waited for by themselves.
    let _ = timeout(DRAIN, || all_drained.recv().and_then(|_| mqtt.answered()));
    publishers.push(confirmer);
    publishers.iter().for_each(|outward| outward.cancel());
    publishers.into_iter().for_each(end);
    // It has shown all of that.
    page.into_iter().for_each(end);
    mqtt.close();
    let ended = events.join()?;
    let stats = with_ctx(|ctx| ctx.stats())?;
    let (packets, lines) = (report.packets.get(), report.lines.get());
    log!("waited {} times, for {} timers, {packets} packets and {lines} lines", stats.waits, stats.timers);
    ended
}
