//! The input devices of this machine, and what each of them can tell: keyboards, mice, touch screens, switches.
//!
//! Run it with `cargo run -p becket-sys --example input_list`. Reading them takes root, or the group `input` on most
//! systems. Where there is none it says so; the exit status is 0.

use becket_sys::input::{Kind, devices};
use std::io;

fn main() -> io::Result<()> {
    let mut found = 0;
    for device in devices()? {
        found += 1;
        let device = match device {
            Ok(device) => device,
            Err(e) => {
                println!("{e}");
                continue;
            }
        };
        println!("{}, {:?}", device.name()?.display(), device.physical_path()?.unwrap_or_default());
        for kind in device.kinds()?.into_iter().filter(|kind| *kind != Kind::SYN) {
            println!("  {kind:?}: {} codes", device.codes(kind)?.len());
        }
    }
    if found == 0 {
        println!("SKIP: input_list: there is no input device, no /dev/input/eventN");
    }
    Ok(())
}
