//! GPIO lines of a real kernel, moved by its simulator: what no folder and no bytes can play. Runs in the virtual
//! machine that scripts/test-vm starts.

#[path = "../common/descriptors.rs"]
mod descriptors;

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

mod chardev;
mod sysfs;

/// More than anything takes that will happen.
const LONG: Duration = Duration::from_secs(10);
/// How long to look for what must not happen.
const MOMENT: Duration = Duration::from_millis(200);

/// The far end of the wires: a simulated chip of 8 lines.
struct Sim {
    device: PathBuf,
    label: String,
}

impl Sim {
    fn new() -> Option<Sim> {
        let Some(device) = env::var_os("GPIO_SIM_DEV") else {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            println!("SKIP: {test}: no simulated GPIO chip here; scripts/test-vm has one");
            return None;
        };
        Some(Sim { device: device.into(), label: env::var("GPIO_SIM_LABEL").unwrap() })
    }

    /// Pulls an input up or down.
    fn pull(&self, offset: u32, up: bool) {
        let text = if up { "pull-up" } else { "pull-down" };
        fs::write(self.device.join(format!("sim_gpio{offset}/pull")), text).unwrap();
    }

    /// The voltage on the wire.
    fn high(&self, offset: u32) -> bool {
        fs::read_to_string(self.device.join(format!("sim_gpio{offset}/value"))).unwrap().trim_end() == "1"
    }
}
