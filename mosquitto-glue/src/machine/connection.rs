//! How connections come and go.

use super::aliases::Aliases;
use super::{Machine, Stage, State, Target, c_string, make_handle};
use crate::address::{Address, Place};
use crate::announced::Announced;
use crate::delivery::{Dropped, Outcome};
use crate::disconnect::Disconnect;
use crate::event::Event;
use crate::ffi::{After, Code, PropertyList, TlsContext};
use crate::identity::ClientId;
use crate::message::QoS;
use crate::options::Protocol;
use crate::reason::{Reason, ReasonCode};
use crate::resolve::Lookup;
use crate::session::{Expect, Session};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{Shutdown, shutdown};
use std::ffi::CString;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long a broker keeps a session that is to outlive a connection, unless the program says something else.
const SESSION_EXPIRY: Duration = Duration::from_secs(3600);

/// The most packets that are read from a socket that is on its way out: more than any buffer of the kernel's holds.
const LAST_READS: usize = 1 << 20;

impl Machine {
    /// Finds the addresses to try: at once where nothing has to be looked up.
    pub(super) fn resolve(&mut self) {
        self.refusal = None;
        self.next_target = 0;
        let (host, port) = match &self.options.address.0 {
            Place::Unix(path) => {
                let path = path.as_os_str().as_encoded_bytes();
                let host = CString::new(path).expect("an address has no NUL");
                self.targets = vec![Target { host, port: 0, address: self.options.address.clone() }];
                return self.connect_next(Reason::Lost);
            }
            Place::Tcp { host, port, .. } => match &self.options.socks5 {
                Some(proxy) => (&proxy.host, proxy.port),
                None => (host, *port),
            },
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            self.targets = vec![target(SocketAddr::new(ip, port), self.tls.is_some())];
            return self.connect_next(Reason::Lost);
        }
        // A lookup that was too slow for the last attempt may serve this one.
        if self.lookup.is_none() {
            let wake = Arc::clone(&self.wake);
            match Lookup::start(host, port, move || wake()) {
                Ok(lookup) => self.lookup = Some(lookup),
                Err(e) => return self.retry(Reason::Os(e.raw_os_error().unwrap_or(libc::EAGAIN))),
            }
        }
        self.state = State::Resolve { deadline: Instant::now() + self.options.connect_timeout };
        self.check_lookup(false);
    }

    pub(super) fn check_lookup(&mut self, overdue: bool) {
        match self.lookup.as_ref().and_then(Lookup::take) {
            Some(result) => {
                self.lookup = None;
                match result {
                    Ok(found) => {
                        self.targets = found.into_iter().map(|address| target(address, self.tls.is_some())).collect();
                        self.connect_next(Reason::Lost);
                    }
                    Err(e) => self.retry(Reason::Resolve(e.to_string())),
                }
            }
            None if overdue => self.retry(Reason::Resolve("no answer within the connect timeout".to_owned())),
            None => {}
        }
    }

    /// Starts a connection to the next address that takes one; without any left, waits because of `last`.
    fn connect_next(&mut self, mut last: Reason) {
        while let Some(target) = self.targets.get(self.next_target).cloned() {
            self.next_target += 1;
            self.generation += 1;
            self.events.push_back(Event::Connecting { to: target.address.clone() });
            match self.connect_to(&target) {
                Ok(()) => {
                    self.state = State::Connect { deadline: Instant::now() + self.options.connect_timeout };
                    return;
                }
                Err(reason) => last = reason,
            }
        }
        self.retry(last);
    }

    fn connect_to(&mut self, target: &Target) -> Result<(), Reason> {
        let keep_alive = self.options.keep_alive.as_secs() as u16;
        if self.announced.limits_library() && self.in_flight == 0 && !self.may_hold_incoming() {
            // The library keeps limits that the next broker, or the same one by then, may not have. It has nothing
            // else.
            self.renew = true;
        }
        if self.renew {
            let made = make_handle(&self.options, self.client_id.as_deref(), self.stage, self.tls.as_ref());
            self.handle = Some(made.map_err(|e| Reason::Library(e.to_string()))?);
            self.last_mid = 0;
            self.renew = false;
            self.announced = Announced::default();
        }
        let expected = self.expected_session();
        let expiry = self.session_expiry();
        if let Some(tls) = &self.tls {
            tls.begin();
        }
        let handle = self.handle.as_mut().expect("there until the end");
        handle.expect_session(expected);
        // The broker before may have asked for less.
        handle.set_window(self.options.window);
        if self.options.protocol == Protocol::V5 {
            let list = PropertyList::of_connect(&self.options.connect, expiry);
            let code = list.map_or_else(|code| code, |list| handle.store_connect_properties(&list, keep_alive));
            if !code.is_ok() {
                return Err(Reason::of_code(code, 0));
            }
        }
        let after = match (&self.options.socks5, &self.options.address.0) {
            (Some(proxy), Place::Tcp { host, port, .. }) => {
                let login = proxy.login.as_ref().map(|(user, password)| (c_string(user), c_string(password)));
                let login = login.as_ref().map(|(user, password)| (user.as_c_str(), password.as_c_str()));
                let code = handle.set_socks5(&target.host, target.port, login);
                if !code.is_ok() {
                    return Err(Reason::of_code(code, 0));
                }
                handle.connect(&c_string(host), *port, keep_alive)
            }
            _ => handle.connect(&target.host, target.port, keep_alive),
        };
        if let Some(fd) = handle.socket() {
            // The library leaves it to be inherited by every child.
            let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
        }
        self.absorb();
        match after {
            After { code, errno, open } if !code.is_ok() || !open || self.tls_failed() => {
                let reason = self.failure(code, errno);
                self.shut();
                Err(reason)
            }
            _ => Ok(()),
        }
    }

    /// For how long the broker shall keep the session of the next connection; `None` where it is not asked to.
    fn session_expiry(&self) -> Option<Duration> {
        self.asked_expiry().filter(|_| self.stage != Stage::Sweep)
    }

    /// For how long the broker is asked to keep the session of the client.
    pub(super) fn asked_expiry(&self) -> Option<Duration> {
        let default = (self.options.session != Session::PerConnection).then_some(SESSION_EXPIRY);
        let wanted = self.options.connect.session_expiry.or(default);
        wanted.filter(|_| self.options.protocol == Protocol::V5)
    }

    fn expected_session(&self) -> Expect {
        match (self.options.session, self.stage) {
            (Session::PerClient, Stage::First) => Expect::Absent,
            (Session::PerConnection, _) => Expect::Any,
            // Where the library has nothing under way, in no direction, it can live with a new session.
            (_, Stage::Ours) if self.in_flight > 0 || self.may_hold_incoming() => Expect::Present,
            _ => Expect::Any,
        }
    }

    /// Whether the library may hold a message of QoS 2 that the broker has not released. In a kept session there may be
    /// subscriptions that this client knows nothing of.
    fn may_hold_incoming(&self) -> bool {
        self.options.session == Session::Kept || self.subscriptions.may_bring_exactly_once()
    }

    /// The broker accepted the connection, and the library says DISCONNECT since the session is another one than it
    /// should be: that of an earlier client, or not the one that messages are under way in.
    pub(super) fn find_wrong_session(&mut self) {
        self.wrong_session = true;
        self.stage = if self.stage == Stage::First { Stage::Sweep } else { Stage::Empty };
    }

    /// The session of an earlier client is cleared, or our own: that was what the connection was for.
    fn swept(&mut self) {
        self.wrong_session = true;
        self.stage = Stage::Empty;
        let after = self.handle.as_mut().expect("there until the end").disconnect(&Disconnect::default());
        self.settle(after);
    }

    /// The broker accepted the connection.
    pub(super) fn up(&mut self, session_present: bool, mut announced: Box<Announced>) {
        if self.client_id.is_none() {
            // For the next connection; the library has it for this one.
            self.client_id = announced.assigned_client_id.as_deref().map(c_string);
        }
        if self.stage == Stage::Sweep {
            return self.swept();
        }
        if !matches!(self.state, State::Connect { .. }) {
            return;
        }
        // Against the protocol, and nothing would ever go out.
        if announced.receive_maximum == 0 || announced.maximum_packet_size == Some(0) {
            return self.down(Reason::Protocol);
        }
        let session_present = session_present && !std::mem::take(&mut self.lost_session);
        self.stage = Stage::Ours;
        self.state = State::Up { misc: Instant::now() + super::pump::MISC };
        self.backoff.up();
        self.window = announced.receive_maximum.min(self.options.window).into();
        let shrunk = self.in_flight > self.window;
        for flight in self.flights.values_mut() {
            flight.repeated = true;
            // Where the window is too small for what is under way, the library publishes some of it anew.
            flight.item.before |= shrunk && flight.item.publish.qos == QoS::ExactlyOnce;
        }
        if matches!(self.options.client_id, ClientId::Assigned) {
            // It may have been told on another connection.
            announced.assigned_client_id = self.client_id().map(str::to_owned);
        }
        self.announced = (*announced).clone();
        self.aliases = Aliases::new(announced.topic_alias_maximum.min(self.options.connect.topic_aliases));
        self.events.push_back(Event::Connected { session_present, announced });
        let identifies = self.options.separate_copies
            && self.options.protocol == Protocol::V5
            && self.announced.subscription_ids_available;
        for filter in self.subscriptions.connected(session_present, identifies) {
            self.events.push_back(Event::Unsubscribed { filter, remark: None });
        }
        // Before anything of the queue goes out: what answers it must find the subscription in place.
        self.send_requests();
    }

    /// Whether a handshake of TLS failed, even if the library has not noticed.
    pub(super) fn tls_failed(&self) -> bool {
        self.tls.as_ref().is_some_and(TlsContext::has_failed)
    }

    /// Why the library closed its socket, or is about to.
    pub(super) fn reason(&mut self, after: After) -> Reason {
        let ended = self.ended.take();
        if let Some(code) = self.refusal {
            Reason::Refused(code)
        } else if after.code.is_ok() && !self.tls_failed() {
            // Only a DISCONNECT of the broker's closes the socket and counts as success.
            Reason::Server(ReasonCode(ended.map_or(0, |(code, _)| code as u8)))
        } else {
            self.failure(after.code, ended.map_or(after.errno, |(_, errno)| errno))
        }
    }

    /// What is behind a code of the library's.
    fn failure(&self, code: Code, errno: i32) -> Reason {
        if let Some(reason) = self.tls.as_ref().and_then(TlsContext::take_reason) {
            return reason;
        }
        if self.options.socks5.is_some()
            && matches!(self.state, State::Connect { .. })
            && let Some(reason) = Reason::of_proxy(code)
        {
            return reason;
        }
        match Reason::of_code(code, errno) {
            // So the library calls whatever OpenSSL has met, and what was more than an end has been noted.
            Reason::Os(libc::EPROTO) if self.tls.is_some() => Reason::Lost,
            reason => reason,
        }
    }

    /// Takes a connection down, once: what cannot outlive it is answered, and the next thing begins.
    pub(crate) fn down(&mut self, reason: Reason) {
        let was = self.state;
        if !matches!(was, State::Connect { .. } | State::Up { .. } | State::Closing { .. }) {
            return;
        }
        self.state = State::Down;
        self.generation += 1;
        self.pump_again = false;
        self.shut();
        self.ended = None;
        // The acknowledgements went with the connection.
        self.unhandled = false;
        self.lose_plain();
        self.subscriptions.lost();
        let wrong = std::mem::take(&mut self.wrong_session);
        if wrong || self.options.session == Session::PerConnection {
            self.lose_session();
        }
        match was {
            State::Closing { .. } if self.leave_session() => self.state = was,
            State::Closing { .. } => self.finish(Event::Closed),
            State::Connect { .. } if wrong => {
                // The same address again, and at once: what stood in the way is gone.
                self.next_target -= 1;
                self.connect_next(reason);
            }
            State::Connect { .. } if self.refusal.is_none() => self.connect_next(reason),
            _ => self.retry(reason),
        }
    }

    /// Makes the library close its socket, for which it has no call: it reads until it meets the end.
    fn shut(&mut self) {
        let handle = self.handle.as_mut().expect("there until the end");
        if let Some(fd) = handle.socket() {
            // Fails where the other side was quicker, which is as good.
            let _ = shutdown(fd, Shutdown::Both);
            // What had arrived comes first, and acknowledgements in it count.
            for _ in 0..LAST_READS {
                // In a handshake of TLS the library does not see each end; then the next connection closes the socket.
                if !handle.read().open || handle.handshake_wants_write().is_some() {
                    break;
                }
            }
        }
        self.absorb();
    }

    /// Answers the messages of QoS 0, which do not outlive a connection once the library has them.
    fn lose_plain(&mut self) {
        let plain = self.flights.extract_if(|_, flight| flight.is_plain());
        let mut lost: Vec<_> = plain.map(|(_, flight)| flight.item).collect();
        if !self.options.queue_plain {
            lost.extend(std::iter::from_fn(|| self.queue.pop(true)));
        }
        lost.sort_by_key(|item| item.delivery.id());
        for item in lost {
            self.answer(&item, Outcome::Dropped(Dropped::ConnectionLost));
        }
    }

    /// The session is gone: what was under way in it goes out anew, with a client of the library that knows nothing of
    /// it.
    fn lose_session(&mut self) {
        self.renew = true;
        self.lost_session = true;
        self.take_back();
        for filter in self.subscriptions.connected(false, false) {
            self.events.push_back(Event::Unsubscribed { filter, remark: None });
        }
    }

    /// Takes the messages of QoS 1 and 2 that were under way back into the queue, before all newer ones.
    pub(super) fn take_back(&mut self) {
        self.in_flight = 0;
        for (_, mut flight) in self.flights.drain() {
            flight.item.before = !flight.is_plain();
            self.queue.push(flight.item);
        }
    }

    /// Where a session has to be ended by a connection of its own, begins that, once; `false` where there is none to
    /// end.
    fn leave_session(&mut self) -> bool {
        if self.options.protocol == Protocol::V5
            || self.options.session != Session::PerClient
            || self.stage != Stage::Ours
        {
            return false;
        }
        self.stage = Stage::Sweep;
        self.renew = true;
        self.generation += 1;
        let Some(target) = self.targets.get(self.next_target.wrapping_sub(1)).cloned() else { return false };
        self.connect_to(&target).is_ok()
    }

    /// Waits for the next attempt, or gives up where that would be refused as this one was.
    fn retry(&mut self, reason: Reason) {
        if self.options.gives_up(&reason) {
            return self.finish(Event::Failed(reason));
        }
        let retry_in = self.backoff.next();
        let until = Instant::now() + retry_in;
        self.state = State::Backoff { until };
        self.events.extend([Event::Disconnected { reason, retry_in }, Event::BackingOff { until }]);
    }

    /// Says goodbye where there is somebody to say it to.
    pub(super) fn begin_close(&mut self) {
        if self.is_up() {
            // Acknowledgements that have arrived count.
            self.pump(false);
        }
        match self.state {
            State::Closed => {}
            State::Up { .. } => {
                self.state = State::Closing { deadline: Instant::now() + self.options.linger };
                let mut goodbye = self.goodbye.clone();
                if self.asked_expiry().is_some() && self.options.session == Session::PerClient {
                    goodbye.session_expiry.get_or_insert(Duration::ZERO);
                }
                let after = self.handle.as_mut().expect("there until the end").disconnect(&goodbye);
                self.settle(after);
                self.write();
            }
            State::Connect { .. } => {
                self.state = State::Closing { deadline: Instant::now() };
                self.down(Reason::Lost);
            }
            _ => self.finish(Event::Closed),
        }
    }
}

fn target(address: SocketAddr, tls: bool) -> Target {
    let mut host = address.ip().to_string();
    if let SocketAddr::V6(v6) = address
        && v6.scope_id() != 0
    {
        host.push_str(&format!("%{}", v6.scope_id()));
    }
    let port = address.port();
    let address = Address(Place::Tcp { host: host.clone(), port, tls });
    Target { host: CString::new(host).expect("a number has no NUL"), port, address }
}
