//! What becomes of the fields of a device on their way to the broker.

use crate::line;
use crate::settings::FieldSettings;
use std::time::Instant;

/// What is published of a device, and where.
pub struct Outlet {
    topic: String,
    /// `None`: everything as it comes.
    fields: Option<Vec<Field>>,
}

struct Field {
    settings: FieldSettings,
    /// What was published last, where it is a number, and when it came.
    last: Option<(Option<f64>, Instant)>,
}

/// A message to be.
#[derive(Debug, PartialEq)]
pub struct Outgoing {
    pub topic: String,
    pub payload: String,
    pub retain: bool,
}

impl Outlet {
    pub fn new(topic: String, fields: Option<&[FieldSettings]>) -> Outlet {
        let field = |settings: &FieldSettings| Field { settings: settings.clone(), last: None };
        Outlet { topic, fields: fields.map(|fields| fields.iter().map(field).collect()) }
    }

    /// The messages of a line that came at `at`.
    pub fn messages(&mut self, line: &str, at: Instant) -> Vec<Outgoing> {
        let mut messages = Vec::new();
        for (name, value) in line::fields(line) {
            let (rest, payload, retain) = match &mut self.fields {
                None => (name, value.to_owned(), false),
                Some(fields) => {
                    let field = fields.iter_mut().find(|field| field.settings.name == name);
                    let Some((field, payload)) = field.and_then(|field| {
                        let payload = field.take(value, at)?;
                        Some((&field.settings, payload))
                    }) else {
                        continue;
                    };
                    (&*field.topic, payload, field.retain)
                }
            };
            messages.push(Outgoing { topic: format!("{}/{rest}", self.topic), payload, retain });
        }
        messages
    }
}

impl Field {
    /// The payload for a value, unless it comes too soon or is too near to the last one.
    fn take(&mut self, text: &str, at: Instant) -> Option<String> {
        let FieldSettings { scale, unit, deadband, every, .. } = &self.settings;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let scaled = number.zip(*scale).map(|(number, scale)| number * scale).or(number);
        if let Some((last, then)) = self.last {
            let is_near = |(new, last, band): (f64, f64, f64)| (new - last).abs() < band;
            let near = scaled.zip(last).zip(*deadband).is_some_and(|((new, last), band)| is_near((new, last, band)));
            if at.saturating_duration_since(then) < *every || near {
                return None;
            }
        }
        self.last = Some((scaled, at));
        let mut payload = match (scaled, scale) {
            (Some(scaled), Some(scale)) => decimal(scaled, decimals(text).zip(decimals(&scale.to_string()))),
            _ => text.to_owned(),
        };
        if let (Some(unit), Some(_)) = (unit, number) {
            payload.push(' ');
            payload.push_str(unit);
        }
        Some(payload)
    }
}

/// How many digits stand behind the point; `None` for numbers with an exponent.
fn decimals(number: &str) -> Option<usize> {
    let is_plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
    number.chars().all(is_plain).then(|| number.split_once('.').map_or(0, |(_, behind)| behind.len()))
}

/// A product in decimal: it has no more digits than both factors together, so that 3 times 0.1 is 0.3.
fn decimal(product: f64, digits: Option<(usize, usize)>) -> String {
    let Some((one, other)) = digits.filter(|(one, other)| one + other <= 15) else { return product.to_string() };
    let text = format!("{product:.*}", one + other);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn field(name: &str) -> FieldSettings {
        let every = Duration::ZERO;
        FieldSettings {
            name: name.into(),
            topic: name.into(),
            scale: None,
            unit: None,
            retain: false,
            deadband: None,
            every,
        }
    }

    fn payloads(settings: FieldSettings, values: &[(&str, u64)]) -> Vec<String> {
        let (mut outlet, start) = (Outlet::new("d".into(), Some(&[settings])), Instant::now());
        let messages = values
            .iter()
            .flat_map(|(value, ms)| outlet.messages(&format!("f={value}"), start + Duration::from_millis(*ms)));
        messages.map(|message| message.payload).collect()
    }

    #[test]
    fn without_fields_everything_goes_out_as_it_comes_with_them_nothing_else() {
        let message =
            |topic: &str, payload: &str| Outgoing { topic: topic.into(), payload: payload.into(), retain: false };
        let now = Instant::now();
        let all = Outlet::new("b/d".into(), None).messages("a=1 b=two c", now);
        assert_eq!(all, [message("b/d/a", "1"), message("b/d/b", "two")]);
        let renamed = FieldSettings { topic: "x/y".into(), retain: true, ..field("b") };
        let some = Outlet::new("b/d".into(), Some(&[renamed])).messages("a=1 b=two b=three", now);
        assert_eq!(some, ["two", "three"].map(|p| Outgoing { retain: true, ..message("b/d/x/y", p) }));
        assert_eq!(Outlet::new("b/d".into(), Some(&[])).messages("a=1", now), []);
    }

    #[test]
    fn numbers_are_scaled_without_noise_and_have_their_unit() {
        let tenth = FieldSettings { scale: Some(0.1), ..field("f") };
        assert_eq!(
            payloads(tenth.clone(), &[("3", 0), ("215", 0), ("-0", 0), ("1e3", 0), ("2.50", 0)]),
            ["0.3", "21.5", "0", "100", "0.25"]
        );
        let unit = FieldSettings { unit: Some("°C".into()), ..tenth };
        assert_eq!(payloads(unit, &[("215", 0), ("off", 0), ("nan", 0)]), ["21.5 °C", "off", "nan"]);
        let thousand = FieldSettings { scale: Some(1000.0), ..field("f") };
        assert_eq!(payloads(thousand, &[("1.25", 0), ("100", 0)]), ["1250", "100000"]);
    }

    #[test]
    fn what_is_near_or_comes_soon_is_left_out() {
        let band = FieldSettings { deadband: Some(0.5), ..field("f") };
        assert_eq!(
            payloads(band, &[("20", 0), ("20.4", 1), ("20.5", 2), ("20.1", 3), ("off", 4), ("20", 5)]),
            ["20", "20.5", "off", "20"]
        );
        let every = FieldSettings { every: Duration::from_secs(1), ..field("f") };
        assert_eq!(payloads(every, &[("1", 0), ("2", 999), ("3", 1000), ("4", 1500), ("5", 2000)]), ["1", "3", "5"]);
    }
}
