use super::info::LineFlags;
use crate::ffi::gpio::{ATTRIBUTE_DEBOUNCE, ATTRIBUTE_FLAGS, ATTRIBUTE_VALUES, ATTRIBUTES, Attribute, Config, LINES};
use rustix::io::Errno;
use std::io;
use std::time::Duration;

/// Whether a line is driven by us or by the other side.
///
/// ```
/// use becket_sys::gpio::{Direction, LineConfig};
///
/// assert_eq!(LineConfig::output(true).direction(), Some(Direction::Out));
/// assert_eq!(LineConfig::as_is().direction(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// An input.
    In,
    /// An output.
    Out,
}

/// Which changes of a line are told; see [`LineConfig::edge`] and [`sysfs::Line::watch`](super::sysfs::Line::watch).
///
/// ```
/// use becket_sys::gpio::{Edge, LineConfig};
///
/// assert_eq!(LineConfig::input().edge(Edge::Both).edge(Edge::None), LineConfig::input());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edge {
    /// None.
    None,
    /// From inactive to active.
    Rising,
    /// From active to inactive.
    Falling,
    /// Either.
    Both,
}

/// What pulls a line while nobody drives it.
///
/// ```
/// use becket_sys::gpio::{Bias, LineConfig};
///
/// let button_to_ground = LineConfig::input().bias(Bias::PullUp).active_low(true);
/// assert_ne!(button_to_ground, LineConfig::input());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bias {
    /// Nothing.
    #[doc(alias = "GPIO_V2_LINE_FLAG_BIAS_DISABLED")]
    Disabled,
    /// A pull-up: high.
    #[doc(alias = "GPIO_V2_LINE_FLAG_BIAS_PULL_UP")]
    PullUp,
    /// A pull-down: low.
    #[doc(alias = "GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN")]
    PullDown,
}

/// How an output drives the wire.
///
/// ```
/// use becket_sys::gpio::{Drive, LineConfig};
///
/// assert_eq!(LineConfig::output(true).drive(Drive::PushPull), LineConfig::output(true));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drive {
    /// To both levels.
    PushPull,
    /// To low only; high is left to a pull-up.
    #[doc(alias = "GPIO_V2_LINE_FLAG_OPEN_DRAIN")]
    OpenDrain,
    /// To high only; low is left to a pull-down.
    #[doc(alias = "GPIO_V2_LINE_FLAG_OPEN_SOURCE")]
    OpenSource,
}

/// The clock of [`EdgeEvent::time`](super::EdgeEvent::time).
///
/// ```
/// use becket_sys::gpio::{EventClock, LineConfig};
///
/// let stamped = LineConfig::input().clock(EventClock::Realtime);
/// assert_eq!(stamped.clock(EventClock::Monotonic), LineConfig::input());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventClock {
    /// CLOCK_MONOTONIC, the clock of [`std::time::Instant`].
    Monotonic,
    /// CLOCK_REALTIME, the clock of [`std::time::SystemTime`]; Linux 5.11.
    #[doc(alias = "GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME")]
    Realtime,
    /// A timestamp engine in hardware, with a clock of its own; Linux 5.19, where machine and kernel have one.
    #[doc(alias = "HTE")]
    Hardware,
}

/// How one line of a request is to be: direction, level, edges, and so on.
///
/// Combinations that make no sense are refused by the kernel, with `EINVAL`, when the lines are requested: edges,
/// debouncing or their clock on what is no input, drive on what is no output, bias without a direction.
///
/// ```
/// use becket_sys::gpio::{Bias, Drive, Edge, EventClock, LineConfig};
/// use std::time::Duration;
///
/// let button = LineConfig::input()
///     .active_low(true)
///     .bias(Bias::PullUp)
///     .edge(Edge::Both)
///     .debounce(Duration::from_millis(5))
///     .clock(EventClock::Realtime);
/// let bus = LineConfig::output(true).drive(Drive::OpenDrain);
/// assert_ne!(button, bus);
/// assert_eq!(bus.drive(Drive::PushPull), LineConfig::output(true)); // what is set last holds
/// ```
#[doc(alias = "gpio_v2_line_config")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineConfig {
    flags: LineFlags,
    active: bool,
    debounce: Duration,
}

impl LineConfig {
    /// As the line is, input or output: it can be read, and written if it is an output. In
    /// [`reconfigure`](super::Request::reconfigure), kernels before 6.10 take this as a line without active low, edges
    /// and so on; later ones leave the line as it is.
    pub fn as_is() -> LineConfig {
        LineConfig { flags: LineFlags::empty(), active: false, debounce: Duration::ZERO }
    }

    /// An input, without edges.
    pub fn input() -> LineConfig {
        LineConfig { flags: LineFlags::INPUT, ..LineConfig::as_is() }
    }

    /// An output that is active, or not, from its first moment.
    pub fn output(active: bool) -> LineConfig {
        LineConfig { flags: LineFlags::OUTPUT, active, ..LineConfig::as_is() }
    }

    /// Input, output, or `None` for [`as_is`](Self::as_is).
    pub fn direction(&self) -> Option<Direction> {
        match () {
            () if self.flags.contains(LineFlags::OUTPUT) => Some(Direction::Out),
            () if self.flags.contains(LineFlags::INPUT) => Some(Direction::In),
            () => None,
        }
    }

    /// Whether low counts as active, for values and edges; not by default.
    #[doc(alias = "GPIO_V2_LINE_FLAG_ACTIVE_LOW")]
    #[must_use]
    pub fn active_low(self, low: bool) -> LineConfig {
        self.choose(LineFlags::ACTIVE_LOW, if low { LineFlags::ACTIVE_LOW } else { LineFlags::empty() })
    }

    /// Which edges an input reports; none by default.
    #[must_use]
    pub fn edge(self, edge: Edge) -> LineConfig {
        let both = LineFlags::EDGE_RISING | LineFlags::EDGE_FALLING;
        let chosen = match edge {
            Edge::None => LineFlags::empty(),
            Edge::Rising => LineFlags::EDGE_RISING,
            Edge::Falling => LineFlags::EDGE_FALLING,
            Edge::Both => both,
        };
        self.choose(both, chosen)
    }

    /// What pulls the line; by default the pull stays as it is.
    #[must_use]
    pub fn bias(self, bias: Bias) -> LineConfig {
        let all = LineFlags::BIAS_PULL_UP | LineFlags::BIAS_PULL_DOWN | LineFlags::BIAS_DISABLED;
        let chosen = match bias {
            Bias::Disabled => LineFlags::BIAS_DISABLED,
            Bias::PullUp => LineFlags::BIAS_PULL_UP,
            Bias::PullDown => LineFlags::BIAS_PULL_DOWN,
        };
        self.choose(all, chosen)
    }

    /// How an output drives the wire; to both levels by default.
    #[must_use]
    pub fn drive(self, drive: Drive) -> LineConfig {
        let chosen = match drive {
            Drive::PushPull => LineFlags::empty(),
            Drive::OpenDrain => LineFlags::OPEN_DRAIN,
            Drive::OpenSource => LineFlags::OPEN_SOURCE,
        };
        self.choose(LineFlags::OPEN_DRAIN | LineFlags::OPEN_SOURCE, chosen)
    }

    /// How long an input must be still for a change to count; not at all by default. The kernel counts in
    /// microseconds, to which this is rounded up, and takes up to 71 minutes. By the chip where it can, else by the
    /// kernel.
    #[doc(alias = "GPIO_V2_LINE_ATTR_ID_DEBOUNCE")]
    #[must_use]
    pub fn debounce(self, period: Duration) -> LineConfig {
        LineConfig { debounce: period, ..self }
    }

    /// The clock of the times of edges; [`EventClock::Monotonic`] by default.
    #[must_use]
    pub fn clock(self, clock: EventClock) -> LineConfig {
        let chosen = match clock {
            EventClock::Monotonic => LineFlags::empty(),
            EventClock::Realtime => LineFlags::EVENT_CLOCK_REALTIME,
            EventClock::Hardware => LineFlags::EVENT_CLOCK_HTE,
        };
        self.choose(LineFlags::EVENT_CLOCK_REALTIME | LineFlags::EVENT_CLOCK_HTE, chosen)
    }

    fn choose(mut self, among: LineFlags, chosen: LineFlags) -> LineConfig {
        self.flags = self.flags.difference(among).union(chosen);
        self
    }

    fn debounce_micros(&self) -> io::Result<u32> {
        u32::try_from(self.debounce.as_nanos().div_ceil(1000))
            .map_err(|_| invalid(format!("{:?} is too long for debouncing", self.debounce)))
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The configuration of lines in the order of a request. What most of them have is the default, and each difference
/// takes one attribute for all lines that share it.
pub(super) fn encode(lines: &[LineConfig]) -> io::Result<Config> {
    if lines.is_empty() || lines.len() > LINES {
        return Err(Errno::INVAL.into());
    }
    // Lists of few elements: distinct values with the lines that have them, one bit a line.
    let mut flags: Vec<(u64, u64)> = Vec::new();
    let mut debounces: Vec<(u64, u64)> = Vec::new();
    let mut values = 0;
    for (i, line) in lines.iter().enumerate() {
        let bit = 1 << i;
        join(&mut flags, line.flags.bits(), bit);
        match line.debounce_micros()? {
            0 => {}
            micros => join(&mut debounces, debounce_value(micros), bit),
        }
        values |= if line.active { bit } else { 0 };
    }
    let most = flags.iter().enumerate().max_by_key(|(_, (_, mask))| mask.count_ones()).map_or(0, |(i, _)| i);
    let mut config = Config { flags: flags.swap_remove(most).0, ..Config::default() };

    let outputs = if values == 0 { vec![] } else { vec![(values, values)] };
    let attributes =
        [(ATTRIBUTE_FLAGS, flags), (ATTRIBUTE_VALUES, outputs), (ATTRIBUTE_DEBOUNCE, debounces)].into_iter();
    let attributes: Vec<_> = attributes.flat_map(|(id, list)| list.into_iter().map(move |pair| (id, pair))).collect();
    if attributes.len() > ATTRIBUTES {
        let message = format!("the lines differ in {} ways, the kernel takes {ATTRIBUTES}", attributes.len());
        return Err(invalid(message));
    }
    for (attribute, (id, (value, mask))) in config.attributes.iter_mut().zip(&attributes) {
        attribute.attribute = Attribute { id: *id, padding: 0, value: *value };
        attribute.mask = *mask;
    }
    config.attributes_used = attributes.len() as u32;
    Ok(config)
}

fn join(list: &mut Vec<(u64, u64)>, value: u64, bit: u64) {
    match list.iter_mut().find(|(known, _)| *known == value) {
        Some((_, mask)) => *mask |= bit,
        None => list.push((value, bit)),
    }
}

/// The period lies at the start of the union.
fn debounce_value(micros: u32) -> u64 {
    let [a, b, c, d] = micros.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn attributes(config: &Config) -> Vec<(u32, u64, u64)> {
        let used = &config.attributes[..config.attributes_used as usize];
        used.iter().map(|a| (a.attribute.id, a.attribute.value, a.mask)).collect()
    }

    #[test]
    fn equal_lines_take_no_attribute() {
        let config = encode(&[LineConfig::input().edge(Edge::Both); 64]).unwrap();
        assert_eq!((config.flags, config.attributes_used), (0b11_0100, 0));
    }

    #[test]
    fn what_differs_is_an_attribute_for_the_lines_that_share_it() {
        let (input, on, off) = (LineConfig::input(), LineConfig::output(true), LineConfig::output(false));
        let config = encode(&[on, input.debounce(MS), input, off, input.debounce(MS), on]).unwrap();
        assert_eq!(config.flags, LineFlags::INPUT.bits());
        let expected = [
            (ATTRIBUTE_FLAGS, LineFlags::OUTPUT.bits(), 0b10_1001),
            (ATTRIBUTE_VALUES, 0b10_0001, 0b10_0001),
            (ATTRIBUTE_DEBOUNCE, debounce_value(1000), 0b01_0010),
        ];
        assert_eq!(attributes(&config), expected);
    }

    #[test]
    fn limits_are_told() {
        let lines = |n: u32| (1..=n).map(|i| LineConfig::input().debounce(i * MS)).collect::<Vec<_>>();
        assert_eq!(encode(&lines(10)).unwrap().attributes_used, 10);
        let e = encode(&lines(11)).err().unwrap();
        assert_eq!(e.to_string(), "the lines differ in 11 ways, the kernel takes 10");
        assert_eq!(encode(&[]).err().unwrap().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(encode(&[LineConfig::input(); 65]).err().unwrap().raw_os_error(), Some(libc::EINVAL));

        let debounce = |d| LineConfig::input().debounce(d).debounce_micros();
        assert_eq!(debounce(Duration::from_nanos(1)).unwrap(), 1);
        assert_eq!(debounce(Duration::from_micros(u32::MAX.into())).unwrap(), u32::MAX);
        let e = debounce(Duration::from_secs(5000)).unwrap_err();
        assert_eq!(e.to_string(), "5000s is too long for debouncing");
    }
}
