//! The library's callbacks. Each copies what it is lent into a record and returns.
//!
//! No user code runs here, nothing unwinds, no fiber is switched: the library holds its mutexes meanwhile, and a
//! second call into it would wait for them for ever. Each sets `errno` to zero at its end, since the library's read
//! loop takes an `EAGAIN` that it finds there for its own.
//!
//! There is one exception. After the callback for a CONNACK the library sends again what it has under way, whatever
//! the broker said of the session; in a session that knows nothing of it that does harm, and only the callback can
//! prevent it. It does so by `mosquitto_disconnect`, which the library's manual allows there: the DISCONNECT is queued
//! before everything else, and once it is written the library closes the socket.

use super::properties::{read_announced, read_message, read_remark};
use super::{clear_errno, errno, set_errno};
use crate::announced::{Announced, Remark};
use crate::properties::Properties;
use crate::session::Expect;
use libc::{c_char, c_int};
use libmosquitto_sys as sys;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{CStr, c_void};

/// What a callback was told.
#[derive(Debug)]
pub(crate) enum Record {
    /// `unexpected` where it was answered by a DISCONNECT.
    ConnAck {
        reason: c_int,
        session_present: bool,
        unexpected: bool,
        announced: Box<Announced>,
    },
    Disconnect {
        reason: c_int,
        errno: i32,
    },
    Published {
        mid: u16,
        reason: u8,
        remark: Option<Box<Remark>>,
    },
    Message {
        topic: String,
        payload: Vec<u8>,
        qos: u8,
        retain: bool,
        properties: Option<Box<Properties>>,
        subscription_ids: Vec<u32>,
    },
    SubAck {
        mid: u16,
        reasons: Vec<u8>,
        remark: Option<Box<Remark>>,
    },
    UnsubAck {
        mid: u16,
        remark: Option<Box<Remark>>,
    },
    Log {
        level: c_int,
        line: String,
    },
}

/// The records that callbacks left, oldest first.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Borrowed for a push or a pop only, neither of which calls anything else.
    records: RefCell<VecDeque<Record>>,
    /// The levels of log lines to keep.
    log: c_int,
    /// What the broker has to say of the session.
    expected: Cell<Expect>,
}

impl Inbox {
    /// Whether lines of this level are kept.
    pub(super) fn logs(&self, level: c_int) -> bool {
        self.log & level != 0
    }

    pub(super) fn new(log: c_int) -> Inbox {
        Inbox { records: RefCell::new(VecDeque::new()), log, expected: Cell::default() }
    }

    pub(super) fn expect(&self, expected: Expect) {
        self.expected.set(expected);
    }

    fn push(&self, record: Record) {
        self.records.borrow_mut().push_back(record);
    }

    pub(super) fn pop(&self) -> Option<Record> {
        self.records.borrow_mut().pop_front()
    }
}

/// Lends the inbox behind the library's user data.
///
/// # Safety
/// `user` is the user data of a client that `Handle::new` made, and its handle is alive: both hold inside a callback.
unsafe fn inbox<'a>(user: *mut c_void) -> &'a Inbox {
    // SAFETY: by the contract it points to an `Inbox` that the handle keeps alive.
    unsafe { &*user.cast::<Inbox>() }
}

/// Sets all callbacks of a client.
///
/// # Safety
/// `client` is live, none of its callbacks is running, and its user data points to an `Inbox` that outlives it.
pub(super) unsafe fn install(client: *mut sys::mosquitto, log: bool) {
    // SAFETY: by the contract. The functions have the types that the library's header asks for.
    unsafe {
        sys::mosquitto_connect_v5_callback_set(client, Some(on_connect));
        sys::mosquitto_disconnect_v5_callback_set(client, Some(on_disconnect));
        sys::mosquitto_publish_v5_callback_set(client, Some(on_publish));
        sys::mosquitto_message_v5_callback_set(client, Some(on_message));
        sys::mosquitto_subscribe_v5_callback_set(client, Some(on_subscribe));
        sys::mosquitto_unsubscribe_v5_callback_set(client, Some(on_unsubscribe));
        // Where it is set, the library formats a line for every packet.
        if log {
            sys::mosquitto_log_callback_set(client, Some(on_log));
        }
    }
}

// SAFETY of all below: the library calls them with the client that they were installed for, its user data, and
// pointers that are valid for the time of the call.

unsafe extern "C" fn on_connect(
    client: *mut sys::mosquitto,
    user: *mut c_void,
    reason: c_int,
    flags: c_int,
    list: *const sys::mosquitto_property,
) {
    // SAFETY: user data and list are the library's, see above.
    let (inbox, announced) = unsafe { (inbox(user), read_announced(list)) };
    let session_present = flags & 1 != 0;
    let unexpected = reason == 0 && inbox.expected.get().fails(session_present);
    if unexpected {
        // SAFETY: the client is live, and this call is one that its callbacks may make: none of the mutexes that it
        // takes is held around this one.
        unsafe { sys::mosquitto_disconnect(client) };
    }
    inbox.push(Record::ConnAck { reason, session_present, unexpected, announced });
    clear_errno();
}

unsafe extern "C" fn on_disconnect(
    _: *mut sys::mosquitto,
    user: *mut c_void,
    reason: c_int,
    _: *const sys::mosquitto_property,
) {
    // First of all, before anything can change it: what failed, where the reason is a failed system call.
    let errno = errno();
    // SAFETY: user data is the library's, see above.
    unsafe { inbox(user) }.push(Record::Disconnect { reason, errno });
    clear_errno();
}

unsafe extern "C" fn on_publish(
    _: *mut sys::mosquitto,
    user: *mut c_void,
    mid: c_int,
    reason: c_int,
    list: *const sys::mosquitto_property,
) {
    // SAFETY: user data and list are the library's, see above.
    let (inbox, remark) = unsafe { (inbox(user), read_remark(list)) };
    inbox.push(Record::Published { mid: mid as u16, reason: reason as u8, remark });
    clear_errno();
}

unsafe extern "C" fn on_message(
    _: *mut sys::mosquitto,
    user: *mut c_void,
    message: *const sys::mosquitto_message,
    list: *const sys::mosquitto_property,
) {
    // SAFETY: user data, message and list are the library's, see above. The topic is a C string; the payload has
    // `payloadlen` bytes, and is null where that is 0.
    let (inbox, record) = unsafe {
        let m = &*message;
        let payload = match usize::try_from(m.payloadlen) {
            Ok(len) if len > 0 && !m.payload.is_null() => {
                std::slice::from_raw_parts(m.payload.cast::<u8>(), len).to_vec()
            }
            _ => Vec::new(),
        };
        let (properties, subscription_ids) = read_message(list);
        let record = Record::Message {
            topic: CStr::from_ptr(m.topic).to_string_lossy().into_owned(),
            payload,
            qos: m.qos as u8,
            retain: m.retain,
            properties,
            subscription_ids,
        };
        (inbox(user), record)
    };
    inbox.push(record);
    clear_errno();
}

unsafe extern "C" fn on_subscribe(
    _: *mut sys::mosquitto,
    user: *mut c_void,
    mid: c_int,
    count: c_int,
    granted: *const c_int,
    list: *const sys::mosquitto_property,
) {
    // A broker may send no codes, and then the pointer leads to nothing (CVE-2024-10525).
    let reasons = match usize::try_from(count) {
        Ok(count) if count > 0 && !granted.is_null() => {
            // SAFETY: with a count of one or more, the library lends that many integers.
            let codes = unsafe { std::slice::from_raw_parts(granted, count) };
            codes.iter().map(|code| *code as u8).collect()
        }
        _ => Vec::new(),
    };
    // SAFETY: user data and list are the library's, see above.
    let (inbox, remark) = unsafe { (inbox(user), read_remark(list)) };
    inbox.push(Record::SubAck { mid: mid as u16, reasons, remark });
    clear_errno();
}

unsafe extern "C" fn on_unsubscribe(
    _: *mut sys::mosquitto,
    user: *mut c_void,
    mid: c_int,
    list: *const sys::mosquitto_property,
) {
    // SAFETY: user data and list are the library's, see above.
    let (inbox, remark) = unsafe { (inbox(user), read_remark(list)) };
    inbox.push(Record::UnsubAck { mid: mid as u16, remark });
    clear_errno();
}

unsafe extern "C" fn on_log(_: *mut sys::mosquitto, user: *mut c_void, level: c_int, line: *const c_char) {
    // SAFETY: user data and line are the library's, see above.
    unsafe { note_line(inbox(user), level, line) }
}

/// Keeps a line of the log.
///
/// # Safety
/// `line` is null or a C string.
pub(super) unsafe fn note_line(inbox: &Inbox, level: c_int, line: *const c_char) {
    let errno = errno();
    if inbox.logs(level) && !line.is_null() {
        // SAFETY: by the contract, a C string.
        let line = unsafe { CStr::from_ptr(line) }.to_string_lossy().trim_end().to_owned();
        inbox.push(Record::Log { level, line });
    }
    // Log lines come in between a failed call and the look at its errno, so this one keeps it, except for the
    // value that the read loop would take for its own.
    if errno == libc::EAGAIN {
        clear_errno();
    } else {
        set_errno(errno);
    }
}
