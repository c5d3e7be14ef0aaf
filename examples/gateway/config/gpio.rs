//! `[[gpio]]`: a GPIO line.

use super::device::duration;
use super::tables::{self, Gpio, Key, Number};
use super::{Checked, wrong};
use crate::line::is_level;
use crate::settings::{GpioLine, GpioSettings};
use becket_sys::gpio::{Bias, Edge};

pub fn check(table: Key<Gpio>, prefix: &str) -> Checked<GpioSettings> {
    let at = Key::new(table.span(), ());
    let table = table.into_inner();
    let is_sysfs = table.sysfs.is_some();
    let line = match (table.chip, table.line, table.sysfs) {
        (None, None, Some(number)) => GpioLine::Sysfs(number.into_inner()),
        (Some(chip), Some(line), None) => {
            let (chip, line) = (text(chip), text(line));
            GpioLine::of_chip(&chip, &line).or_else(|e| wrong(&at, e))?
        }
        _ => return wrong(&at, "a GPIO line has a `chip` and a `line`, or a number of `sysfs`"),
    };
    let edge = match table.edge {
        tables::Edge::Rising => Edge::Rising,
        tables::Edge::Falling => Edge::Falling,
        tables::Edge::Both => Edge::Both,
    };
    let mut settings = GpioSettings::new(line, edge);
    if let Some(name) = table.name {
        if !is_level(name.as_ref()) {
            return wrong(&name, "a name is one level of a topic: not empty, and without `/`, `+`, `#` and controls");
        }
        settings.name = name.into_inner();
    }
    settings.topic = format!("{prefix}/gpio/{}", settings.name);
    if let Some(bias) = table.bias {
        only_by_chip(&bias, is_sysfs)?;
        settings.bias = Some(match bias.as_ref() {
            tables::Bias::Disabled => Bias::Disabled,
            tables::Bias::PullUp => Bias::PullUp,
            tables::Bias::PullDown => Bias::PullDown,
        });
    }
    if let Some(low) = table.active_low {
        only_by_chip(&low, is_sysfs)?;
        settings.active_low = low.into_inner();
    }
    if let Some(debounce) = table.debounce {
        only_by_chip(&debounce, is_sysfs)?;
        settings.debounce = duration(Some(debounce))?;
    }
    Ok(settings)
}

fn text(number: Key<Number>) -> String {
    match number.into_inner() {
        Number::Number(number) => number.to_string(),
        Number::Name(name) => name,
    }
}

fn only_by_chip<T>(key: &Key<T>, is_sysfs: bool) -> Checked<()> {
    if is_sysfs { wrong(key, "sysfs cannot do this: name the line by `chip` and `line`") } else { Ok(()) }
}
