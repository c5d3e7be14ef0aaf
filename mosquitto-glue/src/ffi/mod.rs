//! The one place where libmosquitto is called.
//!
//! Everything here follows three rules that libmosquitto's mutexes and its use of `errno` force upon its callers: its
//! callbacks only put a record into the [`Inbox`]; nobody calls into the library from inside one, but for the
//! DISCONNECT that answers a CONNACK of the wrong session; and after every call the socket is asked for, since the
//! library may have closed it whatever the return code says.

#[cfg(feature = "vendored")]
mod log;
mod properties;
#[cfg(feature = "tls")]
mod tls;
mod trampolines;

#[cfg(not(feature = "tls"))]
pub(crate) use crate::no_tls::TlsContext;
pub(crate) use properties::PropertyList;
#[cfg(feature = "tls")]
pub(crate) use tls::{TlsContext, openssl_reasons};
pub(crate) use trampolines::{Inbox, Record};

use crate::disconnect::Disconnect;
use crate::session::Expect;
use crate::subscribe::SubscribeOptions;
use libc::c_int;
use libmosquitto_sys as sys;
use std::ffi::{CStr, CString, c_void};
use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null};
use std::rc::Rc;
use std::sync::{Once, OnceLock};
use std::{fmt, io};

/// A return code of the library (`enum mosq_err_t`), kept as the integer it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) c_int);

impl Code {
    pub(crate) const SUCCESS: Code = Code(0);
    pub(crate) const PROTOCOL: Code = Code(2);
    pub(crate) const INVAL: Code = Code(3);
    pub(crate) const NO_CONN: Code = Code(4);
    pub(crate) const CONN_REFUSED: Code = Code(5);
    pub(crate) const CONN_LOST: Code = Code(7);
    pub(crate) const TLS: Code = Code(8);
    pub(crate) const PAYLOAD_SIZE: Code = Code(9);
    pub(crate) const NOT_SUPPORTED: Code = Code(10);
    pub(crate) const AUTH: Code = Code(11);
    pub(crate) const ERRNO: Code = Code(14);
    pub(crate) const PROXY: Code = Code(16);
    pub(crate) const MALFORMED_UTF8: Code = Code(18);
    pub(crate) const KEEPALIVE: Code = Code(19);
    pub(crate) const MALFORMED_PACKET: Code = Code(21);
    pub(crate) const DUPLICATE_PROPERTY: Code = Code(22);
    pub(crate) const QOS_NOT_SUPPORTED: Code = Code(24);
    pub(crate) const OVERSIZE_PACKET: Code = Code(25);

    pub(crate) fn is_ok(self) -> bool {
        self == Code::SUCCESS
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: the function takes any integer and returns a string literal.
        let text = unsafe { CStr::from_ptr(sys::mosquitto_strerror(self.0)) };
        f.write_str(text.to_string_lossy().trim_end_matches('.'))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}: {self})", self.0)
    }
}

/// The library's text for an MQTT 5 reason code.
pub(crate) fn reason_text(code: u8) -> String {
    // SAFETY: the function takes any integer and returns a string literal.
    let text = unsafe { CStr::from_ptr(sys::mosquitto_reason_string(code.into())) };
    text.to_string_lossy().trim_end_matches('.').to_owned()
}

/// The version of the library in use: major, minor, revision.
pub(crate) fn version() -> (i32, i32, i32) {
    let (mut major, mut minor, mut revision) = (0, 0, 0);
    // SAFETY: three pointers to live integers.
    unsafe { sys::mosquitto_lib_version(&mut major, &mut minor, &mut revision) };
    (major, minor, revision)
}

/// Whether `topic` may be published to, by the library's own rules.
pub(crate) fn is_topic(topic: &str) -> bool {
    is_string(topic)
        && !topic.is_empty()
        // SAFETY: pointer and length of a live string, which is_string() limited to what fits.
        && unsafe { sys::mosquitto_pub_topic_check2(topic.as_ptr().cast(), topic.len()) } == 0
}

/// Whether `filter` may be subscribed to, by the library's own rules.
pub(crate) fn is_filter(filter: &str) -> bool {
    is_string(filter)
        && !filter.is_empty()
        // SAFETY: pointer and length of a live string, which is_string() limited to what fits.
        && unsafe { sys::mosquitto_sub_topic_check2(filter.as_ptr().cast(), filter.len()) } == 0
}

/// Whether `text` may be a string of MQTT: at most 65535 bytes, none of the characters that the protocol forbids.
pub(crate) fn is_string(text: &str) -> bool {
    text.len() <= usize::from(u16::MAX)
        && (text.is_empty()
            // SAFETY: pointer and length of a live string; the length fits an int.
            || unsafe { sys::mosquitto_validate_utf8(text.as_ptr().cast(), text.len() as c_int) } == 0)
}

/// Whether the library was built with SOCKS5.
pub(crate) fn has_socks5() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let handle = Handle::new(None, true, 0);
        // Without memory for a client, the next one says so.
        handle.is_ok_and(|mut handle| handle.set_socks5(c"127.0.0.1", 1080, None) != Code::NOT_SUPPORTED)
    })
}

/// Whether a message to `topic` is for those who subscribed to `filter`, by the library's own rules.
#[cfg(test)]
pub(crate) fn matches(filter: &CStr, topic: &CStr) -> bool {
    let mut result = false;
    // SAFETY: two C strings and a pointer to a live bool.
    let code = unsafe { sys::mosquitto_topic_matches_sub(filter.as_ptr(), topic.as_ptr(), &mut result) };
    assert_eq!(code, 0, "{filter:?} {topic:?}");
    result
}

fn init() {
    static ONCE: Once = Once::new();
    // Never undone: the library counts its users without any lock, and cleaning up twice would free globals in use.
    // SAFETY: `Once` makes this the only call that runs, and before any other call into the library.
    ONCE.call_once(|| unsafe {
        sys::mosquitto_lib_init();
    });
    #[cfg(feature = "vendored")]
    log::link();
}

/// Sets the calling thread's `errno` to zero.
fn clear_errno() {
    set_errno(0);
}

fn set_errno(value: c_int) {
    // SAFETY: the location is valid for the calling thread for as long as it lives.
    unsafe { *libc::__errno_location() = value }
}

fn errno() -> i32 {
    // SAFETY: the location is valid for the calling thread for as long as it lives.
    unsafe { *libc::__errno_location() }
}

/// What a call into the library left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) code: Code,
    /// `errno` as the call left it, having found it zero.
    pub(crate) errno: i32,
    /// Whether the library still has its socket.
    pub(crate) open: bool,
}

/// One client of the library.
///
/// Created and used on one thread (the pointer makes it `!Send`); destroyed when dropped, which closes the connection
/// without a DISCONNECT, so that the broker sends the will.
#[derive(Debug)]
pub(crate) struct Handle {
    /// From `mosquitto_new`, destroyed in `drop` and nowhere else.
    raw: NonNull<sys::mosquitto>,
    /// Where the callbacks leave their records. The library holds a pointer to it, so it lives at least as long as
    /// `raw`.
    inbox: Rc<Inbox>,
    /// Whether the library sends nothing by itself at any time.
    deferred: bool,
    /// Whether it was told of a proxy.
    has_proxy: bool,
}

impl Handle {
    /// A client of the name `id`, or of the one that the broker gives it.
    pub(crate) fn new(id: Option<&CStr>, clean_start: bool, log: c_int) -> io::Result<Handle> {
        init();
        let inbox = Rc::new(Inbox::new(log));
        let id = id.map_or(null(), CStr::as_ptr);
        // SAFETY: the id is a C string or null, and the user data a pointer to `inbox`, which outlives the client.
        let raw = unsafe { sys::mosquitto_new(id, clean_start, Rc::as_ptr(&inbox) as *mut c_void) };
        let raw = NonNull::new(raw).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: a live client, not in a callback; its user data is the inbox.
        unsafe { trampolines::install(raw.as_ptr(), log != 0) };
        Ok(Handle { raw, inbox, deferred: false, has_proxy: false })
    }

    /// The oldest record that a callback left.
    pub(crate) fn next_record(&self) -> Option<Record> {
        self.inbox.pop()
    }

    /// Runs a call into the library with `errno` at zero before it.
    fn call(&mut self, f: impl FnOnce(*mut sys::mosquitto) -> c_int) -> After {
        #[cfg(feature = "vendored")]
        let _called = log::called(&self.inbox);
        clear_errno();
        let code = Code(f(self.raw.as_ptr()));
        let errno = errno();
        After { code, errno, open: self.socket().is_some() }
    }

    fn int_option(&mut self, option: sys::mosq_opt_t, value: c_int) -> Code {
        // SAFETY: a live client; the option's value goes by value.
        self.call(|m| unsafe { sys::mosquitto_int_option(m, option, value) }).code
    }

    pub(crate) fn set_protocol(&mut self, version: c_int) -> Code {
        self.int_option(sys::mosq_opt_t::MOSQ_OPT_PROTOCOL_VERSION, version)
    }

    /// The most messages of QoS 1 and 2 that the library keeps under way.
    pub(crate) fn set_window(&mut self, messages: u16) -> Code {
        self.int_option(sys::mosq_opt_t::MOSQ_OPT_SEND_MAXIMUM, messages.into())
    }

    /// Announces to a broker of MQTT 5 how many messages it may have under way to us.
    pub(crate) fn set_receive_maximum(&mut self, messages: u16) -> Code {
        self.int_option(sys::mosq_opt_t::MOSQ_OPT_RECEIVE_MAXIMUM, messages.into())
    }

    pub(crate) fn set_nodelay(&mut self) -> Code {
        self.int_option(sys::mosq_opt_t::MOSQ_OPT_TCP_NODELAY, 1)
    }

    /// Has the library send nothing by itself: only [`write`](Self::write) does.
    pub(crate) fn set_deferred(&mut self) -> Code {
        self.deferred = true;
        // SAFETY: a live client that has no thread of the library's own.
        self.call(|m| unsafe { sys::mosquitto_threaded_set(m, true) }).code
    }

    pub(crate) fn set_credentials(&mut self, user: &CStr, password: Option<&CStr>) -> Code {
        let password = password.map_or(null(), CStr::as_ptr);
        // SAFETY: a live client and C strings (or null), which the library copies.
        self.call(|m| unsafe { sys::mosquitto_username_pw_set(m, user.as_ptr(), password) }).code
    }

    /// Connects to this numeric address, and has who is there connect to where `connect` says.
    pub(crate) fn set_socks5(&mut self, host: &CStr, port: u16, login: Option<(&CStr, &CStr)>) -> Code {
        let (user, password) = login.map_or((null(), null()), |(user, password)| (user.as_ptr(), password.as_ptr()));
        self.has_proxy = true;
        // SAFETY: a live client and C strings (or null), which the library copies.
        self.call(|m| unsafe { sys::mosquitto_socks5_set(m, host.as_ptr(), port.into(), user, password) }).code
    }

    pub(crate) fn set_will(
        &mut self,
        topic: &CStr,
        payload: &[u8],
        qos: u8,
        retain: bool,
        list: Result<PropertyList, Code>,
    ) -> Code {
        let Ok(len) = c_int::try_from(payload.len()) else { return Code::PAYLOAD_SIZE };
        let list = match list {
            Ok(list) => list,
            Err(code) => return code,
        };
        let (bytes, head) = (payload.as_ptr().cast(), list.as_ptr().cast_mut());
        let after = self.call(|m| {
            // SAFETY: a live client, a C string, and a slice's pointer and length: the library copies both. The list is
            // null or live; the library takes it over where it says success, and then it is released below.
            unsafe { sys::mosquitto_will_set_v5(m, topic.as_ptr(), len, bytes, qos.into(), retain, head) }
        });
        if after.code.is_ok() {
            list.release();
        }
        after.code
    }

    /// Stores the properties that the next CONNECT carries.
    ///
    /// The library has no asynchronous connect with properties. Its blocking one stores them before it looks at the
    /// host, so that a call without a host stores them and fails with INVAL: a test watches over that order.
    pub(crate) fn store_connect_properties(&mut self, list: &PropertyList, keepalive: u16) -> Code {
        let after = self.call(|m| {
            // SAFETY: a live client; a null host is refused before anything is done with it; the list is copied.
            unsafe { sys::mosquitto_connect_bind_v5(m, null(), 0, keepalive.into(), null(), list.as_ptr()) }
        });
        if after.code == Code::INVAL { Code::SUCCESS } else { after.code }
    }

    /// Starts to connect to a numeric address, or to the unix socket at a path where the port is 0.
    pub(crate) fn connect(&mut self, host: &CStr, port: u16, keepalive: u16) -> After {
        // SAFETY: a live client and a C string, which the library copies.
        self.call(|m| unsafe { sys::mosquitto_connect_async(m, host.as_ptr(), port.into(), keepalive.into()) })
    }

    /// What the next CONNACK has to say of the session: to another one the answer is a DISCONNECT, before anything
    /// that is under way is sent again.
    pub(crate) fn expect_session(&mut self, expected: Expect) {
        self.inbox.expect(expected);
    }

    /// Queues a DISCONNECT; the library closes its socket once it is written.
    pub(crate) fn disconnect(&mut self, disconnect: &Disconnect) -> After {
        let list = PropertyList::of_disconnect(disconnect);
        self.call(|m| match &list {
            // SAFETY: a live client, and a list that is null or live; the library writes it out before the call
            // returns.
            Ok(list) => unsafe { sys::mosquitto_disconnect_v5(m, disconnect.code.into(), list.as_ptr()) },
            Err(code) => code.0,
        })
    }

    /// Reads about one packet, and queues what answers it. `errno` says `EAGAIN` when the socket was empty, and also
    /// when there was no room to note an answer.
    ///
    /// As between threads, nothing is written meanwhile: the library drops a message of QoS 2 that it cannot answer,
    /// which the broker then takes for one that has arrived.
    pub(crate) fn read(&mut self) -> After {
        let deferred = self.deferred;
        // SAFETY: a live client, in all three; the mode is a field of its own, and is set back.
        self.call(|m| unsafe {
            sys::mosquitto_threaded_set(m, true);
            let code = sys::mosquitto_loop_read(m, 1);
            sys::mosquitto_threaded_set(m, deferred);
            code
        })
    }

    /// Writes what is queued. The 1 matters: with more, the library reports one disconnection twice.
    pub(crate) fn write(&mut self) -> After {
        // SAFETY: a live client.
        self.call(|m| unsafe { sys::mosquitto_loop_write(m, 1) })
    }

    /// Sends a PINGREQ when it is due, and closes the socket when an answer is overdue.
    pub(crate) fn misc(&mut self) -> After {
        // SAFETY: a live client.
        self.call(|m| unsafe { sys::mosquitto_loop_misc(m) })
    }

    pub(crate) fn wants_write(&self) -> bool {
        // SAFETY: a live client.
        unsafe { sys::mosquitto_want_write(self.raw.as_ptr()) }
    }

    /// The library's socket, while it has one.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: a live client.
        let fd = unsafe { sys::mosquitto_socket(self.raw.as_ptr()) };
        // SAFETY: a number that is not negative is the socket the library has open. It closes it only in calls that
        // take `&mut self`, which this borrow excludes.
        (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Publishes, and says under which packet identifier (0 where the library chose none). With a topic alias in the
    /// list the topic may be empty.
    ///
    /// With QoS 1 and 2, an error that is none of [`is_argument_error`] leaves the message in the library's list: it
    /// goes out on the next connection.
    pub(crate) fn publish(
        &mut self,
        topic: &CStr,
        payload: &[u8],
        qos: u8,
        retain: bool,
        list: &PropertyList,
    ) -> (After, u16) {
        let mut mid = 0;
        let list = list.as_ptr();
        let bytes = payload.as_ptr().cast();
        let after = self.call(|m| {
            let Ok(len) = c_int::try_from(payload.len()) else { return Code::PAYLOAD_SIZE.0 };
            // SAFETY: a live client outside of any callback; a C string, a slice's pointer and length, a live list:
            // the library copies all three.
            unsafe { sys::mosquitto_publish_v5(m, &mut mid, topic.as_ptr(), len, bytes, qos.into(), retain, list) }
        });
        (after, mid as u16)
    }

    /// Makes the library use up one packet identifier without sending anything; `false` where that cannot be.
    ///
    /// The library counts identifiers round without a look at those in use. A message longer than the protocol allows
    /// is refused after the count and before its bytes are looked at, unless the broker announced a limit of its own.
    pub(crate) fn skip_packet_id(&mut self) -> bool {
        const TOO_LONG: c_int = 268_435_455; // with a topic, more than the length field can say
        let mut mid = 0;
        let after = self.call(|m| {
            let nothing = NonNull::<u8>::dangling().as_ptr().cast();
            // SAFETY: a live client; the packet's length is refused before the payload's bytes are read.
            unsafe { sys::mosquitto_publish(m, &mut mid, c"x".as_ptr(), TOO_LONG, nothing, 0, false) }
        });
        after.code == Code::PAYLOAD_SIZE && mid != 0
    }

    /// Subscribes to all of these filters alike, of which there is at least one.
    pub(crate) fn subscribe(&mut self, filters: &[CString], options: &SubscribeOptions) -> (After, u16) {
        let (qos, flags) = (options.qos as c_int, options.flags().into());
        let filters: Vec<_> = filters.iter().map(|filter| filter.as_ptr().cast_mut()).collect();
        self.request(PropertyList::of_subscribe(options), |m, mid, list| {
            let (count, filters) = (filters.len() as c_int, filters.as_ptr());
            // SAFETY: a live client outside of any callback, an array of C strings and its length, and a live list: the
            // library copies all, and writes to none.
            unsafe { sys::mosquitto_subscribe_multiple(m, mid, count, filters, qos, flags, list) }
        })
    }

    pub(crate) fn unsubscribe(&mut self, filters: &[CString], user: &[(String, String)]) -> (After, u16) {
        let mut list = PropertyList::new();
        list.add_user(user);
        let filters: Vec<_> = filters.iter().map(|filter| filter.as_ptr().cast_mut()).collect();
        self.request(list.finish(), |m, mid, list| {
            // SAFETY: as above.
            unsafe { sys::mosquitto_unsubscribe_multiple(m, mid, filters.len() as c_int, filters.as_ptr(), list) }
        })
    }

    /// Has the library send a request with properties, and says under which packet identifier (0 where it was not
    /// sent).
    fn request(
        &mut self,
        list: Result<PropertyList, Code>,
        send: impl FnOnce(*mut sys::mosquitto, *mut c_int, *const sys::mosquitto_property) -> c_int,
    ) -> (After, u16) {
        let mut mid = 0;
        let after = self.call(|m| match &list {
            Ok(list) => send(m, &mut mid, list.as_ptr()),
            Err(code) => code.0,
        });
        (after, mid as u16)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.has_proxy {
            // The library frees the proxy when another one is set, and not with the client.
            self.set_socks5(c"", 1, None);
        }
        // SAFETY: the client is live, nothing else holds the pointer, and no callback is running: callbacks run
        // inside calls that borrow `self`.
        unsafe { sys::mosquitto_destroy(self.raw.as_ptr()) }
    }
}

/// Whether a publish with this code was refused before the library kept anything of it.
pub(crate) fn is_argument_error(code: Code) -> bool {
    [Code::INVAL, Code::PAYLOAD_SIZE, Code::OVERSIZE_PACKET, Code::MALFORMED_UTF8, Code::QOS_NOT_SUPPORTED]
        .contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_while_unconnected_takes_an_identifier() {
        let mut handle = Handle::new(Some(c"test"), true, 0).unwrap();
        assert!(handle.socket().is_none());
        let (after, mid) = handle.publish(c"a", b"", 0, false, &PropertyList::new());
        assert!(!after.code.is_ok() && !after.open);
        assert_eq!(mid, 1);
        assert!(!is_argument_error(after.code));
    }

    #[test]
    fn codes_have_texts() {
        assert_eq!(reason_text(0x87), "Not authorized");
        assert!(!Code::KEEPALIVE.to_string().is_empty());
        assert_eq!(version().0, 2);
    }

    #[test]
    fn topics_and_filters() {
        assert!(is_topic("a/b") && !is_topic("a/+") && !is_topic("") && !is_topic("a\0b"));
        assert!(is_filter("a/+/#") && !is_filter("a/#/b") && !is_filter(""));
        assert!(!is_topic(&"x".repeat(65536)));
    }
}
