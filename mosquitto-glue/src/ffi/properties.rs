//! Lists of MQTT 5 properties: made for the library, and read from what it lends.

use super::Code;
use crate::properties::Properties;
use libc::{c_char, c_int};
use libmosquitto_sys as sys;
use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;

/// A list of the library's, owned.
#[derive(Debug)]
pub(crate) struct PropertyList {
    /// Null, or a list that `mosquitto_property_add_*` made; freed in `drop`.
    head: *mut sys::mosquitto_property,
}

impl PropertyList {
    pub(crate) fn new() -> PropertyList {
        PropertyList { head: null_mut() }
    }

    pub(crate) fn as_ptr(&self) -> *const sys::mosquitto_property {
        self.head
    }

    pub(crate) fn add_u32(&mut self, property: sys::mqtt5_property, value: u32) -> Code {
        // SAFETY: `head` is null or a live list, which the library extends.
        Code(unsafe { sys::mosquitto_property_add_int32(&mut self.head, property as c_int, value) })
    }

    fn add_byte(&mut self, property: sys::mqtt5_property, value: u8) -> Code {
        // SAFETY: as in add_u32.
        Code(unsafe { sys::mosquitto_property_add_byte(&mut self.head, property as c_int, value) })
    }

    fn add_string(&mut self, property: sys::mqtt5_property, value: &str) -> Code {
        let Ok(value) = CString::new(value) else { return Code::INVAL };
        // SAFETY: as in add_u32; the C string is copied.
        Code(unsafe { sys::mosquitto_property_add_string(&mut self.head, property as c_int, value.as_ptr()) })
    }

    fn add_binary(&mut self, property: sys::mqtt5_property, value: &[u8]) -> Code {
        let Ok(len) = u16::try_from(value.len()) else { return Code::INVAL };
        let bytes = value.as_ptr().cast::<c_void>();
        // SAFETY: as in add_u32; pointer and length are a slice's, which is copied.
        Code(unsafe { sys::mosquitto_property_add_binary(&mut self.head, property as c_int, bytes, len) })
    }

    fn add_pair(&mut self, property: sys::mqtt5_property, name: &str, value: &str) -> Code {
        let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else { return Code::INVAL };
        let property = property as c_int;
        // SAFETY: as in add_u32; the C strings are copied.
        Code(unsafe {
            sys::mosquitto_property_add_string_pair(&mut self.head, property, name.as_ptr(), value.as_ptr())
        })
    }

    /// The library's form of `properties`, which [`Properties::problem`] found nothing wrong with.
    pub(crate) fn of_message(properties: &Properties) -> Result<PropertyList, Code> {
        use sys::mqtt5_property as p;
        let mut list = PropertyList::new();
        let mut codes = Vec::new();
        if properties.is_text {
            codes.push(list.add_byte(p::MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, 1));
        }
        if let Some(seconds) = properties.message_expiry {
            codes.push(list.add_u32(p::MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, seconds));
        }
        if let Some(text) = &properties.content_type {
            codes.push(list.add_string(p::MQTT_PROP_CONTENT_TYPE, text));
        }
        if let Some(text) = &properties.response_topic {
            codes.push(list.add_string(p::MQTT_PROP_RESPONSE_TOPIC, text));
        }
        if let Some(data) = &properties.correlation_data {
            codes.push(list.add_binary(p::MQTT_PROP_CORRELATION_DATA, data));
        }
        for (name, value) in &properties.user {
            codes.push(list.add_pair(p::MQTT_PROP_USER_PROPERTY, name, value));
        }
        match codes.into_iter().find(|code| !code.is_ok()) {
            Some(code) => Err(code),
            None => Ok(list),
        }
    }
}

impl Drop for PropertyList {
    fn drop(&mut self) {
        // SAFETY: null, or a live list that nobody else frees; the library sets the pointer to null.
        unsafe { sys::mosquitto_property_free_all(&mut self.head) }
    }
}

/// A string that the library allocated for us, taken over and freed.
///
/// # Safety
/// `text` is null, or from the library's `calloc` and nobody else's, NUL-terminated.
unsafe fn take_string(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: by the contract a C string that is ours.
    let owned = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: by the contract from calloc, and freed once.
    unsafe { libc::free(text.cast()) };
    Some(owned)
}

/// The properties of a message that the library lends to a callback; `None` where there are none.
///
/// # Safety
/// `list` is null or a live list for the time of the call.
pub(super) unsafe fn read_message(list: *const sys::mosquitto_property) -> Option<Box<Properties>> {
    use sys::mqtt5_property as p;
    if list.is_null() {
        return None;
    }
    let mut found = Properties::default();
    let mut node = list;
    while !node.is_null() {
        // SAFETY: `node` is a live element of the list. Each read below looks from `node` on for the identifier that
        // `node` has, and so finds `node`; what it allocates is taken over by take_string() or freed here.
        unsafe {
            let id = sys::mosquitto_property_identifier(node);
            let mut text = null_mut();
            if id == p::MQTT_PROP_CONTENT_TYPE as c_int {
                sys::mosquitto_property_read_string(node, id, &mut text, false);
                found.content_type = take_string(text);
            } else if id == p::MQTT_PROP_RESPONSE_TOPIC as c_int {
                sys::mosquitto_property_read_string(node, id, &mut text, false);
                found.response_topic = take_string(text);
            } else if id == p::MQTT_PROP_CORRELATION_DATA as c_int {
                let (mut bytes, mut len) = (null_mut(), 0u16);
                sys::mosquitto_property_read_binary(node, id, &mut bytes, &mut len, false);
                if !bytes.is_null() {
                    let data = std::slice::from_raw_parts(bytes.cast::<u8>(), len.into());
                    found.correlation_data = Some(data.to_vec());
                    libc::free(bytes);
                }
            } else if id == p::MQTT_PROP_MESSAGE_EXPIRY_INTERVAL as c_int {
                found.message_expiry = read_u32(node, id);
            } else if id == p::MQTT_PROP_PAYLOAD_FORMAT_INDICATOR as c_int {
                let mut byte = 0;
                sys::mosquitto_property_read_byte(node, id, &mut byte, false);
                found.is_text = byte == 1;
            } else if id == p::MQTT_PROP_USER_PROPERTY as c_int {
                let mut value = null_mut();
                sys::mosquitto_property_read_string_pair(node, id, &mut text, &mut value, false);
                let (name, value) = (take_string(text), take_string(value));
                if let (Some(name), Some(value)) = (name, value) {
                    found.user.push((name, value));
                }
            }
            node = sys::mosquitto_property_next(node);
        }
    }
    (!found.is_empty()).then(|| Box::new(found))
}

/// # Safety
/// `list` is null or a live list for the time of the call.
unsafe fn read_u32(list: *const sys::mosquitto_property, id: c_int) -> Option<u32> {
    let mut value = 0;
    // SAFETY: a live list by the contract; the library answers null for a null one.
    let at = unsafe { sys::mosquitto_property_read_int32(list, id, &mut value, false) };
    (!at.is_null()).then_some(value)
}

/// What a broker said in its CONNACK that binds us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    pub(crate) receive_maximum: Option<u16>,
    pub(crate) maximum_packet_size: Option<u32>,
}

/// # Safety
/// `list` is null or a live list for the time of the call.
pub(super) unsafe fn read_limits(list: *const sys::mosquitto_property) -> Limits {
    use sys::mqtt5_property as p;
    let mut value = 0;
    // SAFETY: a live list by the contract, or null, for which both calls answer null.
    unsafe {
        let id = p::MQTT_PROP_RECEIVE_MAXIMUM as c_int;
        let receive = sys::mosquitto_property_read_int16(list, id, &mut value, false);
        Limits {
            receive_maximum: (!receive.is_null()).then_some(value),
            maximum_packet_size: read_u32(list, p::MQTT_PROP_MAXIMUM_PACKET_SIZE as c_int),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let given = Properties {
            content_type: Some("text/plain".to_owned()),
            response_topic: Some("back".to_owned()),
            correlation_data: Some(vec![0, 1, 0]),
            message_expiry: Some(9),
            is_text: true,
            user: vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), String::new())],
        };
        assert_eq!(given.problem(), None);
        let list = PropertyList::of_message(&given).unwrap();
        // SAFETY: the list is live.
        let got = unsafe { read_message(list.as_ptr()) };
        assert_eq!(got.as_deref(), Some(&given));
    }

    #[test]
    fn what_mqtt_cannot_carry_is_named() {
        let bad = Properties { user: vec![("a".to_owned(), "\0".to_owned())], ..Properties::default() };
        assert!(bad.problem().unwrap().contains("user property"));
        let bad = Properties { response_topic: Some("a/#".to_owned()), ..Properties::default() };
        assert!(bad.problem().unwrap().contains("response topic"));
    }
}
