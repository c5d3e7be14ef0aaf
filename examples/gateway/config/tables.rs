//! The tables of the file as they are written. What is misspelt, or of the wrong type, is found here.

use serde::Deserialize;
use std::path::PathBuf;

/// A value that knows where it stands.
pub type Key<T> = toml::Spanned<T>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    pub broker: Option<Key<Broker>>,
    #[serde(default)]
    pub device: Vec<Key<Device>>,
    #[serde(default)]
    pub gpio: Vec<Key<Gpio>>,
    pub queue: Option<Key<usize>>,
    pub store: Option<Key<PathBuf>>,
    pub http: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Broker {
    pub url: Option<Key<String>>,
    pub client_id: Option<Key<String>>,
    pub user: Option<Key<String>>,
    pub password: Option<Key<String>>,
    pub password_file: Option<Key<PathBuf>>,
    pub keepalive: Option<Key<u64>>,
    pub qos: Option<Key<u8>>,
    pub topic_prefix: Option<Key<String>>,
    pub tls: Option<Key<Tls>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    pub ca: Option<Key<PathBuf>>,
    pub cert: Option<Key<PathBuf>>,
    pub key: Option<Key<PathBuf>>,
    pub server_name: Option<Key<String>>,
    pub psk_identity: Option<Key<String>>,
    pub psk: Option<Key<String>>,
    #[serde(default)]
    pub insecure: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Device {
    pub path: Key<PathBuf>,
    pub name: Option<Key<String>>,
    pub topic: Option<Key<String>>,
    pub baud: Option<Key<u32>>,
    pub data_bits: Option<Key<u8>>,
    #[serde(default)]
    pub parity: Parity,
    pub stop_bits: Option<Key<u8>>,
    #[serde(default)]
    pub flow_control: FlowControl,
    #[serde(default = "yes")]
    pub exclusive: bool,
    pub field: Option<Vec<Key<Field>>>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Parity {
    #[default]
    None,
    Odd,
    Even,
    Mark,
    Space,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum FlowControl {
    #[default]
    None,
    Software,
    Hardware,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Field {
    pub name: Key<String>,
    pub topic: Option<Key<String>>,
    pub scale: Option<Key<f64>>,
    pub unit: Option<Key<String>>,
    #[serde(default)]
    pub retain: bool,
    pub deadband: Option<Key<f64>>,
    pub every: Option<Key<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gpio {
    pub chip: Option<Key<Number>>,
    pub line: Option<Key<Number>>,
    pub sysfs: Option<Key<u32>>,
    pub name: Option<Key<String>>,
    #[serde(default)]
    pub edge: Edge,
    pub bias: Option<Key<Bias>>,
    pub active_low: Option<Key<bool>>,
    pub debounce: Option<Key<String>>,
}

/// What may be called by a number or by a name.
#[derive(Deserialize)]
#[serde(untagged, expecting = "it is neither a number nor a name")]
pub enum Number {
    Number(u32),
    Name(String),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    Rising,
    Falling,
    #[default]
    Both,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub enum Bias {
    Disabled,
    PullUp,
    PullDown,
}
