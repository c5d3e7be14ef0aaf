use super::*;
#[cfg(not(feature = "corosensei"))]
use generator::{Gn, Scope};
use std::rc::Rc;
use std::sync::Mutex;

fn new(size: usize) -> io::Result<Context> {
    let mut fresh = Default::default();
    Context::make(size, &mut fresh)
}

fn run(context: &Context) -> bool {
    // SAFETY: each test loads a task before, and runs on its own thread's stack.
    unsafe { context.resume() }
}

fn load(context: &Context, task: impl FnOnce() + 'static) {
    // SAFETY: nothing is borrowed.
    unsafe { context.load(task) };
}

fn suspend(switch: Switch) {
    assert!(switch.can_suspend());
    // SAFETY: called in the task of that stack.
    unsafe { switch.suspend() };
}

/// For one test at a time: stacks of several between each other leave gaps when they go.
static COUNTS_MAPPINGS: Mutex<()> = Mutex::new(());

fn maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn one_stack_serves_many_tasks() {
    let context = new(64 * 1024).unwrap();
    let sum = Rc::new(Cell::new(0));
    for i in 0..10 {
        let (switch, s) = (context.switch(), sum.clone());
        load(&context, move || {
            s.set(s.get() + i);
            suspend(switch);
            s.set(s.get() + 100 * i);
        });
        assert!(!context.is_idle());
        assert!(!run(&context));
        assert!(!context.is_idle());
        assert!(run(&context));
        assert!(context.is_idle() && context.take_panic().is_none());
    }
    assert_eq!(sum.get(), 45 + 4500);
    context.free();
}

#[test]
fn large_tasks_are_boxed() {
    let context = new(64 * 1024).unwrap();
    let witness = Rc::new(());
    let (big, held) = ([7u8; 4096], witness.clone());
    load(&context, move || assert_eq!((big[4095], Rc::strong_count(&held)), (7, 2)));
    assert!(run(&context));
    assert!(context.take_panic().is_none());
    assert_eq!(Rc::strong_count(&witness), 1);
    context.free();
}

#[test]
fn a_panic_stays_on_its_stack() {
    let context = new(64 * 1024).unwrap();
    load(&context, || std::panic::resume_unwind(Box::new(42)));
    assert!(run(&context));
    assert_eq!(*context.take_panic().unwrap().downcast::<i32>().unwrap(), 42);
    load(&context, || {});
    assert!(run(&context) && context.take_panic().is_none());
    context.free();
}

// Only `generator` can.
#[cfg(not(feature = "corosensei"))]
#[test]
fn suspends_through_a_generator_on_top() {
    if std::env::var_os("BECKET_VALGRIND").is_some() {
        println!("SKIP: valgrind does not know the stack of the inner generator");
        return;
    }
    let context = new(64 * 1024).unwrap();
    let (switch, steps) = (context.switch(), Rc::new(Cell::new(0)));
    let s = steps.clone();
    load(&context, move || {
        let inner = s.clone();
        let mut g = Gn::new_scoped_opt_local(0x1000, move |mut scope: Scope<(), u32>| {
            inner.set(1);
            suspend(switch);
            inner.set(2);
            scope.yield_with(7);
            suspend(switch);
            8
        });
        assert_eq!(g.resume(), Some(7));
        suspend(switch);
        assert_eq!(g.resume(), Some(8));
        s.set(3);
    });
    assert!(!run(&context));
    assert_eq!(steps.get(), 1);
    assert!(!run(&context));
    assert_eq!(steps.get(), 2);
    assert!(!run(&context));
    assert!(run(&context));
    assert!(context.take_panic().is_none());
    assert_eq!(steps.get(), 3);
    context.free();
}

#[test]
fn a_suspended_stack_is_leaked_never_freed() {
    let pool = Pool::new(0);
    let class = Class::of(20_000).unwrap();
    assert_eq!(class.bytes(), 32 * 1024);
    let context = pool.take(class).unwrap();
    let (switch, witness, bounds) = (context.switch(), Rc::new(()), context.bounds());
    let held = witness.clone();
    load(&context, move || {
        suspend(switch);
        drop(held);
    });
    assert!(!run(&context));
    pool.put(class, context);
    drop(pool);
    assert_eq!(Rc::strong_count(&witness), 2);
    // SAFETY: that it is still mapped is what is tested.
    unsafe { ((bounds.end - 1) as *const u8).read_volatile() };
}

#[test]
fn sizes_that_cannot_be_are_errors() {
    for size in [0, 1000, 4095, usize::MAX - 4095] {
        assert_eq!(new(size).err().unwrap().kind(), io::ErrorKind::InvalidInput, "{size}");
    }
    assert!(Class::of(usize::MAX).is_err());
    // More than the address space: refused by the probe, where `generator` would panic.
    assert!(new(1 << 50).is_err());
}

#[test]
fn churn_keeps_the_number_of_mappings_flat() {
    if std::env::var_os("BECKET_VALGRIND").is_some() {
        println!("SKIP: valgrind keeps mappings of its own");
        return;
    }
    if !guard::within_mapping() {
        println!("SKIP: no MADV_GUARD_INSTALL on this kernel, each guard page is a mapping");
        return;
    }
    let _alone = COUNTS_MAPPINGS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let pool = Pool::new(0);
    let class = Class::of(64 * 1024).unwrap();
    let before = maps();
    let mut all: Vec<Context> = (0..2000).map(|_| pool.take(class).unwrap()).collect();
    for round in 0..4 {
        // Give back every other one, and take as many.
        let (keep, back): (Vec<_>, Vec<_>) =
            all.into_iter().enumerate().partition(|(i, _)| (i + round).is_multiple_of(2));
        back.into_iter().for_each(|(_, c)| pool.put(class, c));
        all = keep.into_iter().map(|(_, c)| c).collect();
        while all.len() < 2000 {
            all.push(pool.take(class).unwrap());
        }
        assert!(maps() < before + 50, "{} mappings, before {before}", maps());
    }
    all.into_iter().for_each(|c| pool.put(class, c));
    drop(pool);
    assert!(maps() < before + 50, "{} mappings, before {before}", maps());
}

#[test]
fn surplus_stacks_are_unmapped_in_runs_and_the_others_emptied() {
    if std::env::var_os("BECKET_VALGRIND").is_some() {
        println!("SKIP: valgrind keeps mappings of its own");
        return;
    }
    if !guard::within_mapping() {
        println!("SKIP: no MADV_GUARD_INSTALL on this kernel, each guard page is a mapping");
        return;
    }
    let _alone = COUNTS_MAPPINGS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let pool = Pool::new(10);
    let class = Class::of(64 * 1024).unwrap();
    let mut all: Vec<Context> = (0..1000).map(|_| pool.take(class).unwrap()).collect();
    let before = maps();
    all.sort_by_key(|c| c.bounds().start);
    // Every tenth of the upper half stays in use.
    let (used, idle): (Vec<_>, Vec<_>) = all.into_iter().enumerate().partition(|(i, _)| *i > 500 && i % 10 == 0);
    idle.into_iter().for_each(|(_, c)| pool.put(class, c));
    assert!(pool.has_surplus());
    pool.begin_interval();
    for _ in 0..100 {
        let context = pool.take(class).unwrap(); // one is used now and then
        pool.put(class, context);
    }
    pool.condemn();
    let mut slices = 1;
    while pool.unmap(100) {
        slices += 1;
    }
    assert!((4..=10).contains(&slices), "{slices}");
    assert!(!pool.has_surplus());
    assert!(maps() < before + 10, "{} mappings, before {before}", maps());
    // What is left serves as before, and so do new ones.
    let again: Vec<Context> = (0..900).map(|_| pool.take(class).unwrap()).collect();
    for context in &again {
        load(context, || {});
        assert!(run(context));
    }
    again.into_iter().for_each(|c| pool.put(class, c));
    used.into_iter().for_each(|(_, c)| pool.put(class, c));
}

#[test]
fn the_use_of_a_stack_is_measured_to_the_page() {
    #[inline(never)]
    fn dig(depth: usize) -> usize {
        let frame = std::hint::black_box([depth as u8; 1024]);
        if depth == 0 { 0 } else { dig(depth - 1) + usize::from(frame[1023]) }
    }
    let context = new(256 * 1024).unwrap();
    let first = context.used().unwrap();
    assert!(first <= 3 * guard::page_size(), "{first}");
    load(&context, || assert!(std::hint::black_box(dig(100)) > 0));
    assert!(run(&context) && context.take_panic().is_none());
    let deep = context.used().unwrap();
    assert!((100 * 1024..250 * 1024).contains(&deep), "{deep}");
    context.give_memory_back();
    let after = context.used().unwrap();
    assert!(after <= 4 * guard::page_size(), "{after}");
    load(&context, || assert!(std::hint::black_box(dig(10)) > 0));
    assert!(run(&context) && context.take_panic().is_none());
    assert!((after..deep).contains(&context.used().unwrap()));
    context.free();
}
