//! Prints the edges of GPIO lines by the character device: with their times, and with those that were lost.
//!
//!     cargo run --example gpio_edges                          lists the chips and their lines
//!     cargo run --example gpio_edges -- gpiochip0 17 4        waits for ten edges of lines 17 and 4, a minute at most
//!     cargo run --example gpio_edges -- --label sim8 3        finds the chip by its label

use becket_sys::gpio::{Bias, Chip, Edge, EdgeKind, LineConfig, Sequence, chips};
use becket_sys::{EventBuf, Ready};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, io};

const EDGES: usize = 10;
const WITHIN: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("gpio_edges: {e}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn run(args: &[&str]) -> Result<(), Box<dyn Error>> {
    let (chip, offsets) = match args {
        [] => return Ok(list()?),
        ["--label", label, offsets @ ..] => (Chip::find(label)?, offsets),
        [name, offsets @ ..] => (Chip::open(Path::new("/dev").join(name))?, offsets),
    };
    let offsets = offsets.iter().map(|offset| offset.parse()).collect::<Result<Vec<u32>, _>>()?;
    Ok(wait_for_edges(&chip, offsets)?)
}

fn list() -> io::Result<()> {
    let mut none = true;
    for chip in chips()? {
        none = false;
        let chip = match chip {
            Ok(chip) => chip,
            Err(e) => {
                println!("{e}");
                continue;
            }
        };
        let info = chip.info();
        println!("{}: {}, {} lines", info.name.display(), info.label.display(), info.lines);
        for line in chip.lines() {
            let line = line?;
            let user = if line.is_used() { format!(", used by {:?}", line.consumer) } else { String::new() };
            println!("  {:3} {:?} {:?}{user}", line.offset, line.name, line.direction());
        }
    }
    if none {
        println!("there is no GPIO chip: no /dev/gpiochipN");
    }
    Ok(())
}

fn wait_for_edges(chip: &Chip, offsets: Vec<u32>) -> io::Result<()> {
    let both = LineConfig::input().edge(Edge::Both).bias(Bias::PullUp).debounce(Duration::from_millis(1));
    let request = chip.request().consumer("gpio_edges").lines(offsets, both).open()?;
    println!("lines {:?} are {:?}, waiting", request.offsets(), request.values()?);

    let (mut buf, mut sequence, mut seen) = (EventBuf::new(), Sequence::new(), 0);
    let deadline = Instant::now() + WITHIN;
    while seen < EDGES && request.wait_ready(Ready::READ, Some(deadline))?.is_some() {
        for event in request.read_events(&mut buf)?.into_iter().flatten() {
            seen += 1;
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
