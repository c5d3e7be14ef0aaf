//! A small disk of the gateway's own, full and free again.

use becket_tests::tools;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How large it is: the store leaves 8 MiB of it free.
const SIZE: &str = "size=24m";

pub struct Disk {
    folder: PathBuf,
    /// Its content, as seen from here; `None` where there is no disk of its own.
    inside: Option<PathBuf>,
    can_mount: bool,
    pub filled: u64,
}

impl Disk {
    /// To be mounted on this folder, where that is possible.
    pub fn new(folder: PathBuf) -> Disk {
        fs::create_dir_all(&folder).unwrap();
        let can_mount = tools::find("unshare").is_some_and(|unshare| {
            let mut command = Command::new(unshare);
            command.args(["-m", "mount", "-t", "tmpfs", "-o", SIZE, "none"]).arg(&folder);
            command.output().is_ok_and(|output| output.status.success())
        });
        if !can_mount {
            println!("SKIP: no disk of its own can be mounted, so it is never full");
        }
        Disk { folder, inside: None, can_mount, filled: 0 }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command that runs `program` with the disk, which nobody else sees.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        if !self.can_mount {
            return Command::new(program);
        }
        let mount = format!(r#"mount -t tmpfs -o {SIZE} none "$0" && exec "$@""#);
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &mount]).arg(&self.folder).arg(program);
        command
    }

    /// The program of that command runs now.
    pub fn is_mounted_in(&mut self, pid: u32) {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let inside = root.join(self.folder.strip_prefix("/").expect("an absolute path")).join("filler");
        self.inside = self.can_mount.then_some(inside);
    }

    /// From here on there is no room.
    pub fn fill(&mut self) {
        let Some(filler) = &self.inside else { return };
        self.filled += 1;
        let mut file = File::create(filler).unwrap();
        while file.write_all(&[0; 1 << 16]).is_ok() {}
    }

    /// There is room again.
    pub fn free(&self) {
        if let Some(filler) = &self.inside {
            let _ = fs::remove_file(filler);
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
