//! Races, cancel scopes and what nests in what.

mod common;

use becket_fiber::{
    CancelToken, all, cancel_scope, current_deadline, first_ok, is_cancelled, is_current_cancelled, race, scope,
    select, shield, sleep, spawn, timeout, yield_now,
};
use common::{Drops, HOUR, each_backend, kind, quiet_panic, settle};
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

#[test]
fn the_first_wins_and_the_others_have_ended_when_it_returns() {
    each_backend(|runtime| {
        let drops = Drops::default();
        let (ended, lent) = (RefCell::new(Vec::new()), String::from("lent"));
        let won = runtime.run(|| {
            race([HOUR, Duration::from_millis(2), HOUR].map(|time| {
                let (witness, ended, lent) = (drops.witness(), &ended, &lent);
                move || {
                    let slept = sleep(time);
                    ended.borrow_mut().push(slept.is_ok());
                    (slept.map(|()| lent.len()), witness)
                }
            }))
        });
        let (slept, witness) = won.unwrap().unwrap();
        assert_eq!((slept.unwrap(), drops.count()), (4, 2));
        drop(witness);
        assert_eq!(ended.take(), [true, false, false]);
    });
}

#[test]
fn the_first_success_wins_and_where_all_fail_the_last_error_is_told() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let task = |millis: u64, fails: bool| {
                    move || {
                        sleep(Duration::from_millis(millis))?;
                        if fails { Err(io::Error::other(millis.to_string())) } else { Ok(millis) }
                    }
                };
                assert_eq!(first_ok([task(0, true), task(3_600_000, false), task(2, false)])?, 2);
                let failed = first_ok([task(4, true), task(1, true), task(0, true)]);
                assert_eq!(failed.unwrap_err().to_string(), "4");
                assert_eq!(kind(first_ok([task(0, true)].into_iter().take(0))), Some(ErrorKind::InvalidInput));
                assert_eq!(kind(race([|| 1].into_iter().take(0))), Some(ErrorKind::InvalidInput));
                assert_eq!(all([task(0, true)].into_iter().take(0))?, []);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn all_results_come_in_order_and_the_first_failure_cancels_the_rest() {
    each_backend(|runtime| {
        let cancelled = Cell::new(0);
        runtime
            .run(|| {
                let in_order = scope(|s| {
                    s.all((0..20_u64).map(|n| move || sleep(Duration::from_micros(500 * (n % 3))).map(|()| n)))
                });
                assert_eq!(in_order?, Vec::from_iter(0..20));
                let failed = all((0..5).map(|n| {
                    let cancelled = &cancelled;
                    move || {
                        sleep(if n == 3 { Duration::from_millis(1) } else { HOUR })
                            .inspect_err(|e| cancelled.set(cancelled.get() + u32::from(is_cancelled(e))))?;
                        Err::<(), _>(io::Error::other("number three"))
                    }
                }));
                assert_eq!(failed.unwrap_err().to_string(), "number three");
                let panics = catch_unwind(AssertUnwindSafe(|| {
                    all([0, 1].map(|n| move || if n == 0 { quiet_panic() } else { sleep(HOUR) }))
                }));
                assert!(panics.is_err());
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
        assert_eq!(cancelled.get(), 4);
    });
}

#[test]
fn races_end_with_their_caller_and_inherit_its_deadline() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let racing = spawn(|| race([(); 3].map(|()| || sleep(HOUR))))?;
                let collecting = spawn(|| all([(); 3].map(|()| || sleep(HOUR))))?;
                settle();
                racing.cancel();
                collecting.cancel();
                assert!(is_cancelled(&racing.join()??.unwrap_err()));
                assert!(is_cancelled(&collecting.join()?.unwrap_err()));
                let late = timeout(Duration::from_millis(3), || all([(); 3].map(|()| || sleep(HOUR))));
                assert_eq!(kind(late), Some(ErrorKind::TimedOut));
                let deadlines = timeout(HOUR, || {
                    let own = current_deadline();
                    let inner = scope(|s| {
                        s.spawn(|| scope(|s| s.spawn(current_deadline)?.join().map_err(io::Error::from)))?
                            .join()
                            .map_err(io::Error::from)
                    });
                    (own, inner)
                });
                assert!(deadlines.0.is_some() && deadlines.0 == deadlines.1??);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_cancel_scope_ends_what_is_inside_and_nothing_else() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (outer, inner) = (CancelToken::new(), CancelToken::new());
                let (o, i) = (outer.clone(), inner.clone());
                let fiber = spawn(move || {
                    o.scope(|| {
                        let first = i.scope(|| sleep(HOUR));
                        assert!(is_cancelled(&first.unwrap_err()) && !is_current_cancelled());
                        assert!(i.scope(is_current_cancelled)); // for good
                        sleep(Duration::from_millis(1))?;
                        i.scope(|| sleep(HOUR)).unwrap_err();
                        let second = i.scope(|| shield(|| sleep(Duration::from_millis(1))));
                        assert!(second.is_ok());
                        sleep(HOUR)
                    })
                    .unwrap_err();
                    sleep(Duration::from_millis(1))?;
                    Ok::<_, io::Error>(is_current_cancelled())
                })?;
                settle();
                inner.cancel();
                sleep(Duration::from_millis(20))?;
                assert!(!fiber.is_finished());
                outer.cancel();
                assert!(!fiber.join()??);

                // From outside in: what is farther in ends too.
                let token = CancelToken::new();
                let t = token.clone();
                let fiber = spawn(move || {
                    t.scope(|| cancel_scope(|_| sleep(HOUR)).unwrap_err());
                    cancel_scope(|_| sleep(Duration::from_millis(1)))
                })?;
                settle();
                token.cancel();
                token.cancel();
                fiber.join()??;
                let ended = cancel_scope(CancelToken::clone);
                ended.cancel(); // nobody is inside any more
                assert!(ended.is_cancelled());
                sleep(Duration::from_millis(1))
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_shield_keeps_off_what_is_around_it_and_not_what_is_inside() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let (outside, inside) = (CancelToken::new(), CancelToken::new());
                let (o, i) = (outside.clone(), inside.clone());
                let fiber = spawn(move || {
                    o.scope(|| {
                        shield(|| {
                            let ended = i.scope(|| sleep(HOUR));
                            assert!(is_cancelled(&ended.unwrap_err()));
                            // A scope that fails inside of a shield ends what waits in it, too.
                            let failed = catch_unwind(AssertUnwindSafe(|| {
                                scope(|s| {
                                    s.spawn(|| quiet_panic()).unwrap();
                                    assert!(is_cancelled(&sleep(HOUR).unwrap_err()));
                                })
                            }));
                            assert!(failed.is_err());
                            sleep(Duration::from_millis(1))
                        })?;
                        sleep(HOUR)
                    })
                })?;
                settle();
                outside.cancel();
                fiber.cancel();
                settle();
                assert!(!fiber.is_finished());
                inside.cancel();
                assert!(is_cancelled(&fiber.join()?.unwrap_err()));
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_cancel_scope_reaches_the_children_of_scopes_inside_but_not_beyond_a_shield() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let token = CancelToken::new();
                let t = token.clone();
                let seen = Rc::new(RefCell::new(Vec::new()));
                let s2 = Rc::clone(&seen);
                let fiber = spawn(move || {
                    scope(|outer| {
                        let stays = outer.spawn(|| sleep(Duration::from_millis(5))).unwrap();
                        t.scope(|| {
                            scope(|s| {
                                s.spawn(|| s2.borrow_mut().push(("child", sleep(HOUR).is_err()))).unwrap();
                            });
                            shield(|| {
                                scope(|s| {
                                    let slept = s.spawn(|| sleep(Duration::from_millis(1)));
                                    s2.borrow_mut().push(("shielded", slept.unwrap().join().unwrap().is_err()));
                                });
                            });
                            scope(|s| {
                                let born = s.spawn(is_current_cancelled).unwrap();
                                s2.borrow_mut().push(("late", shield(|| born.join()).unwrap()));
                            });
                        });
                        s2.borrow_mut().push(("around", stays.join().unwrap().is_err()));
                    });
                })?;
                settle();
                token.cancel();
                fiber.join()?;
                assert_eq!(*seen.borrow(), [("child", true), ("shielded", false), ("late", true), ("around", false)]);
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_cancel_is_an_arm_and_an_abort_goes_through_everything() {
    each_backend(|runtime| {
        runtime
            .run(|| {
                let token = CancelToken::new();
                let t = token.clone();
                let fiber = spawn(move || {
                    select! {
                        () = t.on_cancel() => "told",
                        () = select::after(HOUR) => "late",
                    }
                })?;
                settle();
                token.cancel();
                assert_eq!(fiber.join()??, "told");
                let aborted = spawn(|| shield(|| cancel_scope(|_| sleep(HOUR))))?;
                settle();
                aborted.abort()?;
                assert!(aborted.join().is_err());
                yield_now();
                Ok::<_, io::Error>(())
            })
            .unwrap()
            .unwrap();
    });
    assert_eq!(CancelToken::new().scope(|| 7), 7); // where no fiber runs
}
