//! What signals ask for.

use crate::broker::Running;
use crate::log::{self, log};
use crate::mqtt::Mqtt;
use crate::report::Report;
use becket_fiber::signal::{Signal, Signals};
use becket_fiber::sync::{Notify, Sender};
use becket_fiber::{fibers, with_ctx};
use std::io;
use std::process;

/// The signals that the gateway handles.
pub const HANDLED: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::USR1];

/// Tells of the first signal that asks for the end; a second one is the end. SIGUSR1 prints the state. SIGHUP asks for
/// the end where there is nothing to be read again.
pub fn run(
    signals: &Signals,
    stop: &Sender<String>,
    reload: Option<&Notify>,
    broker: &Running,
    mqtt: &Mqtt,
    report: &Report,
) -> io::Result<()> {
    let mut stopping = false;
    loop {
        let signal = signals.next()?.signal();
        if signal == Signal::USR1 {
            print_state(mqtt, report)?;
        } else if let (Signal::HUP, Some(reload)) = (signal, reload) {
            reload.notify_one();
        } else if stopping {
            log!("{signal} again: ending at once");
            log::end_status();
            broker.end();
            process::exit(128 + signal.as_raw());
        } else {
            stopping = true;
            // The other end is gone where the run ends for another reason.
            let _ = stop.try_send(signal.to_string());
        }
    }
}

/// Prints the broker, every device, GPIO line and fiber, and every source of the loop on standard error.
fn print_state(mqtt: &Mqtt, report: &Report) -> io::Result<()> {
    let (records, backlog) = (&report.records, mqtt.backlog());
    let (waiting, under_way, reconnects) = (backlog.waiting, backlog.under_way, report.reconnects.get());
    log!("{}; {waiting} messages wait, {under_way} under way, {reconnects} reconnects", records.broker);
    records.devices().iter().for_each(|device| log!("{device}"));
    records.lines().iter().for_each(|line| log!("{line}"));
    let sources: Vec<_> = with_ctx(|ctx| ctx.sources().map(|source| source.to_string()).collect())?;
    let fibers = fibers();
    log!("{} fibers:", fibers.len());
    fibers.iter().for_each(|fiber| log!("  {fiber}"));
    log!("{} sources:", sources.len());
    sources.iter().for_each(|source| log!("  {source}"));
    Ok(())
}
