//! Descriptors that fibers wait for.

mod common;

use becket_fiber::{Io, Ready, Runtime, scope, sleep, spawn, timeout, with_ctx, yield_now};
use becket_sys::event::Event;
use common::{HOUR, each_backend, each_builder, kind, settle};
use std::cell::Cell;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

fn pair() -> (Io<UnixStream>, Io<UnixStream>) {
    let (a, b) = UnixStream::pair().unwrap();
    (Io::new(a).unwrap(), Io::new(b).unwrap())
}

#[test]
fn io_is_send_and_sync_and_so_are_its_errors() {
    fn check<T: Send + Sync>() {}
    check::<Io<TcpStream>>();
    check::<Io<UnixStream>>();
}

#[test]
fn many_small_and_some_large_transfers_arrive() {
    each_backend(|rt| {
        rt.run(|| {
            let (a, b) = pair();
            let big: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
            scope(|s| {
                s.spawn(|| {
                    let mut buf = [0; 7];
                    for _ in 0..1000 {
                        (&b).read_exact(&mut buf).unwrap();
                        (&b).write_all(&buf).unwrap();
                    }
                    (&b).write_all(&big).unwrap();
                    b.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
                })
                .unwrap();
                for i in 0..1000u32 {
                    let sent = [i as u8; 7];
                    let mut got = [0; 7];
                    let parts = [IoSlice::new(&sent[..3]), IoSlice::new(&sent[3..])];
                    assert_eq!((&a).write_vectored(&parts).unwrap(), 7);
                    (&a).read_exact(&mut got).unwrap();
                    assert_eq!(got, sent);
                }
                let mut rest = Vec::new();
                (&a).read_to_end(&mut rest).unwrap();
                assert!(rest == big);
                assert_eq!((&a).read(&mut [0; 9]).unwrap(), 0); // the end stays the end
            });
        })
        .unwrap();
    });
}

#[test]
fn a_short_read_before_a_hang_up_does_not_hide_the_end() {
    each_backend(|rt| {
        rt.run(|| {
            let (a, b) = pair();
            let got = Rc::new(Cell::new(0));
            let g = got.clone();
            let reader = spawn(move || {
                let mut buf = [0; 100];
                loop {
                    match (&a).read(&mut buf).unwrap() {
                        0 => return,
                        n => g.set(g.get() + n),
                    }
                    yield_now();
                }
            })
            .unwrap();
            settle();
            (&b).write_all(&[1; 10]).unwrap();
            while got.get() < 10 {
                sleep(MS).unwrap();
            }
            settle(); // the reader waits, knowing that nothing is left
            (&b).write_all(&[2; 20]).unwrap();
            drop(b); // data and hang-up at once
            reader.join().unwrap();
            assert_eq!(got.get(), 30);
        })
        .unwrap();
    });
}

#[test]
fn tcp_connections_are_served() {
    each_backend(|rt| {
        rt.run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let listener = Io::new(listener).unwrap();
            let server = spawn(move || {
                for _ in 0..20 {
                    let (stream, _) = listener.attempt(Ready::READ, |l| l.accept()).unwrap();
                    let mut stream = Io::new(stream).unwrap();
                    spawn(move || {
                        let mut buf = [0; 64];
                        while let Ok(n @ 1..) = stream.read(&mut buf) {
                            stream.write_all(&buf[..n]).unwrap();
                        }
                    })
                    .unwrap();
                }
            })
            .unwrap();
            let clients: Vec<_> = (0..20u8)
                .map(|i| {
                    spawn(move || {
                        let mut stream = Io::new(TcpStream::connect(address).unwrap()).unwrap();
                        for _ in 0..10 {
                            stream.write_all(&[i; 33]).unwrap();
                            let mut got = [0; 33];
                            stream.read_exact(&mut got).unwrap();
                            assert_eq!(got, [i; 33]);
                        }
                    })
                    .unwrap()
                })
                .collect();
            clients.into_iter().for_each(|c| c.join().unwrap());
            server.join().unwrap();
        })
        .unwrap();
    });
}

#[test]
fn several_fibers_wait_for_one_descriptor() {
    each_backend(|rt| {
        rt.run(|| {
            let (a, b) = pair();
            let a = Rc::new(a);
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let a = a.clone();
                    spawn(move || {
                        let mut byte = [0];
                        (&*a).read_exact(&mut byte).unwrap();
                        byte[0]
                    })
                    .unwrap()
                })
                .collect();
            let writer = a.clone();
            let writer = spawn(move || (&*writer).write_all(&vec![9; 1_000_000]).unwrap()).unwrap();
            settle();
            assert!(!writer.is_finished());
            (&b).write_all(&[1, 2, 3]).unwrap();
            let mut bytes: Vec<u8> = readers.into_iter().map(|r| r.join().unwrap()).collect();
            bytes.sort();
            assert_eq!(bytes, [1, 2, 3]);
            let mut got = vec![0; 1_000_000];
            (&b).read_exact(&mut got).unwrap();
            writer.join().unwrap();
        })
        .unwrap();
    });
}

#[test]
fn timeouts_mean_what_they_mean_in_std() {
    each_backend(|rt| {
        rt.run(|| {
            let (a, b) = pair();
            assert_eq!(kind(a.set_read_timeout(Some(Duration::ZERO))), Some(ErrorKind::InvalidInput));
            a.set_read_timeout(Some(5 * MS)).unwrap();
            assert_eq!(a.read_timeout(), Some(5 * MS));
            let start = Instant::now();
            assert_eq!(kind((&a).read(&mut [0])), Some(ErrorKind::TimedOut));
            assert!(start.elapsed() >= 5 * MS);
            // A deadline around is a limit of its own, and the earlier one counts.
            assert_eq!(kind(timeout(MS, || (&a).read(&mut [0]))), Some(ErrorKind::TimedOut));
            a.set_read_timeout(None).unwrap();
            assert_eq!(kind(timeout(5 * MS, || (&a).read(&mut [0]))), Some(ErrorKind::TimedOut));
            // Nothing was lost by any of them.
            (&b).write_all(b"x").unwrap();
            assert_eq!((&a).read(&mut [0; 2]).unwrap(), 1);

            a.set_write_timeout(Some(5 * MS)).unwrap();
            let full = loop {
                if let Err(e) = (&a).write(&[0; 65536]) {
                    break e;
                }
            };
            assert_eq!(full.kind(), ErrorKind::TimedOut);
        })
        .unwrap();
    });
}

#[test]
fn wait_looks_at_the_level() {
    each_backend(|rt| {
        rt.run(|| {
            let (a, b) = pair();
            assert!(a.wait(Ready::WRITE, None).unwrap().unwrap().is_writable());
            assert_eq!(a.wait(Ready::READ, Some(Instant::now() + MS)).unwrap(), None);
            let e = timeout(MS, || a.wait(Ready::READ, None));
            assert_eq!(kind(e), Some(ErrorKind::TimedOut));
            (&b).write_all(b"xy").unwrap();
            for _ in 0..3 {
                assert!(a.wait(Ready::READ, None).unwrap().unwrap().is_readable());
            }
            // Taken behind the back of `Io`: the next wait does not return.
            assert_eq!(a.get_ref().read(&mut [0; 8]).unwrap(), 2);
            assert_eq!(a.wait(Ready::READ, Some(Instant::now() + MS)).unwrap(), None);
            let writer = spawn(move || b.get_ref().write(b"z").map(|_| b)).unwrap();
            assert!(a.wait(Ready::READ, None).unwrap().unwrap().is_readable());
            drop(writer.join().unwrap().unwrap());
            assert!(a.wait(Ready::READ, None).unwrap().unwrap().contains(Ready::HUP));
        })
        .unwrap();
    });
}

#[test]
fn one_descriptor_in_two_ios_and_a_callback() {
    each_backend(|rt| {
        rt.run(|| {
            let event = Event::new().unwrap();
            let take = |e: &Event| e.try_read()?.ok_or(ErrorKind::WouldBlock.into());
            let (one, two) = (Io::new(event.as_fd()).unwrap(), Io::new(event.as_fd()).unwrap());
            let count = Cell::new(0);
            scope(|s| {
                for io in [&one, &two] {
                    s.spawn(|| {
                        let n = io.attempt(Ready::READ, |_| take(&event)).unwrap();
                        count.set(count.get() + n);
                    })
                    .unwrap();
                }
                settle();
                event.add(3).unwrap();
                while count.get() < 3 {
                    sleep(MS).unwrap();
                }
                event.add(4).unwrap();
            });
            assert_eq!(count.get(), 7);
        })
        .unwrap();
    });
}

#[test]
fn a_plain_thread_blocks() {
    let (a, b) = pair();
    let other = thread::spawn(move || {
        thread::sleep(5 * MS);
        (&b).write_all(b"hello").unwrap();
        b
    });
    let mut buf = [0; 5];
    (&a).read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"hello");
    let _b = other.join().unwrap();
    a.set_read_timeout(Some(MS)).unwrap();
    assert_eq!(kind((&a).read(&mut buf)), Some(ErrorKind::TimedOut));
    assert_eq!(kind(timeout(MS, || a.wait(Ready::READ, None))), Some(ErrorKind::TimedOut));
    assert_eq!(a.wait(Ready::READ, Some(Instant::now())).unwrap(), None);
}

#[test]
fn one_io_is_used_on_two_loops_at_once() {
    each_builder(|builder| {
        let mut here = builder.build().unwrap();
        let (a, b) = pair();
        let a = Arc::new(a);
        let theirs = a.clone();
        let (ready, go) = mpsc::channel();
        let other = thread::spawn(move || {
            let mut there = Runtime::new().unwrap();
            there
                .run(|| {
                    go.recv().unwrap(); // it is at home in the other loop by now
                    let mut sum = 0;
                    for _ in 0..100 {
                        let mut byte = [0];
                        (&*theirs).read_exact(&mut byte).unwrap();
                        sum += u32::from(byte[0]);
                    }
                    sum
                })
                .unwrap()
        });
        here.run(|| {
            let first = a.clone();
            let first = spawn(move || (&*first).read(&mut [0]).unwrap()).unwrap();
            settle();
            (&b).write_all(&[1]).unwrap();
            assert_eq!(first.join().unwrap(), 1);
            ready.send(()).unwrap();
            for _ in 0..100 {
                (&b).write_all(&[2]).unwrap();
                sleep(MS / 10).unwrap();
            }
        })
        .unwrap();
        assert_eq!(other.join().unwrap(), 200);
        // And back on the loop where it is at home.
        here.run(|| {
            (&b).write_all(&[5]).unwrap();
            let mut byte = [0];
            (&*a).read_exact(&mut byte).unwrap();
            assert_eq!(byte, [5]);
        })
        .unwrap();
    });
}

/// A registration whose descriptor is closed elsewhere, while a duplicate keeps the connection open, would report
/// every byte for ever, or take another descriptor out that gets its number.
#[test]
fn dropping_on_another_thread_leaves_nothing_behind() {
    each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        rt.run(|| {
            let (a, b) = pair();
            let double = a.get_ref().try_clone().unwrap();
            let number = a.as_raw_fd();
            assert_eq!(kind(timeout(MS, || (&a).read(&mut [0]))), Some(ErrorKind::TimedOut)); // registered
            thread::spawn(move || drop(a)).join().unwrap();
            // Something else gets the number, and is registered under it before the loop hears of the drop.
            let c = Event::new().unwrap();
            if c.as_raw_fd() != number {
                println!("another test was quicker to take descriptor {number}");
            }
            let c = Io::new(c).unwrap();
            let other = c.get_ref().try_clone().unwrap();
            let taken =
                spawn(move || c.attempt(Ready::READ, |c| c.try_read()?.ok_or(ErrorKind::WouldBlock.into()))).unwrap();
            settle();
            sleep(MS).unwrap(); // the loop has turned
            let before = with_ctx(|ctx| ctx.stats().events).unwrap();
            for _ in 0..10 {
                (&b).write_all(b"x").unwrap();
                sleep(MS).unwrap();
            }
            assert_eq!(with_ctx(|ctx| ctx.stats().events).unwrap(), before, "a stale registration reports");
            other.add(7).unwrap();
            assert_eq!(timeout(Duration::from_secs(10), || taken.join()).unwrap().unwrap(), 7);
            drop(double);
        })
        .unwrap();
    });
}

#[test]
fn dropping_outside_of_run_and_after_the_runtime_is_fine() {
    each_builder(|builder| {
        let mut rt = builder.build().unwrap();
        let touch = |io: Io<UnixStream>| {
            assert_eq!(kind(timeout(MS, || (&io).read(&mut [0]))), Some(ErrorKind::TimedOut));
            io
        };
        let (a, b) = pair();
        let (c, d) = pair();
        let (a, c) = rt.run(move || (touch(a), touch(c))).unwrap();
        drop(a);
        rt.run(|| (&b).write(b"x").map_err(|e| e.kind())).unwrap().unwrap_err();
        drop(rt);
        // At home in a loop that is gone: it still works, on any other.
        let mut rt = Runtime::new().unwrap();
        rt.run(|| {
            let writer = spawn(move || {
                sleep(MS).unwrap();
                (&d).write_all(b"y").unwrap();
            })
            .unwrap();
            let mut byte = [0];
            (&c).read_exact(&mut byte).unwrap();
            assert_eq!(&byte, b"y");
            writer.join().unwrap();
            let stream: UnixStream = c.into_inner();
            assert_eq!((&stream).read(&mut byte).unwrap(), 0);
        })
        .unwrap();
    });
}

#[test]
fn what_cannot_be_polled_is_an_error() {
    let mut rt = Runtime::new().unwrap();
    rt.run(|| {
        let file = Io::new(std::fs::File::open("/proc/self/exe").unwrap()).unwrap();
        let mut byte = [0];
        (&file).read_exact(&mut byte).unwrap(); // never would block
        let never = file.attempt(Ready::READ, |_| Err::<(), _>(ErrorKind::WouldBlock.into()));
        assert_eq!(never.unwrap_err().raw_os_error(), Some(libc::EPERM));
    })
    .unwrap();
}

#[test]
fn rule_09_a_busy_descriptor_starves_nobody() {
    each_backend(|rt| {
        rt.run(|| {
            let (a, b) = pair();
            let echo = spawn(move || {
                // Always readable and writable: no call of these ever waits.
                let mut buf = [0; 16];
                (&b).write_all(&[1; 16]).unwrap();
                loop {
                    (&a).read_exact(&mut buf)?;
                    (&b).write_all(&buf)?;
                }
                #[allow(unreachable_code, reason = "says what the closure returns")]
                Ok::<(), std::io::Error>(())
            })
            .unwrap();
            let start = Instant::now();
            sleep(5 * MS).unwrap();
            assert!(start.elapsed() < Duration::from_secs(5));
            echo.cancel();
            assert!(becket_fiber::is_cancelled(&echo.join().unwrap().unwrap_err()));
        })
        .unwrap();
    });
}

#[test]
fn idle_fibers_cost_no_turns() {
    each_backend(|rt| {
        rt.run(|| {
            let (a, _b) = pair();
            let reader = spawn(move || (&a).read(&mut [0])).unwrap();
            let sleeper = spawn(|| sleep(HOUR)).unwrap();
            settle();
            sleep(MS).unwrap();
            let before = with_ctx(|ctx| ctx.stats().waits).unwrap();
            sleep(20 * MS).unwrap();
            assert!(with_ctx(|ctx| ctx.stats().waits).unwrap() <= before + 2);
            reader.cancel();
            sleeper.cancel();
        })
        .unwrap();
    });
}
