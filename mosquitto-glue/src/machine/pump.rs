//! How a live connection is driven.

use super::{Machine, State};
use crate::acknowledge::Acknowledge;
use crate::event::Event;
use crate::ffi::{After, Record};
use crate::message::{Message, QoS};
use crate::options::LogLevel;
use crate::reason::{Reason, ReasonCode};
use becket_sys::Ready;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// The most packets that one step reads, so that a busy broker leaves the loop to others too.
const BUDGET: usize = 64;

/// How often the library looks at its clock, which counts whole seconds.
pub(super) const MISC: Duration = Duration::from_secs(1);

impl Machine {
    /// Drives a live connection: `ready` where its socket is.
    pub(super) fn step_connection(&mut self, ready: Option<Ready>, now: Instant) {
        let generation = self.generation;
        if ready.is_some() || self.pump_again {
            self.pump(ready.is_some_and(|r| r.intersects(Ready::HUP | Ready::ERR)));
        } else {
            self.write();
        }
        if self.generation != generation {
            return;
        }
        match self.state {
            State::Connect { deadline } | State::Closing { deadline } if now >= deadline => {
                self.down(Reason::ConnectTimeout);
            }
            State::Up { misc } if now >= misc => {
                self.state = State::Up { misc: now + MISC };
                let after = self.handle.as_mut().expect("there until the end").misc();
                self.settle(after);
            }
            _ => {}
        }
        self.send_requests();
        self.feed();
        if self.options.acknowledge == Acknowledge::WhenHandled {
            self.flush();
        }
    }

    /// Reads until the socket is empty, but no more than the budget; writes what is queued; hands on what came.
    pub(super) fn pump(&mut self, hung_up: bool) {
        if self.is_paused() {
            // There may be something to read, of which no edge will tell again.
            self.pump_again = true;
            return self.write();
        }
        self.pump_again = false;
        let handle = self.handle.as_mut().expect("there until the end");
        let mut drained = false;
        let mut last = handle.read();
        for _ in 1..BUDGET {
            if !is_alive(last) {
                break;
            }
            // EAGAIN may be what the read met, or what the write of an answer met; only a look at the socket tells.
            // Stopping too early would wait for an edge that never comes.
            if last.errno == libc::EAGAIN && !handle.has_pending() && !handle.socket().is_some_and(is_readable) {
                drained = true;
                break;
            }
            last = handle.read();
        }
        // Acknowledgements of what was just read may have to wait, and whatever is behind them.
        if is_alive(last) && self.options.acknowledge == Acknowledge::OnArrival && handle.wants_write() {
            last = handle.write();
        }
        let generation = self.generation;
        self.settle(last);
        if self.generation != generation {
            return;
        }
        // The kernel knows before OpenSSL does that nothing will come.
        if hung_up && matches!(self.state, State::Connect { .. }) {
            self.down(Reason::Lost);
        } else {
            self.pump_again = !drained;
        }
    }

    /// Sends what the library does not send by itself, and what there is room for then.
    fn flush(&mut self) {
        self.write();
        while self.may_send(true) {
            self.feed();
            if !self.wants_write() {
                break;
            }
            self.write();
        }
    }

    pub(super) fn write(&mut self) {
        if self.is_held() {
            return;
        }
        let Some(handle) = self.handle.as_mut() else { return };
        if handle.wants_write() {
            let after = handle.write();
            self.settle(after);
        }
    }

    /// Takes in what the callbacks left, and takes the connection down where `after` says that it is gone.
    pub(super) fn settle(&mut self, after: After) {
        let generation = self.generation;
        self.absorb();
        let is_bad = self.refusal.is_some() || self.wrong_session || self.tls_failed();
        if self.generation == generation && (!is_alive(after) || is_bad) {
            let reason = self.reason(after);
            self.down(reason);
        }
    }

    /// Hands on what the callbacks left.
    pub(super) fn absorb(&mut self) {
        while let Some(record) = self.handle.as_ref().and_then(|handle| handle.next_record()) {
            match record {
                Record::ConnAck { reason: 0, unexpected: true, .. } => self.find_wrong_session(),
                Record::ConnAck { reason: 0, session_present, announced, .. } => self.up(session_present, announced),
                Record::ConnAck { reason, announced, .. } => {
                    let code = ReasonCode::of_connack(reason);
                    self.refusal = Some(code);
                    self.events.push_back(Event::Refused { code, announced });
                }
                // With messages under way the library reads on after a DISCONNECT, and tells of that failure, too.
                Record::Disconnect { reason, errno } => drop(self.ended.get_or_insert((reason, errno))),
                Record::Published { mid, reason, remark } => self.published(mid, ReasonCode(reason), remark),
                // It belongs to a session that is not ours.
                Record::Message { .. } if self.wrong_session => {}
                Record::Message { topic, payload, qos, retain, properties, mut subscription_ids } => {
                    let qos = QoS::try_from(qos).unwrap_or_default();
                    self.unhandled |= qos != QoS::AtMostOnce && self.options.acknowledge == Acknowledge::WhenHandled;
                    self.takers.push_back(self.subscriptions.takers(&topic, &subscription_ids));
                    subscription_ids.retain(|id| !self.subscriptions.is_own(*id));
                    let message = Message { topic, payload, qos, retain, properties, subscription_ids };
                    self.events.push_back(Event::Message(message));
                }
                Record::SubAck { mid, reasons, remark } => {
                    for answered in self.subscriptions.answered(mid, &reasons) {
                        self.tell_answered(answered, remark.clone());
                    }
                }
                Record::UnsubAck { mid, remark } => {
                    for answered in self.subscriptions.answered(mid, &[]) {
                        self.tell_answered(answered, remark.clone());
                    }
                }
                Record::Log { level, line } => {
                    self.events.push_back(Event::Log { level: LogLevel::of_bit(level), line });
                }
            }
        }
    }
}

fn is_alive(after: After) -> bool {
    after.code.is_ok() && after.open
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    // An error is for the library to meet.
    becket_sys::wait(fd, Ready::READ, Some(Instant::now())).map_or(true, |ready| ready.is_some())
}
