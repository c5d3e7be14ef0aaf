//! A loop inside tokio, which asks by edge, and knows nothing of it.

mod nested;
#[path = "../examples/inside_tokio.rs"]
mod the_example;

use futures_lite::future::zip;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

#[test]
#[allow(unsafe_code, reason = "tokio does not know that a descriptor stays open")]
fn tokio_turns_it_whenever_there_is_something_to_do() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let inner = Rc::new(RefCell::new(nested::busy()));
        let embedded = inner.borrow_mut().embed().unwrap();
        // SAFETY: it owns one descriptor as long as it lives.
        let fd = unsafe { AsyncFd::register_with_interest(embedded, Interest::READABLE).unwrap() };
        let mut done = nested::Done::default();
        let turns = async {
            while inner.borrow().exit_code().is_none() {
                let mut guard = fd.readable().await.unwrap();
                inner.borrow_mut().turn(&mut done, Some(Duration::ZERO)).unwrap();
                if !guard.get_inner().is_ready().unwrap() {
                    guard.clear_ready();
                }
            }
        };
        let rest = async {
            sleep(Duration::from_millis(10)).await;
            nested::outside(&mut inner.borrow_mut());
        };
        let both = zip(turns, rest);
        assert!(timeout(Duration::from_secs(20), both).await.is_ok(), "{done:?}");
        drop(fd);
        nested::check(Rc::into_inner(inner).unwrap().into_inner(), done);
    });
}

#[test]
fn the_example_runs() {
    the_example::main().unwrap();
}
