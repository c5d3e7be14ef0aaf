//! Connections by a TLS context of our own.
//!
//! libmosquitto, left to make the context, reads its files at every connection, asks for and looks at the numeric address
//! that it was told to connect to instead of the name, and does not say what it was that did not pass. So the context
//! is made here, once for each client, with all files read; it knows the name, and notes what fails.

use super::{Code, Handle, errno, set_errno};
use crate::error::OptionsError;
use crate::reason::Reason;
use crate::tls::{PreSharedKey, Scrutiny, Tls, TlsVersion};
use foreign_types::{ForeignType, ForeignTypeRef};
use libc::{c_char, c_int, c_uint, c_void};
use libmosquitto_sys as mosquitto;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::nid::Nid;
use openssl::ssl::{SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef, SslVersion};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509StoreContext, X509StoreContextRef};
use openssl_sys as sys;
use std::ffi::CStr;
use std::net::IpAddr;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// Bits of where an info callback is called from; see SSL_CTX_set_info_callback(3).
const SSL_CB_HANDSHAKE_START: c_int = 0x10;
const SSL_CB_CONNECT_EXIT: c_int = 0x1002;
const SSL_CB_READ_ALERT: c_int = 0x4004;
const SSL_CB_WRITE_ALERT: c_int = 0x4008;

/// What a connection waits for to go on writing; see SSL_want(3).
const SSL_WRITING: c_int = 2;

/// Since OpenSSL 3 it would be an error, and no end, where the other side went without saying so in TLS. MQTT knows by
/// itself where its packets end. Older versions do not look at the bit.
const IGNORE_UNEXPECTED_EOF: u32 = 1 << 7;

/// Alerts that mean no harm: that the other side closes, cancels, or does not want to negotiate anew.
const PEACEFUL: [c_int; 3] = [0, 90, 100];

// SAFETY: as OpenSSL's header declares them since 1.1.0; openssl-sys leaves them out.
unsafe extern "C" {
    fn SSL_CTX_set_info_callback(
        ctx: *mut sys::SSL_CTX,
        callback: Option<unsafe extern "C" fn(*const sys::SSL, c_int, c_int)>,
    );
    fn SSL_want(ssl: *const sys::SSL) -> c_int;
}

/// What connections of one client are made with.
pub(crate) struct TlsContext {
    context: SslContext,
    watch: Arc<Watch>,
}

/// What the callbacks of a context know and note.
struct Watch {
    /// What the certificate has to be made out to.
    name: String,
    /// Whether that is an IP address, which is not asked for.
    is_number: bool,
    psk: Option<Arc<PreSharedKey>>,
    trouble: Mutex<Trouble>,
}

#[derive(Default)]
struct Trouble {
    /// What ended the handshake.
    cause: Option<Reason>,
    /// The alert that one of the sides sent, before or after the end of the handshake.
    alert: Option<String>,
}

impl Watch {
    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The first cause is the one that led to the others.
    fn note(&self, cause: Reason) {
        self.trouble().cause.get_or_insert(cause);
    }
}

impl TlsContext {
    /// A context for a broker on this host.
    pub(crate) fn new(tls: &Tls, host: &str) -> Result<TlsContext, OptionsError> {
        if !is_the_librarys_openssl() {
            return Err(OptionsError::new("TLS: this program has another OpenSSL than its libmosquitto"));
        }
        let authorities = tls.authorities()?;
        let fail = |e: ErrorStack| OptionsError::new(format!("TLS: {}", openssl_reasons(&e)));
        let name = tls.server_name.as_deref().unwrap_or(host).trim_end_matches('.');
        // A link-local address comes with its interface, which is in no certificate.
        let ip = name.split('%').next().and_then(|ip| ip.parse::<IpAddr>().ok());
        let watch = Arc::new(Watch {
            name: name.to_owned(),
            is_number: ip.is_some(),
            psk: tls.psk.clone(),
            trouble: Mutex::default(),
        });

        let mut b = SslContextBuilder::new(SslMethod::tls_client()).map_err(fail)?;
        b.set_options(SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION);
        b.set_options(SslOptions::from_bits_retain(IGNORE_UNEXPECTED_EOF.into()));
        b.set_mode(SslMode::RELEASE_BUFFERS);
        b.set_min_proto_version(Some(match tls.min_version {
            TlsVersion::V1_2 => SslVersion::TLS1_2,
            TlsVersion::V1_3 => SslVersion::TLS1_3,
        }))
        .map_err(fail)?;
        if let Some(list) = &tls.ciphers {
            b.set_cipher_list(list).map_err(fail)?;
        }
        if let Some(list) = &tls.ciphersuites {
            b.set_ciphersuites(list).map_err(fail)?;
        }
        if !tls.alpn.is_empty() {
            b.set_alpn_protos(&tls.alpn).map_err(fail)?;
        }
        if let Some(identity) = &tls.identity {
            b.set_certificate(&identity.chain[0]).map_err(fail)?;
            for certificate in &identity.chain[1..] {
                b.add_extra_chain_cert(certificate.clone()).map_err(fail)?;
            }
            b.set_private_key(&identity.key).map_err(fail)?;
        }
        let mut store = X509StoreBuilder::new().map_err(fail)?;
        for authority in authorities {
            store.add_cert(authority.clone()).map_err(fail)?;
        }
        b.set_cert_store(store.build());
        if tls.scrutiny == Scrutiny::Full {
            match ip {
                Some(ip) => b.verify_param_mut().set_ip(ip),
                None => b.verify_param_mut().set_host(name),
            }
            .map_err(fail)?;
        }
        b.set_ex_data(watch_index(), Arc::clone(&watch));
        // The callbacks of the `openssl` crate serve only connections that it made itself.
        // SAFETY: a live context, and functions of the types that the calls ask for, which find all that they need
        // behind the connection that they are called for.
        unsafe {
            if tls.scrutiny != Scrutiny::None {
                sys::SSL_CTX_set_verify(b.as_ptr(), sys::SSL_VERIFY_PEER, Some(on_verify));
            }
            if watch.psk.is_some() {
                sys::SSL_CTX_set_psk_client_callback(b.as_ptr(), Some(on_psk));
            }
            SSL_CTX_set_info_callback(b.as_ptr(), Some(on_info));
        }
        Ok(TlsContext { context: b.build(), watch })
    }

    /// Forgets what ended the connection before.
    pub(crate) fn begin(&self) {
        *self.watch.trouble() = Trouble::default();
    }

    /// Whether a handshake failed, which libmosquitto does not see in each case.
    pub(crate) fn has_failed(&self) -> bool {
        self.watch.trouble().cause.is_some()
    }

    /// What ended the connection, where that was noted.
    pub(crate) fn take_reason(&self) -> Option<Reason> {
        let Trouble { cause, alert } = std::mem::take(&mut *self.watch.trouble());
        cause.or(alert.map(Reason::Tls))
    }
}

impl Handle {
    /// Has every connection speak TLS.
    pub(crate) fn set_tls(&mut self, tls: &TlsContext) -> Code {
        let code = self.int_option(mosquitto::mosq_opt_t::MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0);
        if !code.is_ok() {
            return code;
        }
        let context = tls.context.as_ptr().cast::<c_void>();
        // SAFETY: a live client and a live context of the same OpenSSL that libmosquitto links, which `new` saw to; the
        // library counts its own use of it.
        self.call(|m| unsafe { mosquitto::mosquitto_void_option(m, mosquitto::mosq_opt_t::MOSQ_OPT_SSL_CTX, context) })
            .code
    }

    fn tls(&self) -> Option<&sys::SSL> {
        // SAFETY: a live client. What it answers is null, or its connection's, which it frees only in calls that
        // take `&mut self`, which this borrow excludes.
        unsafe { mosquitto::mosquitto_ssl_get(self.raw.as_ptr()).cast::<sys::SSL>().as_ref() }
    }

    /// Whether there are bytes that were read from the socket and are still inside of OpenSSL.
    pub(crate) fn has_pending(&self) -> bool {
        // SAFETY: a live connection.
        self.tls().is_some_and(|ssl| unsafe { sys::SSL_pending(ssl) } > 0)
    }

    /// During a handshake, whether it waits for room to write; the library says that it wants to write all the time.
    pub(crate) fn handshake_wants_write(&self) -> Option<bool> {
        let ssl = self.tls()?;
        // SAFETY: a live connection.
        let (is_done, wants) = unsafe { (sys::SSL_is_init_finished(ssl) != 0, SSL_want(ssl)) };
        (!is_done).then_some(wants == SSL_WRITING)
    }
}

/// The place of the `Watch` in a context.
fn watch_index() -> Index<SslContext, Arc<Watch>> {
    static INDEX: OnceLock<Index<SslContext, Arc<Watch>>> = OnceLock::new();
    *INDEX.get_or_init(|| SslContext::new_ex_index().expect("OpenSSL has memory for a number"))
}

fn watch_of(ssl: &SslRef) -> Option<Arc<Watch>> {
    ssl.ssl_context().ex_data(watch_index()).cloned()
}

/// Called by OpenSSL, inside calls of libmosquitto's, for each certificate of the broker's, with what it thinks of it.
extern "C" fn on_verify(passes: c_int, chain: *mut sys::X509_STORE_CTX) -> c_int {
    if passes == 0 {
        // SAFETY: OpenSSL lends a live chain.
        let chain = unsafe { X509StoreContextRef::from_ptr_mut(chain) };
        let ssl = X509StoreContext::ssl_idx().ok().and_then(|index| chain.ex_data(index));
        if let Some(watch) = ssl.and_then(watch_of) {
            watch.note(Reason::Untrusted(what_did_not_pass(chain, &watch.name)));
        }
    }
    passes
}

/// Called by OpenSSL for the key that is shared with the broker. The answer is its length, 0 for none.
extern "C" fn on_psk(
    ssl: *mut sys::SSL,
    _: *const c_char,
    identity: *mut c_char,
    identity_room: c_uint,
    key: *mut u8,
    key_room: c_uint,
) -> c_uint {
    // SAFETY: OpenSSL lends a live connection.
    let watch = watch_of(unsafe { SslRef::from_ptr(ssl) });
    let Some(psk) = watch.as_ref().and_then(|watch| watch.psk.as_deref()) else { return 0 };
    if psk.identity.len() >= identity_room as usize || psk.key.len() > key_room as usize {
        return 0;
    }
    // SAFETY: OpenSSL lends room for so many bytes, into which the identity with a NUL and the key fit.
    unsafe {
        identity.cast::<u8>().copy_from(psk.identity.as_ptr(), psk.identity.len());
        identity.add(psk.identity.len()).write(0);
        key.copy_from(psk.key.as_ptr(), psk.key.len());
    }
    psk.key.len() as c_uint
}

/// Called by OpenSSL, inside calls of libmosquitto's, at what happens to a connection.
///
/// # Safety
/// For OpenSSL alone, which lends a live connection.
// SAFETY: it is given to SSL_CTX_set_info_callback and to nobody else.
unsafe extern "C" fn on_info(ssl: *const sys::SSL, place: c_int, value: c_int) {
    let kept = errno();
    // SAFETY: by the contract; nobody else uses the connection meanwhile, since OpenSSL's caller has it.
    let ssl = unsafe { SslRef::from_ptr_mut(ssl.cast_mut()) };
    if let Some(watch) = watch_of(ssl) {
        match place {
            SSL_CB_HANDSHAKE_START => ask_for_name(ssl, (!watch.is_number).then_some(watch.name.as_str())),
            SSL_CB_READ_ALERT => note_alert(&watch, "the broker", value),
            SSL_CB_WRITE_ALERT => note_alert(&watch, "this side", value),
            SSL_CB_CONNECT_EXIT if value <= 0 && note_end(&watch, ssl, value, kept) => {
                return set_errno(libc::EAGAIN);
            }
            _ => {}
        }
    }
    set_errno(kept);
}

/// The library has asked for the number that it connects to.
fn ask_for_name(ssl: &mut SslRef, name: Option<&str>) {
    match name {
        Some(name) => {
            // Where there is no memory for it, it fails later and says so.
            let _ = ssl.set_hostname(name);
        }
        // SAFETY: a live connection; a null name takes back the one that was set.
        None => unsafe {
            sys::SSL_set_tlsext_host_name(ssl.as_ptr(), null_mut());
        },
    }
}

fn note_alert(watch: &Watch, who: &str, value: c_int) {
    if PEACEFUL.contains(&(value & 0xff)) {
        return;
    }
    // SAFETY: the function takes any integer and returns a string literal.
    let text = unsafe { CStr::from_ptr(sys::SSL_alert_desc_string_long(value)) };
    watch.trouble().alert.get_or_insert_with(|| format!("{who} sent the alert `{}`", text.to_string_lossy()));
}

/// Notes why a handshake does not go on, unless it merely waits: then the answer is yes, and `errno` has to say so,
/// which is all that libmosquitto hands on.
fn note_end(watch: &Watch, ssl: &SslRef, value: c_int, errno: c_int) -> bool {
    // SAFETY: a live connection, and the value of the call that is about to end.
    let error = unsafe { sys::SSL_get_error(ssl.as_ptr(), value) };
    watch.note(match error {
        sys::SSL_ERROR_WANT_READ | sys::SSL_ERROR_WANT_WRITE => return true,
        sys::SSL_ERROR_SSL => {
            // Looked at and left where it is: the library asks too.
            // SAFETY: both take and return integers and string literals, or null.
            let text = unsafe { sys::ERR_reason_error_string(sys::ERR_peek_last_error()) };
            Reason::Tls(literal(text).unwrap_or_else(|| "the handshake failed".to_owned()))
        }
        sys::SSL_ERROR_SYSCALL if errno != 0 => Reason::Os(errno),
        _ => Reason::Lost,
    });
    false
}

/// What OpenSSL found, in its words, and which certificate it was.
fn what_did_not_pass(chain: &X509StoreContextRef, name: &str) -> String {
    let whose = chain.current_cert().and_then(|certificate| {
        let entry = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next()?;
        Some(entry.data().to_string().ok()?.escape_debug().to_string())
    });
    let whose = whose.map_or_else(|| "one without a name".to_owned(), |name| format!("`{name}`"));
    format!("{}: the certificate is {whose}, the broker's name `{name}`", chain.error().error_string())
}

/// What OpenSSL says about a call that failed, without numbers and source files.
pub(crate) fn openssl_reasons(e: &ErrorStack) -> String {
    let mut reasons: Vec<_> = e.errors().iter().filter_map(|e| e.reason()).collect();
    reasons.dedup();
    if reasons.is_empty() { "OpenSSL does not say why".to_owned() } else { reasons.join(", ") }
}

fn literal(text: *const c_char) -> Option<String> {
    // SAFETY: callers hand on what OpenSSL returned: null or a string literal.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// Whether libmosquitto calls the OpenSSL that this crate calls: what one makes, the other must not touch.
#[cfg(feature = "vendored")]
fn is_the_librarys_openssl() -> bool {
    // Built together.
    true
}

#[cfg(not(feature = "vendored"))]
fn is_the_librarys_openssl() -> bool {
    // Where it is not a shared library, it was linked with this program, and so with its OpenSSL.
    // SAFETY: C strings; nothing is loaded that is not there already, and the handle is given back.
    let theirs = unsafe {
        let library = libc::dlopen(c"libmosquitto.so.1".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        if library.is_null() {
            return true;
        }
        let theirs = libc::dlsym(library, c"OpenSSL_version".as_ptr());
        libc::dlclose(library);
        theirs
    };
    if theirs.is_null() {
        // Built without TLS, as it will say itself.
        return true;
    }
    // Each OpenSSL answers with a literal of its own.
    // SAFETY: this is the type of OpenSSL's function of that name since 1.1.0, and the library is loaded.
    unsafe {
        let theirs: unsafe extern "C" fn(c_int) -> *const c_char = std::mem::transmute(theirs);
        theirs(0) == sys::OpenSSL_version(0)
    }
}
