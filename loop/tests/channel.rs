//! Values from other threads, on epoll and on poll(2).

mod common;

use becket_loop::channel::{self, Event};
use becket_loop::{Loop, Next};
use common::each_backend;
use std::sync::mpsc::TrySendError;
use std::time::Duration;

#[test]
fn values_of_each_sender_keep_their_order_and_the_end_comes_last() {
    each_backend(|mut event_loop: Loop<Vec<Option<(usize, u32)>>>| {
        let (sender, receiver) = channel::channel().unwrap();
        event_loop
            .on(receiver, |seen, _, event| {
                seen.push(match event {
                    Event::Value(value) => Some(value),
                    Event::Closed => None,
                });
                Ok(Next::Keep)
            })
            .unwrap();
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let sender = sender.clone();
                std::thread::spawn(move || (0..5_000).for_each(|n| sender.send((thread, n)).unwrap()))
            })
            .collect();
        drop(sender);
        let mut seen = Vec::new();
        event_loop.run(&mut seen).unwrap(); // the source goes with the last sender
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((seen.len(), seen.last()), (20_001, Some(&None)));
        for thread in 0..4 {
            let of_one = seen.iter().flatten().filter(|(of, _)| *of == thread).map(|(_, n)| *n);
            assert!(of_one.eq(0..5_000));
        }
        assert_eq!(event_loop.sources().count(), 0);
    });
}

#[test]
fn what_is_sent_while_it_is_disabled_or_beyond_a_batch_is_told_later() {
    each_backend(|mut event_loop: Loop<u32>| {
        let (sender, receiver) = channel::channel().unwrap();
        let id = event_loop
            .on(receiver, |n, _, _| {
                *n += 1;
                Ok(if *n == 1000 { Next::Disable } else { Next::Keep })
            })
            .unwrap();
        (0..1500).for_each(|value| sender.send(value).unwrap());
        let mut n = 0;
        event_loop.turn(&mut n, None).unwrap();
        assert!(n < 1000, "others have their turn: {n}");
        while event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap() > 0 {}
        assert!((1000..1500).contains(&n), "{n}");
        event_loop.enable(id, true);
        while event_loop.turn(&mut n, Some(Duration::ZERO)).unwrap() > 0 {}
        assert_eq!(n, 1500);
    });
}

#[test]
fn removed_it_is_handed_back_and_senders_learn_when_it_is_gone() {
    each_backend(|mut event_loop: Loop<u32>| {
        let (sender, receiver) = channel::sync_channel(3).unwrap();
        let id = event_loop.on(receiver, |_, _, _| Ok(Next::Remove)).unwrap();
        (0..3).for_each(|value| sender.send(value).unwrap());
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        let receiver = event_loop.remove(id).unwrap();
        assert!((0..3).all(|value| receiver.try_recv() == Ok(value)));
        let id = event_loop.on(receiver, |_, _, _| Ok(Next::Remove)).unwrap();
        sender.send(4).unwrap();
        event_loop.run(&mut 0).unwrap();
        assert!(event_loop.get(id).is_none());
        assert_eq!(sender.send(5).unwrap_err().0, 5);
    });
}

/// Whoever sends waits, over and over, until the loop has taken what there is.
#[test]
fn a_full_channel_is_waited_for() {
    for bound in [0, 1, 7] {
        each_backend(|mut event_loop: Loop<Vec<u32>>| {
            let (sender, receiver) = channel::sync_channel(bound).unwrap();
            event_loop
                .on(receiver, |seen: &mut Vec<_>, _, event| {
                    if let Event::Value(value) = event {
                        seen.push(value);
                    }
                    Ok(Next::Keep)
                })
                .unwrap();
            let thread = std::thread::spawn(move || (0..1000).for_each(|value| sender.send(value).unwrap()));
            let mut seen = Vec::new();
            event_loop.run(&mut seen).unwrap();
            thread.join().unwrap();
            assert!(seen.into_iter().eq(0..1000));
        });
    }
}
