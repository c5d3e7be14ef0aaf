//! The ioctls of input devices: input/input in the kernel's documentation, linux/input.h. Neither rustix nor libc has
//! them.

use rustix::io::{self, Errno};
use rustix::ioctl::{Direction, IntegerSetter, Ioctl, IoctlOutput, Opcode, Setter, Updater, ioctl, opcode};
use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::os::fd::BorrowedFd;

const GROUP: u8 = b'E';

/// What a device is asked for into a buffer of any length: `EVIOCGNAME(len)` and its kin.
#[derive(Clone, Copy)]
pub(crate) enum Query {
    Name,
    Phys,
    Uniq,
    Properties,
    Keys,
    Leds,
    Sounds,
    Switches,
    /// The codes of a kind of event, which is below 0x20; those of kind 0 are the kinds.
    Codes(u8),
}

impl Query {
    const fn number(self) -> u8 {
        match self {
            Query::Name => 0x06,
            Query::Phys => 0x07,
            Query::Uniq => 0x08,
            Query::Properties => 0x09,
            Query::Keys => 0x18,
            Query::Leds => 0x19,
            Query::Sounds => 0x1a,
            Query::Switches => 0x1b,
            Query::Codes(kind) => {
                assert!(kind < KINDS);
                0x20 + kind
            }
        }
    }

    const fn opcode(self, len: usize) -> Opcode {
        opcode::from_components(Direction::Read, GROUP, self.number(), len)
    }
}

const GET_MT_SLOTS: u8 = 0x0a;
/// `EV_CNT` and `ABS_CNT`.
pub(crate) const KINDS: u8 = 0x20;
pub(crate) const AXES: u16 = 0x40;

/// `struct input_id`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Id {
    pub(crate) bus: u16,
    pub(crate) vendor: u16,
    pub(crate) product: u16,
    pub(crate) version: u16,
}

/// `struct input_absinfo`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct AbsInfo {
    pub(crate) value: i32,
    pub(crate) minimum: i32,
    pub(crate) maximum: i32,
    pub(crate) fuzz: i32,
    pub(crate) flat: i32,
    pub(crate) resolution: i32,
}

/// `struct input_keymap_entry`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct KeymapEntry {
    pub(crate) flags: u8,
    pub(crate) len: u8,
    pub(crate) index: u16,
    pub(crate) keycode: u32,
    pub(crate) scancode: [u8; 32],
}

pub(crate) const KEYMAP_BY_INDEX: u8 = 1;

/// `struct input_mask`.
#[repr(C)]
struct Mask {
    kind: u32,
    size: u32,
    /// The address of a bitmap of `size` bytes.
    codes: u64,
}

const _: () = {
    assert!(size_of::<Id>() == 8 && offset_of!(Id, version) == 6);
    assert!(size_of::<AbsInfo>() == 24 && offset_of!(AbsInfo, resolution) == 20);
    assert!(size_of::<KeymapEntry>() == 40 && offset_of!(KeymapEntry, index) == 2);
    assert!(offset_of!(KeymapEntry, keycode) == 4 && offset_of!(KeymapEntry, scancode) == 8);
    assert!(size_of::<Mask>() == 16 && offset_of!(Mask, codes) == 8);
};

const GET_VERSION: Opcode = opcode::read::<c_int>(GROUP, 0x01);
const GET_ID: Opcode = opcode::read::<Id>(GROUP, 0x02);
const GET_REPEAT: Opcode = opcode::read::<[u32; 2]>(GROUP, 0x03);
const SET_REPEAT: Opcode = opcode::write::<[u32; 2]>(GROUP, 0x03);
const GET_KEYCODE: Opcode = opcode::read::<KeymapEntry>(GROUP, 0x04);
const SET_KEYCODE: Opcode = opcode::write::<KeymapEntry>(GROUP, 0x04);
const GRAB: Opcode = opcode::write::<c_int>(GROUP, 0x90);
const REVOKE: Opcode = opcode::write::<c_int>(GROUP, 0x91);
const GET_MASK: Opcode = opcode::read::<Mask>(GROUP, 0x92);
const SET_MASK: Opcode = opcode::write::<Mask>(GROUP, 0x93);
const SET_CLOCK: Opcode = opcode::write::<c_int>(GROUP, 0xa0);

// Some architectures number the directions otherwise.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const _: () = {
    assert!(GET_VERSION == 0x8004_4501 && GET_ID == 0x8008_4502);
    assert!(GET_REPEAT == 0x8008_4503 && SET_REPEAT == 0x4008_4503);
    assert!(GET_KEYCODE == 0x8028_4504 && SET_KEYCODE == 0x4028_4504);
    assert!(GRAB == 0x4004_4590 && REVOKE == 0x4004_4591 && SET_CLOCK == 0x4004_45a0);
    assert!(GET_MASK == 0x8010_4592 && SET_MASK == 0x4010_4593);
    assert!(Query::Name.opcode(256) == 0x8100_4506 && Query::Properties.opcode(8) == 0x8008_4509);
    assert!(Query::Keys.opcode(96) == 0x8060_4518 && Query::Codes(1).opcode(96) == 0x8060_4521);
    assert!(get_abs(0x3f) == 0x8018_457f && set_abs_opcode(0x3f) == 0x4018_45ff);
};

const fn get_abs(code: u16) -> Opcode {
    assert!(code < AXES);
    opcode::from_components(Direction::Read, GROUP, 0x40 + code as u8, size_of::<AbsInfo>())
}

const fn set_abs_opcode(code: u16) -> Opcode {
    assert!(code < AXES);
    opcode::from_components(Direction::Write, GROUP, 0xc0 + code as u8, size_of::<AbsInfo>())
}

/// A call with a number that is made at run time, and the address of memory of the length that the number bears.
struct Memory<'a> {
    opcode: Opcode,
    bytes: &'a mut [u8],
}

impl<'a> Memory<'a> {
    /// # Safety
    /// Of a call numbered `opcode`, the kernel reads and writes no more than `bytes`.
    unsafe fn new(opcode: Opcode, bytes: &'a mut [u8]) -> Self {
        Memory { opcode, bytes }
    }
}

// SAFETY: the address is that of `bytes`, borrowed until the call has returned, and of it no more is used: whoever made
// the object vouches for that. The output is the call's own number.
unsafe impl Ioctl for Memory<'_> {
    type Output = usize;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.bytes.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> io::Result<usize> {
        Ok(usize::try_from(out).unwrap_or(0))
    }
}

// All calls below but grab and revoke pass the address of memory of the size that the number bears, and the kernel
// (`evdev_do_ioctl`) reads or writes at most that much. Bytes and integers take all bit patterns. A descriptor of
// another kind answers ENOTTY.

/// Returns how many bytes of `bytes`, at most 16383, were written.
pub(crate) fn query(fd: BorrowedFd<'_>, what: Query, bytes: &mut [u8]) -> io::Result<usize> {
    let len = bytes.len().min((1 << 14) - 1);
    let bytes = &mut bytes[..len];
    // SAFETY: see above.
    let n = unsafe { ioctl(fd, Memory::new(what.opcode(len), bytes))? };
    Ok(n.min(len))
}

/// `words` is a code of a multitouch axis, and room for its value in each slot.
pub(crate) fn mt_slots(fd: BorrowedFd<'_>, words: &mut [i32]) -> io::Result<()> {
    // The length is 14 bits of the number.
    let mut bytes: Vec<u8> = words.iter().take(4095).flat_map(|word| word.to_ne_bytes()).collect();
    let opcode = opcode::from_components(Direction::Read, GROUP, GET_MT_SLOTS, bytes.len());
    // SAFETY: see above.
    unsafe { ioctl(fd, Memory::new(opcode, &mut bytes))? };
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = i32::from_ne_bytes(*bytes);
    }
    Ok(())
}

pub(crate) fn version(fd: BorrowedFd<'_>) -> io::Result<c_int> {
    let mut version = 0;
    // SAFETY: see above.
    unsafe { ioctl(fd, Updater::<{ GET_VERSION }, _>::new(&mut version))? };
    Ok(version)
}

pub(crate) fn id(fd: BorrowedFd<'_>) -> io::Result<Id> {
    let mut id = Id::default();
    // SAFETY: see above.
    unsafe { ioctl(fd, Updater::<{ GET_ID }, _>::new(&mut id))? };
    Ok(id)
}

pub(crate) fn repeat(fd: BorrowedFd<'_>) -> io::Result<[u32; 2]> {
    let mut repeat = [0; 2];
    // SAFETY: see above.
    unsafe { ioctl(fd, Updater::<{ GET_REPEAT }, [u32; 2]>::new(&mut repeat))? };
    Ok(repeat)
}

pub(crate) fn set_repeat(fd: BorrowedFd<'_>, repeat: [u32; 2]) -> io::Result<()> {
    // SAFETY: see above.
    unsafe { ioctl(fd, Setter::<{ SET_REPEAT }, [u32; 2]>::new(repeat)) }
}

pub(crate) fn keycode(fd: BorrowedFd<'_>, entry: &mut KeymapEntry) -> io::Result<()> {
    // SAFETY: see above; this call reads what is looked for from the same struct.
    unsafe { ioctl(fd, Updater::<{ GET_KEYCODE }, _>::new(entry)) }
}

pub(crate) fn set_keycode(fd: BorrowedFd<'_>, entry: KeymapEntry) -> io::Result<()> {
    // SAFETY: see above.
    unsafe { ioctl(fd, Setter::<{ SET_KEYCODE }, _>::new(entry)) }
}

pub(crate) fn abs(fd: BorrowedFd<'_>, code: u16) -> io::Result<AbsInfo> {
    if code >= AXES {
        return Err(Errno::INVAL);
    }
    let mut bytes = [0; size_of::<AbsInfo>()];
    // SAFETY: see above.
    unsafe { ioctl(fd, Memory::new(get_abs(code), &mut bytes))? };
    let (words, _) = bytes.as_chunks::<4>();
    let word = |i: usize| i32::from_ne_bytes(words[i]);
    let (value, minimum, maximum) = (word(0), word(1), word(2));
    Ok(AbsInfo { value, minimum, maximum, fuzz: word(3), flat: word(4), resolution: word(5) })
}

pub(crate) fn set_abs(fd: BorrowedFd<'_>, code: u16, info: &AbsInfo) -> io::Result<()> {
    if code >= AXES {
        return Err(Errno::INVAL);
    }
    let words = [info.value, info.minimum, info.maximum, info.fuzz, info.flat, info.resolution];
    let mut bytes = [0; size_of::<AbsInfo>()];
    for (to, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *to = word.to_ne_bytes();
    }
    // SAFETY: see above.
    unsafe { ioctl(fd, Memory::new(set_abs_opcode(code), &mut bytes)) }.map(drop)
}

pub(crate) fn grab(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    // SAFETY: the argument is a number, zero or not, and no address.
    unsafe { ioctl(fd, IntegerSetter::<{ GRAB }>::new_usize(on.into())) }
}

pub(crate) fn revoke(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the argument is a number, which must be zero, and no address.
    unsafe { ioctl(fd, IntegerSetter::<{ REVOKE }>::new_usize(0)) }
}

pub(crate) fn mask(fd: BorrowedFd<'_>, kind: u32, codes: &mut [u8]) -> io::Result<()> {
    let mut mask = Mask { kind, size: codes.len() as u32, codes: codes.as_mut_ptr().expose_provenance() as u64 };
    // SAFETY: see above, for the struct. The kernel writes at most `size` bytes to `codes`, which is that long and
    // borrowed until the call has returned.
    unsafe { ioctl(fd, Updater::<{ GET_MASK }, _>::new(&mut mask)) }
}

pub(crate) fn set_mask(fd: BorrowedFd<'_>, kind: u32, codes: &[u8]) -> io::Result<()> {
    let mask = Mask { kind, size: codes.len() as u32, codes: codes.as_ptr().expose_provenance() as u64 };
    // SAFETY: see above, for the struct. The kernel reads at most `size` bytes of `codes`, which is that long and
    // borrowed until the call has returned.
    unsafe { ioctl(fd, Setter::<{ SET_MASK }, _>::new(mask)) }
}

pub(crate) fn set_clock(fd: BorrowedFd<'_>, clock: c_int) -> io::Result<()> {
    // SAFETY: see above.
    unsafe { ioctl(fd, Setter::<{ SET_CLOCK }, c_int>::new(clock)) }
}
