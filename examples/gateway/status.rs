//! How things stand, in one line: on the terminal, and for systemd.

use crate::log;
use crate::notify::Notify;
use crate::report::Report;
use becket_fiber::interval;
use std::fmt::Write;
use std::io;
use std::time::Duration;

/// How often systemd is told, where nothing but numbers changes.
const SELDOM: u64 = 10;

/// Says that the start is over, and shows the status once a second from then on, until this fiber is cancelled. The
/// broker may be away for long: that is nothing that a start has to wait for.
pub fn run(report: &Report, notify: &Notify) -> io::Result<()> {
    let mut ticks = interval(Duration::from_secs(1));
    let mut told = state(report);
    notify.ready(&told);
    for second in 0.. {
        let (state, numbers) = (state(report), numbers(report));
        log::set_status(&format!("{state}, {numbers}, up {}", age(report.records.start.elapsed())));
        if second % SELDOM == 1 || state != told {
            notify.status(&format!("{state}, {numbers}"));
            told = state;
        }
        ticks.tick()?;
    }
    Ok(())
}

/// What is there and what is not.
fn state(report: &Report) -> String {
    let devices = report.records.devices();
    let gone = devices.iter().filter(|device| !device.link.state().is_open).count();
    let mut text = format!("{} device{}", devices.len(), if devices.len() == 1 { "" } else { "s" });
    if gone > 0 {
        let _ = write!(text, " ({gone} gone)");
    }
    let broker = if report.records.broker.link.state().is_open { "connected" } else { "not connected" };
    text + ", broker " + broker
}

fn numbers(report: &Report) -> String {
    let devices = report.records.devices();
    let rate: f64 = devices.iter().map(|device| device.rate.per_second()).sum();
    let queued: u64 = devices.iter().map(|device| device.queued.get() + device.under_way.get()).sum();
    let (dropped, reconnects) = (report.dropped.get(), report.reconnects.get());
    format!("{rate:.1} readings/s, {queued} queued, {dropped} dropped, {reconnects} reconnects")
}

/// In hours, minutes and seconds.
fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_named() {
        let report = Report::default();
        assert_eq!(state(&report), "0 devices, broker not connected");
        let device = report.records.device("a".into(), "/dev/a".as_ref());
        report.records.broker.link.opened();
        assert_eq!(state(&report), "1 device (1 gone), broker connected");
        device.link.opened();
        assert_eq!(state(&report), "1 device, broker connected");
        assert_eq!(numbers(&report), "0.0 readings/s, 0 queued, 0 dropped, 0 reconnects");
        assert_eq!(age(Duration::from_secs(3_723)), "1:02:03");
    }
}
