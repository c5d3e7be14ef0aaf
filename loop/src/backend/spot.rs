//! Small reads of what is in memory already, made on the spot: the one operation that needs no trip.

use super::{Batch, Event, Fd, FdNumber, Key};
use crate::op::RawOp;
use becket_sys::file::try_read_at;
use rustix::fs::{OFlags, fcntl_getfl};

/// How many reads of a turn are tried. By a ring, more of them share the one system call of a turn, and cost less.
const MOST: u32 = 4;
/// What is longer keeps the loop from other work for too long.
const LONGEST: usize = 64 * 1024;
/// How many are not tried after one that was in vain: a cold file is mostly cold.
const PASSED_OVER: u32 = 15;
/// A read of an `O_DIRECT` file begins and ends at multiples of at least this.
const SECTOR: usize = 512;

/// Reads on the spot, and those that are yet to be told.
#[derive(Debug, Default)]
pub(super) struct Spot {
    is_off: bool,
    ended: Vec<(Key, usize)>,
    /// How many operations this turn has brought, and whether some went elsewhere: what comes after those waits with
    /// them.
    count: u32,
    elsewhere: bool,
    /// How many the last turn brought that brought any.
    last: u32,
    /// How many are not to be tried.
    pass_over: u32,
    /// What was seen in this turn not to be a device itself. Another file may have its number meanwhile, and have the loop
    /// wait once.
    buffered: Option<FdNumber>,
}

impl Spot {
    /// None is tried.
    pub(super) fn off() -> Spot {
        Spot { is_off: true, ..Spot::default() }
    }

    pub(super) fn is_on(&self) -> bool {
        !self.is_off
    }

    /// Whether the operation is done with: a read of what is in memory.
    ///
    /// # Safety
    /// As [`Backend::submit`](super::Backend::submit).
    #[inline]
    pub(super) unsafe fn takes(&mut self, key: Key, op: &RawOp) -> bool {
        if self.is_off {
            return false;
        }
        self.count += 1;
        let read = match *op {
            RawOp::Read { fd, buf, len, at: Some(at) }
                if !self.elsewhere && self.count.max(self.last) <= MOST && len <= LONGEST =>
            {
                if self.pass_over > 0 {
                    self.pass_over -= 1;
                    None
                } else {
                    // SAFETY: handed on from the caller.
                    let read = unsafe { self.read_at_once(fd, buf, len, at) };
                    self.pass_over = if read.is_none() { PASSED_OVER } else { 0 };
                    read
                }
            }
            _ => None,
        };
        match read {
            Some(moved) => self.ended.push((key, moved)),
            None => self.elsewhere = true,
        }
        read.is_some()
    }

    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Tells what was read since the last time: a turn is over.
    #[inline]
    pub(super) fn tell(&mut self, batch: &mut Batch) {
        if self.count == 0 {
            return;
        }
        self.last = std::mem::take(&mut self.count);
        (self.elsewhere, self.buffered) = (false, None);
        for (key, moved) in self.ended.drain(..) {
            batch.push(Event::Done { key, result: Ok(moved) });
        }
    }

    /// Reads as pread(2) would, if that has not to wait.
    ///
    /// # Safety
    /// The descriptor must be open, and there must be `len` bytes at `buf`, for the time of the call and for us alone.
    unsafe fn read_at_once(&mut self, number: FdNumber, buf: *mut u8, len: usize, at: u64) -> Option<usize> {
        // SAFETY: the caller's promise.
        let (fd, buf) = unsafe { (Fd::borrow_raw(number), std::slice::from_raw_parts_mut(buf, len)) };
        // Not from a device itself: RWF_NOWAIT does not keep the kernel from waiting for that.
        let may_be_direct = len.is_multiple_of(SECTOR) && at.is_multiple_of(SECTOR as u64);
        if may_be_direct && self.buffered != Some(number) {
            if fcntl_getfl(fd).ok()?.contains(OFlags::DIRECT) {
                return None;
            }
            self.buffered = Some(number);
        }
        // Whatever the error is, the operation finds it as well, or does better.
        let read = |buf: &mut [u8], at| try_read_at(fd, buf, at).unwrap_or(None);
        let moved = read(buf, at)?;
        if moved == len {
            return Some(moved);
        }
        // The end of the file, or of what is in memory.
        (read(&mut buf[moved..], at + moved as u64)? == 0).then_some(moved)
    }
}
