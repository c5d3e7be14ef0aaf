//! Decides which programs may start: fanotify(7) with permission events.
//!
//! Run it as root with `cargo run -p becket-sys --example guard_exec`: it guards two copies of `true`, lets a shell start
//! both, and refuses one. Without CAP_SYS_ADMIN it says so; the exit status is 0 then, too.

use becket_sys::fanotify::{Class, Event, Fanotify, Mask, Options, Scope, path_of};
use becket_sys::{EventBuf, Ready};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, process};

fn main() -> io::Result<()> {
    let group = match Fanotify::builder().class(Class::Content).open() {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(println!("SKIP: guard_exec: permission events need CAP_SYS_ADMIN: {e}"));
        }
        group => group?,
    };
    let dir = env::temp_dir().join(format!("becket-guard-exec-{}", process::id()));
    fs::create_dir(&dir)?;
    for folder in ["trusted", "other"].map(|name| dir.join(name)) {
        fs::create_dir(&folder)?;
        let program = folder.join("true"); // which some programs are by their name
        fs::copy("/bin/true", &program)?;
        group.add(Scope::Inode, &program, Mask::OPEN_EXEC_PERM, Options::empty())?;
    }

    // Who starts a guarded program waits for the answer. It must not be the thread that gives it: so a shell does.
    let script = r#"cd "$0"; trusted/true; echo trusted $?; other/true 2> /dev/null; echo other $?"#;
    let shell = Command::new("sh").args(["-c", script]).arg(&dir).stdout(Stdio::piped()).spawn()?;

    let mut buf = EventBuf::new();
    let mut asked = 0;
    while asked < 2 {
        let deadline = Instant::now() + Duration::from_secs(20);
        group.wait_ready(Ready::READ, Some(deadline))?.ok_or(io::ErrorKind::TimedOut)?;
        for event in group.read_events(&mut buf)?.into_iter().flatten() {
            let Event::Permission(permission) = event else { continue };
            asked += 1;
            let path = path_of(permission.file())?.unwrap_or_default();
            let allowed = path.ends_with("trusted/true");
            let name = path.strip_prefix(&dir).unwrap_or(&path);
            println!("process {:?} starts {}: {allowed}", permission.pid, name.display());
            if allowed { permission.allow()? } else { permission.deny()? }
        }
    }
    let output = shell.wait_with_output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout)); // 126: found, and not to be started
    fs::remove_dir_all(&dir)
}
