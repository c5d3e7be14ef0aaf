//! A serial device of the test's own, to plug in and pull out: the controller of a pseudoterminal.

use becket_sys::pty::Controller;
use becket_sys::{Ready, wait};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long to wait for what the device is to hear.
const PATIENCE: Duration = Duration::from_secs(30);

/// A device at a path that stays the same when it is pulled out and plugged in again. Dropping it pulls it out.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    controller: Option<Controller>,
}

impl Device {
    /// Plugs in a device whose path ends with `name`.
    pub fn plug(name: &str) -> Device {
        let path = std::env::temp_dir().join(format!("becket-{}-{name}", std::process::id()));
        let mut device = Device { path, controller: None };
        device.plug_again();
        device
    }

    /// Plugs it in after it was pulled out, or another one in its place: its path is never missing in between.
    pub fn plug_again(&mut self) {
        let controller = Controller::open().unwrap();
        self.lead_to(&controller.terminal_path().unwrap());
        self.controller = Some(controller);
    }

    fn lead_to(&self, terminal: &Path) {
        let new = self.path.with_added_extension("new");
        symlink(terminal, &new).unwrap();
        fs::rename(&new, &self.path).unwrap();
    }

    /// Pulls it out: whoever has it open is hung up on, and its path is gone.
    pub fn unplug(&mut self) {
        fs::remove_file(&self.path).unwrap();
        self.controller = None;
    }

    /// Hangs up, and leaves a path that leads nowhere. Not to where the terminal was: that number is the next one's.
    pub fn hang_up(&mut self) {
        self.lead_to(Path::new("/dev/pts/none"));
        self.controller = None;
    }

    /// Where programs find it.
    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }

    /// The device's own end; panics where it is pulled out.
    pub fn controller(&self) -> &Controller {
        self.controller.as_ref().expect("the device is plugged in")
    }

    /// Says text, for which there must be room.
    pub fn say(&self, text: &str) {
        self.say_bytes(text.as_bytes());
    }

    /// Says bytes, for which there must be room.
    pub fn say_bytes(&self, bytes: &[u8]) {
        assert_eq!(self.controller().try_write(bytes).unwrap(), Some(bytes.len()));
    }

    /// Says the same again and again, as fast as it is taken, until told to stop.
    pub fn flood(&self, with: &[u8], stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if self.controller().try_write(with).unwrap().is_none() {
                self.wait_for(Ready::WRITE, Duration::from_millis(10));
            }
        }
    }

    /// What was written to the device, up to a line end.
    pub fn hear(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while !heard.ends_with(b"\n") {
            wait(self.controller(), Ready::READ, Some(deadline)).unwrap().expect("a line for the device");
            let mut bytes = [0; 256];
            if let Some(n) = self.controller().try_read(&mut bytes).unwrap() {
                heard.extend_from_slice(&bytes[..n]);
            }
        }
        String::from_utf8(heard).unwrap()
    }

    /// Waits until the device's own end is ready, or the time is up.
    pub fn wait_for(&self, ready: Ready, within: Duration) {
        wait(self.controller(), ready, Some(Instant::now() + within)).unwrap();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
