//! What of a loop can be foretold: what is called in a turn and in which order, and what stands in its table.

use super::Probe;
use becket_loop::Timer as TimerId;
use becket_loop::{AnyId, Ctx, HookPoint, Id, Mode};
use becket_sys::event::Event;
use std::collections::VecDeque;
use std::rc::Rc;

/// The parts of a turn, in their order. What a callback does counts for a later part of the same turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Outside,
    Prepare,
    Check,
    Timers,
    Ready,
    Done,
    Posts,
    Deferred,
}

/// A number for each thing that a program makes.
pub(super) type Serial = usize;

#[derive(Debug)]
pub(super) struct Thing {
    /// `None` for work without a place in the table.
    pub(super) id: Option<AnyId>,
    pub(super) alive: bool,
    pub(super) enabled: bool,
    pub(super) calls: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Source(Source),
    Timer(Timer),
    Hook(Hook),
    Operation,
    Loose,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) id: Id<Rc<Event>>,
    /// Until it is removed.
    pub(super) probe: Option<Probe>,
    pub(super) mode: Mode,
    pub(super) priority: i32,
    raised: bool,
    /// Whether it was raised since the last look at the descriptors, or before and is so still.
    lately: bool,
    /// Whether it was raised since it was told last.
    edge: bool,
    /// Found in which turn, and whether it must be told, or may.
    found: Option<(i64, bool)>,
    told: i64,
    /// Whether its place in the queue cannot be foretold: it was in it and disabled.
    misplaced: bool,
    /// Whether it cannot be foretold if it is disabled when it is told: it fired once, and was armed again before.
    rearmed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    Once,
    Periodic,
    Plain,
}

/// By which those that are due follow each other: the turn in which they became due, the time, the order of arming.
type Place = (i64, u64, u64);

#[derive(Debug)]
pub(super) struct Timer {
    pub(super) id: Id<TimerId>,
    pub(super) calls: Calls,
    /// For a time that has passed; those for later are not told of.
    armed: Option<(u64, u64)>,
    due: Option<Place>,
}

#[derive(Debug)]
pub(super) struct Hook {
    pub(super) point: HookPoint,
    /// In which turn it was called last, and in which it was enabled or disabled last.
    called: i64,
    touched: i64,
}

/// A deadline that passed after all those that programs give.
pub(super) const NOW: u64 = u64::MAX;

#[derive(Default)]
pub(super) struct Model {
    pub(super) things: Vec<Thing>,
    pub(super) phase: Option<Phase>,
    /// Counts the looks at the descriptors, and the turns.
    looks: i64,
    turns: i64,
    armings: u64,
    pub(super) per_turn: usize,
    posts: VecDeque<Serial>,
    deferred: VecDeque<Serial>,
    /// How many of them have their turn in this turn.
    posts_now: usize,
    deferred_now: usize,
    last_rank: i64,
    told_now: usize,
    pub(super) operations: usize,
    pub(super) panicked: bool,
    /// Whether a look may miss, until the next one, what became ready just before.
    misses: bool,
}

impl Model {
    pub(super) fn new(misses: bool) -> Model {
        Model { misses, ..Model::default() }
    }

    fn phase(&self) -> Phase {
        self.phase.unwrap_or(Phase::Outside)
    }

    fn enter(&mut self, phase: Phase) {
        assert!(self.phase() <= phase, "{phase:?} after {:?}", self.phase());
        self.phase = Some(phase);
    }

    fn insert(&mut self, id: Option<AnyId>, what: What) -> Serial {
        self.things.push(Thing { id, alive: true, enabled: true, calls: 0, what });
        self.things.len() - 1
    }

    /// The serial that the next thing will have.
    pub(super) fn next(&self) -> Serial {
        self.things.len()
    }

    pub(super) fn add_source(&mut self, id: Id<Rc<Event>>, probe: Probe, mode: Mode) {
        let source = Source {
            id,
            probe: Some(probe),
            mode,
            priority: 0,
            raised: false,
            lately: false,
            edge: false,
            found: None,
            told: 0,
            misplaced: false,
            rearmed: false,
        };
        self.insert(Some(id.into()), What::Source(source));
    }

    pub(super) fn add_timer(&mut self, id: Id<TimerId>, calls: Calls) {
        let serial = self.insert(Some(id.into()), What::Timer(Timer { id, calls, armed: None, due: None }));
        self.things[serial].enabled = false;
    }

    pub(super) fn add_hook(&mut self, id: AnyId, point: HookPoint) {
        let hook = Hook { point, called: 0, touched: self.turns };
        self.insert(Some(id), What::Hook(hook));
    }

    pub(super) fn add_operation(&mut self, id: AnyId) {
        self.operations += 1;
        self.insert(Some(id), What::Operation);
    }

    pub(super) fn add_post(&mut self) {
        let serial = self.insert(None, What::Loose);
        self.posts.push_back(serial);
    }

    pub(super) fn add_deferred(&mut self) {
        let serial = self.insert(None, What::Loose);
        self.deferred.push_back(serial);
        self.deferred_now += usize::from(self.phase() < Phase::Deferred);
    }

    pub(super) fn source(&mut self, serial: Serial) -> Option<&mut Source> {
        match &mut self.things[serial].what {
            What::Source(source) => Some(source),
            _ => None,
        }
    }

    fn timer(&mut self, serial: Serial) -> Option<&mut Timer> {
        match &mut self.things[serial].what {
            What::Timer(timer) => Some(timer),
            _ => None,
        }
    }

    pub(super) fn raise(&mut self, serial: Serial) {
        if let Some(source) = self.source(serial)
            && let Some(probe) = &source.probe
        {
            probe.raise();
            (source.raised, source.lately, source.edge) = (true, true, true);
        }
    }

    pub(super) fn lower(&mut self, serial: Serial) {
        if let Some(source) = self.source(serial)
            && let Some(probe) = &source.probe
        {
            probe.lower();
            (source.raised, source.edge) = (false, false);
        }
    }

    /// Arms a timer for `when`, counted in some unit from some time on, which has passed; or for a time far off.
    pub(super) fn arm(&mut self, serial: Serial, when: Option<u64>) {
        self.armings += 1;
        let (order, looks, phase) = (self.armings, self.looks, self.phase());
        self.things[serial].enabled = true;
        let Some(timer) = self.timer(serial) else { return };
        timer.armed = when.map(|when| (when, order));
        // From the look at the descriptors on until timers have their turn, it counts for this turn.
        timer.due = timer.armed.filter(|_| phase == Phase::Check).map(|(when, order)| (looks, when, order));
    }

    pub(super) fn disarm(&mut self, serial: Serial) {
        self.things[serial].enabled = false;
        if let Some(timer) = self.timer(serial) {
            (timer.armed, timer.due) = (None, None);
        }
    }

    pub(super) fn enable(&mut self, serial: Serial, on: bool) {
        let turns = self.turns;
        let thing = &mut self.things[serial];
        match &mut thing.what {
            What::Source(source) => {
                if !on {
                    source.misplaced |= source.found.take().is_some();
                } else {
                    source.rearmed |= source.mode == Mode::OneShot && source.found.is_some();
                }
                thing.enabled = on;
            }
            What::Hook(hook) => {
                hook.touched = turns;
                thing.enabled = on;
            }
            What::Timer(timer) => match (on, thing.enabled, timer.calls) {
                (false, ..) => self.disarm(serial),
                (true, true, _) => {}
                (true, false, Calls::Periodic) => self.arm(serial, None), // the next time that its phase has
                (true, false, _) => self.arm(serial, Some(NOW)),
            },
            What::Operation | What::Loose => {}
        }
    }

    pub(super) fn set_mode(&mut self, serial: Serial, mode: Mode) {
        if let Some(source) = self.source(serial) {
            source.mode = mode;
            source.rearmed |= mode == Mode::OneShot && source.found.is_some();
        }
    }

    /// It is gone, by whatever way.
    pub(super) fn remove(&mut self, serial: Serial) {
        self.lower(serial); // a script goes by the number of a descriptor, which another one will have
        if let Some(source) = self.source(serial) {
            source.probe = None; // the next descriptor has its number
        }
        self.disarm(serial);
        self.things[serial].alive = false;
    }

    pub(super) fn begin_turn(&mut self) {
        self.turns += 1;
        self.phase = Some(Phase::Prepare);
        self.panicked = false;
    }

    /// The loop has looked at the descriptors, and nothing of the program's was called since.
    pub(super) fn look<S: 'static>(&mut self, ctx: &Ctx<S>) {
        self.enter(Phase::Check);
        self.looks = ctx.stats().waits as i64;
        (self.last_rank, self.told_now) = (i64::MIN, 0);
        self.posts_now = self.posts.len();
        self.deferred_now = self.deferred.len();
        let looks = self.looks;
        for thing in self.things.iter_mut().filter(|thing| thing.alive) {
            match &mut thing.what {
                What::Source(source) => {
                    let may = source.raised || source.lately;
                    let must = source.raised && (source.mode != Mode::Edge || source.edge);
                    if thing.enabled && may {
                        source.misplaced |= source.found.is_some_and(|(_, must)| !must);
                        let (since, was) = source.found.filter(|(_, must)| *must).unwrap_or((looks, false));
                        source.found = Some((since, must || was));
                    }
                    source.lately = source.raised;
                }
                What::Timer(timer) if timer.due.is_none() => {
                    timer.due = timer.armed.map(|(when, order)| (looks, when, order));
                }
                _ => {}
            }
        }
    }

    /// A source is told.
    pub(super) fn tell(&mut self, serial: Serial) {
        self.enter(Phase::Ready);
        let (looks, last_rank) = (self.looks, self.last_rank);
        let thing = &mut self.things[serial];
        let What::Source(source) = &mut thing.what else { panic!("{serial} is no source") };
        assert!(thing.alive, "{serial} was removed");
        let (since, _) = source.found.take().unwrap_or_else(|| panic!("{serial} has nothing to be told"));
        assert!(source.told < looks, "{serial} is told twice in a turn");
        let rank = since + i64::from(source.priority);
        source.told = looks;
        source.edge = false;
        if !source.misplaced && self.phase == Some(Phase::Ready) {
            assert!(last_rank <= rank, "{serial} of rank {rank} comes after one of {last_rank}");
            self.last_rank = rank;
        }
        source.misplaced = false;
        thing.enabled &= source.mode != Mode::OneShot;
        thing.calls += 1;
        self.told_now += 1;
        assert!(self.told_now <= self.per_turn, "{} in a turn", self.told_now);
    }

    /// It asked to be told again.
    pub(super) fn tell_again(&mut self, serial: Serial) {
        let looks = self.looks;
        let Thing { alive: true, enabled, what: What::Source(source), .. } = &mut self.things[serial] else { return };
        source.rearmed |= *enabled && source.mode == Mode::OneShot; // it is told without having fired
        // Where it is disabled it may come once more.
        source.found = Some((looks, *enabled || source.mode == Mode::OneShot));
    }

    /// Takes over what cannot be foretold.
    pub(super) fn settle(&mut self, serial: Serial, enabled: bool) {
        let thing = &mut self.things[serial];
        if let What::Source(source) = &mut thing.what
            && std::mem::take(&mut source.rearmed)
        {
            thing.enabled = enabled;
        }
    }

    /// Whether the source's state of being enabled cannot be foretold.
    pub(super) fn is_unsettled(&self, serial: Serial) -> bool {
        matches!(&self.things[serial].what, What::Source(source) if source.rearmed && source.found.is_none())
    }

    /// A timer is called.
    pub(super) fn expire(&mut self, serial: Serial) {
        self.enter(Phase::Timers);
        let due = |thing: &Thing| match &thing.what {
            What::Timer(timer) => timer.due,
            _ => None,
        };
        let place = due(&self.things[serial]).unwrap_or_else(|| panic!("timer {serial} is not due"));
        assert!(self.things[serial].alive, "timer {serial} was removed");
        let first = self.things.iter().filter_map(due).min().expect("one is due");
        assert_eq!(place, first, "timer {serial} comes before another that is due");
        self.disarm(serial);
        self.things[serial].calls += 1;
        match self.timer(serial).map(|timer| timer.calls) {
            Some(Calls::Once) => self.things[serial].alive = false,
            Some(Calls::Periodic) => self.arm(serial, None),
            _ => {}
        }
    }

    /// It asked to be called again.
    pub(super) fn expire_again(&mut self, serial: Serial) {
        let alive = self.things[serial].alive;
        if alive && self.timer(serial).is_some_and(|timer| timer.armed.is_none()) {
            self.arm(serial, Some(NOW));
        }
    }

    pub(super) fn call_hook(&mut self, serial: Serial) {
        let (turns, phase) = (self.turns, self.phase());
        let thing = &mut self.things[serial];
        let What::Hook(hook) = &mut thing.what else { panic!("{serial} is no hook") };
        assert!(thing.alive && thing.enabled, "hook {serial} is not enabled");
        assert!(hook.called < turns, "hook {serial} is called twice in a turn");
        let expected = if hook.point == HookPoint::Check { Phase::Check } else { Phase::Prepare };
        assert_eq!(phase, expected, "hook {serial}");
        hook.called = turns;
        thing.calls += 1;
    }

    pub(super) fn call_post(&mut self, serial: Serial) {
        self.enter(Phase::Posts);
        assert_eq!(self.posts.pop_front(), Some(serial), "posts follow each other");
        self.posts_now = self.posts_now.checked_sub(1).expect("posted before the loop looked");
    }

    pub(super) fn call_deferred(&mut self, serial: Serial) {
        self.enter(Phase::Deferred);
        assert_eq!(self.deferred.pop_front(), Some(serial), "deferred work keeps its order");
        self.deferred_now = self.deferred_now.checked_sub(1).expect("deferred before it had its turn");
    }

    pub(super) fn complete(&mut self, serial: Serial) {
        self.enter(Phase::Done);
        let thing = &mut self.things[serial];
        assert!(thing.alive, "operation {serial} ended twice");
        thing.alive = false;
        self.operations -= 1;
    }

    /// Whether anything is yet to come that needs no descriptor and no timer.
    pub(super) fn is_busy(&self) -> bool {
        self.operations + self.posts.len() + self.deferred.len() > 0
    }

    /// The turn is over: all that was to be called was called, and the table is as it should be.
    pub(super) fn end_turn<S: 'static>(&mut self, ctx: &Ctx<S>) {
        let phase = self.phase.take();
        let (looks, turns) = (self.looks, self.turns);
        if self.panicked {
            // Before timers had their turn: none was found to be due.
            for thing in self.things.iter_mut().filter(|_| phase == Some(Phase::Check)) {
                if let What::Timer(timer) = &mut thing.what {
                    timer.due = timer.due.filter(|(since, ..)| *since < looks);
                }
            }
            return;
        }
        assert_eq!((self.posts_now, self.deferred_now), (0, 0), "posts and deferred work left over");
        let patience = self.things.len() as i64 + 8;
        for (serial, thing) in self.things.iter_mut().enumerate().filter(|(_, thing)| thing.alive) {
            match &mut thing.what {
                What::Source(source) => {
                    if self.misses && source.found == Some((looks, true)) && source.told < looks {
                        source.misplaced = true; // found one look later, it may be
                        continue;
                    }
                    let owed = source.found.is_some_and(|(_, must)| must) && source.told < looks;
                    assert!(!owed || self.told_now >= self.per_turn, "source {serial} was not told: {source:?}");
                    let waits = source.found.map_or(0, |(since, must)| if must { looks - since } else { 0 });
                    assert!(waits <= patience, "source {serial} starves: {source:?}");
                }
                What::Timer(timer) => assert_eq!(timer.due, None, "timer {serial} was not called"),
                What::Hook(hook) => {
                    let counts = hook.point != HookPoint::Idle && thing.enabled && hook.touched < turns;
                    assert!(!counts || hook.called == turns, "hook {serial} was not called");
                }
                What::Operation | What::Loose => {}
            }
        }
        let mut found = vec![None; self.things.len()];
        for info in ctx.sources() {
            let known = self.things.iter().position(|thing| thing.id == Some(info.id));
            known.into_iter().for_each(|serial| found[serial] = Some((info.enabled, info.calls)));
        }
        for (serial, found) in found.into_iter().enumerate() {
            if let Some((enabled, _)) = found.filter(|_| self.is_unsettled(serial)) {
                self.settle(serial, enabled);
            }
            let thing = &self.things[serial];
            if matches!(thing.what, What::Loose) {
                continue;
            }
            let vague = matches!(&thing.what, What::Source(source) if source.rearmed);
            let expected = thing.alive.then_some((thing.enabled, thing.calls));
            let found = found.map(|(enabled, calls)| (if vague { thing.enabled } else { enabled }, calls));
            assert_eq!(found, expected, "{serial}: {:?}", thing.what);
        }
    }
}
