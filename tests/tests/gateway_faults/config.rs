//! The gateway's configuration file, changed, broken and mended while it runs.

use becket_tests::random::Random;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// What was done so far.
#[derive(Debug, Default)]
pub struct Done {
    pub written: u64,
    pub renamed: u64,
    pub broken: u64,
    pub removed: u64,
    /// Devices that were left out, or that came back.
    pub swapped: u64,
}

pub struct Config {
    pub path: PathBuf,
    /// Everything that never changes.
    head: String,
    /// Name and path of each device, and whether it is in the file.
    devices: Vec<(String, String, bool)>,
    /// A setting of every device that changes while it is open.
    baud: u32,
    pub told: Done,
}

impl Config {
    pub fn new(folder: &Path, head: String, devices: impl Iterator<Item = (String, String)>) -> Config {
        let devices = devices.map(|(name, path)| (name, path, true)).collect();
        let config = Config { path: folder.join("gateway.toml"), head, devices, baud: 115_200, told: Done::default() };
        fs::write(&config.path, config.text()).unwrap();
        config
    }

    fn text(&self) -> String {
        let mut text = self.head.clone();
        for (name, path, _) in self.devices.iter().filter(|(.., is_there)| *is_there) {
            let _ = write!(text, "\n[[device]]\nname = {name:?}\npath = {path:?}\nbaud = {}\n", self.baud);
        }
        text
    }

    /// One change at random. The first device is always there.
    pub fn spoil(&mut self, random: &mut Random) {
        match random.within(0..8) {
            0..=2 => {
                self.told.swapped += 1;
                let at = random.within(1..self.devices.len() as u64) as usize;
                self.devices[at].2 = !self.devices[at].2;
                self.save(random);
            }
            3 => {
                self.baud = [9600, 57_600, 115_200][random.within(0..3) as usize];
                self.save(random);
            }
            4 => {
                self.told.removed += 1;
                let _ = fs::remove_file(&self.path);
            }
            5 => {
                self.told.broken += 1;
                let text = self.text();
                let wrong = match random.within(0..4) {
                    0 => text[..random.within(0..text.len() as u64) as usize].into(),
                    1 => random.bytes(200),
                    2 => text.replace("keepalive = ", "keepalive = \"\" # ").into(),
                    _ => format!("{text}\n[[device]]\npath = \"\"\n\n[surprise]\n").into_bytes(),
                };
                // Cut at the end of a table it would be right, and have fewer devices.
                let text = [&wrong[..], b"\n]]["].concat();
                fs::write(&self.path, text).unwrap();
            }
            _ => self.save(random),
        }
    }

    /// Saves it as programs do: in place, in pieces, or by a new file with its name.
    fn save(&mut self, random: &mut Random) {
        let text = self.text();
        if random.within(0..2) == 0 {
            self.told.written += 1;
            fs::write(&self.path, text).unwrap();
        } else {
            self.told.renamed += 1;
            let new = self.path.with_extension("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, &self.path).unwrap();
        }
    }

    /// It is right, and all devices are there.
    pub fn mend(&mut self) {
        self.devices.iter_mut().for_each(|(.., is_there)| *is_there = true);
        self.baud = 115_200;
        fs::write(&self.path, self.text()).unwrap();
    }
}
