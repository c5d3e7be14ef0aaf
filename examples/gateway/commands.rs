//! Commands on their way to the devices.

use crate::line::MAX_LINE;
use crate::log::Limited;
use becket_fiber::sync::{Receiver, Sender, TrySendError, channel};
use becket_mosquitto::Message;
use std::cell::RefCell;
use std::rc::Rc;

/// How many commands wait for a device.
const COMMANDS: usize = 16;

/// The way to each device.
pub struct Commands {
    ways: RefCell<Vec<Way>>,
    /// What becomes of commands, by whoever sends them.
    refusals: Limited,
}

struct Way {
    /// On which they come.
    topic: String,
    device: Rc<str>,
    sender: Sender<String>,
}

impl Default for Commands {
    fn default() -> Self {
        Commands { ways: RefCell::default(), refusals: Limited::new("commands") }
    }
}

impl Commands {
    /// The commands on this topic are for this device from now on.
    pub fn add(&self, topic: String, device: &Rc<str>) -> Receiver<String> {
        let (sender, receiver) = channel(COMMANDS);
        self.ways.borrow_mut().push(Way { topic, device: device.clone(), sender });
        receiver
    }

    /// Nothing is for this device any more.
    pub fn remove(&self, device: &str) {
        self.ways.borrow_mut().retain(|way| &*way.device != device);
    }

    /// Those for a device come on another topic from now on.
    pub fn rename(&self, device: &str, topic: &str) {
        self.ways.borrow_mut().iter_mut().filter(|way| &*way.device == device).for_each(|way| way.topic = topic.into());
    }

    /// Every topic.
    pub fn topics(&self) -> Vec<String> {
        self.ways.borrow().iter().map(|way| way.topic.clone()).collect()
    }

    /// Hands a message to the fiber of the device that it is for.
    pub fn take_in(&self, message: &Message) {
        let ways = self.ways.borrow();
        let Some(Way { device, sender, .. }) = ways.iter().find(|way| way.topic == message.topic) else {
            return self.refusals.log(format_args!("a message on {:?} is for no device", message.topic));
        };
        let Some(line) = line(&message.payload) else {
            let refused = format_args!("{device}: one that is not one line of text, or too long, is refused");
            return self.refusals.log(refused);
        };
        let why = match sender.try_send(line.to_owned()) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => "too many wait",
            Err(TrySendError::Closed(_)) => "the device is closed",
        };
        self.refusals.log(format_args!("{device}: {line:?} is lost: {why}"));
    }
}

/// The one line of text that a command is, without its line end.
fn line(payload: &[u8]) -> Option<&str> {
    let line = str::from_utf8(payload).ok()?.trim_end_matches(['\r', '\n']);
    (line.len() <= MAX_LINE && !line.contains(char::is_control)).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINE, line};

    #[test]
    fn a_command_is_one_line() {
        assert_eq!(line(b"blink 3"), Some("blink 3"));
        assert_eq!(line(b"blink 3\r\n"), Some("blink 3"));
        assert_eq!(line(b"blink\nblink"), None);
        assert_eq!(line(b"\0"), None);
        assert_eq!(line(b"\xff"), None);
        assert!(line(&[b'x'; MAX_LINE]).is_some());
        assert_eq!(line(&[b'x'; MAX_LINE + 1]), None);
    }
}
