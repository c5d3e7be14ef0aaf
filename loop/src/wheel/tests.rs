use super::TimerWheel;
use crate::backend::Key;
use std::time::{Duration, Instant};

/// Numbers that differ by their seed alone.
fn random(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    }
}

/// A wheel, and what it should hold: of each slot its deadline, the order of its arming, and its slack.
struct Pair {
    wheel: TimerWheel,
    now: Instant,
    armed: u64,
    keys: Vec<Key>,
    model: Vec<(Option<(Instant, u64)>, Duration)>,
}

impl Pair {
    fn new(slots: u32) -> Self {
        let mut wheel = TimerWheel::new();
        let keys: Vec<Key> = (0..slots).map(|slot| Key::new(slot, 7)).collect();
        keys.iter().for_each(|key| wheel.insert(*key, false));
        let model = vec![(None, Duration::ZERO); keys.len()];
        Pair { wheel, now: Instant::now(), armed: 0, keys, model }
    }

    fn arm(&mut self, slot: usize, when: Instant) {
        assert!(self.wheel.arm(self.keys[slot], when).is_some());
        self.model[slot].0 = Some((when, self.armed));
        self.armed += 1;
    }

    fn disarm(&mut self, slot: usize) {
        assert_eq!(self.wheel.disarm(self.keys[slot]), self.model[slot].0.take().is_some());
    }

    fn set_slack(&mut self, slot: usize, slack: Duration) {
        assert!(self.wheel.set_slack(self.keys[slot], slack));
        self.model[slot].1 = slack;
    }

    fn check_wake(&mut self) {
        let latest = self.model.iter().filter_map(|(armed, slack)| Some((*armed)?.0 + *slack)).min();
        assert_eq!(self.wheel.wake(), latest);
    }

    /// Lets time pass and compares what is due, in its order.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        let mut expected = Vec::new();
        for (slot, (armed, _)) in self.model.iter_mut().enumerate() {
            if let Some((when, order)) = armed.take_if(|armed| armed.0 <= self.now) {
                expected.push((when, order, slot as u32));
            }
        }
        expected.sort_unstable();
        let expected: Vec<_> = expected.iter().map(|due| (due.2, due.0)).collect();
        self.wheel.expire(self.wheel.offset(self.now));
        assert_eq!(self.wheel.has_due(), !expected.is_empty());
        let due = std::iter::from_fn(|| self.wheel.next_due());
        let due: Vec<_> = due.collect::<Vec<_>>().iter().map(|due| (due.0.slot(), self.wheel.time(due.1))).collect();
        assert_eq!(due, expected);
        assert!(!self.wheel.has_due());
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.model.iter().filter(|model| model.0.is_some()).count());
        for (key, model) in self.keys.iter().zip(&self.model) {
            assert_eq!(self.wheel.deadline(*key), model.0.map(|armed| armed.0));
            assert_eq!(self.wheel.is_pending(*key), model.0.is_some());
        }
    }
}

/// Times of every magnitude, from one nanosecond to a century, and some that meet.
fn some_time(random: &mut impl FnMut(u64) -> u64) -> Duration {
    let magnitude = random(62);
    let exact = random(1 << 31) << 31 | random(1 << 31);
    Duration::from_nanos(match random(3) {
        0 => 1 << magnitude,
        _ => exact & ((1 << magnitude) - 1),
    })
}

/// Arms, moves, disarms and lets time pass at random, with times of every magnitude in the future and in the past, and
/// compares with a sorted list.
#[test]
fn agrees_with_a_sorted_list() {
    for seed in 0..20 {
        let mut random = random(seed);
        let slots = [3, 40, 400][seed as usize % 3];
        let mut pair = Pair::new(slots);
        let reach = random(3);
        for _ in 0..2000 {
            let slot = random(slots.into()) as usize;
            // Few waits and great ones, or many and small ones.
            let mut time = some_time(&mut random);
            if reach > 0 {
                time = Duration::from_nanos(time.as_nanos() as u64 % [1000, 200_000_000][reach as usize - 1]);
            }
            match random(16) {
                12.. => {
                    // As timeouts that begin anew: as late as the latest, or a little later.
                    let latest = pair.model.iter().filter_map(|(armed, _)| Some((*armed)?.0)).max();
                    let later = latest.filter(|_| reach > 0).unwrap_or(pair.now)
                        + Duration::from_nanos(random(3) << random(20));
                    pair.arm(slot, later);
                }
                0 => pair.set_slack(slot, if random(2) == 0 { time } else { Duration::ZERO }),
                1..4 => pair.disarm(slot),
                4 => {
                    let past = pair.now - Duration::from_nanos(time.as_nanos() as u64 % (1 << 40));
                    pair.arm(slot, past);
                }
                5 => pair.arm(slot, pair.now),
                6 => pair.pass(time / 16),
                7 => match pair.wheel.wake() {
                    Some(wake) if wake > pair.now && random(2) == 0 => pair.pass(wake - pair.now),
                    _ => pair.check_wake(),
                },
                _ => pair.arm(slot, pair.now + time),
            }
            if random(20) == 0 {
                pair.check();
            }
            // No clock goes on for centuries: back to the present, with another wheel.
            if pair.wheel.offset(pair.now) > 1 << 63 {
                pair = Pair::new(slots);
            }
        }
        pair.check();
        pair.check_wake();
        pair.pass(Duration::from_secs(1 << 32));
        pair.check();
    }
}

/// Nothing is told that was disarmed, armed anew or removed after it expired, nor twice.
#[test]
fn what_has_expired_may_be_withdrawn() {
    let mut wheel = TimerWheel::new();
    let now = Instant::now();
    let keys: Vec<Key> = (0..6).map(|slot| Key::new(slot, 0)).collect();
    for key in &keys {
        wheel.insert(*key, false);
        wheel.arm(*key, now);
    }
    wheel.expire(wheel.offset(now));
    assert_eq!(wheel.len(), 0);
    assert!(wheel.disarm(keys[0]) && !wheel.disarm(keys[0]));
    assert!(wheel.arm(keys[1], now + Duration::from_secs(1)).is_some());
    wheel.remove(keys[2]);
    assert!(wheel.arm(keys[2], now).is_none() && !wheel.disarm(keys[2]));
    wheel.insert(Key::new(2, 1), false);
    wheel.arm(Key::new(2, 1), now);
    wheel.arm(keys[4], now);
    assert!(wheel.is_pending(keys[3]) && wheel.deadline(keys[3]).is_none());
    assert_eq!(wheel.next_due().map(|due| due.0), Some(keys[3]));
    // A panic in what is called may end a turn here.
    wheel.expire(wheel.offset(now));
    let due: Vec<Key> = std::iter::from_fn(|| wheel.next_due()).map(|due| due.0).collect();
    assert_eq!(due, [keys[5], Key::new(2, 1), keys[4]]);
    assert_eq!((wheel.len(), wheel.deadline(keys[1])), (1, Some(now + Duration::from_secs(1))));
}

/// The first of many is disarmed again and again, and the next wake-up asked for: that finds the next each time, and
/// does not go through all of them each time.
#[test]
fn the_first_of_many_are_withdrawn_one_by_one() {
    const MANY: u64 = 100_000;
    for apart in [0, 1, 1_000_000] {
        let mut wheel = TimerWheel::new();
        let start = Instant::now() + Duration::from_secs(3600);
        let time = |n: u64| start + Duration::from_nanos(n * apart);
        let keys: Vec<Key> = (0..MANY as u32).map(|slot| Key::new(slot, 0)).collect();
        for (key, n) in keys.iter().zip(0..) {
            wheel.insert(*key, false);
            wheel.arm(*key, time(n));
        }
        for (key, n) in keys.iter().zip(0..) {
            assert_eq!(wheel.wake(), Some(time(n)));
            // One that comes before, and goes again, costs nothing of what is known.
            if n % 16 == 0 {
                wheel.arm(*key, start - Duration::from_secs(n + 1));
                assert_eq!(wheel.wake(), Some(start - Duration::from_secs(n + 1)));
            }
            assert!(wheel.disarm(*key));
        }
        assert_eq!(wheel.wake(), None);
        assert!(wheel.front.capacity() < MANY as usize / 2, "{}", wheel.front.capacity());
    }
}

/// What is remembered of the first does not grow with what is armed.
#[test]
fn arming_again_and_again_needs_no_memory() {
    let mut wheel = TimerWheel::new();
    let now = Instant::now();
    let keys = [Key::new(0, 0), Key::new(1, 0)];
    keys.iter().for_each(|key| wheel.insert(*key, false));
    wheel.arm(keys[1], now + Duration::from_secs(1 << 20));
    assert!(wheel.wake().is_some());
    for n in (0..100_000).chain((0..100_000).rev()) {
        wheel.arm(keys[0], now + Duration::from_micros(n));
        assert!(wheel.front.len() < 1000);
    }
    assert_eq!(wheel.wake(), Some(now));
    assert!(wheel.disarm(keys[0]));
    assert_eq!(wheel.wake(), Some(now + Duration::from_secs(1 << 20)));
    keys.iter().for_each(|key| wheel.remove(*key));
    assert!(wheel.slacks.is_empty() && wheel.occupied == [0; super::LEVELS]);
}

#[test]
fn slack_goes_with_its_timer() {
    let mut wheel = TimerWheel::new();
    let now = Instant::now();
    let second = Duration::from_secs(1);
    for generation in 0..2 {
        let key = Key::new(9, generation);
        assert!(!wheel.set_slack(key, second));
        wheel.insert(key, false);
        wheel.arm(key, now + second);
        assert_eq!(wheel.wake(), Some(now + second), "none at first");
        wheel.set_slack(key, second);
        assert_eq!(wheel.wake(), Some(now + 2 * second));
        wheel.set_slack(key, Duration::ZERO);
        assert_eq!(wheel.wake(), Some(now + second));
        wheel.set_slack(key, Duration::MAX);
        assert!(wheel.wake() > Some(now + Duration::from_secs(1 << 32)));
        wheel.remove(key);
    }
    assert!(wheel.slacks.is_empty());
}

/// Jumps of the clock: all that is due comes in order, whatever lies between.
#[test]
fn a_clock_that_jumps_loses_nothing() {
    for jump in [1, 65_535, 65_536, 3_600_000_000_000, 100 * 365 * 86_400_000_000_000] {
        let mut pair = Pair::new(1000);
        let mut random = random(jump);
        for slot in 0..1000 {
            pair.arm(slot, pair.now + Duration::from_nanos(random(1 << 31) * (jump / (1 << 30) + 1)));
        }
        while pair.wheel.len() > 0 {
            pair.check_wake();
            pair.pass(Duration::from_nanos(jump));
            if jump < 1_000_000 {
                pair.pass(Duration::from_millis(50));
            }
        }
    }
}

#[test]
fn nothing_is_due_before_its_time() {
    let mut wheel = TimerWheel::new();
    let now = Instant::now();
    let key = Key::new(5, 0);
    wheel.insert(key, false);
    wheel.arm(key, now + Duration::from_nanos(1));
    wheel.expire(wheel.offset(now));
    assert!(wheel.next_due().is_none());
    wheel.expire(wheel.offset(now + Duration::from_nanos(1)));
    let due = wheel.next_due().unwrap();
    assert_eq!((due.0, wheel.time(due.1)), (key, now + Duration::from_nanos(1)));
    assert!(!wheel.disarm(key));
}
