//! What is known of each device and GPIO line, and of the broker: for the page, and for whoever else asks.

use crate::line;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

/// How many fields of a device are remembered: the first ones that it sends.
const MOST_FIELDS: usize = 64;

/// How many characters of a field's name and of its value.
const MOST_NAME: usize = 64;
const MOST_VALUE: usize = 256;

/// Everything. A device and a line stand here for as long as somebody holds their record, and a device no longer than it is
/// served.
#[derive(Debug)]
pub struct Records {
    /// When the gateway began.
    pub start: Instant,
    devices: RefCell<Vec<Weak<DeviceRecord>>>,
    lines: RefCell<Vec<Weak<LineRecord>>>,
    pub broker: BrokerRecord,
}

impl Default for Records {
    fn default() -> Self {
        Records {
            start: Instant::now(),
            devices: RefCell::default(),
            lines: RefCell::default(),
            broker: BrokerRecord::default(),
        }
    }
}

impl Records {
    /// Begins a device's record.
    pub fn device(&self, name: Rc<str>, path: &Path) -> Rc<DeviceRecord> {
        add(&self.devices, DeviceRecord::new(name, path))
    }

    /// Begins the record of a GPIO line.
    pub fn line(&self, name: impl Into<String>) -> Rc<LineRecord> {
        let (link, edges, last) = (Link::default(), Cell::default(), Cell::default());
        add(&self.lines, LineRecord { name: name.into(), link, edges, last })
    }

    /// The devices, in the order in which they came, without those that are removed: what they have said may wait for
    /// long, and another of the same name be there.
    pub fn devices(&self) -> Vec<Rc<DeviceRecord>> {
        let mut devices = all(&self.devices);
        devices.retain(|device| !device.is_removed.get());
        devices
    }

    /// The GPIO lines, in the order in which they came.
    pub fn lines(&self) -> Vec<Rc<LineRecord>> {
        all(&self.lines)
    }
}

fn add<T>(list: &RefCell<Vec<Weak<T>>>, record: T) -> Rc<T> {
    let record = Rc::new(record);
    let mut list = list.borrow_mut();
    list.retain(|held| held.strong_count() > 0);
    list.push(Rc::downgrade(&record));
    record
}

fn all<T>(list: &RefCell<Vec<Weak<T>>>) -> Vec<Rc<T>> {
    list.borrow().iter().filter_map(Weak::upgrade).collect()
}

/// Whether something can be reached, and since when; what its last trouble was, also after it is over.
#[derive(Debug)]
pub struct Link(RefCell<LinkState>);

/// See [`Link`].
#[derive(Debug, Clone)]
pub struct LinkState {
    pub is_open: bool,
    pub since: Instant,
    pub trouble: Option<(String, Instant)>,
}

impl Default for Link {
    /// Not open yet, and nothing wrong.
    fn default() -> Self {
        Link(RefCell::new(LinkState { is_open: false, since: Instant::now(), trouble: None }))
    }
}

impl Link {
    pub fn opened(&self) {
        let mut state = self.0.borrow_mut();
        (state.is_open, state.since) = (true, Instant::now());
    }

    /// It is gone, or still is.
    pub fn lost(&self, why: impl Display) {
        let (mut state, now) = (self.0.borrow_mut(), Instant::now());
        if state.is_open {
            (state.is_open, state.since) = (false, now);
        }
        state.trouble = Some((why.to_string(), now));
    }

    pub fn state(&self) -> LinkState {
        self.0.borrow().clone()
    }
}

impl Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {} s", if self.is_open { "open" } else { "gone" }, self.since.elapsed().as_secs())?;
        match &self.trouble {
            Some((why, at)) => write!(f, " (last trouble {} s ago: {why})", at.elapsed().as_secs()),
            None => Ok(()),
        }
    }
}

/// A device.
#[derive(Debug)]
pub struct DeviceRecord {
    pub name: Rc<str>,
    pub path: PathBuf,
    pub link: Link,
    /// Whether it is served no more.
    pub is_removed: Cell<bool>,
    /// Lines with at least one field.
    pub readings: Cell<u64>,
    /// Readings of which the broker has every field.
    pub acknowledged: Cell<u64>,
    /// Readings given up.
    pub dropped: Cell<u64>,
    /// Readings in the queue towards the broker.
    pub queued: Cell<u64>,
    /// Readings handed to the client, and not answered.
    pub under_way: Cell<u64>,
    /// Commands written to it.
    pub commands: Cell<u64>,
    /// Of its readings.
    pub rate: Rate,
    fields: RefCell<BTreeMap<String, FieldRecord>>,
}

/// What a field of a device was last.
#[derive(Debug, Clone)]
pub struct FieldRecord {
    /// Cut where it is very long.
    pub value: String,
    pub at: Instant,
}

impl DeviceRecord {
    fn new(name: Rc<str>, path: &Path) -> DeviceRecord {
        let zero = Cell::default;
        DeviceRecord {
            name,
            path: path.into(),
            link: Link::default(),
            is_removed: Cell::default(),
            readings: zero(),
            acknowledged: zero(),
            dropped: zero(),
            queued: zero(),
            under_way: zero(),
            commands: zero(),
            rate: Rate::default(),
            fields: RefCell::default(),
        }
    }

    /// Remembers the fields of a line, and when they came.
    pub fn remember(&self, text: &str) {
        let (mut fields, at) = (self.fields.borrow_mut(), Instant::now());
        for (name, value) in line::fields(text) {
            let value = value.char_indices().nth(MOST_VALUE).map_or(value, |(end, _)| &value[..end]);
            if let Some(field) = fields.get_mut(name) {
                field.at = at;
                field.value.clear();
                field.value.push_str(value);
            } else if fields.len() < MOST_FIELDS && name.chars().nth(MOST_NAME).is_none() {
                fields.insert(name.to_owned(), FieldRecord { value: value.to_owned(), at });
            }
        }
    }

    /// The fields by name.
    pub fn fields(&self) -> Vec<(String, FieldRecord)> {
        self.fields.borrow().iter().map(|(name, field)| (name.clone(), field.clone())).collect()
    }
}

impl Display for DeviceRecord {
    /// As one line, with what the device said last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeviceRecord { name, path, link, readings, acknowledged, dropped, queued, under_way, .. } = self;
        let [readings, acknowledged, dropped] = [readings, acknowledged, dropped].map(Cell::get);
        write!(f, "{name} at {}: {}; {readings} readings, ", path.display(), link.state())?;
        write!(f, "{:.1} a second, {acknowledged} acknowledged, {dropped} dropped, ", self.rate.per_second())?;
        write!(f, "{} in the queue, {} under way", queued.get(), under_way.get())?;
        let escaped = |(name, field): &(String, FieldRecord)| -> String {
            format!(" {}={}", name.escape_debug(), field.value.escape_debug())
        };
        write!(f, ";{}", self.fields().iter().map(escaped).collect::<String>())
    }
}

/// A GPIO line.
#[derive(Debug)]
pub struct LineRecord {
    /// As in its topic.
    pub name: String,
    pub link: Link,
    pub edges: Cell<u64>,
    last: Cell<Option<(&'static str, Instant)>>,
}

impl LineRecord {
    /// An edge came: `rising` or `falling`.
    pub fn edge(&self, word: &'static str) {
        self.edges.set(self.edges.get() + 1);
        self.last.set(Some((word, Instant::now())));
    }

    pub fn last(&self) -> Option<(&'static str, Instant)> {
        self.last.get()
    }
}

impl Display for LineRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gpio {}: {}; {} edges", self.name, self.link.state(), self.edges.get())?;
        match self.last() {
            Some((word, at)) => write!(f, ", the last one {word}, {} s ago", at.elapsed().as_secs()),
            None => Ok(()),
        }
    }
}

/// The broker, and the way to it. How often it came back is counted in the report; what waits for it, the client knows:
/// [`backlog`](crate::mqtt::Mqtt::backlog).
#[derive(Debug, Default)]
pub struct BrokerRecord {
    /// As it is written in `--broker`; empty before it is known.
    pub address: RefCell<String>,
    pub link: Link,
}

impl Display for BrokerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broker {}: {}", self.address.borrow(), self.link.state())
    }
}

/// How often something happens in a second, over the last ten.
#[derive(Debug)]
pub struct Rate {
    begun: Instant,
    /// The second under way, counted from `begun`, and how often it happened in each of the last eleven.
    seconds: Cell<(u64, [u32; SPAN + 1])>,
}

const SPAN: usize = 10;

impl Default for Rate {
    fn default() -> Self {
        Rate { begun: Instant::now(), seconds: Cell::default() }
    }
}

impl Rate {
    pub fn count(&self) {
        let (second, mut counts) = self.at(self.begun.elapsed());
        let here = &mut counts[second as usize % (SPAN + 1)];
        *here = here.saturating_add(1);
        self.seconds.set((second, counts));
    }

    /// Without the second under way; 0 in the first.
    pub fn per_second(&self) -> f64 {
        let (second, counts) = self.at(self.begun.elapsed());
        mean(second, &counts)
    }

    /// The counts as of then: seconds in which nothing happened are empty.
    fn at(&self, age: Duration) -> (u64, [u32; SPAN + 1]) {
        let (last, mut counts) = self.seconds.get();
        let second = age.as_secs().max(last);
        (last..second).take(SPAN + 1).for_each(|past| counts[(past + 1) as usize % (SPAN + 1)] = 0);
        (second, counts)
    }
}

fn mean(second: u64, counts: &[u32; SPAN + 1]) -> f64 {
    let past = (second as usize).min(SPAN);
    let sum: u64 = counts.iter().map(|&n| u64::from(n)).sum();
    let sum = sum - u64::from(counts[second as usize % (SPAN + 1)]);
    if past == 0 { 0.0 } else { sum as f64 / past as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stand_for_as_long_as_they_are_held() {
        let records = Records::default();
        let [a, b, c] = ["a", "b", "c"].map(|name| records.device(name.into(), Path::new("/dev/x")));
        drop(a);
        c.is_removed.set(true);
        assert_eq!(records.devices().iter().map(|d| &*d.name).collect::<Vec<_>>(), ["b"]);
        let line = records.line("7");
        line.edge("rising");
        assert_eq!((records.lines()[0].edges.get(), line.last().map(|l| l.0)), (1, Some("rising")));
        drop((b, line));
        assert!(records.devices().is_empty() && records.lines().is_empty());
    }

    #[test]
    fn trouble_is_remembered_and_its_begin_too() {
        let link = Link::default();
        assert!(!link.state().is_open && link.state().trouble.is_none());
        link.opened();
        assert!(link.state().is_open);
        link.lost("hung up");
        let since = link.state().since;
        link.lost("no such file");
        let state = link.state();
        assert_eq!((state.is_open, state.since, state.trouble.unwrap().0), (false, since, "no such file".to_owned()));
        link.opened();
        assert!(link.state().is_open && link.state().trouble.is_some());
    }

    #[test]
    fn what_a_device_says_takes_no_more_than_so_much_memory() {
        let records = Records::default();
        let device = records.device("a".into(), Path::new("/dev/a"));
        device.remember("temp=1 temp=2 hum=3");
        let fields = device.fields();
        assert_eq!(fields.iter().map(|(n, f)| (&**n, &*f.value)).collect::<Vec<_>>(), [("hum", "3"), ("temp", "2")]);
        device.remember(&format!("temp={} {}=1", "é".repeat(300), "n".repeat(MOST_NAME + 1)));
        assert_eq!(device.fields()[1].1.value, "é".repeat(MOST_VALUE));
        (0..200).for_each(|n| device.remember(&format!("f{n}=1")));
        assert_eq!(device.fields().len(), MOST_FIELDS);
    }

    #[test]
    fn rates_are_of_the_last_ten_whole_seconds() {
        let rate = Rate::default();
        let then = |seconds: u64| {
            let (second, counts) = rate.at(Duration::from_secs(seconds));
            mean(second, &counts)
        };
        let count = |seconds: u64, n: u32| {
            let (second, mut counts) = rate.at(Duration::from_secs(seconds));
            counts[second as usize % (SPAN + 1)] += n;
            rate.seconds.set((second, counts));
        };
        count(0, 5);
        assert_eq!((then(0), then(1), then(2)), (0.0, 5.0, 2.5));
        count(1, 5);
        count(9, 20);
        assert_eq!((then(10), then(11), then(12), then(19), then(20)), (3.0, 2.5, 2.0, 2.0, 0.0));
        count(1000, 7);
        assert_eq!((then(1000), then(1001), then(5000)), (0.0, 0.7, 0.0));
    }
}
