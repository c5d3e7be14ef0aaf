//! Closures of many types, one after the other in one piece of memory: what other threads post.
//!
//! An allocation each would be most of what a post costs: memory that one thread gets and another gives back goes the
//! allocator's slow way.

use crate::{Ctx, Result};
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};

/// First in, first out.
pub(crate) struct Posts<S> {
    /// Records: a word with a pointer to the closure's [`Kind`], which is a constant, then as many words as the closure
    /// takes. From `next` on they are whole records whose closures are valid and owned by this; before it they are
    /// nobody's.
    words: Vec<MaybeUninit<Word>>,
    next: usize,
    marker: PhantomData<Box<Post<S>>>,
}

type Post<S> = dyn FnOnce(&mut S, &mut Ctx<S>) -> Result<()> + Send;

/// What records are made of, and aligned to.
type Word = u64;

/// A closure of more words has memory of its own.
const MOST: usize = 16;

/// How many words a list without content keeps, once it has them; more only where an eighth of them was used.
const KEPT: usize = 512;

/// What is known of all closures of one type.
struct Kind<S> {
    /// How many words one takes.
    words: usize,
    /// Takes the closure out of memory, and calls it.
    ///
    /// SAFETY: the pointer is to a valid closure of this kind, which nobody uses after this.
    call: unsafe fn(*mut MaybeUninit<Word>, &mut S, &mut Ctx<S>) -> Result<()>,
    /// Drops it in its place.
    ///
    /// SAFETY: as for `call`.
    drop: unsafe fn(*mut MaybeUninit<Word>),
}

struct Of<S, F>(PhantomData<(S, F)>);

impl<S: 'static, F: FnOnce(&mut S, &mut Ctx<S>) -> Result<()> + 'static> Of<S, F> {
    const KIND: &'static Kind<S> =
        &Kind { words: size_of::<F>().div_ceil(size_of::<Word>()), call: Self::call, drop: Self::drop };

    unsafe fn call(at: *mut MaybeUninit<Word>, s: &mut S, ctx: &mut Ctx<S>) -> Result<()> {
        // SAFETY: `at` is a valid closure of this type, which the caller gives up. It is out of its memory before it is
        // called: whatever it does to that does not matter.
        let f = unsafe { at.cast::<F>().read() };
        f(s, ctx)
    }

    unsafe fn drop(at: *mut MaybeUninit<Word>) {
        // SAFETY: as above.
        unsafe { at.cast::<F>().drop_in_place() }
    }
}

impl<S> Posts<S> {
    pub(crate) fn new() -> Self {
        Posts { words: Vec::new(), next: 0, marker: PhantomData }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.words.len()
    }

    /// Gives back memory, or begins it anew, where nothing is in it.
    pub(crate) fn tidy(&mut self) {
        if self.is_empty() {
            let used = mem::take(&mut self.next);
            self.words.clear();
            if self.words.capacity() > KEPT.max(used.saturating_mul(8)) {
                self.words = Vec::new(); // of a flood that is over
            }
        }
    }

    /// Takes the next record's closure out of this, which must not be empty: where it is, and of what kind.
    #[inline]
    fn pop(&mut self) -> (*mut MaybeUninit<Word>, &Kind<S>) {
        assert!(!self.is_empty());
        // SAFETY: `next` is below the length, so it is in the buffer, and so is the whole of the record there.
        let record = unsafe { self.words.as_mut_ptr().add(self.next) };
        // SAFETY: `next` is the begin of a record, which is a pointer to its kind, a constant: `put` wrote it.
        let kind = unsafe { &*record.cast::<*const Kind<S>>().read() };
        self.next += 1 + kind.words; // before it is used: a panic leaves a list without it
        // SAFETY: one past the pointer the closure begins, or, where it takes no words, perhaps the buffer ends.
        (unsafe { record.add(1) }, kind)
    }

    fn drop_all(&mut self) {
        while !self.is_empty() {
            let (closure, kind) = self.pop();
            // SAFETY: `pop` gave us a valid closure of that kind, once, and nobody changes the buffer meanwhile.
            unsafe { (kind.drop)(closure) };
        }
    }
}

impl<S: 'static> Posts<S> {
    pub(crate) fn push<F: FnOnce(&mut S, &mut Ctx<S>) -> Result<()> + Send + 'static>(&mut self, f: F) {
        const { assert!(align_of::<Box<u8>>() <= align_of::<Word>() && size_of::<&u8>() <= size_of::<Word>()) };
        if align_of::<F>() <= align_of::<Word>() && size_of::<F>() <= MOST * size_of::<Word>() {
            self.put(f);
        } else {
            self.put(Box::new(f));
        }
    }

    #[inline]
    fn put<F: FnOnce(&mut S, &mut Ctx<S>) -> Result<()> + Send + 'static>(&mut self, f: F) {
        let kind = Of::<S, F>::KIND;
        let (at, words) = (self.words.len(), 1 + kind.words);
        self.words.reserve(words);
        // SAFETY: there is room for `words` more words after the first `at`. The kind takes the first of them, the
        // closure the others: it is no larger, nor aligned to more than a word, as `push` has seen to (a `Box` is not).
        // Its type is `Send`, so the list may go to another thread with it, and `'static`, so it may stay there.
        unsafe {
            let record = self.words.as_mut_ptr().add(at);
            record.cast::<*const Kind<S>>().write(kind);
            record.add(1).cast::<F>().write(f);
            self.words.set_len(at + words);
        }
    }

    /// Appends what `other` has.
    pub(crate) fn append(&mut self, other: &mut Posts<S>) {
        if self.is_empty() {
            return mem::swap(self, other);
        }
        // A closure is moved by copying its words, and the originals are nobody's as soon as `next` is past them.
        self.words.extend_from_slice(&other.words[other.next..]);
        other.next = other.words.len();
    }

    /// Calls the next one, which there must be.
    #[inline]
    pub(crate) fn call_next(&mut self, s: &mut S, ctx: &mut Ctx<S>) -> Result<()> {
        let (closure, kind) = self.pop();
        // SAFETY: `pop` gave us a valid closure of that kind, once; the buffer is borrowed, and so stays as it is, until
        // the closure was taken out.
        unsafe { (kind.call)(closure, s, ctx) }
    }
}

impl<S> Drop for Posts<S> {
    fn drop(&mut self) {
        /// Goes on where a destructor panicked.
        struct Rest<'a, S>(&'a mut Posts<S>);

        impl<S> Drop for Rest<'_, S> {
            fn drop(&mut self) {
                self.0.drop_all();
            }
        }
        Rest(self).0.drop_all();
    }
}

#[cfg(test)]
mod tests {
    use super::Posts;
    use crate::{Ctx, Loop, Result};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    type Log = Vec<u64>;

    fn call_all(posts: &mut Posts<Log>, event_loop: &mut Loop<Log>) -> Log {
        let mut log = Vec::new();
        while !posts.is_empty() {
            posts.call_next(&mut log, event_loop).unwrap();
        }
        posts.tidy();
        log
    }

    #[repr(align(64))]
    struct Aligned(u64);

    /// All that a closure may be: nothing, some words, some bytes more, many, aligned to more than a word.
    fn push_all_kinds(posts: &mut Posts<Log>, n: u64) {
        let (bytes, many, aligned) = ([n as u8; 13], [n; 40], Aligned(n));
        posts.push(|log: &mut Log, _: &mut Ctx<Log>| Ok(log.push(0)));
        posts.push(move |log: &mut Log, _: &mut Ctx<Log>| Ok(log.push(n)));
        posts.push(move |log: &mut Log, _: &mut Ctx<Log>| Ok(log.push(bytes.iter().map(|b| u64::from(*b)).sum())));
        posts.push(move |log: &mut Log, _: &mut Ctx<Log>| Ok(log.push(many.iter().sum())));
        posts.push(move |log: &mut Log, _: &mut Ctx<Log>| {
            let aligned = &aligned;
            assert_eq!(std::ptr::from_ref(aligned).addr() % 64, 0);
            Ok(log.push(aligned.0))
        });
    }

    #[test]
    fn closures_of_all_sizes_are_called_in_order_also_after_moves() {
        let mut event_loop = Loop::new().unwrap();
        let (mut posts, mut more) = (Posts::new(), Posts::new());
        let mut expected = Vec::new();
        for n in 1..=7 {
            push_all_kinds(if n < 4 { &mut posts } else { &mut more }, n);
            expected.extend([0, n, 13 * n, 40 * n, n]);
        }
        let mut log = Vec::new();
        posts.call_next(&mut log, &mut event_loop).unwrap();
        posts.append(&mut more);
        assert!(more.is_empty() && call_all(&mut more, &mut event_loop).is_empty());
        log.extend(call_all(&mut posts, &mut event_loop));
        assert_eq!(log, expected);
        push_all_kinds(&mut posts, 9);
        assert_eq!(call_all(&mut posts, &mut event_loop), [0, 9, 117, 360, 9]);
    }

    #[test]
    fn what_is_not_called_is_dropped_once_also_where_a_destructor_panics() {
        struct PanicsOnDrop;
        impl Drop for PanicsOnDrop {
            fn drop(&mut self) {
                panic!("of the destructor");
            }
        }
        let held = Arc::new(());
        let post = |posts: &mut Posts<Log>, large: [u64; 30]| {
            let (small, other) = (Arc::clone(&held), Arc::clone(&held));
            posts.push(move |_: &mut Log, _: &mut Ctx<Log>| Ok(drop(small)));
            posts.push(move |_: &mut Log, _: &mut Ctx<Log>| -> Result<()> {
                assert_eq!(large.len(), 30);
                Ok(drop(other))
            });
        };
        let mut posts = Posts::new();
        post(&mut posts, [0; 30]);
        posts.call_next(&mut Vec::new(), &mut Loop::new().unwrap()).unwrap();
        assert_eq!(Arc::strong_count(&held), 2);
        let bomb = PanicsOnDrop;
        posts.push(move |_: &mut Log, _: &mut Ctx<Log>| {
            let _bomb = &bomb;
            Ok(())
        });
        post(&mut posts, [0; 30]);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(posts)));
        assert_eq!(*dropped.unwrap_err().downcast::<&str>().unwrap(), "of the destructor");
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn memory_of_a_flood_is_given_back() {
        let mut event_loop = Loop::new().unwrap();
        let mut posts = Posts::new();
        for round in [10_000, 10_000, 10, 10] {
            (0..round).for_each(|n| posts.push(move |log: &mut Log, _: &mut Ctx<Log>| Ok(log.push(n))));
            assert_eq!(call_all(&mut posts, &mut event_loop).len() as u64, round);
        }
        assert!(posts.words.capacity() <= super::KEPT);
    }
}
