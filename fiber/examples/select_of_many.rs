//! Waiting for the first of several things whose number is known at run time only. Run it with
//! `cargo run -p becket-fiber --example select_of_many`.

use becket_fiber::select::{self, Arm, Select};
use becket_fiber::sync::{Receiver, channel};
use becket_fiber::{Runtime, scope, sleep};
use std::io;
use std::time::Duration;

fn main() -> io::Result<()> {
    Runtime::new()?.run(|| {
        let lines: Vec<_> = (0..5).map(|_| channel(1)).collect();
        let (senders, mut receivers): (Vec<_>, Vec<Receiver<u64>>) = lines.into_iter().unzip();
        scope(|s| {
            for (n, sender) in senders.into_iter().enumerate() {
                s.spawn(move || {
                    sleep(Duration::from_millis(10 * (5 - n as u64)))?;
                    Ok::<_, io::Error>(sender.send(n as u64)?)
                })?;
            }
            let mut sum = 0;
            while !receivers.is_empty() {
                let (chosen, value) = next(&receivers)?;
                match value {
                    Some(value) => sum += value,
                    None => drop(receivers.swap_remove(chosen)), // its sender is gone
                }
            }
            Ok(println!("the sum is {sum}"))
        })
    })?
}

/// The next value of any of them, and of which.
fn next(receivers: &[Receiver<u64>]) -> io::Result<(usize, Option<u64>)> {
    let mut arms: Vec<_> = receivers.iter().map(Receiver::on_recv).collect();
    let mut patience = select::after(Duration::from_secs(60));
    let mut select = Select::new();
    for arm in &mut arms {
        select.add(arm); // returns its number: counted from 0
    }
    select.add(&mut patience);
    match select.wait()? {
        chosen if chosen < arms.len() => Ok((chosen, arms.swap_remove(chosen).finish().flatten())),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
}
