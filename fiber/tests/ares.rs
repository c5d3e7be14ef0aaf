//! Names by c-ares, from a DNS server on the same loop.

mod common;
#[path = "../../examples/ares/dns_server.rs"]
mod dns_server;

use becket_fiber::net::Resolver;
use becket_fiber::{Runtime, SpawnError, is_cancelled, scope, sleep, spawn, timeout, with_ctx};
use becket_sys::SetupError;
use common::{each_backend, settle};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A server on this runtime's loop, and a resolver that asks it.
fn resolver() -> Resolver {
    let (server, _) = with_ctx(dns_server::serve).unwrap().unwrap();
    Resolver::builder().servers([server.to_string()]).build().unwrap()
}

fn of(name: &str, port: u16) -> BTreeSet<SocketAddr> {
    dns_server::addresses(name).unwrap().into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
}

fn in_fiber(test: impl Fn()) {
    each_backend(|runtime| runtime.run(&test).unwrap());
}

fn is(error: &SetupError, kind: ErrorKind) -> bool {
    error.step() == "resolve" && error.kind() == kind
}

#[test]
fn names_that_exist_and_others() {
    in_fiber(|| {
        let resolver = resolver();
        for name in ["one.test", "two.test", "only-v4.test"] {
            let found = resolver.resolve(&format!("{name}:1883")).unwrap();
            assert_eq!((found.len(), BTreeSet::from_iter(found)), (of(name, 1883).len(), of(name, 1883)));
        }
        let missing = resolver.resolve("missing.test:80").unwrap_err();
        assert!(is(&missing, ErrorKind::NotFound) && missing.subject() == "missing.test:80", "{missing}");
        assert!(is(&resolver.resolve("one.test").unwrap_err(), ErrorKind::InvalidInput));
        assert!(is(&resolver.resolve("one.test:many").unwrap_err(), ErrorKind::InvalidInput));
        assert!(is(&resolver.resolve("one\0.test:1").unwrap_err(), ErrorKind::InvalidInput));
        // Without a question to anybody.
        assert_eq!(resolver.resolve("[::1]:7").unwrap(), ["[::1]:7".parse().unwrap()]);
        let local = resolver.resolve("localhost:9").unwrap();
        assert!(local.iter().all(|address| address.ip().is_loopback() && address.port() == 9), "{local:?}");
    });
}

#[test]
fn many_at_once_and_a_cancel_or_deadline_ends_one_alone() {
    in_fiber(|| {
        let resolver = resolver();
        let late = timeout(Duration::from_millis(10), || resolver.resolve("silent.test:1")).unwrap_err();
        assert!(is(&late, ErrorKind::TimedOut), "{late}");
        let other = resolver.clone();
        let waiting = spawn(move || other.resolve("silent.test:1")).unwrap();
        sleep(Duration::from_millis(5)).unwrap();
        assert!(!waiting.is_finished());
        scope(|s| {
            let names = ["one.test", "two.test", "only-v4.test", "missing.test"];
            // Two datagrams each, which have to find room in the server's socket.
            let asks = (0..80).map(|n| {
                let (resolver, name) = (&resolver, names[n % names.len()]);
                s.spawn(move || (name, resolver.resolve(&format!("{name}:{n}")), n as u16))
            });
            let asked: Vec<_> = asks.collect::<Result<_, SpawnError>>().unwrap();
            for ask in asked {
                match ask.join().unwrap() {
                    ("missing.test", found, _) => assert!(is(&found.unwrap_err(), ErrorKind::NotFound)),
                    (name, found, port) => assert_eq!(BTreeSet::from_iter(found.unwrap()), of(name, port)),
                }
            }
        });
        waiting.cancel();
        assert!(is_cancelled(&waiting.join().unwrap().unwrap_err().into()));
        assert_eq!(format!("{resolver:?}"), "Resolver { waiting: 0, .. }");
        assert!(resolver.resolve("one.test:1").is_ok());
    });
}

#[test]
fn servers_that_are_silent_or_not_there() {
    in_fiber(|| {
        let (server, _) = with_ctx(dns_server::serve).unwrap().unwrap();
        let builder = Resolver::builder().servers([server.to_string()]).timeout(Duration::from_millis(20)).tries(1);
        let (begun, resolver) = (Instant::now(), builder.build().unwrap());
        let silent = resolver.resolve("silent.test:1").unwrap_err();
        assert!(is(&silent, ErrorKind::Other) && begun.elapsed() >= Duration::from_millis(20), "{silent}");
        // Where nobody is, and the kernel says so.
        let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let builder = Resolver::builder().servers([gone.to_string()]).timeout(Duration::from_millis(50)).tries(1);
        let refused = builder.build().unwrap().resolve("one.test:1").unwrap_err();
        assert!(is(&refused, ErrorKind::ConnectionRefused) || is(&refused, ErrorKind::Other), "{refused}");
        let wrong = Resolver::builder().servers(["nonsense"]).build().unwrap_err();
        assert_eq!((wrong.step(), wrong.subject(), wrong.kind()), ("c-ares", "nonsense", ErrorKind::InvalidInput));
    });
}

#[test]
fn it_belongs_to_its_runtime_and_goes_with_it() {
    let e = Resolver::new().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    each_backend(|runtime| {
        let kept = runtime
            .run(|| {
                let kept = resolver();
                let asking = kept.clone();
                spawn(move || asking.resolve("silent.test:1")).unwrap().detach();
                settle();
                let in_callback = with_ctx(|_| kept.resolve("one.test:1")).unwrap().unwrap_err();
                assert!(is(&in_callback, ErrorKind::Deadlock));
                // One that is dropped leaves the loop, with its sockets.
                drop(resolver());
                kept
            })
            .unwrap();
        assert!(is(&kept.resolve("one.test:1").unwrap_err(), ErrorKind::Unsupported));
        let mut other = Runtime::new().unwrap();
        let elsewhere = other.run(|| kept.resolve("one.test:1")).unwrap();
        assert!(is(&elsewhere.unwrap_err(), ErrorKind::Unsupported));
        // In the same one, a run later; the runtime is dropped with a lookup under way.
        assert!(runtime.run(|| kept.resolve("one.test:1")).unwrap().is_ok());
        let still = kept.clone();
        let moved = runtime.run(move || {
            spawn(move || still.resolve("silent.test:2")).map(drop)?;
            settle();
            Ok::<_, io::Error>(())
        });
        moved.unwrap().unwrap();
    });
}
