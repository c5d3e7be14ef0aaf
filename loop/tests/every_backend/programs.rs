//! Random programs of all that a loop can be asked for, from inside callbacks and from outside, against a model of it:
//! everything is called when it must be and in its order, nothing when it must not, and nothing is left over.
//!
//! Each program is that of its number, the same each time. `BECKET_PROGRAMS` says how many there are on each backend,
//! 10,000 by default, or which: `98068..98069`.

#[path = "programs/model.rs"]
mod model;

use super::*;
use becket_loop::op::Call;
use becket_loop::{AnyId, Ctx, Every, Guard, HookPoint, Mode, Next, Plain, Result};
use model::{Calls, Model, NOW, Phase, Serial, What};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

const FAR: Duration = Duration::from_secs(3600);

struct State {
    seed: u64,
    model: Model,
    script: Option<Script>,
    remote: becket_loop::Remote<State>,
    guards: Vec<(Serial, Guard)>,
    base: Instant,
    edges: bool,
    /// No more changes in this callback.
    enough: bool,
    /// The program has ended: callbacks do nothing more.
    quiet: bool,
    /// Every closure holds one: none is lost.
    token: Rc<()>,
}

impl State {
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn mode(&mut self) -> Mode {
        match self.random(3) {
            0 if self.edges => Mode::Edge,
            1 => Mode::OneShot,
            _ => Mode::Level,
        }
    }

    /// One of the things that are there, or were.
    fn pick(&mut self, which: fn(&What) -> bool) -> Option<Serial> {
        let all: Vec<Serial> = (0..self.model.things.len()).filter(|at| which(&self.model.things[*at].what)).collect();
        // Mostly of the last few: the older are gone.
        let from = all.len().saturating_sub(8);
        (!all.is_empty()).then(|| all[from + self.random((all.len() - from) as u64) as usize])
    }

    fn id(&self, serial: Serial) -> AnyId {
        self.model.things[serial].id.expect("it has a place in the table")
    }
}

fn changes(s: &mut State, ctx: &mut Ctx<State>) {
    s.enough = false;
    for _ in 0..s.random(3) {
        if !s.enough {
            change(s, ctx);
        }
    }
}

/// What a callback does, and answers.
fn anything(s: &mut State, ctx: &mut Ctx<State>, serial: Serial) -> Result {
    if s.quiet {
        return Ok(Next::Keep);
    }
    changes(s, ctx);
    let next = match s.random(16) {
        0 => Next::Again,
        1 => Next::Pause(FAR),
        2 => Next::Disable,
        3 => Next::Remove,
        4 => {
            s.model.enable(serial, false);
            return Err("at random".into());
        }
        5 => panics(s, serial),
        _ => Next::Keep,
    };
    answer(s, serial, next);
    Ok(next)
}

/// As `anything`, for a plain function, which cannot fail.
fn answered(s: &mut State, ctx: &mut Ctx<State>, serial: Serial) -> Next {
    anything(s, ctx, serial).unwrap_or(Next::Disable)
}

fn panics(s: &mut State, serial: Serial) -> ! {
    s.model.remove(serial);
    s.model.panicked = true;
    resume_unwind(Box::new("at random")) // without a message
}

fn answer(s: &mut State, serial: Serial, next: Next) {
    match (next, &s.model.things[serial].what) {
        (Next::Again, What::Source(_)) => s.model.tell_again(serial),
        (Next::Again, What::Timer(_)) => s.model.expire_again(serial),
        (Next::Pause(_) | Next::Disable, _) => s.model.enable(serial, false),
        (Next::Remove, _) => s.model.remove(serial),
        _ => {}
    }
}

/// As `anything`, for what is called once.
fn something(s: &mut State, ctx: &mut Ctx<State>) -> Result<()> {
    if s.quiet {
        return Ok(());
    }
    changes(s, ctx);
    match s.random(12) {
        0 => Err("at random".into()),
        1 => {
            s.model.panicked = true;
            resume_unwind(Box::new("at random"))
        }
        _ => Ok(()),
    }
}

fn on_ready(s: &mut State, ctx: &mut Ctx<State>, serial: u64, _: Ready) -> Next {
    told(s, ctx, serial as Serial);
    answered(s, ctx, serial as Serial)
}

fn told(s: &mut State, ctx: &mut Ctx<State>, serial: Serial) {
    s.model.tell(serial);
    if s.model.is_unsettled(serial) {
        let id = s.id(serial);
        let enabled = ctx.sources().any(|info| info.id == id && info.enabled);
        s.model.settle(serial, enabled);
    }
    if !s.quiet && s.random(2) == 0 {
        s.model.lower(serial);
    }
}

fn on_time(s: &mut State, ctx: &mut Ctx<State>, serial: u64, _: Ready) -> Next {
    s.model.expire(serial as Serial);
    answered(s, ctx, serial as Serial)
}

fn add_source(s: &mut State, ctx: &mut Ctx<State>) {
    let serial = s.model.next();
    let probe = Probe { event: Rc::new(Event::new().unwrap()), script: s.script.clone() };
    let (mode, token) = (s.mode(), Rc::clone(&s.token));
    let id = if s.random(2) == 0 {
        ctx.add_plain(probe.source(), Ready::READ, mode, Plain { call: on_ready, data: serial as u64 }).unwrap()
    } else {
        let call = move |s: &mut State, ctx: &mut Ctx<State>, _: &Rc<Event>, ready: Ready| {
            let _ = (&token, assert!(ready.is_readable()));
            told(s, ctx, serial);
            anything(s, ctx, serial)
        };
        ctx.add(probe.source(), Ready::READ, mode, call).unwrap()
    };
    s.model.add_source(id, probe, mode);
    if s.random(2) == 0 {
        s.model.raise(serial);
    }
}

/// A time for a timer, and what the model makes of it.
fn time(s: &mut State) -> (Instant, Option<u64>) {
    match s.random(4) {
        0 => (s.base + FAR, None),
        _ => {
            let before = 1 + s.random(6); // so few that some are equal
            (s.base - Duration::from_nanos(before), Some(NOW - 1 - before))
        }
    }
}

fn add_timer(s: &mut State, ctx: &mut Ctx<State>) {
    let serial = s.model.next();
    let ((when, counted), token) = (time(s), Rc::clone(&s.token));
    match s.random(3) {
        0 => {
            let id = ctx.at(when, move |s, ctx| {
                let _ = &token;
                s.model.expire(serial);
                something(s, ctx)
            });
            s.model.add_timer(id, Calls::Once);
        }
        1 => {
            let id = ctx.every(Every::new(FAR).first(when), move |s, ctx, _| {
                let _ = &token;
                s.model.expire(serial);
                anything(s, ctx, serial)
            });
            s.model.add_timer(id, Calls::Periodic);
        }
        _ => {
            let id = ctx.timer_plain(Plain { call: on_time, data: serial as u64 });
            s.model.add_timer(id, Calls::Plain);
            ctx.arm(id, when);
        }
    }
    s.model.arm(serial, counted);
}

fn add_hook(s: &mut State, ctx: &mut Ctx<State>) {
    let serial = s.model.next();
    let token = Rc::clone(&s.token);
    let point = [HookPoint::Prepare, HookPoint::Check, HookPoint::Idle][s.random(3) as usize];
    let id = ctx.hook(point, move |s, ctx| {
        let _ = &token;
        s.model.call_hook(serial);
        anything(s, ctx, serial)
    });
    s.model.add_hook(id.into(), point);
}

fn add_work(s: &mut State, ctx: &mut Ctx<State>) {
    let serial = s.model.next();
    let token = Rc::clone(&s.token);
    match s.random(3) {
        0 => {
            ctx.defer(move |s, ctx| {
                let _ = &token;
                s.model.call_deferred(serial);
                something(s, ctx)
            });
            s.model.add_deferred();
        }
        1 => {
            let post = move |s: &mut State, ctx: &mut Ctx<State>| {
                s.model.call_post(serial);
                something(s, ctx)
            };
            // By the hand of another thread, now and then.
            let remote = &s.remote;
            let posted = match serial % 8 {
                0 => std::thread::scope(|scope| scope.spawn(|| remote.post(post)).join().unwrap()),
                _ => remote.post(post),
            };
            assert!(posted);
            s.model.add_post();
        }
        _ => {
            let id = ctx.submit(Call::new(move || serial), move |s, ctx, end| {
                let _ = &token;
                s.model.complete(serial);
                assert!(end.as_ref().is_ok_and(|of| *of == serial) || end.is_err_and(|e| e.raw_os_error().is_some()));
                something(s, ctx)
            });
            s.model.add_operation(id.into());
        }
    }
}

fn is_entry(what: &What) -> bool {
    matches!(what, What::Source(_) | What::Timer(_) | What::Hook(_))
}

fn is_source(what: &What) -> bool {
    matches!(what, What::Source(_))
}

fn change(s: &mut State, ctx: &mut Ctx<State>) {
    match s.random(21) {
        0 | 1 => add_source(s, ctx),
        2 | 3 => add_timer(s, ctx),
        4 => add_hook(s, ctx),
        5 | 6 => add_work(s, ctx),
        7..=9 => {
            let Some(serial) = s.pick(is_entry) else { return };
            let on = s.random(2) == 0;
            let alive = s.model.things[serial].alive;
            assert_eq!(ctx.enable(s.id(serial), on), alive, "{serial}");
            if alive {
                s.model.enable(serial, on);
            }
        }
        10 => {
            let Some(serial) = s.pick(is_entry) else { return };
            assert_eq!(ctx.cancel(s.id(serial)), s.model.things[serial].alive, "{serial}");
            s.model.remove(serial);
        }
        11 => {
            let Some(serial) = s.pick(is_source) else { return };
            let alive = s.model.things[serial].alive;
            let Some(source) = s.model.source(serial) else { return };
            let (id, probe) = (source.id, source.probe.clone());
            assert_eq!(ctx.get(id).is_some(), alive, "{serial}");
            match ctx.remove(id) {
                Some(event) => assert!(alive && probe.is_some_and(|probe| Rc::ptr_eq(&event, &probe.event))),
                None => assert!(!alive || s.model.phase == Some(Phase::Ready), "{serial} is not in its own callback"),
            }
            s.model.remove(serial);
        }
        12 => {
            let Some(serial) = s.pick(is_source) else { return };
            let (alive, mode) = (s.model.things[serial].alive, s.mode());
            assert_eq!(ctx.set(s.id(serial), Ready::READ, mode), alive, "{serial}");
            if alive {
                s.model.set_mode(serial, mode);
            }
        }
        13 => {
            let Some(serial) = s.pick(|what| matches!(what, What::Timer(_))) else { return };
            let What::Timer(timer) = &s.model.things[serial].what else { return };
            let id = timer.id;
            let ((when, counted), alive) = (time(s), s.model.things[serial].alive);
            assert_eq!(ctx.arm(id, when), alive, "{serial}");
            if alive {
                s.model.arm(serial, counted);
            }
        }
        14 => {
            // Not in the midst of those that are ready: they were sorted.
            if s.model.phase == Some(Phase::Ready) {
                return;
            }
            let Some(serial) = s.pick(is_source) else { return };
            let (alive, priority) = (s.model.things[serial].alive, s.random(7) as i32 - 3);
            assert_eq!(ctx.set_priority(s.id(serial), priority), alive, "{serial}");
            s.model.source(serial).into_iter().for_each(|source| source.priority = priority);
        }
        15 => {
            let Some(serial) = s.pick(is_entry) else { return };
            if s.model.things[serial].alive {
                s.guards.push((serial, ctx.guard(s.id(serial))));
            }
        }
        16 => {
            let Some((serial, guard)) = s.guards.pop() else { return };
            if s.random(2) == 0 {
                guard.release();
                return;
            }
            // Gone by the end of the callback. Until then the table has it: nobody looks.
            drop(guard);
            s.model.remove(serial);
            s.enough = true;
        }
        17 => {
            let Some(serial) = s.pick(|what| matches!(what, What::Operation)) else { return };
            assert_eq!(ctx.cancel(s.id(serial)), s.model.things[serial].alive, "{serial}");
        }
        _ => {
            let Some(serial) = s.pick(is_source) else { return };
            if s.model.things[serial].alive {
                s.model.raise(serial);
            }
        }
    }
}

/// Makes a turn, whole or in steps.
fn turn(l: &mut Loop<State>, s: &mut State, max: Duration) {
    let stepwise = s.random(2) == 0;
    s.model.begin_turn();
    let turned = catch_unwind(AssertUnwindSafe(|| {
        if stepwise {
            l.prepare(s).unwrap();
            let until = l.now() + max;
            l.wait(Some(until)).unwrap();
            l.dispatch(s).unwrap();
        } else {
            l.turn(s, Some(max)).unwrap();
        }
    }));
    if let Err(panic) = turned
        && !s.model.panicked
    {
        resume_unwind(panic);
    }
    s.model.end_turn(l);
}

fn program(l: &mut Loop<State>, s: &mut State) {
    let looked = l.hook(HookPoint::Check, |s, ctx| {
        s.model.look(ctx);
        Ok(Next::Keep)
    });
    s.model.per_turn = if s.random(4) == 0 { 1 + s.random(4) as usize } else { 256 };
    l.set_calls_per_turn(s.model.per_turn);
    for _ in 0..6 + s.random(20) {
        if !s.model.panicked {
            changes(s, l); // else what a guard let go of may stand in the table until the next turn
        }
        turn(l, s, Duration::ZERO);
    }
    s.quiet = true;
    while let Some((serial, guard)) = s.guards.pop() {
        drop(guard);
        s.model.remove(serial);
    }
    turn(l, s, Duration::ZERO);
    let start = Instant::now();
    while s.model.is_busy() {
        assert!(start.elapsed() < LONG, "operations do not end");
        turn(l, s, Duration::from_millis(1));
    }
    (0..4).for_each(|_| turn(l, s, Duration::ZERO));
    for serial in 0..s.model.things.len() {
        if let Some(id) = s.model.things[serial].id {
            assert_eq!(l.cancel(id), s.model.things[serial].alive, "{serial}");
            s.model.remove(serial);
        }
    }
    turn(l, s, Duration::ZERO);
    l.cancel(looked);
    let left: Vec<AnyId> = l.sources().map(|info| info.id).collect(); // timers of pauses
    assert_eq!(left, [], "left over");
    assert_eq!(Rc::strong_count(&s.token), 1, "closures left over");
}

/// The programs to run, by their numbers.
fn seeds() -> Range<u64> {
    let few = if std::env::var_os("BECKET_VALGRIND").is_some() { 20 } else { 10_000 };
    let number = |text: &str| text.parse().expect("a number in BECKET_PROGRAMS");
    match std::env::var("BECKET_PROGRAMS") {
        Err(_) => 0..few,
        Ok(text) => match text.split_once("..") {
            None => 0..number(&text),
            Some((first, end)) => number(first)..number(end),
        },
    }
}

on_every_backend! {
    fn random_programs_agree_with_a_model(world: World<State>) {
        let World { event_loop: l, script, misses } = &mut world;
        l.on_error(|_, _, _| {});
        for seed in seeds() {
            let mut s = State {
                seed,
                model: Model::new(*misses),
                script: script.clone(),
                remote: l.remote(),
                guards: Vec::new(),
                base: l.now(),
                edges: l.caps().edge,
                enough: false,
                quiet: false,
                token: Rc::new(()),
            };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| program(l, &mut s))) {
                eprintln!("in the program of seed {seed}");
                resume_unwind(panic);
            }
        }
    }
}
