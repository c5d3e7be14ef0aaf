use std::fmt;
use std::iter::FusedIterator;
use std::time::Duration;

use super::codes;

/// The kind of an event: what its code and value mean.
///
/// ```
/// use becket_sys::input::Kind;
///
/// assert_eq!(format!("{:?} {:?}", Kind::KEY, Kind(0x1e)), "KEY 0x1e");
/// ```
#[doc(alias = "EV_KEY")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u16);

impl Kind {
    /// What separates events: [`codes::SYN_REPORT`] ends those that happened together.
    #[doc(alias = "EV_SYN")]
    pub const SYN: Kind = Kind(0x00);
    /// A key or button: 1 pressed, 0 released, 2 repeated.
    #[doc(alias = "EV_KEY")]
    pub const KEY: Kind = Kind(0x01);
    /// A relative axis: by how much it moved.
    #[doc(alias = "EV_REL")]
    pub const REL: Kind = Kind(0x02);
    /// An absolute axis: where it is.
    #[doc(alias = "EV_ABS")]
    pub const ABS: Kind = Kind(0x03);
    /// What fits nowhere else, such as scan codes.
    #[doc(alias = "EV_MSC")]
    pub const MSC: Kind = Kind(0x04);
    /// A switch: 1 on, 0 off.
    #[doc(alias = "EV_SW")]
    pub const SW: Kind = Kind(0x05);
    /// A lamp: 1 on, 0 off.
    #[doc(alias = "EV_LED")]
    pub const LED: Kind = Kind(0x11);
    /// A sound.
    #[doc(alias = "EV_SND")]
    pub const SND: Kind = Kind(0x12);
    /// Auto-repeat.
    #[doc(alias = "EV_REP")]
    pub const REP: Kind = Kind(0x14);
    /// Force feedback, to the device.
    #[doc(alias = "EV_FF")]
    pub const FF: Kind = Kind(0x15);
    /// Power.
    #[doc(alias = "EV_PWR")]
    pub const PWR: Kind = Kind(0x16);
    /// Force feedback, from the device.
    #[doc(alias = "EV_FF_STATUS")]
    pub const FF_STATUS: Kind = Kind(0x17);

    fn name(self) -> Option<&'static str> {
        Some(match self {
            Kind::SYN => "SYN",
            Kind::KEY => "KEY",
            Kind::REL => "REL",
            Kind::ABS => "ABS",
            Kind::MSC => "MSC",
            Kind::SW => "SW",
            Kind::LED => "LED",
            Kind::SND => "SND",
            Kind::REP => "REP",
            Kind::FF => "FF",
            Kind::PWR => "PWR",
            Kind::FF_STATUS => "FF_STATUS",
            _ => return None,
        })
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

/// Something that happened on a device, or that the device is to do.
///
/// Printed for people it is a name and a value; for what has no name, numbers.
///
/// ```
/// use becket_sys::input::{Event, Kind, codes};
///
/// let press = Event::new(Kind::KEY, codes::KEY_A, 1);
/// assert_eq!(press.to_string(), "KEY_A 1");
/// assert_eq!(Event::new(Kind::KEY, 0x2ff, 1).to_string(), "KEY 0x2ff 1");
/// assert!(Event::new(Kind::SYN, codes::SYN_REPORT, 0).is_report());
/// ```
#[doc(alias = "input_event")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// When, by the device's [clock](super::Device::set_clock), since its epoch: to the microsecond.
    pub time: Duration,
    /// What kind of event.
    pub kind: Kind,
    /// Which key, axis and so on: see [`codes`].
    pub code: u16,
    /// How: see [`Kind`].
    pub value: i32,
}

impl Event {
    /// An event at time zero, which is as good as any for what is [written](super::Device::write_events).
    pub fn new(kind: Kind, code: u16, value: i32) -> Event {
        Event { time: Duration::ZERO, kind, code, value }
    }

    /// Whether it ends the events that happened together.
    #[doc(alias = "SYN_REPORT")]
    pub fn is_report(&self) -> bool {
        (self.kind, self.code) == (Kind::SYN, codes::SYN_REPORT)
    }

    /// Whether it says that events were lost: see [`Tracker`](super::Tracker).
    #[doc(alias = "SYN_DROPPED")]
    pub fn is_loss(&self) -> bool {
        (self.kind, self.code) == (Kind::SYN, codes::SYN_DROPPED)
    }

    /// The event's name by linux/input-event-codes.h, such as `KEY_A`.
    pub fn name(&self) -> Option<&'static str> {
        codes::name(self.kind, self.code)
    }

    /// The record that the kernel takes on this machine, with the time zero.
    pub(super) fn to_record(self) -> [u8; Layout::NATIVE.record()] {
        let mut record = [0; Layout::NATIVE.record()];
        let at = record.len() - 8;
        record[at..at + 2].copy_from_slice(&self.kind.0.to_ne_bytes());
        record[at + 2..at + 4].copy_from_slice(&self.code.to_ne_bytes());
        record[at + 4..].copy_from_slice(&self.value.to_ne_bytes());
        record
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} {}", self.value),
            None => write!(f, "{:?} {:#x} {}", self.kind, self.code, self.value),
        }
    }
}

/// How long the time in a record is, which depends on the machine that wrote it.
///
/// ```
/// use becket_sys::input::{Events, Layout};
///
/// assert_eq!(Events::parse_as(Layout::Long32, &[0; 48]).len(), 3);
/// assert_eq!(Events::parse_as(Layout::Long64, &[0; 48]).len(), 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// 24 bytes: seconds and microseconds of 64 bits.
    Long64,
    /// 24 bytes: seconds of 64 bits, microseconds of 32 and 4 bytes of padding; 64-bit SPARC only.
    Sparc64,
    /// 16 bytes: seconds and microseconds of 32 bits, unsigned: they last until 2106.
    Long32,
}

impl Layout {
    /// That of this machine.
    pub const NATIVE: Layout = if cfg!(target_arch = "sparc64") {
        Layout::Sparc64
    } else if size_of::<std::ffi::c_ulong>() == 8 {
        Layout::Long64
    } else {
        Layout::Long32
    };

    /// How many bytes an event is.
    pub const fn record(self) -> usize {
        match self {
            Layout::Long64 | Layout::Sparc64 => 24,
            Layout::Long32 => 16,
        }
    }
}

/// The events in a buffer: an iterator over what one read brought, by whatever way.
///
/// It ends at bytes that are no whole record, which the kernel does not write, and keeps them as the
/// [`remainder`](Self::remainder). Nothing is made of [losses](Event::is_loss): see [`Tracker`](super::Tracker).
///
/// ```
/// use becket_sys::input::{Event, Events, Kind, Layout, codes};
/// use std::time::Duration;
///
/// let mut record = Vec::new();
/// record.extend(7_u32.to_ne_bytes()); // seconds
/// record.extend(500_000_u32.to_ne_bytes()); // microseconds
/// record.extend([1_u16, 30].map(u16::to_ne_bytes).as_flattened());
/// record.extend(1_i32.to_ne_bytes());
/// let event = Events::parse_as(Layout::Long32, &record).next().unwrap();
/// assert_eq!(event, Event { time: Duration::from_millis(7500), ..Event::new(Kind::KEY, codes::KEY_A, 1) });
/// ```
#[derive(Debug, Clone)]
pub struct Events<'b> {
    bytes: &'b [u8],
    layout: Layout,
}

impl<'b> Events<'b> {
    /// The events in `bytes`, which need no alignment, as this machine writes them.
    pub fn parse(bytes: &'b [u8]) -> Events<'b> {
        Events::parse_as(Layout::NATIVE, bytes)
    }

    /// The events in `bytes`, as some machine with this one's order of bytes wrote them.
    pub fn parse_as(layout: Layout, bytes: &'b [u8]) -> Events<'b> {
        Events { bytes, layout }
    }

    /// What is not parsed yet; at the end, what could not be: nothing, if the kernel wrote it.
    pub fn remainder(&self) -> &'b [u8] {
        self.bytes
    }
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let (record, rest) = self.bytes.split_at_checked(self.layout.record())?;
        let (time, [k1, k2, c1, c2, v1, v2, v3, v4]) = record.split_last_chunk()?;
        self.bytes = rest;
        // Fields of 32 bits; two make one of 64.
        let (words, _) = time.as_chunks::<4>();
        let long = |i: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(words[i..i + 2].as_flattened());
            u64::from_ne_bytes(bytes)
        };
        let short = |i: usize| u64::from(u32::from_ne_bytes(words[i]));
        let (seconds, micros) = match self.layout {
            Layout::Long64 => (long(0), long(2)),
            Layout::Sparc64 => (long(0), short(2)),
            Layout::Long32 => (short(0), short(1)),
        };
        Some(Event {
            time: Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros)),
            kind: Kind(u16::from_ne_bytes([*k1, *k2])),
            code: u16::from_ne_bytes([*c1, *c2]),
            value: i32::from_ne_bytes([*v1, *v2, *v3, *v4]),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.bytes.len() / self.layout.record();
        (n, Some(n))
    }
}

impl ExactSizeIterator for Events<'_> {}
impl FusedIterator for Events<'_> {}
