//! The descriptors under async-io, which cannot wait for priority alone.

#[path = "common/descriptors.rs"]
mod descriptors;

mod interop;
#[path = "common/main_thread.rs"]
mod main_thread;

use async_io::{Async, Timer, block_on};
use becket_sys::Ready;
use becket_sys::event::Event;
use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt};
use interop::{Case, Descriptor, Under, WithAdapters};
use std::io;
use std::time::Duration;

fn main() {
    // The reactor has a thread of its own, which inherits the mask.
    let _blocked = interop::block_signals();
    // And it keeps its descriptors. (A timer that is over when it is first looked at would not start it.)
    drop(Async::new_nonblocking(Event::new().unwrap()).unwrap());
    descriptors::count_from_here();
    main_thread::run(&[
        ("readable_kinds", || interop::readable_kinds(&AsyncIo)),
        ("priority_kinds", || interop::priority_kinds(&WithAdapters(&AsyncIo))),
        ("streams_are_async_streams_by_reference", streams_are_async_streams_by_reference),
    ]);
}

struct AsyncIo;

impl Under for AsyncIo {
    fn drive<T: Descriptor>(&self, mut case: Case<T>) {
        assert_eq!(case.want, Ready::READ);
        block_on(async {
            let fd = Async::new_nonblocking(case.fd.clone()).unwrap();
            let quiet = async { fd.readable().await.map(|()| false) };
            let moment = async {
                Timer::after(Duration::from_millis(1)).await;
                io::Result::Ok(true)
            };
            assert!(quiet.or(moment).await.unwrap(), "{}: quiet", case.name);
            (case.fire)();
            let taken = async {
                while !(case.take)(fd.get_ref()) {
                    fd.readable().await.unwrap();
                }
            };
            let late = async {
                Timer::after(Duration::from_secs(20)).await;
                panic!("{}: ready within 20 s", case.name);
            };
            taken.or(late).await;
        });
    }
}

/// `Async<T>` itself is a stream only for types that async-io knows; `&Async<T>` is where `&T` is one.
fn streams_are_async_streams_by_reference() {
    let (a, b) = interop::tcp_pair();
    let (a, b) = (Async::new(a).unwrap(), Async::new(b).unwrap());
    block_on(async {
        let mut buf = [0; 5];
        (&a).write_all(b"hello").await.unwrap();
        (&b).read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"hello");
    });
}
