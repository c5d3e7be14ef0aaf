//! What the gateway says of itself, every second.

use crate::mqtt::Mqtt;
use crate::report::Report;
use becket_fiber::{interval, with_ctx};
use std::io;
use std::time::Duration;

/// After the prefix of all topics.
const TOPIC: &str = "gateway/heartbeat";

/// Publishes the statistics of the loop once a second until this fiber is cancelled. The period counts from the
/// first beat on: a beat that comes late does not put off the others, one that is missed is left out.
pub fn run(mqtt: &Mqtt, report: &Report) -> io::Result<()> {
    let mut beats = interval(Duration::from_secs(1));
    loop {
        beats.tick()?;
        let loop_stats = with_ctx(|ctx| ctx.stats())?;
        let text = format!(
            r#"{{"uptime_ms":{},"waits":{},"events":{},"timers":{},"callbacks":{},"readings":{},"dropped":{}}}"#,
            report.records.start.elapsed().as_millis(),
            loop_stats.waits,
            loop_stats.events,
            loop_stats.timers,
            loop_stats.callbacks,
            report.readings.get(),
            report.dropped.get(),
        );
        mqtt.publish_now(TOPIC, text);
    }
}
