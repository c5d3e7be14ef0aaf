//! GPIO lines, single wires that are high or low, by the character device: gpio/chardev in the kernel's documentation.
//!
//! A [`Chip`] is one `/dev/gpiochipN`. It tells of its lines ([`LineInfo`]) and of what others do with them
//! ([`InfoChange`]), and hands out a [`Request`]: one descriptor over some of its lines, for as long as it is open.
//! This is version 2 of the interface, of Linux 5.10. Older kernels have [`sysfs`].
//!
//! ```no_run
//! use becket_sys::gpio::{Chip, Edge, EdgeKind, LineConfig, Sequence};
//! use becket_sys::{EventBuf, Ready};
//! use std::time::Duration;
//!
//! let chip = Chip::find("pinctrl-bcm2711")?; // or Chip::open("/dev/gpiochip0")
//! let button = LineConfig::input().edge(Edge::Both).debounce(Duration::from_millis(5));
//! let request = chip.request().consumer("doorbell").line(17, button).line(18, LineConfig::output(false)).open()?;
//!
//! let (mut buf, mut sequence) = (EventBuf::new(), Sequence::new());
//! loop {
//!     request.wait_ready(Ready::READ, None)?;
//!     let Some(events) = request.read_events(&mut buf)? else { continue };
//!     for event in events {
//!         assert_eq!(sequence.lost_before(&event), 0);
//!         request.set_value(18, event.kind == EdgeKind::Rising)?;
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Honest trouble
//!
//! - **A full queue drops its oldest edges**, silently but for the gap in [`EdgeEvent::line_seqno`], which [`Sequence`]
//!   counts. A full queue of [`InfoChange`]s, 32 long, drops the newest, and nothing tells: ask for the information
//!   again.
//! - **Edges come a moment late.** Most interrupts are handled in a thread, so that a read right after the wire moved
//!   may not see it. The timestamp is of the interrupt, where the hardware can tell, or of that thread.
//! - **Two edges may carry the same direction.** Where the level of the wire has changed back by the time the kernel
//!   looks, it reports what it sees.
//! - **A line that is released keeps or loses its level** as the chip pleases; nothing restores what was before.
//! - **Debouncing by the kernel**, where the chip cannot do it, waits until the line has been still for the period, and
//!   reports the edge then.
//! - **Bias and drive** need a driver that knows of them. Bias is ignored by one that does not; open drain and source
//!   are then emulated by turning the line into an input.
//! - **Reconfiguring loses no edge that is queued**, but where edges or debouncing change, the interrupt is set up
//!   anew, and what happens meanwhile is not seen.

mod chip;
mod config;
mod event;
mod info;
mod request;
pub mod sysfs;

pub use chip::{Chip, ChipInfo, chips, find_line};
pub use config::{Bias, Direction, Drive, Edge, EventClock, LineConfig};
pub use event::{EdgeEvent, EdgeEvents, EdgeKind, Sequence};
pub use info::{ChangeKind, InfoChange, InfoChanges, LineFlags, LineInfo};
pub use request::{Request, RequestBuilder};

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// A name as the kernel writes it: up to the first NUL.
fn name(bytes: &[u8]) -> OsString {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    OsString::from_vec(bytes[..end].to_vec())
}
