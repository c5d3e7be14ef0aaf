//! Callbacks that do anything to anything, at random but the same each time: the loop's books stay in order.

use super::*;
use becket_loop::{AnyId, Ctx, Every, HookPoint, Id, Missed, Mode, Next, Result, SourceKind};
use std::time::Instant;

struct State {
    seed: u64,
    calls: u32,
    quiet: bool,
    failed: Vec<AnyId>,
    ids: Vec<AnyId>,
    sources: Vec<Id<Rc<Event>>>,
    probes: Vec<Probe>,
    edges: bool,
    /// Every closure holds one: none is lost.
    token: Rc<()>,
}

impl State {
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn pick<T: Copy>(&mut self, from: fn(&State) -> &Vec<T>) -> Option<T> {
        let n = from(self).len() as u64;
        (n > 0).then(|| self.random(n)).map(|at| from(self)[at as usize])
    }

    fn mode(&mut self) -> Mode {
        match self.random(3) {
            0 if self.edges => Mode::Edge,
            1 => Mode::OneShot,
            _ => Mode::Level,
        }
    }
}

/// Does something, and answers something.
fn anything(s: &mut State, ctx: &mut Ctx<State>) -> Result {
    s.calls += 1;
    if s.quiet {
        return Ok(Next::Keep);
    }
    for _ in 0..s.random(3) {
        change(s, ctx);
    }
    Ok(match s.random(12) {
        0 => Next::Again,
        1 => Next::Pause(Duration::from_micros(s.random(200))),
        2 => Next::Disable,
        3 => Next::Remove,
        4 => return Err("at random".into()),
        _ => Next::Keep,
    })
}

fn change(s: &mut State, ctx: &mut Ctx<State>) {
    let token = Rc::clone(&s.token);
    match s.random(14) {
        0 | 1 => {
            let probe = s.random(s.probes.len() as u64) as usize;
            let (probe, mode) = (s.probes[probe].clone(), s.mode());
            let handle = probe.clone();
            let added = ctx.add(probe.source(), Ready::READ, mode, move |s, ctx, _, _| {
                let _ = &token;
                if !s.quiet && s.random(2) == 0 {
                    handle.lower();
                }
                anything(s, ctx)
            });
            // Refused where it is there already.
            if let Ok(id) = added {
                s.ids.push(id.into());
                s.sources.push(id);
            }
        }
        2 => {
            let missed = [Missed::Skip, Missed::Burst, Missed::Delay][s.random(3) as usize];
            let every = Every::new(Duration::from_micros(1 + s.random(300))).missed(missed);
            let id = ctx.every(every, move |s, ctx, _| {
                let _ = &token;
                anything(s, ctx)
            });
            s.ids.push(id.into());
        }
        3 => {
            let id = ctx.after(Duration::from_micros(s.random(300)), move |s, ctx| {
                let _ = &token;
                anything(s, ctx).map(drop)
            });
            s.ids.push(id.into());
        }
        4 => ctx.defer(move |s, ctx| {
            let _ = &token;
            anything(s, ctx).map(drop)
        }),
        5 => {
            let point = [HookPoint::Prepare, HookPoint::Check, HookPoint::Idle][s.random(3) as usize];
            let id = ctx.hook(point, move |s, ctx| {
                let _ = &token;
                anything(s, ctx)
            });
            s.ids.push(id.into());
        }
        6 => {
            let on = s.random(2) == 0;
            s.pick(|s| &s.ids).map(|id| ctx.enable(id, on));
        }
        7 => {
            s.pick(|s| &s.ids).map(|id| ctx.enable(id, false));
        }
        8 => {
            s.pick(|s| &s.ids).map(|id| ctx.enable(id, true));
        }
        9 => {
            s.pick(|s| &s.ids).map(|id| ctx.cancel(id));
        }
        10 => {
            s.pick(|s| &s.sources).map(|id| ctx.remove(id));
        }
        11 => {
            let mode = s.mode();
            s.pick(|s| &s.sources).map(|id| ctx.set(id, Ready::READ, mode));
        }
        _ => {
            let probe = s.random(s.probes.len() as u64) as usize;
            s.probes[probe].raise();
        }
    }
}

on_every_backend! {
    fn whatever_callbacks_do_the_books_stay_in_order(world: World<State>) {
        let few = std::env::var_os("BECKET_VALGRIND").is_some();
        for seed in 0..if few { 8 } else { 60 } {
            let l = &mut world.event_loop;
            let (edges, script) = (l.caps().edge, world.script.clone());
            let probe = || Probe { event: Rc::new(Event::new().unwrap()), script: script.clone() };
            let probes: Vec<Probe> = (0..8).map(|_| probe()).collect();
            let (ids, sources, token) = (Vec::new(), Vec::new(), Rc::new(()));
            let mut s = State { seed, calls: 0, quiet: false, failed: Vec::new(), ids, sources, probes, edges, token };
            l.on_error(|s, ctx, fault| {
                s.failed.extend(fault.id().filter(|_| s.quiet));
                for _ in 0..if s.quiet { 0 } else { s.random(3) } {
                    change(s, ctx);
                }
            });
            for _ in 0..150 {
                change(&mut s, l);
                l.turn(&mut s, Some(Duration::ZERO)).unwrap();
            }
            // From here on callbacks do nothing more. What is enabled is told, whatever was done to it; and nothing
            // else.
            s.quiet = true;
            l.turn(&mut s, Some(Duration::ZERO)).unwrap();
            s.probes.iter().for_each(Probe::raise);
            let look = |l: &Loop<State>| {
                let all = l.sources().filter(|i| i.kind == SourceKind::Io);
                all.map(|i| (i.id, i.enabled, i.want.unwrap().1, i.calls)).collect::<Vec<_>>()
            };
            let before = look(l);
            for _ in 0..4 {
                l.turn(&mut s, Some(Duration::ZERO)).unwrap();
            }
            for ((id, enabled, mode, calls), after) in before.into_iter().zip(look(l)) {
                assert_eq!(id, after.0);
                // Enabled again when its descriptor had got another registration, it failed, and is disabled.
                if s.failed.contains(&id) {
                    continue;
                }
                assert!(!enabled || after.3 > calls, "seed {seed}: {id} ({mode:?}) was not told");
                let stayed = !enabled && !after.1 && mode != Mode::OneShot; // else the end of a pause
                assert!(!stayed || after.3 == calls, "seed {seed}: {id} ({mode:?}) was told");
            }
            // When all is gone, nothing is left to wait for, and nothing is left over.
            let all: Vec<AnyId> = l.sources().map(|i| i.id).collect();
            all.into_iter().for_each(|id| assert!(l.cancel(id) || l.sources().all(|i| i.id != id)));
            l.turn(&mut s, Some(Duration::ZERO)).unwrap();
            let start = Instant::now();
            l.turn(&mut s, Some(LONG)).unwrap();
            assert!(start.elapsed() < LONG, "seed {seed}: it waited for something");
            assert_eq!((l.sources().count(), Rc::strong_count(&s.token)), (0, 1), "seed {seed}");
            assert!(s.probes.iter().all(|probe| Rc::strong_count(&probe.event) == 1), "seed {seed}");
            assert!(s.calls > 50, "seed {seed}: {} calls", s.calls);
        }
    }
}
