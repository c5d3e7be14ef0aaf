//! The GPIO chips of this machine with their lines, and who uses which: the character devices.
//!
//! Run it with `cargo run -p becket-sys --example gpio_list`. Where there is no chip it says so; the exit status is 0.

use becket_sys::gpio::chips;
use std::io;

fn main() -> io::Result<()> {
    let mut found = 0;
    for chip in chips()? {
        found += 1;
        let chip = match chip {
            Ok(chip) => chip,
            Err(e) => {
                println!("{e}"); // not ours to open, mostly
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
    if found == 0 {
        println!("SKIP: gpio_list: there is no GPIO chip, no /dev/gpiochipN");
    }
    Ok(())
}
