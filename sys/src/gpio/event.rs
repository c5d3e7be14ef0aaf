use super::info::{u32_at, u64_at};
use crate::ffi::gpio::LineEvent;
use std::iter::FusedIterator;
use std::mem::offset_of;
use std::time::Duration;

/// Which way a line went.
///
/// Rising is from inactive to active: from high to low where the line is active low.
///
/// ```
/// use becket_sys::gpio::{EdgeEvents, EdgeKind};
///
/// let mut record = [0; 48];
/// record[8..12].copy_from_slice(&1_u32.to_ne_bytes());
/// assert_eq!(EdgeEvents::parse(&record).next().unwrap().kind, EdgeKind::Rising);
/// ```
#[doc(alias = "gpio_v2_line_event_id")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EdgeKind {
    /// From inactive to active.
    #[doc(alias = "GPIO_V2_LINE_EVENT_RISING_EDGE")]
    Rising,
    /// From active to inactive.
    #[doc(alias = "GPIO_V2_LINE_EVENT_FALLING_EDGE")]
    Falling,
    /// Something that this crate does not know.
    Unknown(u32),
}

/// One edge of one line of a request.
///
/// ```
/// use becket_sys::gpio::EdgeEvents;
/// use std::time::Duration;
///
/// let mut record = [0; 48];
/// record[..8].copy_from_slice(&1500_u64.to_ne_bytes());
/// record[12..16].copy_from_slice(&17_u32.to_ne_bytes());
/// let event = EdgeEvents::parse(&record).next().unwrap();
/// assert_eq!((event.offset, event.time), (17, Duration::from_nanos(1500)));
/// ```
#[doc(alias = "gpio_v2_line_event")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EdgeEvent {
    /// Which way.
    pub kind: EdgeKind,
    /// When, by the clock that the line was [configured](super::LineConfig::clock) with, since its epoch. By default
    /// that is CLOCK_MONOTONIC, the clock of [`std::time::Instant`].
    pub time: Duration,
    /// Which line of the chip.
    pub offset: u32,
    /// The event's number among those of the request, from 1. In a request of several lines, edges that come at once
    /// may share a number and leave one out: the kernel counts in the interrupt and makes the event later.
    pub seqno: u32,
    /// The event's number among those of its line, from 1. A gap says that events were lost: see [`Sequence`].
    pub line_seqno: u32,
}

/// The edges in a buffer: an iterator over what one read of a request brought, by whatever way.
///
/// It ends at bytes that are no whole record, which the kernel does not write, and keeps them as the
/// [`remainder`](Self::remainder).
///
/// ```
/// use becket_sys::gpio::EdgeEvents;
///
/// let mut events = EdgeEvents::parse(&[0; 100]);
/// assert_eq!(events.len(), 2);
/// assert_eq!(events.by_ref().count(), 2);
/// assert_eq!(events.remainder().len(), 4);
/// ```
#[derive(Debug, Clone)]
pub struct EdgeEvents<'b> {
    bytes: &'b [u8],
}

const RECORD: usize = size_of::<LineEvent>();

impl<'b> EdgeEvents<'b> {
    /// The events in `bytes`, which need no alignment.
    pub fn parse(bytes: &'b [u8]) -> EdgeEvents<'b> {
        EdgeEvents { bytes }
    }

    /// What is not parsed yet; at the end, what could not be: nothing, if the kernel wrote it.
    pub fn remainder(&self) -> &'b [u8] {
        self.bytes
    }
}

impl Iterator for EdgeEvents<'_> {
    type Item = EdgeEvent;

    fn next(&mut self) -> Option<EdgeEvent> {
        let (record, rest) = self.bytes.split_first_chunk::<RECORD>()?;
        self.bytes = rest;
        Some(EdgeEvent {
            kind: match u32_at(record, offset_of!(LineEvent, id)) {
                1 => EdgeKind::Rising,
                2 => EdgeKind::Falling,
                other => EdgeKind::Unknown(other),
            },
            time: Duration::from_nanos(u64_at(record, offset_of!(LineEvent, timestamp))),
            offset: u32_at(record, offset_of!(LineEvent, offset)),
            seqno: u32_at(record, offset_of!(LineEvent, seqno)),
            line_seqno: u32_at(record, offset_of!(LineEvent, line_seqno)),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.bytes.len() / RECORD;
        (n, Some(n))
    }
}

impl ExactSizeIterator for EdgeEvents<'_> {}
impl FusedIterator for EdgeEvents<'_> {}

/// Counts the events of a request that were lost: when the queue is full, the kernel drops the oldest.
///
/// Show it every event, in order. It goes by [`EdgeEvent::line_seqno`].
///
/// ```
/// use becket_sys::gpio::{EdgeEvent, EdgeEvents, Sequence};
///
/// let event = |line_seqno: u32| {
///     let mut record = [0; 48];
///     record[20..24].copy_from_slice(&line_seqno.to_ne_bytes());
///     EdgeEvents::parse(&record).next().unwrap()
/// };
/// let mut sequence = Sequence::new();
/// assert_eq!(sequence.lost_before(&event(1)), 0);
/// assert_eq!(sequence.lost_before(&event(2)), 0);
/// assert_eq!(sequence.lost_before(&event(6)), 3); // 3, 4 and 5
/// assert_eq!(sequence.lost_before(&event(7)), 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The lines seen so far, with the number that is to come next.
    next: Vec<(u32, u32)>,
    /// What is to come first; `None`: whatever comes.
    first: Option<u32>,
}

impl Sequence {
    /// Counts from the beginning of a request.
    pub fn new() -> Sequence {
        Sequence { next: Vec::new(), first: Some(1) }
    }

    /// Counts from the first event of each line that it is shown, where others have read before.
    pub fn midway() -> Sequence {
        Sequence { next: Vec::new(), first: None }
    }

    /// How many events of this event's line were lost between the one shown last and this one. The numbers begin again
    /// at zero after 4294967295; one that is no later than the last counts as none lost.
    #[doc(alias = "line_seqno")]
    pub fn lost_before(&mut self, event: &EdgeEvent) -> u32 {
        let seqno = event.line_seqno;
        let next = match self.next.iter_mut().find(|(offset, _)| *offset == event.offset) {
            Some((_, next)) => next,
            None => {
                self.next.push((event.offset, self.first.unwrap_or(seqno)));
                &mut self.next.last_mut().expect("just pushed").1
            }
        };
        let lost = seqno.wrapping_sub(*next);
        if lost > u32::MAX / 2 {
            return 0;
        }
        *next = seqno.wrapping_add(1);
        lost
    }
}

impl Default for Sequence {
    fn default() -> Sequence {
        Sequence::new()
    }
}
