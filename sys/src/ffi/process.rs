//! Calls on pidfds that rustix has in part, or not: pidfd_send_signal(2) with its details, the ioctls of pidfs, and
//! what a child does between fork and exec.

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

/// `siginfo_t` as the kernel reads it for a signal with a value, after the form of its `_rt` member.
#[repr(C)]
struct QueuedInfo {
    signo: i32,
    errno: i32,
    code: i32,
    #[cfg(target_pointer_width = "64")]
    padding: i32,
    pid: i32,
    uid: u32,
    /// `union sigval`: the integer stands at its start.
    value: [u8; size_of::<usize>()],
    rest: [u8; 128 - FIXED],
}

const FIXED: usize = 20 + size_of::<usize>() + if cfg!(target_pointer_width = "64") { 4 } else { 0 };

const _: () = assert!(size_of::<QueuedInfo>() == 128 && size_of::<libc::siginfo_t>() == 128);
const _: () = assert!(offset_of!(QueuedInfo, pid) == if cfg!(target_pointer_width = "64") { 16 } else { 12 });

/// Sends a signal as pidfd_send_signal(2) does; with a value, as sigqueue(3) would.
pub(crate) fn send_signal(pidfd: impl AsFd, signal: i32, value: Option<i32>, flags: u32) -> io::Result<()> {
    let queued = value.map(|value| {
        let mut bytes = [0; size_of::<usize>()];
        bytes[..4].copy_from_slice(&value.to_ne_bytes());
        QueuedInfo {
            signo: signal,
            errno: 0,
            code: libc::SI_QUEUE,
            #[cfg(target_pointer_width = "64")]
            padding: 0,
            pid: std::process::id().cast_signed(),
            uid: rustix::process::getuid().as_raw(),
            value: bytes,
            rest: [0; 128 - FIXED],
        }
    });
    let info = queued.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the four arguments have the types of the call; the struct has the size of `siginfo_t` (asserted above),
    // has no padding and outlives the call; a null pointer asks the kernel to fill in the details.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), signal, info, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct pidfd_info`, as of Linux 6.16.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Info {
    pub(crate) mask: u64,
    pub(crate) cgroup_id: u64,
    pub(crate) pid: u32,
    pub(crate) tgid: u32,
    pub(crate) ppid: u32,
    pub(crate) ruid: u32,
    pub(crate) rgid: u32,
    pub(crate) euid: u32,
    pub(crate) egid: u32,
    pub(crate) suid: u32,
    pub(crate) sgid: u32,
    pub(crate) fsuid: u32,
    pub(crate) fsgid: u32,
    pub(crate) exit_code: i32,
    pub(crate) coredump_mask: u32,
    spare: u32,
}

const _: () = assert!(size_of::<Info>() == 72);
const _: () = assert!(offset_of!(Info, pid) == 16);
const _: () = assert!(offset_of!(Info, exit_code) == 60);
const _: () = assert!(offset_of!(Info, coredump_mask) == 64);

const PIDFS: u8 = 0xff;
const PIDFD_GET_INFO: Opcode = opcode::read_write::<Info>(PIDFS, 11);

pub(crate) fn info(pidfd: BorrowedFd<'_>, mask: u64) -> rustix::io::Result<Info> {
    let mut info = Info { mask, ..Info::default() };
    // SAFETY: PIDFD_GET_INFO reads the mask and writes as much of the struct as its number says and the kernel knows;
    // the layout is asserted above, and all bit patterns are valid. No other kind of descriptor has the number.
    match unsafe { ioctl(pidfd, Updater::<PIDFD_GET_INFO, Info>::new(&mut info)) } {
        Ok(()) => Ok(info),
        // Linux 6.11 and 6.12 have other ioctls here, none with an argument; later ones find nothing invalid in this.
        Err(Errno::INVAL) => Err(Errno::NOTTY),
        Err(e) => Err(e),
    }
}

/// An ioctl of pidfs that takes nothing and returns a new descriptor.
struct GetNamespace<const OPCODE: Opcode>;

// SAFETY: the opcode is fixed and takes no argument; what the call returns is passed on as it is.
unsafe impl<const OPCODE: Opcode> rustix::ioctl::Ioctl for GetNamespace<OPCODE> {
    type Output = RawFd;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        ptr::null_mut()
    }

    unsafe fn output_from_ptr(out: rustix::ioctl::IoctlOutput, _: *mut std::ffi::c_void) -> rustix::io::Result<RawFd> {
        Ok(out)
    }
}

/// The namespace that has the number `which` among the ioctls of pidfs, from 1 to 10.
pub(crate) fn namespace(pidfd: BorrowedFd<'_>, which: u8) -> rustix::io::Result<OwnedFd> {
    // On a descriptor of another kind a number might mean something else, and return what is no descriptor of ours.
    const PID_FS_MAGIC: u64 = 0x5049_4446;
    if rustix::fs::fstatfs(pidfd)?.f_type as u64 & 0xffff_ffff != PID_FS_MAGIC {
        return Err(Errno::NOTTY);
    }
    macro_rules! get {
        ($($n:literal)+) => {
            match which {
                $($n => {
                    const OPCODE: Opcode = opcode::none(PIDFS, $n);
                    // SAFETY: see the implementation. The call has no argument.
                    unsafe { ioctl(pidfd, GetNamespace::<OPCODE>)? }
                })+
                _ => return Err(Errno::INVAL),
            }
        };
    }
    let fd = get!(1 2 3 4 5 6 7 8 9 10);
    // SAFETY: this is a pidfd, as its file system says, on which each of these calls returns a descriptor or an error;
    // so the kernel has just made the descriptor for us, and nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The number of a child that has ended, whose status is left to be taken: the first that the kernel finds, always the
/// same.
pub(crate) fn first_zombie() -> io::Result<Option<u32>> {
    // SAFETY: integers and pointers, for which zeros are values.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    // SAFETY: the struct is ours, and of the type that the call fills.
    if unsafe { libc::waitid(libc::P_ALL, 0, &mut info, options) } != 0 {
        let e = io::Error::last_os_error();
        return if e.raw_os_error() == Some(libc::ECHILD) { Ok(None) } else { Err(e) };
    }
    // SAFETY: for a child the call has filled it in as of SIGCHLD; where there is none it is zeros, or left so.
    let pid = unsafe { info.si_pid() };
    Ok(u32::try_from(pid).ok().filter(|pid| *pid != 0))
}

/// The child is to get `signal` when the thread that starts it ends, and not to start where that has happened already.
pub(crate) fn signal_on_parents_end(command: &mut Command, signal: i32) {
    let parent = std::process::id().cast_signed();
    let set = move || {
        // SAFETY: no memory is passed.
        let (set, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0), libc::getppid()) };
        match set {
            0 if now == parent => Ok(()),
            0 => Err(io::Error::from_raw_os_error(libc::ESRCH)),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: these are bare system calls, reading
    // errno is fine, and nothing is allocated or locked.
    unsafe { command.pre_exec(set) };
}

pub(crate) fn new_session(command: &mut Command) {
    let lead = || {
        // SAFETY: no memory is passed.
        if unsafe { libc::setsid() } == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: as above.
    unsafe { command.pre_exec(lead) };
}
