//! Ten seconds with nothing but the defaults: the simulated device, the broker in the same process.

use crate::{MARGIN, Sums, start};
use becket_tests::mqtt::Client;
use std::time::Duration;

#[test]
fn ten_seconds_on_the_defaults_lose_nothing() {
    let gateway = start(&["--for", "10s"]);
    let sums = Sums::of(&gateway.finish(Duration::from_secs(10) + MARGIN));
    assert!((45..=52).contains(&sums.readings), "{sums:?}");
    assert_eq!((sums.acknowledged, sums.dropped, sums.reconnects, sums.commands), (sums.readings, 0, 0, 0));
    sums.assert_no_delivery_twice(10);
}

#[test]
fn others_see_the_fields_and_the_heartbeat_and_can_command_the_device() {
    let gateway = start(&[]);
    let port = embedded_port(&gateway.expect_stderr("broker at mqtt://127.0.0.1:", MARGIN));
    let mut client = Client::connect(port, "observer");
    client.subscribe("becket/#");
    for (topic, is_value) in
        [("becket/simulated/temp", is_number as fn(&str) -> bool), ("becket/simulated/hum", is_number)]
    {
        let message = client.next_that(MARGIN, |message| message.topic == topic);
        assert!(is_value(&message.payload), "{message:?}");
    }
    let heartbeat = client.next_that(MARGIN, |message| message.topic == "becket/gateway/heartbeat");
    let heartbeat: serde_json::Value = serde_json::from_str(&heartbeat.payload).expect("a JSON object");
    assert!(heartbeat["timers"].as_u64().is_some_and(|timers| timers > 0), "{heartbeat}");

    client.publish("becket/simulated/set", "led=1");
    gateway.expect_stderr("simulated: ok", MARGIN);
    // A command of several lines would be several commands, and one to nobody is nobody's.
    client.publish("becket/simulated/set", "led=1\nled=0");
    client.publish("becket/nobody/set", "led=1");
    gateway.expect_stderr("not one line", MARGIN);
    gateway.signal(rustix::process::Signal::TERM);
    let sums = Sums::of(&gateway.finish(MARGIN));
    assert_eq!(sums.commands, 1, "{sums:?}");
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

fn embedded_port(line: &str) -> u16 {
    let port = line.rsplit(':').next().expect("a port");
    port.trim().parse().unwrap_or_else(|e| panic!("{line}: {e}"))
}
