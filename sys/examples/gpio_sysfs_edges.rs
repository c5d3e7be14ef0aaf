//! Edges of a GPIO line as a file under /sys/class/gpio: for kernels and boards that offer nothing newer.
//!
//!     cargo run -p becket-sys --example gpio_sysfs_edges -- pinctrl-bcm2711 17     the chip's label and an offset
//!
//! Ten edges, a minute at most. Without arguments it lists the chips, or says that there are none; the exit status is 0.

use becket_sys::Ready;
use becket_sys::gpio::sysfs::{Class, Edge, Export};
use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let class = Class::new();
    let mut args = env::args().skip(1);
    let (Some(label), Some(offset)) = (args.next(), args.next()) else {
        match class.chips() {
            Err(e) => println!("SKIP: gpio_sysfs_edges: /sys/class/gpio: {e}"),
            Ok(chips) if chips.is_empty() => println!("SKIP: gpio_sysfs_edges: there is no chip in /sys/class/gpio"),
            Ok(chips) => chips.iter().for_each(|chip| println!("{}: {} lines", chip.label, chip.lines)),
        }
        return Ok(());
    };

    // By label and offset, for the numbers of sysfs may differ at each start. udev may take a while to set the rights.
    let soon = Instant::now() + Duration::from_secs(5);
    let line = class.export(class.find(&label, offset.parse()?)?, Some(soon))?;
    if line.export() == Export::AlreadyExported {
        println!("somebody else may be using it");
    }
    line.set_input()?;
    let value = line.watch(Edge::Both)?; // sets the edge, then reads: a line is ready before anything has happened
    println!("line {} is {value}, waiting", line.number());

    let deadline = Instant::now() + Duration::from_secs(60);
    let mut seen = 0;
    // PRI, with ERR beside it, which is no error.
    while seen < 10 && line.wait_ready(Ready::PRI, Some(deadline))?.is_some() {
        seen += 1;
        // There is no queue: edges that come before it is read are one.
        println!("edge {seen}: {}", line.value()?);
    }
    println!("{seen} edges");
    Ok(()) // unexported, if it was we who exported it
}
