//! The log of the vendored library, which is not its own: `log.c` says why.

use super::trampolines::{Inbox, note_line};
use libc::{c_char, c_int};
use std::cell::Cell;
use std::ptr::null;

thread_local! {
    /// The inbox of the client that this thread is calling into; null outside of such calls. It stays alive for as
    /// long as it stands here: a [`Called`] that borrows it takes it away again.
    static CURRENT: Cell<*const Inbox> = const { Cell::new(null()) };
}

unsafe extern "C" {
    static becket_mosquitto_log_is_ours: c_int;
}

/// A call into the library by one client, whose lines go to its inbox. Lines of other users of the library go nowhere.
pub(super) struct Called<'a> {
    before: *const Inbox,
    _inbox: &'a Inbox,
}

pub(super) fn called(inbox: &Inbox) -> Called<'_> {
    Called { before: CURRENT.replace(inbox), _inbox: inbox }
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Has the linker take `log.c`.
pub(super) fn link() {
    // SAFETY: a constant of log.c's.
    assert_eq!(unsafe { becket_mosquitto_log_is_ours }, 1);
}

fn with_current<T>(f: impl FnOnce(&Inbox) -> T) -> Option<T> {
    // SAFETY: null, or alive, as the variable says, for the time of the call into the library that called this.
    unsafe { CURRENT.get().as_ref() }.map(f)
}

// SAFETY: log.c calls these two by these types, and nobody else has the names.
#[unsafe(no_mangle)]
extern "C" fn becket_mosquitto_is_logged(level: c_int) -> bool {
    with_current(|inbox| inbox.logs(level)).unwrap_or(false)
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn becket_mosquitto_log_line(level: c_int, line: *const c_char) {
    // SAFETY: log.c lends a C string.
    with_current(|inbox| unsafe { note_line(inbox, level, line) });
}
