//! timerfd_create(2) as it behaves at its edges.

#[path = "common/descriptors.rs"]
mod descriptors;

use becket_sys::timer::{Armed, Clock, Event, Setting, Timer, When};
use becket_sys::{Ready, wait};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Waits at most ten seconds for the timer, and reads it.
fn next(timer: &Timer) -> Option<Event> {
    timer.wait_ready(Ready::READ, Some(Instant::now() + Duration::from_secs(10))).unwrap();
    timer.try_read().unwrap()
}

/// Sets the machine's clock to what it is, which moves it by the time between the two calls and so counts as a
/// change; false where the process may not.
fn touch_the_clock() -> bool {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
    match clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec }) {
        Ok(()) => true,
        Err(e) => {
            println!("SKIP: a_change_of_the_clock_is_a_value_and_the_timer_stays_armed: no CAP_SYS_TIME ({e})");
            false
        }
    }
}

#[test]
fn every_clock_expires_and_never_early() {
    for clock in [Clock::Monotonic, Clock::Boottime, Clock::Realtime, Clock::BoottimeAlarm, Clock::RealtimeAlarm] {
        let timer = match Timer::new(clock) {
            Err(e) if e.raw_os_error() == Some(libc::EPERM) => {
                assert!(matches!(clock, Clock::BoottimeAlarm | Clock::RealtimeAlarm), "{clock:?}");
                println!("SKIP: every_clock_expires_and_never_early: {clock:?} needs CAP_WAKE_ALARM");
                continue;
            }
            timer => timer.unwrap(),
        };
        let at = clock.now() + Duration::from_millis(3);
        timer.set(When::At(at), None).unwrap();
        assert_eq!(next(&timer), Some(Event::Expired(1)), "{clock:?}");
        assert!(clock.now() >= at, "{clock:?}");

        let start = Instant::now();
        timer.set(When::After(Duration::from_millis(3)), None).unwrap();
        assert_eq!(next(&timer), Some(Event::Expired(1)), "{clock:?}");
        assert!(start.elapsed() >= Duration::from_millis(3), "{clock:?}");
    }
}

#[test]
fn zero_and_the_past_are_at_once() {
    let timer = Timer::new(Clock::Monotonic).unwrap();
    for when in [When::After(Duration::ZERO), When::At(Duration::ZERO), When::At(Duration::from_secs(1))] {
        timer.set(when, None).unwrap();
        assert_eq!(next(&timer), Some(Event::Expired(1)), "{when:?}");
    }
    timer.set(When::After(Duration::ZERO), Some(MINUTE)).unwrap();
    assert_eq!(next(&timer), Some(Event::Expired(1)));
    assert_eq!(timer.get().unwrap().interval, Some(MINUTE));
}

#[test]
fn the_longest_time_never_comes() {
    let timer = Timer::new(Clock::Monotonic).unwrap();
    for when in [When::After(Duration::MAX), When::At(Duration::MAX)] {
        timer.set(when, Some(Duration::MAX)).unwrap();
        assert!(timer.get().unwrap().remaining.unwrap() > 100 * 365 * 24 * 60 * MINUTE);
        assert_eq!(timer.try_read().unwrap(), None);
    }
}

#[test]
fn an_interval_of_zero_is_invalid_and_changes_nothing() {
    let timer = Timer::new(Clock::Realtime).unwrap();
    timer.set(When::After(MINUTE), None).unwrap();
    let e = timer.set(When::After(MINUTE), Some(Duration::ZERO)).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
    let e = timer.set_cancel_on_set(MINUTE, Some(Duration::ZERO)).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
    assert!(timer.get().unwrap().remaining.is_some());
}

#[test]
fn missed_periods_are_counted() {
    let timer = Timer::new(Clock::Monotonic).unwrap();
    let period = Duration::from_millis(2);
    let start = Instant::now();
    timer.set(When::After(period), Some(period)).unwrap();
    // Another timer measures ten periods meanwhile.
    let other = Timer::new(Clock::Monotonic).unwrap();
    other.set(When::After(10 * period), None).unwrap();
    assert_eq!(next(&other), Some(Event::Expired(1)));
    let Some(Event::Expired(n)) = timer.try_read().unwrap() else { panic!("no expiry") };
    assert!(n >= 9, "{n}");
    assert!(start.elapsed() >= period * u32::try_from(n).unwrap(), "{n}");
}

#[test]
fn a_new_setting_discards_what_was_not_read() {
    let timer = Timer::new(Clock::Monotonic).unwrap();
    timer.set(When::After(Duration::ZERO), None).unwrap();
    assert_eq!(wait(&timer, Ready::READ, Some(Instant::now() + MINUTE)).unwrap(), Some(Ready::READ));
    timer.set(When::After(MINUTE), None).unwrap();
    assert_eq!(timer.try_read().unwrap(), None);

    timer.set(When::After(Duration::ZERO), None).unwrap();
    assert_eq!(wait(&timer, Ready::READ, Some(Instant::now() + MINUTE)).unwrap(), Some(Ready::READ));
    timer.disarm().unwrap();
    assert_eq!(timer.try_read().unwrap(), None);
    assert_eq!(timer.get().unwrap(), Setting { remaining: None, interval: None });
}

/// One test for all that touches the clock. It forgives changes that somebody else on this machine makes.
#[test]
fn a_change_of_the_clock_is_a_value_and_the_timer_stays_armed() {
    let timer = Timer::new(Clock::Realtime).unwrap();
    let plain = Timer::new(Clock::Realtime).unwrap();
    plain.set(When::At(Clock::Realtime.now() + MINUTE), None).unwrap();
    assert_eq!(timer.set_cancel_on_set(Clock::Realtime.now() + MINUTE, None).unwrap(), Armed::InTime);
    if !touch_the_clock() {
        return;
    }
    assert_eq!(wait(&timer, Ready::READ, Some(Instant::now())).unwrap(), Some(Ready::READ));
    assert_eq!(timer.try_read().unwrap(), Some(Event::ClockChanged));
    assert!(timer.get().unwrap().remaining.is_some());

    // A change not read before the next setting is told by that setting, which arms the timer all the same.
    assert!(touch_the_clock());
    let soon = Clock::Realtime.now() + Duration::from_millis(5);
    assert_eq!(timer.set_cancel_on_set(soon, None).unwrap(), Armed::ClockChanged);
    let event = loop {
        match next(&timer) {
            Some(Event::ClockChanged) => continue,
            event => break event,
        }
    };
    assert_eq!(event, Some(Event::Expired(1)));
    assert_eq!(plain.try_read().unwrap(), None);
}

#[test]
fn cancel_on_set_needs_a_clock_that_can_be_set() {
    for clock in [Clock::Monotonic, Clock::Boottime] {
        let e = Timer::new(clock).unwrap().set_cancel_on_set(MINUTE, None).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::EINVAL));
    }
}

#[test]
fn ticks_can_be_restored() {
    let timer = Timer::new(Clock::Monotonic).unwrap();
    match timer.set_ticks(7) {
        Err(e) if e.raw_os_error() == Some(libc::ENOTTY) => {
            println!("SKIP: ticks_can_be_restored: this kernel has no CONFIG_CHECKPOINT_RESTORE");
            return;
        }
        set => assert!(set.unwrap()),
    }
    assert_eq!(timer.try_read().unwrap(), Some(Event::Expired(7)));
    assert_eq!(timer.set_ticks(0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn handles_share_the_timer() {
    let timer = Timer::new(Clock::Boottime).unwrap();
    let twin = timer.try_clone().unwrap();
    assert_eq!(twin.clock(), Clock::Boottime);
    let third = Timer::from_fd(OwnedFd::from(twin), Clock::Boottime);
    timer.set(When::After(Duration::ZERO), None).unwrap();
    assert_eq!(next(&third), Some(Event::Expired(1)));
    assert_eq!(timer.try_read().unwrap(), None);
}

#[test]
fn an_interval_keeps_its_phase_whoever_reads_late() {
    let timer = Timer::new(Clock::Monotonic).unwrap();
    let period = Duration::from_millis(20);
    let start = Clock::Monotonic.now();
    timer.set(When::At(start + period), Some(period)).unwrap();
    let mut count = 0;
    for pause in [25, 1, 33, 7] {
        std::thread::sleep(Duration::from_millis(pause));
        let Some(Event::Expired(n)) = next(&timer) else { panic!("no expiry") };
        count += n;
        let elapsed = Clock::Monotonic.now() - start;
        assert!(u128::from(count) <= elapsed.as_nanos() / period.as_nanos(), "{count} expirations in {elapsed:?}");
        let left = timer.get().unwrap().remaining.unwrap();
        assert!(left <= period, "{left:?}");
    }
    assert!(count >= 4);
}

#[test]
fn reading_less_than_a_count_is_invalid_and_loses_nothing() {
    let timer = Timer::new(Clock::Monotonic).unwrap();
    timer.set(When::After(Duration::ZERO), None).unwrap();
    assert!(wait(&timer, Ready::READ, Some(Instant::now() + MINUTE)).unwrap().is_some());
    assert_eq!(rustix::io::read(&timer, &mut [0; 7]), Err(rustix::io::Errno::INVAL));
    assert_eq!(timer.try_read().unwrap(), Some(Event::Expired(1)));
}

/// The kernel's own rule, which `set` keeps callers from.
#[test]
fn a_value_of_zero_disarms_even_with_an_interval() {
    use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
    let timer = Timer::new(Clock::Monotonic).unwrap();
    timer.set(When::After(MINUTE), Some(MINUTE)).unwrap();
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    let raw = Itimerspec { it_interval: second, it_value: Timespec { tv_sec: 0, tv_nsec: 0 } };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &raw).unwrap();
    assert_eq!(timer.get().unwrap().remaining, None);
}
