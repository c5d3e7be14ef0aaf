//! `/metrics.json`: one object of
//!
//! - `uptime_s`; `process`, an object of `id` and `resident_bytes` (or `null`);
//! - `readings`, `acknowledged`, `dropped`, `published`, `commands`, `reconnects`: the sums of all devices since the
//!   start, as in the gateway's last line;
//! - `broker`: an object of `address`, the link (see below), `waiting` and `waiting_bytes`, the messages in the client's
//!   queue, and `under_way`, those sent and not acknowledged;
//! - `devices`: an array of objects, each of `name`, `path`, the link, `readings`, `acknowledged`, `dropped`, `commands`,
//!   `queued` (readings in the queue), `under_way` (readings whose fields the client has), `per_second` (readings, over
//!   the last ten seconds), and `fields`, an array of objects of `name`, `value`, a string, and `ago_s`;
//! - `gpio`: an array of objects, each of `name`, the link, `edges`, and of the last edge `word` (`rising` or `falling`)
//!   and `ago_s`, both `null` before;
//! - `loop`: the loop's [`Snapshot`](becket_loop::Snapshot);
//! - `fibers`: the [`Report`](becket_fiber::Report) of the fibers.
//!
//! A link is `open`, a boolean, `since_s`, for how long it has been so, and `trouble`, `null` or an object of `text` and
//! `ago_s`: what went wrong last, also where that is over. Times are seconds with a fraction, except where the last two
//! say otherwise.

use super::State;
use crate::records::{DeviceRecord, LineRecord, LinkState};
use serde_json::{Map, Value, json};
use std::fs;
use std::time::Instant;

pub(super) fn write(state: &State<'_>) -> String {
    let State { report, mqtt, loops, fibers, .. } = state;
    let (records, backlog) = (&report.records, mqtt.backlog());
    let broker = &records.broker;
    let mut object = json!({
        "uptime_s": seconds(records.start),
        "process": { "id": std::process::id(), "resident_bytes": resident_bytes() },
        "readings": report.readings.get(),
        "acknowledged": report.acknowledged.get(),
        "dropped": report.dropped.get(),
        "published": report.published.get(),
        "commands": report.commands.get(),
        "reconnects": report.reconnects.get(),
        "devices": records.devices().iter().map(|d| device(d)).collect::<Value>(),
        "gpio": records.lines().iter().map(|l| line(l)).collect::<Value>(),
    });
    object["broker"] = link(
        &broker.link.state(),
        json!({
            "address": *broker.address.borrow(),
            "waiting": backlog.waiting,
            "waiting_bytes": backlog.waiting_bytes,
            "under_way": backlog.under_way,
        }),
    );
    // The other two come as text.
    let text = object.to_string();
    let open = text.strip_suffix('}').unwrap_or(&text);
    format!(r#"{open},"loop":{loops},"fibers":{}}}"#, fibers.to_json())
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

/// What is there, and a link.
fn link(state: &LinkState, beside: Value) -> Value {
    let trouble = state.trouble.as_ref().map(|(text, at)| json!({ "text": text, "ago_s": seconds(*at) }));
    let link = json!({ "open": state.is_open, "since_s": seconds(state.since), "trouble": trouble });
    let both: Map<_, _> = [beside, link].into_iter().filter_map(|v| v.as_object().cloned()).flatten().collect();
    Value::Object(both)
}

fn device(device: &DeviceRecord) -> Value {
    let fields = device.fields().into_iter();
    let fields = fields.map(|(name, f)| json!({ "name": name, "value": f.value, "ago_s": seconds(f.at) }));
    let object = json!({
        "name": &*device.name,
        "path": device.path.to_string_lossy(),
        "readings": device.readings.get(),
        "acknowledged": device.acknowledged.get(),
        "dropped": device.dropped.get(),
        "commands": device.commands.get(),
        "queued": device.queued.get(),
        "under_way": device.under_way.get(),
        "per_second": device.rate.per_second(),
        "fields": fields.collect::<Value>(),
    });
    link(&device.link.state(), object)
}

fn line(line: &LineRecord) -> Value {
    let (word, at) = line.last().unzip();
    let object = json!({ "name": line.name, "edges": line.edges.get(), "word": word, "ago_s": at.map(seconds) });
    link(&line.link.state(), object)
}

/// How much memory the process has, without what is swapped out.
pub(super) fn resident_bytes() -> Option<u64> {
    // A file of the kernel's: reading it waits for nothing.
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    kib.trim().parse::<u64>().ok()?.checked_mul(1024)
}
