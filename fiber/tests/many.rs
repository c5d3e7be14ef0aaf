//! Many of everything. With `BECKET_LONG` set, as many as are promised; else as many as a moment allows.

mod common;

use becket_fiber::process::Command;
use becket_fiber::sync::channel;
use becket_fiber::{Runtime, pipe, scope, spawn};
use common::skips_valgrind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;

fn long_or(quick: usize, long: usize) -> usize {
    if std::env::var_os("BECKET_LONG").is_some() { long } else { quick }
}

/// Allows this process `want` descriptors; says so where it may not.
fn has_descriptors(want: usize) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let want = Some(want as u64);
    if limit.current.is_some() && limit.current < want {
        let raised = Rlimit { current: want, maximum: limit.maximum.max(want) };
        if setrlimit(Resource::Nofile, raised).is_err() {
            println!("SKIP: {want:?} descriptors are not allowed");
            return false;
        }
    }
    true
}

#[test]
fn a_token_goes_round_a_ring_of_fibers() {
    let (count, rounds) = (long_or(2_000, 100_000), 3);
    let mut runtime = Runtime::new().unwrap();
    let passed = runtime.run(|| {
        let (first, mut left) = channel::<usize>(1);
        let mut fibers = Vec::with_capacity(count);
        for _ in 0..count {
            let (right, next) = channel(1);
            fibers.push(spawn(move || left.iter().map(|token| right.send(token + 1).unwrap()).count()).unwrap());
            left = next;
        }
        let mut token = 0;
        for _ in 0..rounds {
            first.send(token).unwrap();
            token = left.recv().unwrap().unwrap();
        }
        drop(first); // the end goes round, too
        assert_eq!(left.recv().unwrap(), None);
        assert!(fibers.into_iter().all(|fiber| fiber.join().unwrap() == rounds));
        token
    });
    assert_eq!(passed.unwrap(), rounds * count);
}

#[test]
fn bytes_go_through_a_pipeline_of_pipes() {
    let (stages, bytes) = (long_or(50, 1_000), 200_000);
    if !has_descriptors(2 * stages + 200) {
        return;
    }
    let mut runtime = Runtime::new().unwrap();
    runtime
        .run(|| {
            scope(|s| {
                let (mut left, mut first) = pipe::pair().unwrap();
                for _ in 0..stages {
                    let (next, mut right) = pipe::pair().unwrap();
                    s.spawn(move || {
                        let mut buf = [0; 4096];
                        loop {
                            let n = left.read(&mut buf).unwrap();
                            if n == 0 {
                                break; // and `right` is closed
                            }
                            buf[..n].iter_mut().for_each(|b| *b = b.wrapping_add(1));
                            right.write_all(&buf[..n]).unwrap();
                        }
                    })
                    .unwrap();
                    left = next;
                }
                let sent: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8).collect();
                let expected: Vec<u8> = sent.iter().map(|b| b.wrapping_add(stages as u8)).collect();
                s.spawn(move || first.write_all(&sent).unwrap()).unwrap();
                let mut got = Vec::new();
                left.read_to_end(&mut got).unwrap();
                assert!(got == expected, "{} bytes", got.len());
            });
        })
        .unwrap();
}

#[test]
fn each_of_many_children_has_its_own_status() {
    if skips_valgrind("each child would be slow to start") {
        return;
    }
    let (count, at_once) = (long_or(300, 10_000), long_or(50, 200));
    if !has_descriptors(4 * at_once + 200) {
        return;
    }
    let next = Cell::new(0);
    let mut runtime = Runtime::new().unwrap();
    runtime
        .run(|| {
            scope(|s| {
                for _ in 0..at_once {
                    s.spawn(|| {
                        while next.get() < count {
                            let i = next.replace(next.get() + 1);
                            let mut command = Command::new("/bin/sh");
                            let script =
                                if i % 10 == 9 { "kill -9 $$".to_owned() } else { format!("exit {}", i % 256) };
                            let status = command.args(["-c", &script]).status().unwrap();
                            if i % 10 == 9 {
                                assert_eq!(status.signal(), Some(9), "{i}");
                            } else {
                                assert_eq!(status.code(), Some((i % 256) as i32), "{i}");
                            }
                        }
                    })
                    .unwrap();
                }
            });
        })
        .unwrap();
    assert_eq!(next.get(), count);
}
