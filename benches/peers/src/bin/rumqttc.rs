//! rumqttc on tokio, current_thread runtime
use bench_rig::*;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

fn main() {
    if bench_name() != "mqtt" {
        unsupported();
    }
    let mut bench = Mqtt::new();
    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(bench.qos)];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut options = MqttOptions::new("bench", "127.0.0.1", port());
        options.set_inflight(1000).set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut events) = AsyncClient::new(options, 1000);
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        client.subscribe("bench", qos).await.unwrap();
        loop {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::SubAck(_)) => {}
                Event::Incoming(Packet::Publish(publish)) => {
                    if bench.came(&publish.payload) {
                        break;
                    }
                }
                _ => continue,
            }
            while let Some(payload) = bench.payload() {
                client.try_publish("bench", qos, false, payload).unwrap();
            }
        }
    });
    bench.emit("rumqttc");
}
