//! A stack overflow in a fiber names the fiber on standard error and aborts the process.
//!
//! Nothing can be recovered: the frames on the stack would be abandoned, with their locks and borrows. The handler
//! runs on the thread's alternate stack and calls only what a signal handler may; see signal-safety(7).

use std::cell::Cell;
use std::mem::{self, MaybeUninit};
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;

/// What the handler knows of the stack that runs.
pub(super) struct Label {
    guard: Range<usize>,
    id: Cell<u64>,
    name: Cell<*const str>,
}

impl Label {
    pub(super) fn new(guard: Range<usize>) -> Label {
        Label { guard, id: Cell::new(0), name: Cell::new("") }
    }

    pub(super) fn set(&self, id: u64, name: *const str) {
        self.id.set(id);
        self.name.set(name);
    }
}

thread_local! {
    /// The label of the stack that runs on this thread. No destructor and no lazy start: a handler may read it.
    static RUNNING: Cell<*const Label> = const { Cell::new(ptr::null()) };
}

/// Says that the stack with this label runs from now on; returns what [`leave`] puts back.
#[inline(always)]
pub(super) fn enter(label: *const Label) -> *const Label {
    RUNNING.replace(label)
}

#[inline(always)]
pub(super) fn leave(outer: *const Label) {
    RUNNING.set(outer);
}

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// What was installed for the two signals before.
#[derive(Clone, Copy)]
pub(super) struct Previous([libc::sigaction; 2]);

static PREVIOUS: OnceLock<Previous> = OnceLock::new();

impl Previous {
    pub(super) fn query() -> Previous {
        Previous(SIGNALS.map(|signal| {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: only asks; the struct is all integers and pointers, valid when zeroed.
            unsafe {
                libc::sigaction(signal, ptr::null(), action.as_mut_ptr());
                action.assume_init()
            }
        }))
    }
}

/// Installs our handler. What is not an overflow of a fiber goes on to `previous`.
pub(super) fn install(previous: Previous) {
    if PREVIOUS.set(previous).is_err() {
        return;
    }
    for signal in SIGNALS {
        // SAFETY: the handler has the signature that SA_SIGINFO asks for, and calls only signal-safe functions.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(signal, &action, ptr::null_mut());
        }
    }
}

unsafe extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let running = RUNNING.try_with(Cell::get).unwrap_or(ptr::null());
    // SAFETY: the kernel passes a valid `info`; a label outlives the time in which it is the running one.
    unsafe {
        // A code above zero says that the kernel raised it, so that there is an address.
        if let Some(label) = running.as_ref()
            && (*info).si_code > 0
            && label.guard.contains(&((*info).si_addr() as usize))
        {
            report(label);
            libc::abort();
        }
        chain(signal, info, context);
    }
}

/// Writes `fiber 7 "name" has overflowed its stack`, without allocating.
fn report(label: &Label) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut id = label.id.get();
    loop {
        at -= 1;
        digits[at] = b'0' + (id % 10) as u8;
        id /= 10;
        if id == 0 {
            break;
        }
    }
    // SAFETY: `Context::set_label` asks for a name that stays valid while the task runs.
    let name = unsafe { &*label.name.get() };
    let parts: [&[u8]; 5] = if name.is_empty() {
        [b"\nfiber ", &digits[at..], b"", b"", b" has overflowed its stack\n"]
    } else {
        [b"\nfiber ", &digits[at..], b" ", name.as_bytes(), b" has overflowed its stack\n"]
    };
    for part in parts {
        // SAFETY: write(2) may be called in a handler; nothing can be done about its failure.
        unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
}

/// Does what would have happened without us.
///
/// # Safety
/// The arguments are those of a running handler for `signal`.
unsafe fn chain(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let index = SIGNALS.iter().position(|s| *s == signal).unwrap_or(0);
    let Some(previous) = PREVIOUS.get().map(|p| p.0[index]) else { return };
    // SAFETY: a handler that is installed with SA_SIGINFO takes three arguments, another takes one.
    unsafe {
        match previous.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                // Returning repeats the faulting instruction; what somebody sent must be sent again.
                libc::sigaction(signal, &previous, ptr::null_mut());
                if (*info).si_code <= 0 {
                    libc::raise(signal);
                }
            }
            f if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let f: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = mem::transmute(f);
                f(signal, info, context);
            }
            f => {
                let f: extern "C" fn(libc::c_int) = mem::transmute(f);
                f(signal);
            }
        }
    }
}

/// The stack on which this thread's handlers run. Rust's own threads have one; others get one from us, which
/// goes when this is dropped.
pub(crate) struct AltStack {
    memory: Option<Box<[u8]>>,
    /// It belongs to the thread.
    _not_send: std::marker::PhantomData<*mut ()>,
}

impl AltStack {
    /// Makes sure that the calling thread has an alternate stack; see sigaltstack(2).
    pub(crate) fn ensure() -> AltStack {
        const SIZE: usize = 64 * 1024;
        let mut memory = None;
        // SAFETY: first only asks, then installs memory that stays until `drop` has disabled it.
        unsafe {
            let mut old: libc::stack_t = mem::zeroed();
            libc::sigaltstack(ptr::null(), &mut old);
            if old.ss_flags & libc::SS_DISABLE != 0 {
                let mut fresh = vec![0u8; SIZE].into_boxed_slice();
                let stack = libc::stack_t { ss_sp: fresh.as_mut_ptr().cast(), ss_flags: 0, ss_size: SIZE };
                if libc::sigaltstack(&stack, ptr::null_mut()) == 0 {
                    memory = Some(fresh);
                }
            }
        }
        AltStack { memory, _not_send: std::marker::PhantomData }
    }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        let Some(memory) = &self.memory else { return };
        // SAFETY: disables our own stack, if it still is the thread's; no handler runs on it, since we do not.
        unsafe {
            let mut now: libc::stack_t = mem::zeroed();
            libc::sigaltstack(ptr::null(), &mut now);
            if now.ss_sp == memory.as_ptr().cast_mut().cast() {
                let off = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
                libc::sigaltstack(&off, ptr::null_mut());
            }
        }
    }
}
