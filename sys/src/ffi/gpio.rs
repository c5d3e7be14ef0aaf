//! The GPIO character device, version 2: gpio/chardev in the kernel's documentation. Neither rustix nor libc has it.
//!
//! The structs have no implicit padding on any processor: what the kernel reserves is a field.

use rustix::fs::{FileType, fstat};
use rustix::io::{self, Errno};
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// The kernel's limits: lines of a request, attributes of a configuration, bytes of a name with its NUL.
pub(crate) const LINES: usize = 64;
pub(crate) const ATTRIBUTES: usize = 10;
pub(crate) const NAME: usize = 32;

/// `enum gpio_v2_line_attr_id`.
pub(crate) const ATTRIBUTE_FLAGS: u32 = 1;
pub(crate) const ATTRIBUTE_VALUES: u32 = 2;
pub(crate) const ATTRIBUTE_DEBOUNCE: u32 = 3;

/// `struct gpiochip_info`.
#[repr(C)]
pub(crate) struct ChipInfo {
    pub(crate) name: [u8; NAME],
    pub(crate) label: [u8; NAME],
    pub(crate) lines: u32,
}

/// `struct gpio_v2_line_attribute`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Attribute {
    pub(crate) id: u32,
    pub(crate) padding: u32,
    /// A union: 64 bits of flags or values, or 32 bits of a debounce period at its start.
    pub(crate) value: u64,
}

/// `struct gpio_v2_line_config_attribute`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct ConfigAttribute {
    pub(crate) attribute: Attribute,
    pub(crate) mask: u64,
}

/// `struct gpio_v2_line_config`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Config {
    pub(crate) flags: u64,
    pub(crate) attributes_used: u32,
    pub(crate) padding: [u32; 5],
    pub(crate) attributes: [ConfigAttribute; ATTRIBUTES],
}

/// `struct gpio_v2_line_request`.
#[repr(C)]
pub(crate) struct Request {
    pub(crate) offsets: [u32; LINES],
    pub(crate) consumer: [u8; NAME],
    pub(crate) config: Config,
    pub(crate) lines: u32,
    pub(crate) event_buffer: u32,
    pub(crate) padding: [u32; 5],
    pub(crate) fd: i32,
}

/// `struct gpio_v2_line_info`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct LineInfo {
    pub(crate) name: [u8; NAME],
    pub(crate) consumer: [u8; NAME],
    pub(crate) offset: u32,
    pub(crate) attributes_used: u32,
    pub(crate) flags: u64,
    pub(crate) attributes: [Attribute; ATTRIBUTES],
    pub(crate) padding: [u32; 4],
}

/// `struct gpio_v2_line_info_changed`, which is read from a chip.
#[repr(C)]
pub(crate) struct LineInfoChanged {
    pub(crate) info: LineInfo,
    pub(crate) timestamp: u64,
    pub(crate) kind: u32,
    pub(crate) padding: [u32; 5],
}

/// `struct gpio_v2_line_event`, which is read from a request.
#[repr(C)]
pub(crate) struct LineEvent {
    pub(crate) timestamp: u64,
    pub(crate) id: u32,
    pub(crate) offset: u32,
    pub(crate) seqno: u32,
    pub(crate) line_seqno: u32,
    pub(crate) padding: [u32; 6],
}

/// `struct gpio_v2_line_values`.
#[repr(C)]
pub(crate) struct Values {
    pub(crate) bits: u64,
    pub(crate) mask: u64,
}

const _: () = {
    assert!(size_of::<ChipInfo>() == 68 && offset_of!(ChipInfo, lines) == 64);
    assert!(size_of::<Attribute>() == 16 && offset_of!(Attribute, value) == 8);
    assert!(size_of::<ConfigAttribute>() == 24 && offset_of!(ConfigAttribute, mask) == 16);
    assert!(size_of::<Config>() == 272 && offset_of!(Config, attributes_used) == 8);
    assert!(offset_of!(Config, attributes) == 32);
    assert!(size_of::<Request>() == 592 && offset_of!(Request, consumer) == 256);
    assert!(offset_of!(Request, config) == 288 && offset_of!(Request, lines) == 560);
    assert!(offset_of!(Request, event_buffer) == 564 && offset_of!(Request, fd) == 588);
    assert!(size_of::<LineInfo>() == 256 && offset_of!(LineInfo, consumer) == 32);
    assert!(offset_of!(LineInfo, offset) == 64 && offset_of!(LineInfo, attributes_used) == 68);
    assert!(offset_of!(LineInfo, flags) == 72 && offset_of!(LineInfo, attributes) == 80);
    assert!(size_of::<LineInfoChanged>() == 288 && offset_of!(LineInfoChanged, timestamp) == 256);
    assert!(offset_of!(LineInfoChanged, kind) == 264);
    assert!(size_of::<LineEvent>() == 48 && offset_of!(LineEvent, id) == 8 && offset_of!(LineEvent, offset) == 12);
    assert!(offset_of!(LineEvent, seqno) == 16 && offset_of!(LineEvent, line_seqno) == 20);
    assert!(size_of::<Values>() == 16 && offset_of!(Values, mask) == 8);
};

const GROUP: u8 = 0xb4;
const GET_CHIP_INFO: Opcode = opcode::read::<ChipInfo>(GROUP, 0x01);
const GET_LINE_INFO: Opcode = opcode::read_write::<LineInfo>(GROUP, 0x05);
const WATCH_LINE_INFO: Opcode = opcode::read_write::<LineInfo>(GROUP, 0x06);
const GET_LINE: Opcode = opcode::read_write::<Request>(GROUP, 0x07);
const UNWATCH_LINE_INFO: Opcode = opcode::read_write::<u32>(GROUP, 0x0c);
const SET_CONFIG: Opcode = opcode::read_write::<Config>(GROUP, 0x0d);
const GET_VALUES: Opcode = opcode::read_write::<Values>(GROUP, 0x0e);
const SET_VALUES: Opcode = opcode::read_write::<Values>(GROUP, 0x0f);

// Some architectures number the directions otherwise.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const _: () = {
    assert!(GET_CHIP_INFO == 0x8044_b401);
    assert!(GET_LINE_INFO == 0xc100_b405 && WATCH_LINE_INFO == 0xc100_b406);
    assert!(GET_LINE == 0xc250_b407 && UNWATCH_LINE_INFO == 0xc004_b40c);
    assert!(SET_CONFIG == 0xc110_b40d && GET_VALUES == 0xc010_b40e && SET_VALUES == 0xc010_b40f);
};

// All of these pass the address of a struct of the size that the opcode bears. The kernel reads and writes at most
// that many bytes, and integers take all bit patterns. No other driver of the kernel's has the group 0xb4; a
// descriptor of another kind answers ENOTTY.

/// The descriptor of a GPIO chip, found to be one.
///
/// Invariant: the driver behind it is the kernel's, so that a request that succeeds makes a new descriptor.
#[derive(Debug)]
pub(crate) struct ChipFd(OwnedFd);

impl ChipFd {
    /// # Errors
    /// `ENOTTY` where it is no GPIO chip.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<ChipFd> {
        // A file system in user space can answer an ioctl of a file of its own as it likes. To make devices takes root.
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::CharacterDevice {
            return Err(Errno::NOTTY);
        }
        let chip = ChipFd(fd);
        // So the kernel calls them all; no other driver answers with that.
        if chip.info()?.name.starts_with(b"gpiochip") { Ok(chip) } else { Err(Errno::NOTTY) }
    }

    pub(crate) fn info(&self) -> io::Result<ChipInfo> {
        let mut info = ChipInfo { name: [0; NAME], label: [0; NAME], lines: 0 };
        // SAFETY: see above.
        unsafe { ioctl(&self.0, Updater::<{ GET_CHIP_INFO }, _>::new(&mut info))? };
        Ok(info)
    }

    /// `info.offset` says of which line; `watch` subscribes to its changes as well.
    pub(crate) fn line_info(&self, info: &mut LineInfo, watch: bool) -> io::Result<()> {
        // SAFETY: see above.
        unsafe {
            if watch {
                ioctl(&self.0, Updater::<{ WATCH_LINE_INFO }, _>::new(info))
            } else {
                ioctl(&self.0, Updater::<{ GET_LINE_INFO }, _>::new(info))
            }
        }
    }

    pub(crate) fn unwatch(&self, mut offset: u32) -> io::Result<()> {
        // SAFETY: see above.
        unsafe { ioctl(&self.0, Updater::<{ UNWATCH_LINE_INFO }, _>::new(&mut offset)) }
    }

    pub(crate) fn request(&self, request: &mut Request) -> io::Result<OwnedFd> {
        request.fd = -1;
        // SAFETY: see above.
        unsafe { ioctl(&self.0, Updater::<{ GET_LINE }, _>::new(request))? };
        if request.fd < 0 {
            return Err(Errno::PROTO);
        }
        // SAFETY: by the invariant, the kernel has just put the number of a new descriptor here (`linereq_create`),
        // which nobody else knows of.
        Ok(unsafe { OwnedFd::from_raw_fd(request.fd) })
    }
}

impl AsFd for ChipFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<ChipFd> for OwnedFd {
    fn from(chip: ChipFd) -> OwnedFd {
        chip.0
    }
}

pub(crate) fn set_config(request: BorrowedFd<'_>, config: &mut Config) -> io::Result<()> {
    // SAFETY: see above.
    unsafe { ioctl(request, Updater::<{ SET_CONFIG }, _>::new(config)) }
}

pub(crate) fn values(request: BorrowedFd<'_>, mask: u64) -> io::Result<u64> {
    let mut values = Values { bits: 0, mask };
    // SAFETY: see above.
    unsafe { ioctl(request, Updater::<{ GET_VALUES }, _>::new(&mut values))? };
    Ok(values.bits & mask)
}

pub(crate) fn set_values(request: BorrowedFd<'_>, mask: u64, bits: u64) -> io::Result<()> {
    let mut values = Values { bits, mask };
    // SAFETY: see above.
    unsafe { ioctl(request, Updater::<{ SET_VALUES }, _>::new(&mut values)) }
}
