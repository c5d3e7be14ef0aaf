//! Where another thread of this process is: stopped for a moment by a signal, its stack copied, and walked at leisure.
//!
//! The handler calls only what a handler may (signal-safety(7)): it notes three registers and sleeps until the stack
//! was copied, by process_vm_readv(2), which fails where there is nothing to be read. The frames are found by the
//! unwind tables of the modules that are loaded, from the copy alone.

use framehop::{ExplicitModuleSectionInfo, Module, Unwinder};
use std::mem::{self, MaybeUninit};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, Once, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(target_arch = "aarch64")]
use framehop::aarch64 as arch;
#[cfg(target_arch = "aarch64")]
use framehop::aarch64::{CacheAarch64 as Cache, UnwinderAarch64 as Native};
#[cfg(target_arch = "x86_64")]
use framehop::x86_64 as arch;
#[cfg(target_arch = "x86_64")]
use framehop::x86_64::{CacheX86_64 as Cache, UnwinderX86_64 as Native};

/// Ignored where nobody handles it, so that one that comes late does no harm.
const SIGNAL: libc::c_int = libc::SIGURG;
/// How much of a stack is looked at.
const DEPTH: usize = 256 * 1024;
/// How many frames.
const FRAMES: usize = 128;
/// How long to wait for the other thread to stop, and how long that stays at most.
const PATIENCE: Duration = Duration::from_millis(500);

const IDLE: u32 = 0;
/// A thread is asked to stop: the one in `THREAD`.
const ASKED: u32 = 1;
/// It is in the handler, and its registers are noted.
const STOPPED: u32 = 2;

static STATE: AtomicU32 = AtomicU32::new(IDLE);
static THREAD: AtomicI32 = AtomicI32::new(0);
/// Where it executes, its stack pointer, its frame pointer, and where it returns to (on aarch64).
static REGISTERS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Installs the handler, once; what was there before it is called for signals that are not ours.
pub(crate) fn prepare() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: the handler has the signature that SA_SIGINFO asks for, and calls only signal-safe functions; the
        // struct is all integers and pointers, valid when zeroed. What was there is known before the handler can run.
        unsafe {
            let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
            libc::sigaction(SIGNAL, ptr::null(), previous.as_mut_ptr());
            let _ = PREVIOUS.set(previous.assume_init());
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
            libc::sigaction(SIGNAL, &action, ptr::null_mut());
        }
    });
}

unsafe extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: gettid(2) has no preconditions.
    let thread = unsafe { libc::gettid() };
    if STATE.load(Ordering::Acquire) != ASKED || THREAD.load(Ordering::Relaxed) != thread {
        // SAFETY: the arguments are the handler's own.
        return unsafe { chain(signal, info, context) };
    }
    // SAFETY: the kernel passes a valid context to a handler with SA_SIGINFO.
    let registers = registers(unsafe { &*context.cast::<libc::ucontext_t>() });
    for (place, value) in REGISTERS.iter().zip(registers) {
        place.store(value, Ordering::Relaxed);
    }
    if STATE.compare_exchange(ASKED, STOPPED, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return; // it took too long, and nobody waits any more
    }
    let moment = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    // SAFETY: clock_nanosleep(2) may be called in a handler, and returns its error, so that errno stays as it is.
    let nap = || unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &moment, ptr::null_mut()) };
    for _ in 0..PATIENCE.as_millis() {
        // Another one may be asked, and stop, while this one sleeps.
        if STATE.load(Ordering::Acquire) != STOPPED || THREAD.load(Ordering::Relaxed) != thread {
            return;
        }
        nap();
    }
    // Whoever asked is stopped itself: what it copies from now on does not count.
    let _ = STATE.compare_exchange(STOPPED, IDLE, Ordering::AcqRel, Ordering::Relaxed);
}

/// # Safety
/// The arguments are those of a running handler.
unsafe fn chain(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(previous) = PREVIOUS.get() else { return };
    match previous.sa_sigaction {
        // The default is to ignore it.
        libc::SIG_DFL | libc::SIG_IGN => {}
        // SAFETY: a handler that is installed with SA_SIGINFO takes three arguments, another takes one.
        f if previous.sa_flags & libc::SA_SIGINFO != 0 => unsafe {
            let f: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = mem::transmute(f);
            f(signal, info, context);
        },
        // SAFETY: as above.
        f => unsafe {
            let f: extern "C" fn(libc::c_int) = mem::transmute(f);
            f(signal);
        },
    }
}

#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> [u64; 4] {
    let all = &context.uc_mcontext.gregs;
    [libc::REG_RIP, libc::REG_RSP, libc::REG_RBP, libc::REG_RBP].map(|n| all[n as usize] as u64)
}

#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> [u64; 4] {
    let all = &context.uc_mcontext;
    [all.pc, all.sp, all.regs[29], all.regs[30]]
}

/// The functions in which a thread of this process is, the innermost first; `None` where it does not stop in time,
/// which it does not with the signal blocked, or where its stack cannot be read.
pub(crate) fn frames(thread: libc::pid_t) -> Option<Vec<String>> {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (registers, stack) = copy(thread)?;
    drop(one);
    let [ip, sp, fp, lr] = registers;
    let mut unwinder: Native<&'static [u8]> = Native::new();
    modules().into_iter().for_each(|module| unwinder.add_module(module));
    let mut read = |at: u64| {
        let from = usize::try_from(at.checked_sub(sp).ok_or(())?).map_err(drop)?;
        let word = stack.get(from..from.checked_add(8).ok_or(())?).ok_or(())?;
        Ok(u64::from_ne_bytes(word.try_into().map_err(drop)?))
    };
    #[cfg(target_arch = "x86_64")]
    let (first, _) = (arch::UnwindRegsX86_64::new(ip, sp, fp), lr);
    #[cfg(target_arch = "aarch64")]
    let first = arch::UnwindRegsAarch64::new(lr, sp, fp);
    let mut cache = Cache::<_>::new();
    let mut all = unwinder.iter_frames(ip, first, &mut cache, &mut read);
    let mut names = Vec::new();
    while let Ok(Some(frame)) = all.next()
        && names.len() < FRAMES
    {
        names_of(frame.address_for_lookup(), &mut names);
    }
    Some(names)
}

/// The functions at an address: those that were inlined into each other, the innermost first.
fn names_of(address: u64, names: &mut Vec<String>) {
    let before = names.len();
    backtrace::resolve(ptr::with_exposed_provenance_mut(address as usize), |symbol| {
        let name = symbol.name().map_or_else(|| format!("{address:#x}"), |name| format!("{name:#}"));
        names.push(match (symbol.filename(), symbol.lineno()) {
            (Some(file), Some(line)) => format!("{name} at {}:{line}", file.display()),
            _ => name,
        });
    });
    if names.len() == before {
        names.push(format!("{address:#x}"));
    }
}

/// Stops a thread, and copies its registers and what is on its stack.
fn copy(thread: libc::pid_t) -> Option<([u64; 4], Vec<u8>)> {
    THREAD.store(thread, Ordering::Relaxed);
    STATE.store(ASKED, Ordering::Release);
    // SAFETY: tgkill(2) names a thread of this process; where it has ended, the call fails.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGNAL) } == 0;
    let end = Instant::now() + PATIENCE;
    while sent && STATE.load(Ordering::Acquire) == ASKED && Instant::now() < end {
        thread::sleep(Duration::from_micros(100));
    }
    if STATE.compare_exchange(ASKED, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
        return None; // it has not stopped, and will not for this
    }
    let registers = [0, 1, 2, 3].map(|n| REGISTERS[n].load(Ordering::Relaxed));
    let stack = read(registers[1], DEPTH);
    // Where it went on by itself meanwhile, the copy is of nothing.
    STATE.compare_exchange(STOPPED, IDLE, Ordering::AcqRel, Ordering::Relaxed).is_ok().then_some((registers, stack))
}

/// What can be read of the memory from `at` on, by way of the kernel, which refuses what is not there.
fn read(at: u64, len: usize) -> Vec<u8> {
    const PAGE: usize = 4096;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let from = at as usize + bytes.len();
        let mut page = [0u8; PAGE];
        let part = PAGE - from % PAGE;
        let here = libc::iovec { iov_base: page.as_mut_ptr().cast(), iov_len: part };
        let there = libc::iovec { iov_base: ptr::with_exposed_provenance_mut(from), iov_len: part };
        // SAFETY: it writes to `page` alone, which is long enough; what is read is the kernel's to check.
        let n = unsafe { libc::process_vm_readv(libc::getpid(), &here, 1, &there, 1, 0) };
        if n != part as isize {
            break;
        }
        bytes.extend_from_slice(&page[..part]);
    }
    bytes
}

/// The modules that are loaded, with their unwind tables. They are taken to stay: nobody unloads a library while it is
/// found out why a thread hangs.
fn modules() -> Vec<Module<&'static [u8]>> {
    unsafe extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, all: *mut libc::c_void) -> libc::c_int {
        // SAFETY: dl_iterate_phdr(3) passes a valid description, and what `modules` has given it.
        let (info, all) = unsafe { (&*info, &mut *all.cast::<Vec<Module<&'static [u8]>>>()) };
        all.extend(module(info));
        0
    }
    let mut all = Vec::new();
    // SAFETY: the function is called with `all` before this returns, and nothing in it unwinds.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut all).cast()) };
    all
}

fn module(info: &libc::dl_phdr_info) -> Option<Module<&'static [u8]>> {
    if info.dlpi_phdr.is_null() {
        return None;
    }
    let base = info.dlpi_addr;
    // SAFETY: so the dynamic linker says.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let span = |p: &libc::Elf64_Phdr| base + p.p_vaddr..base + p.p_vaddr + p.p_memsz;
    let loaded = || headers.iter().filter(|p| p.p_type == libc::PT_LOAD).map(span);
    let whole = loaded().map(|l| l.start).min()?..loaded().map(|l| l.end).max()?;
    let index = span(headers.iter().find(|p| p.p_type == libc::PT_GNU_EH_FRAME)?);
    // SAFETY: what is named here is part of a segment that is mapped for reading.
    let bytes = |r: &Range<u64>| unsafe {
        std::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(r.start as usize), (r.end - r.start) as usize)
    };
    let header: &'static [u8] = bytes(&index);
    // Version 1, and the place of the table as four bytes relative to themselves: what every linker writes.
    let &[1, 0x1b, _, _, a, b, c, d, ..] = header else { return None };
    let table = (index.start + 4).checked_add_signed(i32::from_ne_bytes([a, b, c, d]).into())?;
    let table = table..loaded().find(|l| l.contains(&table))?.end;
    let sections = ExplicitModuleSectionInfo {
        base_svma: base,
        eh_frame_svma: Some(table.clone()),
        eh_frame: Some(bytes(&table)),
        eh_frame_hdr_svma: Some(index),
        eh_frame_hdr: Some(header),
        ..Default::default()
    };
    Some(Module::new(String::new(), whole, base, sections))
}
