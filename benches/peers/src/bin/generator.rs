//! The generator crate with no scheduler: the limit stand-in for our fibers.
use bench_rig::*;
use generator::{Gn, done};
use std::time::Instant;
const P: &str = "generator";

fn main() {
    match bench_name().as_str() {
        "yield" => {
            let n = number("n", 5_000_000);
            // a resume and the yield back are two switches
            let mut g = Gn::<()>::new_scoped(move |mut s| {
                loop {
                    s.yield_(1);
                }
                #[allow(unreachable_code)]
                {
                    done!()
                }
            });
            let t = Instant::now();
            for _ in 0..n / 2 {
                g.resume();
            }
            emit(P, "yield", n, ns_per(t, n), "ns");
            std::process::exit(0)
        }
        "spawn" => {
            let (n, live) = (number("n", 1_000_000), number("live", 1000));
            let size = number("stack", 4096) as usize; // in words
            let mut sum = 0u64;
            if number("pool", 0) != 0 {
                // finished generators are given new code and keep their stacks
                let mut v: Vec<_> = (0..live).map(|_| Gn::<()>::new_opt(size, || 0u64)).collect();
                v.iter_mut().for_each(|g| _ = g.resume());
                let t = Instant::now();
                for _ in 0..n / live {
                    for (i, g) in v.iter_mut().enumerate() {
                        g.init_code(move || i as u64);
                    }
                    for g in v.iter_mut() {
                        sum += g.resume().unwrap();
                    }
                }
                std::hint::black_box(sum);
                emit(P, &format!("spawn_live{live}"), n, ns_per(t, n), "ns");
                return;
            }
            let t = Instant::now();
            let mut v = Vec::with_capacity(live as usize);
            for _ in 0..n / live {
                for i in 0..live as u64 {
                    v.push(Gn::<()>::new_opt(size, move || i));
                }
                for mut g in v.drain(..) {
                    sum += g.resume().unwrap();
                }
            }
            std::hint::black_box(sum);
            emit(P, &format!("spawn_live{live}"), n, ns_per(t, n), "ns");
        }
        _ => unsupported(),
    }
}
