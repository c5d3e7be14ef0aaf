//! `/metrics`: the text format 0.0.4 of Prometheus. Counters begin at zero with the gateway; those with a `device` go with
//! the device, those without count all that there ever were.

use super::State;
use super::json::resident_bytes;
use crate::records::DeviceRecord;
use becket_fiber::FiberState;
use becket_loop::Histogram;
use std::fmt::{Display, Write};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

pub(super) fn write(state: &State<'_>) -> String {
    let State { report, mqtt, began, loops, fibers } = state;
    let mut out = Text(String::new());
    let began = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    out.gauge("process_start_time_seconds", "When the gateway began, since the epoch.", began.as_secs_f64());
    if let Some(bytes) = resident_bytes() {
        out.gauge("process_resident_memory_bytes", "Memory of the process.", bytes);
    }

    out.counter("becket_readings_total", "Lines of devices with at least one field.", report.readings.get());
    let help = "Readings of which the broker has every field.";
    out.counter("becket_readings_acknowledged_total", help, report.acknowledged.get());
    out.counter("becket_readings_dropped_total", "Readings given up.", report.dropped.get());
    let help = "Messages that went out, acknowledged where they ask for that.";
    out.counter("becket_messages_published_total", help, report.published.get());
    out.counter("becket_commands_total", "Commands written to devices.", report.commands.get());

    let (broker, backlog) = (report.records.broker.link.state(), mqtt.backlog());
    out.gauge("becket_broker_connected", "Whether the broker is connected.", u8::from(broker.is_open));
    let help = "Connections to the broker after the first.";
    out.counter("becket_broker_reconnects_total", help, report.reconnects.get());
    out.gauge("becket_broker_queue_messages", "Messages in the client's queue.", backlog.waiting);
    out.gauge("becket_broker_queue_bytes", "Bytes of the messages in the client's queue.", backlog.waiting_bytes);
    out.gauge("becket_broker_under_way_messages", "Messages sent and not acknowledged.", backlog.under_way);

    let devices = report.records.devices();
    let mut of_each = |name, kind, help, value: fn(&DeviceRecord) -> u64| {
        out.family(name, kind, help);
        devices.iter().for_each(|device| out.sample(name, &[("device", &device.name)], value(device)));
    };
    of_each("becket_device_open", "gauge", "Whether the device is open.", |d| d.link.state().is_open.into());
    of_each("becket_device_readings_total", "counter", "Readings of the device.", |d| d.readings.get());
    let help = "Readings of the device of which the broker has every field.";
    of_each("becket_device_readings_acknowledged_total", "counter", help, |d| d.acknowledged.get());
    of_each("becket_device_readings_dropped_total", "counter", "Readings of the device given up.", |d| d.dropped.get());
    of_each("becket_device_queue_readings", "gauge", "Readings that wait for the client.", |d| d.queued.get());
    let help = "Readings whose fields the client has, and not all answered.";
    of_each("becket_device_under_way_readings", "gauge", help, |d| d.under_way.get());
    of_each("becket_device_commands_total", "counter", "Commands written to the device.", |d| d.commands.get());
    out.fields(&devices);

    let lines = report.records.lines();
    out.family("becket_gpio_open", "gauge", "Whether the GPIO line is open.");
    for line in &lines {
        out.sample("becket_gpio_open", &[("line", &line.name)], u8::from(line.link.state().is_open));
    }
    out.family("becket_gpio_edges_total", "counter", "Edges of the GPIO line that came.");
    for line in &lines {
        out.sample("becket_gpio_edges_total", &[("line", &line.name)], line.edges.get());
    }

    out.family("becket_fibers", "gauge", "Fibers by what they do.");
    for (word, is) in [
        ("running", (|s| s == FiberState::Running) as fn(FiberState) -> bool),
        ("runnable", |s| s == FiberState::Runnable),
        ("waiting", |s| matches!(s, FiberState::Waiting(..))),
    ] {
        let count = fibers.fibers.iter().filter(|fiber| is(fiber.info.state)).count();
        out.sample("becket_fibers", &[("state", word)], count);
    }

    let stats = loops.stats;
    out.counter("becket_loop_waits_total", "Waits of the event loop.", stats.waits);
    out.counter("becket_loop_events_total", "Descriptors that were ready.", stats.events);
    out.counter("becket_loop_timers_total", "Timers that expired.", stats.timers);
    out.counter("becket_loop_callbacks_total", "Callbacks of the event loop.", stats.callbacks);
    out.counter("becket_loop_faults_total", "Callbacks that failed.", stats.faults);
    out.histogram("becket_loop_wait_seconds", "How long each wait of the event loop took.", &loops.waited);
    out.histogram("becket_loop_turn_seconds", "How long the work between two waits took.", &loops.worked);
    out.histogram("becket_loop_timer_lag_seconds", "How late each timer was.", &loops.lag);
    out.0
}

/// The format, as far as it is needed here.
struct Text(String);

impl Text {
    /// Begins a metric. What is named and explained here is ours, and needs no escapes.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}"); // a string takes everything
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if n == 0 { '{' } else { ',' });
            escape(&mut self.0, text);
            self.0.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// The last values that are numbers.
    fn fields(&mut self, devices: &[Rc<DeviceRecord>]) {
        self.family("becket_device_field", "gauge", "The last value of a field, where that is a number.");
        for device in devices {
            for (name, field) in device.fields() {
                if let Some(value) = field.value.parse::<f64>().ok().filter(|value| value.is_finite()) {
                    self.sample("becket_device_field", &[("device", &device.name), ("field", &name)], value);
                }
            }
        }
    }

    /// A bucket for each power of four from a microsecond on. A bucket of ours is of what took less than its power of
    /// two, in whole nanoseconds; theirs is of what took no longer: so one nanosecond less.
    fn histogram(&mut self, name: &str, help: &str, times: &Histogram) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for bits in (10..=34).step_by(2) {
            let end = Duration::from_nanos(1 << bits);
            let below: u64 = times.buckets().take_while(|(to, _)| *to <= end).map(|(_, n)| n).sum();
            let le = (end - Duration::from_nanos(1)).as_secs_f64().to_string();
            self.sample(&bucket, &[("le", &le)], below);
        }
        self.sample(&bucket, &[("le", "+Inf")], times.count());
        self.sample(&format!("{name}_sum"), &[], times.total().as_secs_f64());
        self.sample(&format!("{name}_count"), &[], times.count());
    }
}

/// The value of a label: devices may be called what they like.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' | '"' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_nothing_else() {
        let mut text = Text(String::new());
        text.sample("a", &[("b", "x\\y\"z\nü"), ("c", "")], 1.5);
        text.sample("d", &[], 0);
        assert_eq!(text.0, "a{b=\"x\\\\y\\\"z\\nü\",c=\"\"} 1.5\nd 0\n");
    }

    #[test]
    fn buckets_hold_what_took_no_longer_and_add_up() {
        let mut times = Histogram::default();
        for nanos in [0, 1023, 1024, 4095, 4096, 1 << 35] {
            times.record(Duration::from_nanos(nanos));
        }
        let mut text = Text(String::new());
        text.histogram("h", "x", &times);
        let lines: Vec<_> = text.0.lines().collect();
        assert_eq!(
            lines[1..5],
            [
                "# TYPE h histogram",
                "h_bucket{le=\"0.000001023\"} 2",
                "h_bucket{le=\"0.000004095\"} 4",
                "h_bucket{le=\"0.000016383\"} 5",
            ]
        );
        let end = ["h_bucket{le=\"17.179869183\"} 5", "h_bucket{le=\"+Inf\"} 6", "h_sum 34.359748606", "h_count 6"];
        assert_eq!(lines[lines.len() - 4..], end);
    }
}
