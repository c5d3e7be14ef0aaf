use super::config::{Bias, Direction, Drive, Edge, EventClock};
use super::name;
use crate::ffi::gpio as ffi;
use bitflags::bitflags;
use std::ffi::OsString;
use std::iter::FusedIterator;
use std::mem::offset_of;
use std::time::Duration;

bitflags! {
    /// How a line is used, as the kernel says it; unknown bits are kept. [`LineInfo`] has methods for what they mean.
    ///
    /// ```
    /// use becket_sys::gpio::LineFlags;
    ///
    /// assert!(LineFlags::from_bits_retain(0x8000_0004).contains(LineFlags::INPUT));
    /// ```
    #[doc(alias = "gpio_v2_line_flag")]
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct LineFlags: u64 {
        /// Requested by somebody, or used by a driver.
        #[doc(alias = "GPIO_V2_LINE_FLAG_USED")]
        const USED = 1;
        /// Low counts as active.
        #[doc(alias = "GPIO_V2_LINE_FLAG_ACTIVE_LOW")]
        const ACTIVE_LOW = 1 << 1;
        /// An input.
        #[doc(alias = "GPIO_V2_LINE_FLAG_INPUT")]
        const INPUT = 1 << 2;
        /// An output.
        #[doc(alias = "GPIO_V2_LINE_FLAG_OUTPUT")]
        const OUTPUT = 1 << 3;
        /// Reports edges from inactive to active.
        #[doc(alias = "GPIO_V2_LINE_FLAG_EDGE_RISING")]
        const EDGE_RISING = 1 << 4;
        /// Reports edges from active to inactive.
        #[doc(alias = "GPIO_V2_LINE_FLAG_EDGE_FALLING")]
        const EDGE_FALLING = 1 << 5;
        /// An output that only pulls down.
        #[doc(alias = "GPIO_V2_LINE_FLAG_OPEN_DRAIN")]
        const OPEN_DRAIN = 1 << 6;
        /// An output that only pulls up.
        #[doc(alias = "GPIO_V2_LINE_FLAG_OPEN_SOURCE")]
        const OPEN_SOURCE = 1 << 7;
        /// With a pull-up.
        #[doc(alias = "GPIO_V2_LINE_FLAG_BIAS_PULL_UP")]
        const BIAS_PULL_UP = 1 << 8;
        /// With a pull-down.
        #[doc(alias = "GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN")]
        const BIAS_PULL_DOWN = 1 << 9;
        /// Without any pull.
        #[doc(alias = "GPIO_V2_LINE_FLAG_BIAS_DISABLED")]
        const BIAS_DISABLED = 1 << 10;
        /// The times of its edges are of CLOCK_REALTIME.
        #[doc(alias = "GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME")]
        const EVENT_CLOCK_REALTIME = 1 << 11;
        /// The times of its edges are of a timestamp engine in hardware.
        #[doc(alias = "GPIO_V2_LINE_FLAG_EVENT_CLOCK_HTE")]
        const EVENT_CLOCK_HTE = 1 << 12;

        const _ = !0;
    }
}

/// What the kernel tells of a line, whoever uses it.
///
/// ```
/// use becket_sys::gpio::{Bias, Direction, Drive, Edge, InfoChanges, LineFlags};
/// use std::time::Duration;
///
/// // The record of a change, as a read of a chip brings it.
/// let mut record = [0; 288];
/// record[..6].copy_from_slice(b"BUTTON");
/// let flags = LineFlags::USED | LineFlags::INPUT | LineFlags::BIAS_PULL_UP;
/// record[72..80].copy_from_slice(&flags.bits().to_ne_bytes());
/// let line = InfoChanges::parse(&record).next().unwrap().line;
/// assert_eq!((line.name.to_str(), line.consumer.to_str()), (Some("BUTTON"), Some("")));
/// assert!(line.is_used() && !line.is_active_low());
/// assert_eq!((line.direction(), line.edge()), (Direction::In, Edge::None));
/// assert_eq!((line.bias(), line.drive(), line.debounce), (Some(Bias::PullUp), Drive::PushPull, None));
/// ```
#[doc(alias = "gpio_v2_line_info")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LineInfo {
    /// Which line of the chip, from 0.
    pub offset: u32,
    /// What the board calls it: often empty, and not always unique.
    pub name: OsString,
    /// What its user calls itself; may be empty while it is used, and is `?` where the user did not say.
    pub consumer: OsString,
    /// How it is used.
    pub flags: LineFlags,
    /// How long it must be still before an edge is reported; `None` where edges are reported at once.
    pub debounce: Option<Duration>,
}

impl LineInfo {
    /// Whether somebody has requested it, or a driver uses it: a request would fail with `EBUSY`.
    pub fn is_used(&self) -> bool {
        self.flags.contains(LineFlags::USED)
    }

    /// Whether low counts as active.
    pub fn is_active_low(&self) -> bool {
        self.flags.contains(LineFlags::ACTIVE_LOW)
    }

    /// Whether it is an input or an output.
    pub fn direction(&self) -> Direction {
        if self.flags.contains(LineFlags::OUTPUT) { Direction::Out } else { Direction::In }
    }

    /// Which edges are reported to its user.
    pub fn edge(&self) -> Edge {
        match (self.flags.contains(LineFlags::EDGE_RISING), self.flags.contains(LineFlags::EDGE_FALLING)) {
            (false, false) => Edge::None,
            (true, false) => Edge::Rising,
            (false, true) => Edge::Falling,
            (true, true) => Edge::Both,
        }
    }

    /// Its pull; `None` where that is as it was, which nobody knows.
    pub fn bias(&self) -> Option<Bias> {
        let known = [
            (LineFlags::BIAS_PULL_UP, Bias::PullUp),
            (LineFlags::BIAS_PULL_DOWN, Bias::PullDown),
            (LineFlags::BIAS_DISABLED, Bias::Disabled),
        ];
        known.into_iter().find_map(|(flag, bias)| self.flags.contains(flag).then_some(bias))
    }

    /// How it drives the wire, where it is an output.
    pub fn drive(&self) -> Drive {
        match () {
            () if self.flags.contains(LineFlags::OPEN_DRAIN) => Drive::OpenDrain,
            () if self.flags.contains(LineFlags::OPEN_SOURCE) => Drive::OpenSource,
            () => Drive::PushPull,
        }
    }

    /// The clock of the times of its edges.
    pub fn event_clock(&self) -> EventClock {
        match () {
            () if self.flags.contains(LineFlags::EVENT_CLOCK_REALTIME) => EventClock::Realtime,
            () if self.flags.contains(LineFlags::EVENT_CLOCK_HTE) => EventClock::Hardware,
            () => EventClock::Monotonic,
        }
    }

    pub(super) fn from_kernel(info: &ffi::LineInfo) -> LineInfo {
        // The kernel has as many as it says; one that said more would not be ours.
        let used = (info.attributes_used as usize).min(ffi::ATTRIBUTES);
        let debounce = info.attributes[..used].iter().find(|a| a.id == ffi::ATTRIBUTE_DEBOUNCE);
        LineInfo {
            offset: info.offset,
            name: name(&info.name),
            consumer: name(&info.consumer),
            flags: LineFlags::from_bits_retain(info.flags),
            debounce: debounce.and_then(|a| {
                let [a, b, c, d, ..] = a.value.to_ne_bytes();
                let micros = u32::from_ne_bytes([a, b, c, d]);
                (micros > 0).then(|| Duration::from_micros(micros.into()))
            }),
        }
    }
}

/// What became of a line whose information is watched.
///
/// ```
/// use becket_sys::gpio::{ChangeKind, InfoChanges};
///
/// let mut record = [0; 288];
/// record[264..268].copy_from_slice(&2_u32.to_ne_bytes());
/// assert_eq!(InfoChanges::parse(&record).next().unwrap().kind, ChangeKind::Released);
/// ```
#[doc(alias = "gpio_v2_line_changed_type")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Somebody has requested it.
    #[doc(alias = "GPIO_V2_LINE_CHANGED_REQUESTED")]
    Requested,
    /// Its user has closed the request.
    #[doc(alias = "GPIO_V2_LINE_CHANGED_RELEASED")]
    Released,
    /// Its user has changed its configuration.
    #[doc(alias = "GPIO_V2_LINE_CHANGED_CONFIG")]
    Reconfigured,
    /// Something that this crate does not know.
    Unknown(u32),
}

/// A change of a line's information, which [`Chip::watch`](super::Chip::watch) asked for; read by
/// [`Chip::read_events`](super::Chip::read_events). Changes of the level are none.
///
/// ```
/// use becket_sys::gpio::InfoChanges;
/// use std::time::Duration;
///
/// let mut record = [0; 288];
/// record[256..264].copy_from_slice(&1500_u64.to_ne_bytes());
/// let change = InfoChanges::parse(&record).next().unwrap();
/// assert_eq!((change.line.offset, change.time), (0, Duration::from_nanos(1500)));
/// ```
#[doc(alias = "gpio_v2_line_info_changed")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InfoChange {
    /// What happened.
    pub kind: ChangeKind,
    /// When, by CLOCK_MONOTONIC: the clock of [`std::time::Instant`].
    pub time: Duration,
    /// The line as it is since.
    pub line: LineInfo,
}

/// The changes in a buffer: an iterator over what one read of a chip brought, by whatever way.
///
/// It ends at bytes that are no whole record, which the kernel does not write, and keeps them as the
/// [`remainder`](Self::remainder).
///
/// ```
/// use becket_sys::gpio::InfoChanges;
///
/// let mut changes = InfoChanges::parse(&[0; 300]);
/// assert!(changes.next().is_some());
/// assert!(changes.next().is_none());
/// assert_eq!(changes.remainder().len(), 12);
/// ```
#[derive(Debug, Clone)]
pub struct InfoChanges<'b> {
    bytes: &'b [u8],
}

impl<'b> InfoChanges<'b> {
    /// The changes in `bytes`, which need no alignment.
    pub fn parse(bytes: &'b [u8]) -> InfoChanges<'b> {
        InfoChanges { bytes }
    }

    /// What is not parsed yet; at the end, what could not be: nothing, if the kernel wrote it.
    pub fn remainder(&self) -> &'b [u8] {
        self.bytes
    }
}

impl Iterator for InfoChanges<'_> {
    type Item = InfoChange;

    fn next(&mut self) -> Option<InfoChange> {
        use offset_of as at;

        let (record, rest) = self.bytes.split_first_chunk::<{ size_of::<ffi::LineInfoChanged>() }>()?;
        self.bytes = rest;
        let mut info = ffi::LineInfo {
            offset: u32_at(record, at!(ffi::LineInfo, offset)),
            attributes_used: u32_at(record, at!(ffi::LineInfo, attributes_used)),
            flags: u64_at(record, at!(ffi::LineInfo, flags)),
            ..ffi::LineInfo::default()
        };
        info.name.copy_from_slice(&record[..ffi::NAME]);
        info.consumer.copy_from_slice(&record[ffi::NAME..2 * ffi::NAME]);
        for (i, attribute) in info.attributes.iter_mut().enumerate() {
            let start = at!(ffi::LineInfo, attributes) + i * size_of::<ffi::Attribute>();
            attribute.id = u32_at(record, start);
            attribute.value = u64_at(record, start + at!(ffi::Attribute, value));
        }
        Some(InfoChange {
            kind: match u32_at(record, at!(ffi::LineInfoChanged, kind)) {
                1 => ChangeKind::Requested,
                2 => ChangeKind::Released,
                3 => ChangeKind::Reconfigured,
                other => ChangeKind::Unknown(other),
            },
            time: Duration::from_nanos(u64_at(record, at!(ffi::LineInfoChanged, timestamp))),
            line: LineInfo::from_kernel(&info),
        })
    }
}

impl FusedIterator for InfoChanges<'_> {}

/// The integer at a place that lies within the record.
pub(super) fn u32_at(record: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&record[at..at + 4]);
    u32::from_ne_bytes(bytes)
}

/// The integer at a place that lies within the record.
pub(super) fn u64_at(record: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&record[at..at + 8]);
    u64::from_ne_bytes(bytes)
}
