//! `[[device]]`: a serial device, and what becomes of its fields.

use super::tables::{Device, Field, FlowControl, Key, Parity};
use super::{Checked, Files, wrong};
use crate::args;
use crate::line::is_level;
use crate::settings::{DeviceSettings, FieldSettings, PortSettings, is_topic, name_of};
use becket_sys::serial::{self, DataBits, StopBits};
use std::collections::HashSet;
use std::time::Duration;

pub fn check(table: Key<Device>, prefix: &str, files: &Files) -> Checked<DeviceSettings> {
    let table = table.into_inner();
    if table.path.as_ref().as_os_str().is_empty() {
        return wrong(&table.path, "no path");
    }
    let path = files.path(&table.path);
    let name = match table.name {
        Some(name) if !is_level(name.as_ref()) => {
            return wrong(&name, "a name is one level of a topic: not empty, and without `/`, `+`, `#` and controls");
        }
        Some(name) => name.into_inner(),
        None => name_of(&path),
    };
    let topic = match table.topic {
        Some(topic) if !is_topic(topic.as_ref()) => return wrong(&topic, "it cannot be a topic"),
        Some(topic) => topic.into_inner(),
        None => format!("{prefix}/{name}"),
    };
    let mut port = PortSettings::new(path, baud(table.baud)?);
    port.exclusive = table.exclusive;
    port.line.data_bits = match table.data_bits {
        None => DataBits::Eight,
        Some(bits) => match bits.as_ref() {
            5 => DataBits::Five,
            6 => DataBits::Six,
            7 => DataBits::Seven,
            8 => DataBits::Eight,
            _ => return wrong(&bits, "a character has 5 to 8 bits"),
        },
    };
    port.line.stop_bits = match table.stop_bits {
        None => StopBits::One,
        Some(bits) => match bits.as_ref() {
            1 => StopBits::One,
            2 => StopBits::Two,
            _ => return wrong(&bits, "there are 1 or 2 stop bits"),
        },
    };
    port.line.parity = match table.parity {
        Parity::None => serial::Parity::None,
        Parity::Odd => serial::Parity::Odd,
        Parity::Even => serial::Parity::Even,
        Parity::Mark => serial::Parity::Mark,
        Parity::Space => serial::Parity::Space,
    };
    port.line.flow_control = match table.flow_control {
        FlowControl::None => serial::FlowControl::None,
        FlowControl::Software => serial::FlowControl::Software,
        FlowControl::Hardware => serial::FlowControl::Hardware,
    };
    let fields = table.field.map(fields).transpose()?;
    Ok(DeviceSettings { name, port, topic, fields })
}

fn baud(baud: Option<Key<u32>>) -> Checked<u32> {
    match baud {
        Some(baud) if *baud.as_ref() == 0 => wrong(&baud, "a rate of 0 baud means hanging up"),
        baud => Ok(baud.map_or(115_200, Key::into_inner)),
    }
}

fn fields(tables: Vec<Key<Field>>) -> Checked<Vec<FieldSettings>> {
    let (mut names, mut topics) = (HashSet::new(), HashSet::new());
    let mut fields = Vec::new();
    for table in tables {
        let table = table.into_inner();
        let at = table.name.clone();
        let field = field(table)?;
        if !names.insert(field.name.clone()) {
            return wrong(&at, format!("the field {:?} is there twice", field.name));
        }
        if !topics.insert(field.topic.clone()) {
            return wrong(&at, format!("the topic {:?} is another field's", field.topic));
        }
        fields.push(field);
    }
    Ok(fields)
}

fn field(table: Field) -> Checked<FieldSettings> {
    // What a device sends is looked up by it; `set` and what is no level of a topic is never a field.
    if !is_level(table.name.as_ref()) || table.name.as_ref() == "set" {
        return wrong(&table.name, format!("{:?} cannot be a field: it is no level of a topic", table.name.as_ref()));
    }
    let name = table.name.into_inner();
    let topic = match table.topic {
        Some(topic) if !is_topic(topic.as_ref()) || topic.as_ref() == "set" => {
            return wrong(&topic, "it cannot be the rest of a topic");
        }
        Some(topic) => topic.into_inner(),
        None => name.clone(),
    };
    let scale = match table.scale {
        Some(scale) if !scale.as_ref().is_normal() => return wrong(&scale, "it cannot be multiplied by that"),
        scale => scale.map(Key::into_inner),
    };
    let deadband = match table.deadband {
        Some(band) if !(band.as_ref().is_finite() && *band.as_ref() >= 0.0) => {
            return wrong(&band, "a deadband is 0 or more");
        }
        band => band.map(Key::into_inner),
    };
    let every = duration(table.every)?;
    let unit = match table.unit {
        Some(unit) if unit.as_ref().is_empty() || unit.as_ref().contains(char::is_control) => {
            return wrong(&unit, "a unit is text");
        }
        unit => unit.map(Key::into_inner),
    };
    Ok(FieldSettings { name, topic, scale, unit, retain: table.retain, deadband, every })
}

/// A time such as 500ms; none where nothing is said.
pub fn duration(text: Option<Key<String>>) -> Checked<Duration> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    args::duration(text.as_ref()).or_else(|e| wrong(&text, format!("{:?}: {e}", text.as_ref())))
}
