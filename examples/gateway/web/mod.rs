//! The gateway's page: `/` for people, `/metrics.json` for the page, `/metrics` for Prometheus.
//!
//! It listens on the loopback interface alone, and changes nothing: whoever may connect may read what devices say. A
//! browser that was sent here under a foreign name, by somebody who had that name point to this machine, gets nothing.

mod json;
mod prometheus;

use crate::http_server::{Limits, Request, Response, serve};
use crate::log::{Limited, log};
use crate::mqtt::Mqtt;
use crate::report::Report;
use becket_fiber::net::TcpListener;
use becket_fiber::sync::Semaphore;
use becket_fiber::{is_cancelled, scope, with_ctx};
use becket_loop::Snapshot;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// Where the nonce of each answer goes, at both places where the page has code of its own.
const PAGE: &str = include_str!("page.html");
const NONCE: &str = "{nonce}";

/// How many clients are served at once; others wait in the kernel's queue.
const CLIENTS: usize = 64;

/// What a client may take: a page of ours has a few short lines to send, and asks again after a second.
const LIMITS: Limits =
    Limits { idle: Duration::from_secs(10), request: Duration::from_secs(5), head: 8 << 10, body: 16 << 10 };

/// A listener for the page.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    report: Rc<Report>,
    /// When the gateway began.
    began: SystemTime,
}

/// All that is shown, at one time.
struct State<'a> {
    report: &'a Report,
    mqtt: &'a Mqtt,
    began: SystemTime,
    loops: Snapshot,
    fibers: becket_fiber::Report,
}

impl Server {
    /// Listens on a port of the loopback interface; 0 stands for a free one.
    pub fn bind(port: u16, report: &Rc<Report>) -> Result<Server, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|e| format!("--http: {e}"))?;
        let address = listener.local_addr().map_err(|e| format!("--http: {e}"))?;
        let began = SystemTime::now().checked_sub(report.records.start.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Server { listener, address, report: report.clone(), began })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves clients until this fiber is cancelled.
    pub fn run(&self, mqtt: &Mqtt) -> io::Result<()> {
        with_ctx(|ctx| ctx.observe(true))?;
        let free = Rc::new(Semaphore::new(CLIENTS));
        let trouble = Limited::new("page");
        scope(|s| {
            loop {
                let place = free.acquire_owned(1)?;
                let (stream, _) = self.listener.accept()?;
                let served = s.spawn_named("page client", move || {
                    let _place = place;
                    // A connection that broke, or a client that does not read, is nobody's trouble but the client's.
                    serve(&stream, &LIMITS, |request| self.answer(request, mqtt)).map(drop)
                });
                if let Err(e) = served {
                    trouble.log(format_args!("a client turned away: {e}"));
                }
            }
        })
    }

    fn answer(&self, request: &Request, mqtt: &Mqtt) -> Response {
        let path = request.path.split('?').next().unwrap_or_default();
        let response = match path {
            _ if !self.is_ours(request) => text(421, "Misdirected Request", "this is served as localhost alone\n"),
            "/" | "/metrics" | "/metrics.json" if !matches!(&*request.method, "GET" | "HEAD") => {
                text(405, "Method Not Allowed", "GET and HEAD are possible\n").header("Allow", "GET, HEAD")
            }
            "/" => page(),
            "/metrics" => self.show(mqtt, "text/plain; version=0.0.4; charset=utf-8", prometheus::write),
            "/metrics.json" => self.show(mqtt, "application/json", json::write),
            _ => text(404, "Not Found", "there are /, /metrics and /metrics.json\n"),
        };
        // The figures are of now, and nobody else's page may have them.
        response
            .header("Cache-Control", "no-store")
            .header("X-Content-Type-Options", "nosniff")
            .header("Cross-Origin-Resource-Policy", "same-origin")
            .header("Referrer-Policy", "no-referrer")
    }

    /// Whether the client means this machine by the name that it has for it. HTTP/1.0 may leave it out; browsers do not.
    fn is_ours(&self, request: &Request) -> bool {
        let Some(host) = &request.host else { return true };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
            _ => (&**host, Some(80)),
        };
        let is_local = name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]";
        is_local && port == Some(self.address.port())
    }

    fn show(&self, mqtt: &Mqtt, kind: &str, write: fn(&State<'_>) -> String) -> Response {
        let state = || {
            let loops = with_ctx(|ctx| ctx.snapshot())?;
            let fibers = becket_fiber::report(false)?;
            Ok::<_, io::Error>(State { report: &self.report, mqtt, began: self.began, loops, fibers })
        };
        match state() {
            Ok(state) => Response::ok(write(&state)).header("Content-Type", kind),
            Err(e) => {
                if !is_cancelled(&e) {
                    log!("page: {e}");
                }
                text(500, "Internal Server Error", "the state cannot be told\n")
            }
        }
    }
}

fn text(status: u16, reason: &'static str, body: &str) -> Response {
    Response::new(status, reason, body).header("Content-Type", "text/plain; charset=utf-8")
}

/// The page. It runs its own script alone, and talks to nobody but us.
fn page() -> Response {
    let nonce = nonce();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    Response::ok(PAGE.replace(NONCE, &nonce))
        .header("Content-Type", "text/html; charset=utf-8")
        .header("Content-Security-Policy", policy)
}

/// 128 bits that nobody can guess: std keys its hashers with what the kernel's random generator gives.
fn nonce() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests {
    use super::{NONCE, PAGE, nonce};

    #[test]
    fn the_page_is_one_file_and_its_code_has_the_nonce() {
        assert_eq!(PAGE.matches(NONCE).count(), 2);
        assert_eq!((PAGE.matches("<script").count(), PAGE.matches("<style").count()), (1, 1));
        for part in ["src=\"http", "href=\"http", "@import", "innerHTML", "insertAdjacent", "document.write", "eval("] {
            assert!(!PAGE.contains(part), "{part}");
        }
        assert!(PAGE.contains("name=\"viewport\"") && PAGE.len() < 64 << 10);
        assert_ne!(nonce(), nonce());
    }
}
