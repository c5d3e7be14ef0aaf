//! GPIO lines as files under `/sys/class/gpio`: gpio/sysfs in the kernel's documentation.
//!
//! The kernel calls this interface obsolete, and newer kernels may be built without it, or with a part of it that has
//! no edges ([`Class::export_at`]); much of the hardware in the field has no other.
//!
//! ```no_run
//! use becket_sys::gpio::sysfs::{Class, Edge};
//! use becket_sys::{Ready, wait};
//! use std::time::{Duration, Instant};
//!
//! let class = Class::new();
//! let number = class.find("pinctrl-bcm2711", 17)?; // the base of a chip's numbers may differ at each start
//! let button = class.export(number, Some(Instant::now() + Duration::from_secs(5)))?;
//! button.set_input()?;
//! let mut pressed = button.watch(Edge::Both)?;
//! loop {
//!     println!("pressed: {pressed}");
//!     wait(&button, Ready::PRI, None)?; // PRI | ERR: an edge, not an error
//!     pressed = button.value()?;
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Edges
//!
//! An edge makes a line ready for [`Ready::PRI`](crate::Ready::PRI), with [`Ready::ERR`](crate::Ready::ERR) beside it,
//! which is no failure. It stays ready until the value is read; watched by edges (`EPOLLET`), each edge wakes once.
//! A line just opened is ready before anything has happened, whence the order: set the edge, read
//! the value, then wait; [`Line::watch`] does the first two.
//!
//! **There is no queue.** Edges that come before the value is read are one: the value read is the present
//! one, and may even be the old one again. The character device of the line keeps each with its time.
//!
//! # Who else uses a line
//!
//! Exporting one makes it an input or output *of user space*, for every program. [`Class::export`] therefore says
//! whether the line was exported [by us or before](Export); dropping a [`Line`] takes back only what it did itself.
//! When somebody else unexports a line, this does not wake who waits for it; whoever looks afterwards finds it ready
//! as by an edge, for good, and reading it fails with `ENODEV`: stop watching it then.

mod class;
mod line;

pub use super::{Direction, Edge};
pub use class::{Chip, Class, Export};
pub use line::{Level, Line};
