//! Tells valgrind where the stacks are.
//!
//! Without that it takes a switch between near stacks for a frame that grew or went, and everything in it for
//! undefined. The requests are instructions that do nothing on a real processor.

use std::ops::Range;

/// A stack's number in valgrind's books; nothing where valgrind does not run.
#[derive(Clone, Copy)]
pub(super) struct StackId(usize);

const STACK_REGISTER: usize = 0x1501;
const STACK_DEREGISTER: usize = 0x1502;

pub(super) fn register(stack: &Range<usize>) -> StackId {
    StackId(request([STACK_REGISTER, stack.start, stack.end - 1, 0, 0, 0]))
}

pub(super) fn deregister(stack: StackId) {
    request([STACK_DEREGISTER, stack.0, 0, 0, 0, 0]);
}

#[cfg(target_arch = "x86_64")]
fn request(arguments: [usize; 6]) -> usize {
    let mut result = 0usize;
    // SAFETY: the rotations add up to whole turns and the exchange is of a register with itself: only flags change.
    // Under valgrind the sequence is a request, which reads `arguments` and sets the result.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") result,
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn request(arguments: [usize; 6]) -> usize {
    let mut result = 0usize;
    // SAFETY: as on x86_64.
    unsafe {
        std::arch::asm!(
            "ror x12, x12, #3", "ror x12, x12, #13", "ror x12, x12, #51", "ror x12, x12, #61", "orr x10, x10, x10",
            in("x4") arguments.as_ptr(),
            inout("x3") result,
        );
    }
    result
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn request(_: [usize; 6]) -> usize {
    0
}
