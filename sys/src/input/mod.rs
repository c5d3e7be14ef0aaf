//! Keyboards, mice, touch screens, game pads, lids and buttons: input devices, or evdev; input/input in the kernel's
//! documentation.
//!
//! A [`Device`] is one `/dev/input/eventN`; it tells what it is and can do, where it is, and what happens. An [`Event`]
//! is of a [`Kind`] and has a code, for which [`codes`] has the kernel's names. Those that happen together are a frame,
//! which a [report](Event::is_report) ends. A [`Tracker`] reads the events so that what is lost is made good for.
//!
//! ```no_run
//! use becket_sys::input::{Device, Input, Tracker};
//! use becket_sys::{EventBuf, Ready};
//!
//! let device = Device::open("/dev/input/event0")?;
//! let (mut tracker, mut buf) = (Tracker::new(&device)?, EventBuf::new());
//! loop {
//!     device.wait_ready(Ready::READ, None)?;
//!     match tracker.read(&device, &mut buf)? {
//!         Some(Input::Events(events)) => events.iter().for_each(|event| println!("{event}")),
//!         Some(Input::Gone) => break,
//!         None => {}
//!     }
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Honest trouble
//!
//! - **A full queue is thrown away** as a whole; see [`Tracker`]. It holds a few frames, so a program that is busy for
//!   a while loses events.
//! - **The clock is the one that can be set**, by default, and jumps with it: [`Device::set_clock`].
//! - **Everybody gets the events**: all programs that have opened the device, and the console. [`Device::grab`] keeps
//!   them to oneself, and a program that hangs then keeps the keyboard.
//! - **An unplugged device stays readable** and in the set: [`Batch::Gone`] is the time to close it. A device that is
//!   plugged in again is another one, maybe of another number; udev(7) has links under /dev/input/by-id.
//! - **Zeros and repeats.** An axis that did not change is not sent, so what an axis is at the beginning must be asked
//!   for. A key that is held sends value 2 where the device repeats.
//! - **Codes mean what the device says.** A touch pad may be a button, a foot switch a keyboard.

pub mod codes;
mod device;
mod event;
mod set;
mod state;
mod tracker;

pub use device::{AbsInfo, Batch, Device, Id, Mapping, Repeat, devices};
pub use event::{Event, Events, Kind, Layout};
pub use set::CodeSet;
pub use state::State;
pub use tracker::{Fed, Input, Tracker};
