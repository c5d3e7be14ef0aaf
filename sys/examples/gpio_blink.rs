//! A line that blinks three times: an output of the GPIO character device, driven at its pace by a timer.
//!
//!     cargo run -p becket-sys --example gpio_blink -- /dev/gpiochip0 17
//!
//! Without arguments it touches nothing, and refers to gpio_list; the exit status is 0.

use becket_sys::Ready;
use becket_sys::gpio::{Chip, LineConfig};
use becket_sys::timer::{Clock, Timer, When};
use std::env;
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(chip), Some(offset)) = (args.next(), args.next()) else {
        return Ok(println!("which chip, which line? The example gpio_list shows what there is"));
    };
    let offset: u32 = offset.parse()?;

    // The value comes with the request: never an output first and its value then, which could be a pulse.
    let off = LineConfig::output(false);
    let line = Chip::open(chip)?.request().consumer("gpio_blink").line(offset, off).open()?;

    let half = Duration::from_millis(100);
    let pace = Timer::new(Clock::Monotonic)?;
    pace.set(When::After(half), Some(half))?;
    for turn in 0..6 {
        pace.wait_ready(Ready::READ, None)?;
        pace.try_read()?;
        let on = turn % 2 == 0;
        line.set_value(offset, on)?;
        println!("line {offset} {}", if on { "on" } else { "off" });
    }
    Ok(()) // what the line is after the program, its driver decides
}
