//! A network that a test has for itself.

use becket_sys::netlink::{Flags, Protocol, Request, Socket};

/// Makes a pair of links: `name`, and `name` with an x.
pub(crate) fn new_pair(name: &str) -> Request {
    let mut request = Request::new(libc::RTM_NEWLINK, Flags::CREATE | Flags::EXCL);
    request.put([0; 16]);
    request.attr_str(libc::IFLA_IFNAME, name);
    request.nest(libc::IFLA_LINKINFO, |info| {
        info.attr_str(libc::IFLA_INFO_KIND, "veth");
        info.nest(2, |data| {
            data.nest(1, |peer| {
                peer.put([0; 16]);
                peer.attr_str(libc::IFLA_IFNAME, format!("{name}x"));
            });
        });
    });
    request
}

/// Runs `f` on a thread of its own in a network namespace with nothing but `lo`, which is down, and where pairs of
/// links can be made. Says SKIP where that is not possible. Sockets that are made there stay there.
pub(crate) fn in_own(test: &'static str, f: impl FnOnce() + Send + 'static) {
    let done = std::thread::spawn(move || {
        #[allow(unsafe_code, reason = "the namespace is this thread's alone")]
        // SAFETY: no memory is passed, and this thread, which shares nothing that a network namespace owns, ends soon.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return println!("SKIP: {test}: no network namespace: {}", std::io::Error::last_os_error());
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let ask = |request: &Request| Socket::new(Protocol::ROUTE).unwrap().request(request, Some(deadline));
        if let Err(e) = ask(&new_pair("try")) {
            return println!("SKIP: {test}: no pairs of links: {e}");
        }
        let mut away = Request::new(libc::RTM_DELLINK, Flags::empty());
        away.put([0; 16]);
        away.attr_str(libc::IFLA_IFNAME, "try");
        ask(&away).unwrap();
        f();
    })
    .join();
    done.unwrap();
}
