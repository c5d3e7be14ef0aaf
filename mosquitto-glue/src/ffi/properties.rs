//! Lists of MQTT 5 properties: made for the library, and read from what it lends.

use super::Code;
use crate::announced::{Announced, Remark};
use crate::connect::Connect;
use crate::disconnect::Disconnect;
use crate::message::QoS;
use crate::properties::Properties;
use crate::subscribe::SubscribeOptions;
use libc::{c_char, c_int};
use libmosquitto_sys as sys;
use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;
use std::time::Duration;

/// The numbers of the properties that are written or read here.
pub(crate) mod id {
    use libc::c_int;
    use libmosquitto_sys::mqtt5_property as p;

    pub(crate) const PAYLOAD_FORMAT: c_int = p::MQTT_PROP_PAYLOAD_FORMAT_INDICATOR as c_int;
    pub(crate) const MESSAGE_EXPIRY: c_int = p::MQTT_PROP_MESSAGE_EXPIRY_INTERVAL as c_int;
    pub(crate) const CONTENT_TYPE: c_int = p::MQTT_PROP_CONTENT_TYPE as c_int;
    pub(crate) const RESPONSE_TOPIC: c_int = p::MQTT_PROP_RESPONSE_TOPIC as c_int;
    pub(crate) const CORRELATION_DATA: c_int = p::MQTT_PROP_CORRELATION_DATA as c_int;
    pub(crate) const SUBSCRIPTION_ID: c_int = p::MQTT_PROP_SUBSCRIPTION_IDENTIFIER as c_int;
    pub(crate) const SESSION_EXPIRY: c_int = p::MQTT_PROP_SESSION_EXPIRY_INTERVAL as c_int;
    pub(crate) const ASSIGNED_CLIENT_ID: c_int = p::MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER as c_int;
    pub(crate) const SERVER_KEEP_ALIVE: c_int = p::MQTT_PROP_SERVER_KEEP_ALIVE as c_int;
    pub(crate) const RESPONSE_INFORMATION: c_int = p::MQTT_PROP_RESPONSE_INFORMATION as c_int;
    pub(crate) const SERVER_REFERENCE: c_int = p::MQTT_PROP_SERVER_REFERENCE as c_int;
    pub(crate) const REASON_STRING: c_int = p::MQTT_PROP_REASON_STRING as c_int;
    pub(crate) const PROBLEM_INFORMATION: c_int = p::MQTT_PROP_REQUEST_PROBLEM_INFORMATION as c_int;
    pub(crate) const RESPONSE_WANTED: c_int = p::MQTT_PROP_REQUEST_RESPONSE_INFORMATION as c_int;
    pub(crate) const WILL_DELAY: c_int = p::MQTT_PROP_WILL_DELAY_INTERVAL as c_int;
    pub(crate) const RECEIVE_MAXIMUM: c_int = p::MQTT_PROP_RECEIVE_MAXIMUM as c_int;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: c_int = p::MQTT_PROP_TOPIC_ALIAS_MAXIMUM as c_int;
    pub(crate) const TOPIC_ALIAS: c_int = p::MQTT_PROP_TOPIC_ALIAS as c_int;
    pub(crate) const MAXIMUM_QOS: c_int = p::MQTT_PROP_MAXIMUM_QOS as c_int;
    pub(crate) const RETAIN_AVAILABLE: c_int = p::MQTT_PROP_RETAIN_AVAILABLE as c_int;
    pub(crate) const USER_PROPERTY: c_int = p::MQTT_PROP_USER_PROPERTY as c_int;
    pub(crate) const MAXIMUM_PACKET_SIZE: c_int = p::MQTT_PROP_MAXIMUM_PACKET_SIZE as c_int;
    pub(crate) const WILDCARDS_AVAILABLE: c_int = p::MQTT_PROP_WILDCARD_SUB_AVAILABLE as c_int;
    pub(crate) const SUBSCRIPTION_IDS_AVAILABLE: c_int = p::MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE as c_int;
    pub(crate) const SHARED_AVAILABLE: c_int = p::MQTT_PROP_SHARED_SUB_AVAILABLE as c_int;
}

/// A list of the library's, owned.
#[derive(Debug)]
pub(crate) struct PropertyList {
    /// Null, or a list that `mosquitto_property_add_*` made; freed in `drop`.
    head: *mut sys::mosquitto_property,
    /// What went wrong first.
    code: Code,
}

impl PropertyList {
    pub(crate) fn new() -> PropertyList {
        PropertyList { head: null_mut(), code: Code::SUCCESS }
    }

    pub(crate) fn as_ptr(&self) -> *const sys::mosquitto_property {
        self.head
    }

    /// The list, where all of it could be added.
    pub(crate) fn finish(self) -> Result<PropertyList, Code> {
        if self.code.is_ok() { Ok(self) } else { Err(self.code) }
    }

    fn note(&mut self, code: c_int) {
        if self.code.is_ok() {
            self.code = Code(code);
        }
    }

    pub(crate) fn add_u32(&mut self, property: c_int, value: u32) {
        // SAFETY: `head` is null or a live list, which the library extends.
        let code = unsafe { sys::mosquitto_property_add_int32(&mut self.head, property, value) };
        self.note(code);
    }

    pub(crate) fn add_u16(&mut self, property: c_int, value: u16) {
        // SAFETY: as in add_u32.
        let code = unsafe { sys::mosquitto_property_add_int16(&mut self.head, property, value) };
        self.note(code);
    }

    pub(crate) fn add_byte(&mut self, property: c_int, value: u8) {
        // SAFETY: as in add_u32.
        let code = unsafe { sys::mosquitto_property_add_byte(&mut self.head, property, value) };
        self.note(code);
    }

    fn add_varint(&mut self, property: c_int, value: u32) {
        // SAFETY: as in add_u32.
        let code = unsafe { sys::mosquitto_property_add_varint(&mut self.head, property, value) };
        self.note(code);
    }

    /// An empty text is left out: the library (2.0.9) copies such a one
    /// from a null pointer.
    pub(crate) fn add_text(&mut self, property: c_int, value: Option<&str>) {
        let Some(value) = value.filter(|text| !text.is_empty()) else { return };
        let Ok(value) = CString::new(value) else { return self.note(Code::INVAL.0) };
        // SAFETY: as in add_u32; the C string is copied.
        let code = unsafe { sys::mosquitto_property_add_string(&mut self.head, property, value.as_ptr()) };
        self.note(code);
    }

    fn add_binary(&mut self, property: c_int, value: &[u8]) {
        let Ok(len) = u16::try_from(value.len()) else { return self.note(Code::INVAL.0) };
        let bytes = value.as_ptr().cast::<c_void>();
        // SAFETY: as in add_u32; pointer and length are a slice's, which is copied.
        let code = unsafe { sys::mosquitto_property_add_binary(&mut self.head, property, bytes, len) };
        self.note(code);
    }

    pub(crate) fn add_user(&mut self, pairs: &[(String, String)]) {
        for (name, value) in pairs {
            let (Ok(name), Ok(value)) = (CString::new(name.as_str()), CString::new(value.as_str())) else {
                return self.note(Code::INVAL.0);
            };
            let (name, value) = (name.as_ptr(), value.as_ptr());
            // SAFETY: as in add_u32; the C strings are copied.
            let code =
                unsafe { sys::mosquitto_property_add_string_pair(&mut self.head, id::USER_PROPERTY, name, value) };
            self.note(code);
        }
    }

    /// The library has taken the list over.
    pub(super) fn release(mut self) {
        self.head = null_mut();
    }

    /// What a PUBLISH carries: `properties`, which [`Properties::problem`] found nothing wrong with, and the number
    /// that stands for its topic.
    pub(crate) fn of_publish(properties: Option<&Properties>, alias: Option<u16>) -> Result<PropertyList, Code> {
        let mut list = PropertyList::new();
        if let Some(number) = alias {
            list.add_u16(id::TOPIC_ALIAS, number);
        }
        if let Some(properties) = properties {
            list.add_message(properties);
        }
        list.finish()
    }

    /// What a CONNECT carries, beside the receive maximum, which the library adds.
    pub(crate) fn of_connect(connect: &Connect, session_expiry: Option<Duration>) -> Result<PropertyList, Code> {
        let mut list = PropertyList::new();
        if let Some(expiry) = session_expiry {
            list.add_u32(id::SESSION_EXPIRY, expiry.as_secs() as u32);
        }
        if let Some(bytes) = connect.max_packet_size {
            list.add_u32(id::MAXIMUM_PACKET_SIZE, bytes);
        }
        if connect.response_information {
            list.add_byte(id::RESPONSE_WANTED, 1);
        }
        if !connect.problem_information {
            list.add_byte(id::PROBLEM_INFORMATION, 0);
        }
        list.add_user(&connect.user);
        list.finish()
    }

    /// What the will in a CONNECT carries.
    pub(crate) fn of_will(properties: Option<&Properties>, delay: Option<Duration>) -> Result<PropertyList, Code> {
        let mut list = PropertyList::new();
        if let Some(delay) = delay {
            list.add_u32(id::WILL_DELAY, delay.as_secs() as u32);
        }
        if let Some(properties) = properties {
            list.add_message(properties);
        }
        list.finish()
    }

    /// What a DISCONNECT carries beside its code.
    pub(super) fn of_disconnect(disconnect: &Disconnect) -> Result<PropertyList, Code> {
        let mut list = PropertyList::new();
        if let Some(expiry) = disconnect.session_expiry {
            list.add_u32(id::SESSION_EXPIRY, expiry.as_secs() as u32);
        }
        list.add_text(id::REASON_STRING, disconnect.reason.as_deref());
        list.add_user(&disconnect.user);
        list.finish()
    }

    fn add_message(&mut self, properties: &Properties) {
        if properties.is_text {
            self.add_byte(id::PAYLOAD_FORMAT, 1);
        }
        if let Some(seconds) = properties.message_expiry {
            self.add_u32(id::MESSAGE_EXPIRY, seconds);
        }
        self.add_text(id::CONTENT_TYPE, properties.content_type.as_deref());
        self.add_text(id::RESPONSE_TOPIC, properties.response_topic.as_deref());
        if let Some(data) = &properties.correlation_data {
            self.add_binary(id::CORRELATION_DATA, data);
        }
        self.add_user(&properties.user);
    }

    /// What a SUBSCRIBE carries beside the flags.
    pub(super) fn of_subscribe(options: &SubscribeOptions) -> Result<PropertyList, Code> {
        let mut list = PropertyList::new();
        if let Some(number) = options.id {
            list.add_varint(id::SUBSCRIPTION_ID, number);
        }
        list.add_user(&options.user);
        list.finish()
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
unsafe fn take_string(text: *mut c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the contract a C string that is ours.
    let owned = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: by the contract from calloc, and freed once.
    unsafe { libc::free(text.cast()) };
    owned
}

/// What a property says.
enum Value {
    Number(u32),
    Text(String),
    Bytes(Vec<u8>),
    Pair(String, String),
}

/// Calls `f` with each property of a list that is known here.
///
/// # Safety
/// `list` is null or a live list for the time of the call.
unsafe fn each(list: *const sys::mosquitto_property, mut f: impl FnMut(c_int, Value)) {
    let mut node = list;
    while !node.is_null() {
        // SAFETY: `node` is a live element of the list.
        let (property, next) =
            unsafe { (sys::mosquitto_property_identifier(node), sys::mosquitto_property_next(node)) };
        // SAFETY: as above.
        if let Some(value) = unsafe { read(node, property) } {
            f(property, value);
        }
        node = next;
    }
}

/// What the first element of a list says; `None` for what nobody here reads.
///
/// # Safety
/// `node` is a live element, and `property` its number.
unsafe fn read(node: *const sys::mosquitto_property, property: c_int) -> Option<Value> {
    // SAFETY: each call looks from `node` on for the number that `node` has, and so finds `node`; what it allocates is
    // taken over by take_string() or freed here.
    unsafe {
        Some(match property {
            id::PAYLOAD_FORMAT
            | id::MAXIMUM_QOS
            | id::RETAIN_AVAILABLE
            | id::WILDCARDS_AVAILABLE
            | id::SUBSCRIPTION_IDS_AVAILABLE
            | id::SHARED_AVAILABLE => {
                let mut value = 0;
                sys::mosquitto_property_read_byte(node, property, &mut value, false);
                Value::Number(value.into())
            }
            id::SERVER_KEEP_ALIVE | id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM => {
                let mut value = 0;
                sys::mosquitto_property_read_int16(node, property, &mut value, false);
                Value::Number(value.into())
            }
            id::MESSAGE_EXPIRY | id::SESSION_EXPIRY | id::MAXIMUM_PACKET_SIZE => {
                let mut value = 0;
                sys::mosquitto_property_read_int32(node, property, &mut value, false);
                Value::Number(value)
            }
            id::SUBSCRIPTION_ID => {
                let mut value = 0;
                sys::mosquitto_property_read_varint(node, property, &mut value, false);
                Value::Number(value)
            }
            id::CONTENT_TYPE
            | id::RESPONSE_TOPIC
            | id::ASSIGNED_CLIENT_ID
            | id::RESPONSE_INFORMATION
            | id::SERVER_REFERENCE
            | id::REASON_STRING => {
                let mut text = null_mut();
                sys::mosquitto_property_read_string(node, property, &mut text, false);
                Value::Text(take_string(text))
            }
            id::CORRELATION_DATA => {
                let (mut bytes, mut len) = (null_mut(), 0u16);
                sys::mosquitto_property_read_binary(node, property, &mut bytes, &mut len, false);
                let mut data = Vec::new();
                if !bytes.is_null() {
                    data.extend_from_slice(std::slice::from_raw_parts(bytes.cast::<u8>(), len.into()));
                    libc::free(bytes);
                }
                Value::Bytes(data)
            }
            id::USER_PROPERTY => {
                let (mut name, mut value) = (null_mut(), null_mut());
                sys::mosquitto_property_read_string_pair(node, property, &mut name, &mut value, false);
                Value::Pair(take_string(name), take_string(value))
            }
            _ => return None,
        })
    }
}

/// The properties of a message that the library lends to a callback, `None` where there are none, and the identifiers
/// of the subscriptions that it matches.
///
/// # Safety
/// `list` is null or a live list for the time of the call.
pub(super) unsafe fn read_message(list: *const sys::mosquitto_property) -> (Option<Box<Properties>>, Vec<u32>) {
    if list.is_null() {
        return (None, Vec::new());
    }
    let (mut found, mut ids) = (Properties::default(), Vec::new());
    // SAFETY: by the contract.
    unsafe {
        each(list, |property, value| match (property, value) {
            (id::CONTENT_TYPE, Value::Text(text)) => found.content_type = Some(text),
            (id::RESPONSE_TOPIC, Value::Text(text)) => found.response_topic = Some(text),
            (id::CORRELATION_DATA, Value::Bytes(data)) => found.correlation_data = Some(data),
            (id::MESSAGE_EXPIRY, Value::Number(seconds)) => found.message_expiry = Some(seconds),
            (id::PAYLOAD_FORMAT, Value::Number(format)) => found.is_text = format == 1,
            (id::SUBSCRIPTION_ID, Value::Number(number)) => ids.push(number),
            (id::USER_PROPERTY, Value::Pair(name, value)) => found.user.push((name, value)),
            _ => {}
        });
    }
    ((!found.is_empty()).then(|| Box::new(found)), ids)
}

/// What an acknowledgement says beside its code.
///
/// # Safety
/// `list` is null or a live list for the time of the call.
pub(super) unsafe fn read_remark(list: *const sys::mosquitto_property) -> Option<Box<Remark>> {
    if list.is_null() {
        return None;
    }
    let mut found = Remark::default();
    // SAFETY: by the contract.
    unsafe {
        each(list, |property, value| match (property, value) {
            (id::REASON_STRING, Value::Text(text)) => found.reason = Some(text),
            (id::USER_PROPERTY, Value::Pair(name, value)) => found.user.push((name, value)),
            _ => {}
        });
    }
    (found != Remark::default()).then(|| Box::new(found))
}

/// What a CONNACK says beside its code.
///
/// # Safety
/// `list` is null or a live list for the time of the call.
pub(super) unsafe fn read_announced(list: *const sys::mosquitto_property) -> Box<Announced> {
    let mut found = Box::new(Announced::default());
    // SAFETY: by the contract.
    unsafe {
        each(list, |property, value| match (property, value) {
            (id::SESSION_EXPIRY, Value::Number(n)) => found.session_expiry = Some(n),
            (id::RECEIVE_MAXIMUM, Value::Number(n)) => found.receive_maximum = n as u16,
            (id::MAXIMUM_QOS, Value::Number(n)) => found.maximum_qos = QoS::try_from(n as u8).unwrap_or_default(),
            (id::RETAIN_AVAILABLE, Value::Number(n)) => found.retain_available = n != 0,
            (id::MAXIMUM_PACKET_SIZE, Value::Number(n)) => found.maximum_packet_size = Some(n),
            (id::ASSIGNED_CLIENT_ID, Value::Text(text)) => found.assigned_client_id = Some(text),
            (id::TOPIC_ALIAS_MAXIMUM, Value::Number(n)) => found.topic_alias_maximum = n as u16,
            (id::WILDCARDS_AVAILABLE, Value::Number(n)) => found.wildcards_available = n != 0,
            (id::SUBSCRIPTION_IDS_AVAILABLE, Value::Number(n)) => found.subscription_ids_available = n != 0,
            (id::SHARED_AVAILABLE, Value::Number(n)) => found.shared_available = n != 0,
            (id::SERVER_KEEP_ALIVE, Value::Number(n)) => found.server_keep_alive = Some(n as u16),
            (id::RESPONSE_INFORMATION, Value::Text(text)) => found.response_information = Some(text),
            (id::SERVER_REFERENCE, Value::Text(text)) => found.server_reference = Some(text),
            (id::REASON_STRING, Value::Text(text)) => found.remark.reason = Some(text),
            (id::USER_PROPERTY, Value::Pair(name, value)) => found.remark.user.push((name, value)),
            _ => {}
        });
    }
    found
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
        let list = PropertyList::of_publish(Some(&given), Some(3)).unwrap();
        // SAFETY: the list is live.
        let (got, ids) = unsafe { read_message(list.as_ptr()) };
        assert_eq!(got.as_deref(), Some(&given));
        assert_eq!(ids, []);
    }

    #[test]
    fn what_mqtt_cannot_carry_is_named() {
        let bad = Properties { user: vec![("a".to_owned(), "\0".to_owned())], ..Properties::default() };
        assert!(bad.problem().unwrap().contains("user property"));
        let bad = Properties { response_topic: Some("a/#".to_owned()), ..Properties::default() };
        assert!(bad.problem().unwrap().contains("response topic"));
    }

    #[test]
    fn announcements_and_remarks_are_read() {
        let mut list = PropertyList::new();
        list.add_text(id::REASON_STRING, Some("why"));
        list.add_user(&[("a".to_owned(), "1".to_owned())]);
        // SAFETY: the list is live.
        let remark = unsafe { read_remark(list.as_ptr()) }.unwrap();
        assert_eq!(*remark, Remark { reason: Some("why".to_owned()), user: vec![("a".to_owned(), "1".to_owned())] });
        list.add_byte(id::MAXIMUM_QOS, 1);
        list.add_byte(id::SHARED_AVAILABLE, 0);
        list.add_u32(id::MAXIMUM_PACKET_SIZE, 70_000);
        let list = list.finish().unwrap();
        // SAFETY: the list is live.
        let announced = unsafe { read_announced(list.as_ptr()) };
        let expected = Announced {
            maximum_qos: QoS::AtLeastOnce,
            shared_available: false,
            maximum_packet_size: Some(70_000),
            remark: *remark,
            ..Announced::default()
        };
        assert_eq!(*announced, expected);
    }
}
