//! In the place of TLS where the feature is not there: types that have no value, so that the rest of the crate need not
//! know.

use crate::address::Address;
use crate::error::OptionsError;
use crate::ffi::{Code, Handle};
use crate::options::Options;
use crate::reason::Reason;

#[derive(Debug, Clone)]
pub(crate) enum Tls {}

impl Tls {
    /// No address asks for it: its scheme is refused.
    pub(crate) fn of(_: &Address) -> Option<Tls> {
        None
    }
}

#[derive(Debug)]
pub(crate) enum TlsContext {}

impl TlsContext {
    pub(crate) fn begin(&self) {
        match *self {}
    }

    pub(crate) fn has_failed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn take_reason(&self) -> Option<Reason> {
        match *self {}
    }
}

impl Options {
    pub(crate) fn tls_context(&self) -> Result<Option<TlsContext>, OptionsError> {
        match self.tls {
            None => Ok(None),
            Some(ref tls) => match *tls {},
        }
    }
}

impl Handle {
    pub(crate) fn set_tls(&mut self, tls: &TlsContext) -> Code {
        match *tls {}
    }

    pub(crate) fn has_pending(&self) -> bool {
        false
    }

    pub(crate) fn handshake_wants_write(&self) -> Option<bool> {
        None
    }
}
