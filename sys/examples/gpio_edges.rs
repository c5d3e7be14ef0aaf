//! Ten edges of GPIO lines, with their times, and with how many were lost: inputs of the character device.
//!
//!     cargo run -p becket-sys --example gpio_edges -- /dev/gpiochip0 17 4     lines 17 and 4, for a minute at most
//!
//! Without arguments it touches nothing, and refers to gpio_list; the exit status is 0.

use becket_sys::gpio::{Bias, Chip, Edge, EdgeKind, LineConfig, Sequence};
use becket_sys::{EventBuf, Ready};
use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let Some(chip) = args.next() else {
        return Ok(println!("which chip, which lines? The example gpio_list shows what there is"));
    };
    let offsets: Vec<u32> = args.map(|offset| offset.parse()).collect::<Result<_, _>>()?;

    let both = LineConfig::input().edge(Edge::Both).bias(Bias::PullUp).debounce(Duration::from_millis(1));
    let lines = Chip::open(chip)?.request().consumer("gpio_edges").lines(offsets, both).open()?;
    println!("lines {:?} are {:?}, waiting", lines.offsets(), lines.values()?);

    let (mut buf, mut sequence, mut seen) = (EventBuf::new(), Sequence::new(), 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen < 10 && lines.wait_ready(Ready::READ, Some(deadline))?.is_some() {
        for event in lines.read_events(&mut buf)?.into_iter().flatten() {
            seen += 1;
            // The kernel keeps edges for us, with their times, but not any number of them.
            let lost = sequence.lost_before(&event);
            let word = match event.kind {
                EdgeKind::Rising => "rising",
                EdgeKind::Falling => "falling",
                _ => "?",
            };
            println!("{:?} line {} {word}, {lost} lost before", event.time, event.offset);
        }
    }
    println!("{seen} edges");
    Ok(())
}
