use super::Mask;
use crate::buf::without_padding;
use std::ffi::{OsStr, OsString};
use std::iter::FusedIterator;
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt;

/// The kernel's number for one watch of one [`Inotify`](super::Inotify).
///
/// Numbers rise and are not given again before two thousand million others were.
///
/// ```
/// use becket_sys::inotify::WatchId;
///
/// assert_eq!(WatchId::from_raw(3).as_raw(), 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(i32);

impl WatchId {
    /// The watch of this number.
    pub const fn from_raw(number: i32) -> WatchId {
        WatchId(number)
    }

    /// The number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

/// What an inotify descriptor tells. The name is an [`OsString`], or an [`OsStr`] lent from the buffer.
///
/// ```
/// use becket_sys::inotify::{Event, Inotify, Mask, Options};
///
/// let dir = std::env::temp_dir().join(format!("becket-event-{}", std::process::id()));
/// std::fs::create_dir(&dir)?;
/// let inotify = Inotify::new()?;
/// let watch = inotify.add(&dir, Mask::CREATE, Options::empty())?;
/// std::fs::write(dir.join("new"), "")?;
/// for event in inotify.try_read()?.unwrap() {
///     match event {
///         Event::Change(change) => assert_eq!((change.watch, change.name.unwrap()), (watch, "new".into())),
///         Event::Overflow => panic!("events were lost: scan the directory again"),
///     }
/// }
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event<N = OsString> {
    /// Something happened to what is watched.
    Change(Change<N>),
    /// The queue was full (/proc/sys/fs/inotify/max_queued_events), and what came after this was lost, for any of the
    /// watches, up to the next event: look at everything again.
    #[doc(alias = "IN_Q_OVERFLOW")]
    Overflow,
}

/// Something happened to what is watched.
///
/// ```
/// use becket_sys::inotify::{Event, Events, Mask};
///
/// // A record as the kernel writes it: number, mask, cookie, length of the name, name with NULs.
/// let mut bytes = Vec::new();
/// for word in [1, Mask::MOVED_TO.bits(), 77, 4] {
///     bytes.extend(u32::to_ne_bytes(word));
/// }
/// bytes.extend(b"abc\0");
/// let Some(Event::Change(change)) = Events::parse(&bytes).next() else { panic!() };
/// assert_eq!(change.watch.as_raw(), 1);
/// assert_eq!(change.cookie.unwrap().get(), 77);
/// assert_eq!(change.name.unwrap(), "abc");
/// assert!(!change.ends_watch());
/// ```
#[doc(alias = "inotify_event")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Change<N = OsString> {
    /// The watch that told it.
    #[doc(alias = "wd")]
    pub watch: WatchId,
    /// What happened, with bits that this crate does not know.
    pub mask: Mask,
    /// The same in both halves of a rename. Only one half comes where the other directory is not watched, and others
    /// may come between them: wait a little for the second half, not forever.
    pub cookie: Option<NonZeroU32>,
    /// The name in the watched directory; `None` for the watched file or directory itself.
    pub name: Option<N>,
}

impl<N> Change<N> {
    /// Whether this is the last of its watch. Only now may a program forget what it knows of the watch: after a
    /// removal, events that came before it are still to be read.
    pub fn ends_watch(&self) -> bool {
        self.mask.contains(Mask::IGNORED)
    }
}

impl Event<&OsStr> {
    /// The event with a name of its own.
    pub fn into_owned(self) -> Event {
        match self {
            Event::Change(Change { watch, mask, cookie, name }) => {
                Event::Change(Change { watch, mask, cookie, name: name.map(OsStr::to_owned) })
            }
            Event::Overflow => Event::Overflow,
        }
    }
}

/// The events in a buffer, lent from it.
///
/// An iterator over what one read brought, by whatever way; it knows the bytes alone. It ends at bytes that are no
/// whole record, which the kernel does not write, and keeps them as the [`remainder`](Self::remainder).
///
/// ```
/// use becket_sys::inotify::{Event, Events};
///
/// // The record of an overflow, and three bytes too much.
/// let mut bytes = Vec::new();
/// for word in [u32::MAX, 0x4000, 0, 0] {
///     bytes.extend(u32::to_ne_bytes(word));
/// }
/// bytes.extend(b"abc");
///
/// let mut events = Events::parse(&bytes);
/// assert_eq!(events.next(), Some(Event::Overflow));
/// assert_eq!(events.next(), None);
/// assert_eq!(events.remainder(), b"abc");
/// ```
#[derive(Debug, Clone)]
pub struct Events<'b> {
    bytes: &'b [u8],
}

impl<'b> Events<'b> {
    /// The events in `bytes`, which need no alignment.
    #[inline]
    pub fn parse(bytes: &'b [u8]) -> Events<'b> {
        Events { bytes }
    }

    /// What is not parsed yet; at the end, what could not be: nothing, if the kernel wrote it.
    pub fn remainder(&self) -> &'b [u8] {
        self.bytes
    }
}

impl<'b> Iterator for Events<'b> {
    type Item = Event<&'b OsStr>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        const OVERFLOW: Mask = Mask::from_bits_retain(libc::IN_Q_OVERFLOW);

        let (header, rest) = self.bytes.split_first_chunk::<16>()?;
        let (words, _) = header.as_chunks::<4>();
        let word = |i: usize| u32::from_ne_bytes(words[i]);
        let (name, rest) = rest.split_at_checked(usize::try_from(word(3)).ok()?)?;
        self.bytes = rest;

        let mask = Mask::from_bits_retain(word(1));
        if mask.intersects(OVERFLOW) {
            return Some(Event::Overflow);
        }
        // The kernel pads the name with NULs.
        let name = Some(without_padding(name)).filter(|name| !name.is_empty());
        Some(Event::Change(Change {
            watch: WatchId(word(0) as i32),
            mask,
            cookie: NonZeroU32::new(word(2)),
            name: name.map(OsStr::from_bytes),
        }))
    }
}

impl FusedIterator for Events<'_> {}
