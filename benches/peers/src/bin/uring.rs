//! The io-uring crate used directly: the limit stand-in for io_uring.
use bench_rig::*;
use io_uring::{IoUring, opcode, squeue, types};
use std::os::fd::AsRawFd;
use std::time::Instant;

fn ring(entries: u32) -> IoUring {
    IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(entries * 4).build(entries).unwrap()
}
fn push(r: &mut IoUring, e: &squeue::Entry) {
    // SAFETY: the callers' buffers and descriptors outlive what is under way: the ring's owner never returns before.
    unsafe {
        if r.submission().push(e).is_err() {
            r.submit().unwrap();
            r.submission().push(e).unwrap();
        }
    }
}
struct Conn {
    fd: i32,
    buf: Vec<u8>,
    len: usize,
    off: usize,
}
fn echo() {
    let l = listen();
    let mut r = ring(4096);
    push(&mut r, &opcode::AcceptMulti::new(types::Fd(l.as_raw_fd())).build().user_data(u64::MAX));
    let mut cs: Vec<Conn> = vec![];
    let mut free = vec![];
    let mut done: Vec<(u64, i32)> = Vec::with_capacity(4096);
    ready();
    fn recv(r: &mut IoUring, c: &mut Conn, k: u64) {
        push(r, &opcode::Recv::new(types::Fd(c.fd), c.buf.as_mut_ptr(), ECHO_BUF as u32).build().user_data(k << 1));
    }
    fn send(r: &mut IoUring, c: &Conn, k: u64) {
        push(
            r,
            &opcode::Send::new(types::Fd(c.fd), c.buf[c.off..].as_ptr(), (c.len - c.off) as u32)
                .build()
                .user_data(k << 1 | 1),
        );
    }
    loop {
        r.submit_and_wait(1).unwrap();
        done.clear();
        done.extend(r.completion().map(|c| (c.user_data(), c.result())));
        for &(u, res) in &done {
            if u == u64::MAX {
                if res < 0 {
                    panic!("accept {res}")
                }
                let one: libc::c_int = 1;
                // SAFETY: the kernel reads four bytes.
                unsafe { libc::setsockopt(res, libc::IPPROTO_TCP, libc::TCP_NODELAY, &one as *const _ as _, 4) };
                let k = free.pop().unwrap_or_else(|| {
                    cs.push(Conn { fd: 0, buf: Vec::with_capacity(ECHO_BUF), len: 0, off: 0 });
                    cs.len() - 1
                });
                // SAFETY: so long is the capacity, and only what the kernel has written is read.
                unsafe { cs[k].buf.set_len(ECHO_BUF) };
                cs[k].fd = res;
                recv(&mut r, &mut cs[k], k as u64);
                continue;
            }
            let k = (u >> 1) as usize;
            let c = &mut cs[k];
            if res <= 0 {
                // SAFETY: accepted here, with nothing under way.
                unsafe { libc::close(c.fd) };
                free.push(k);
            } else if u & 1 == 0 {
                (c.len, c.off) = (res as usize, 0);
                send(&mut r, c, k as u64);
            } else {
                c.off += res as usize;
                if c.off < c.len { send(&mut r, c, k as u64) } else { recv(&mut r, c, k as u64) }
            }
        }
    }
}
fn fileread() {
    let (n, qd) = (number("n", 500_000), number("qd", 32));
    let (f, blocks) = data_file();
    let mut r = ring(qd as u32);
    let mut bufs = vec![0u8; 4096 * qd as usize];
    let base = bufs.as_mut_ptr();
    let rd = |r: &mut IoUring, k: u64| {
        // SAFETY: there are `qd` buffers.
        let b = unsafe { base.add(k as usize * 4096) };
        push(
            r,
            &opcode::Read::new(types::Fd(f.as_raw_fd()), b, 4096).offset(random() % blocks * 4096).build().user_data(k),
        )
    };
    let (mut started, mut done) = (0, 0);
    let mut ids = Vec::with_capacity(64);
    let t = Instant::now();
    for k in 0..qd {
        rd(&mut r, k as u64);
        started += 1;
    }
    while done < n {
        r.submit_and_wait(1).unwrap();
        ids.clear();
        for c in r.completion() {
            assert_eq!(c.result(), 4096);
            ids.push(c.user_data());
        }
        for &k in &ids {
            done += 1;
            if started < n {
                started += 1;
                rd(&mut r, k)
            }
        }
    }
    emit("io-uring", "fileread", n, 1e9 / ns_per(t, n), "iops");
}
fn main() {
    match bench_name().as_str() {
        "echo" => echo(),
        "fileread" => fileread(),
        _ => unsupported(),
    }
}
