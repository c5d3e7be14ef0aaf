//! A ring of fibers, of 2,000 of them; or of 100,000, where `BECKET_LONG` is set.

use becket_fiber::sync::channel;
use becket_fiber::{Runtime, spawn};

#[test]
fn a_token_goes_round_a_ring_of_fibers() {
    let (count, rounds) = (if std::env::var_os("BECKET_LONG").is_some() { 100_000 } else { 2_000 }, 3);
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
