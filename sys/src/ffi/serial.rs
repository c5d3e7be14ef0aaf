//! What a serial port has beyond a terminal: ioctl_tty(2), and the kernel's `linux/serial.h`, of which libc has the
//! numbers and not the structs.

use rustix::io;
use rustix::ioctl::{Getter, IntegerSetter, NoArg, Opcode, Setter, Updater, ioctl};
use std::ffi::{c_int, c_ulong, c_ushort};
use std::mem::offset_of;
use std::os::fd::BorrowedFd;

/// `struct serial_rs485`: all integers, no padding.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rs485 {
    pub(crate) flags: u32,
    pub(crate) delay_before: u32,
    pub(crate) delay_after: u32,
    pub(crate) addr_recv: u8,
    pub(crate) addr_dest: u8,
    padding: [u8; 18],
}

const _: () = assert!(size_of::<Rs485>() == 32);
const _: () = assert!(offset_of!(Rs485, delay_after) == 8);
const _: () = assert!(offset_of!(Rs485, addr_recv) == 12);

/// `struct serial_icounter_struct`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) cts: c_int,
    pub(crate) dsr: c_int,
    pub(crate) rng: c_int,
    pub(crate) dcd: c_int,
    pub(crate) rx: c_int,
    pub(crate) tx: c_int,
    pub(crate) frame: c_int,
    pub(crate) overrun: c_int,
    pub(crate) parity: c_int,
    pub(crate) brk: c_int,
    pub(crate) buf_overrun: c_int,
    reserved: [c_int; 9],
}

const _: () = assert!(size_of::<Counts>() == 80);
const _: () = assert!(offset_of!(Counts, buf_overrun) == 40);

/// `struct serial_struct`; the pointer in it is the kernel's own and stays a number here.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Driver {
    kind: c_int,
    line: c_int,
    port: u32,
    irq: c_int,
    pub(crate) flags: c_int,
    xmit_fifo_size: c_int,
    custom_divisor: c_int,
    baud_base: c_int,
    close_delay: c_ushort,
    io_type: u8,
    reserved: u8,
    hub6: c_int,
    pub(crate) closing_wait: c_ushort,
    closing_wait2: c_ushort,
    iomem_base: usize,
    iomem_reg_shift: c_ushort,
    port_high: u32,
    iomap_base: c_ulong,
}

const _: () = assert!(offset_of!(Driver, flags) == 16);
const _: () = assert!(offset_of!(Driver, closing_wait) == 40);
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Driver>() == 72 && offset_of!(Driver, iomem_base) == 48);
#[cfg(target_pointer_width = "32")]
const _: () = assert!(size_of::<Driver>() == 60 && offset_of!(Driver, iomem_base) == 44);

pub(crate) fn modem_lines(fd: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: TIOCMGET writes one `int` by pointer, which is what this getter offers.
    let bits = unsafe { ioctl(fd, Getter::<{ libc::TIOCMGET as Opcode }, c_int>::new())? };
    Ok(bits.cast_unsigned())
}

pub(crate) fn set_modem_lines(fd: BorrowedFd<'_>, bits: u32, asserted: bool) -> io::Result<()> {
    let bits = bits.cast_signed();
    // SAFETY: TIOCMBIS and TIOCMBIC read one `int` by pointer, which is what these setters pass.
    unsafe {
        if asserted {
            ioctl(fd, Setter::<{ libc::TIOCMBIS as Opcode }, c_int>::new(bits))
        } else {
            ioctl(fd, Setter::<{ libc::TIOCMBIC as Opcode }, c_int>::new(bits))
        }
    }
}

pub(crate) fn wait_modem_lines(fd: BorrowedFd<'_>, bits: u32) -> io::Result<()> {
    // SAFETY: TIOCMIWAIT takes the bits themselves for its argument and touches no memory of ours.
    unsafe { ioctl(fd, IntegerSetter::<{ libc::TIOCMIWAIT as Opcode }>::new_usize(bits as usize)) }
}

pub(crate) fn counts(fd: BorrowedFd<'_>) -> io::Result<Counts> {
    let mut counts = Counts::default();
    // SAFETY: TIOCGICOUNT writes one `struct serial_icounter_struct`, whose layout is asserted above; all its bit
    // patterns are valid.
    unsafe { ioctl(fd, Updater::<{ libc::TIOCGICOUNT as Opcode }, Counts>::new(&mut counts))? };
    Ok(counts)
}

pub(crate) fn rs485(fd: BorrowedFd<'_>) -> io::Result<Rs485> {
    let mut rs485 = Rs485::default();
    // SAFETY: TIOCGRS485 writes one `struct serial_rs485`, whose layout is asserted above; all its bit patterns are
    // valid.
    unsafe { ioctl(fd, Updater::<{ libc::TIOCGRS485 as Opcode }, Rs485>::new(&mut rs485))? };
    Ok(rs485)
}

/// Leaves in `rs485` what the driver made of it.
pub(crate) fn set_rs485(fd: BorrowedFd<'_>, rs485: &mut Rs485) -> io::Result<()> {
    // SAFETY: TIOCSRS485 reads one `struct serial_rs485` and writes it back; layout as above.
    unsafe { ioctl(fd, Updater::<{ libc::TIOCSRS485 as Opcode }, Rs485>::new(rs485)) }
}

pub(crate) fn driver(fd: BorrowedFd<'_>) -> io::Result<Driver> {
    let mut driver = Driver::default();
    // SAFETY: TIOCGSERIAL writes one `struct serial_struct`, whose layout is asserted above; all its bit patterns are
    // valid, for the pointer in it is held as a number.
    unsafe { ioctl(fd, Updater::<{ libc::TIOCGSERIAL as Opcode }, Driver>::new(&mut driver))? };
    Ok(driver)
}

pub(crate) fn set_driver(fd: BorrowedFd<'_>, driver: Driver) -> io::Result<()> {
    // SAFETY: TIOCSSERIAL reads one `struct serial_struct`; layout as above. What it sets of the hardware's addresses
    // came from TIOCGSERIAL, and the kernel takes it from an administrator only.
    unsafe { ioctl(fd, Setter::<{ libc::TIOCSSERIAL as Opcode }, Driver>::new(driver)) }
}

pub(crate) fn set_break(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    // SAFETY: TIOCSBRK and TIOCCBRK take no argument.
    unsafe {
        if on {
            ioctl(fd, NoArg::<{ libc::TIOCSBRK as Opcode }>::new())
        } else {
            ioctl(fd, NoArg::<{ libc::TIOCCBRK as Opcode }>::new())
        }
    }
}

pub(crate) fn send_break(fd: BorrowedFd<'_>, tenths: usize) -> io::Result<()> {
    // SAFETY: TCSBRKP takes a number for its argument and touches no memory of ours.
    unsafe { ioctl(fd, IntegerSetter::<{ libc::TCSBRKP as Opcode }>::new_usize(tenths)) }
}

pub(crate) fn output_queued(fd: BorrowedFd<'_>) -> io::Result<usize> {
    // SAFETY: TIOCOUTQ writes one `int` by pointer, which is what this getter offers.
    let count = unsafe { ioctl(fd, Getter::<{ libc::TIOCOUTQ as Opcode }, c_int>::new())? };
    Ok(usize::try_from(count).unwrap_or(0))
}

pub(crate) fn is_exclusive(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: TIOCGEXCL writes one `int` by pointer, which is what this getter offers.
    let mark = unsafe { ioctl(fd, Getter::<{ libc::TIOCGEXCL as Opcode }, c_int>::new())? };
    Ok(mark != 0)
}
