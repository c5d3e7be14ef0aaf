//! A small file of the kernel that says when it has changed: whether a control group has processes, without asking.
//!
//!     cargo run -p becket-sys --example watch_attribute               a group of its own; takes the rights to make one
//!     cargo run -p becket-sys --example watch_attribute -- FILE       another attribute, for ten seconds
//!
//! Where control groups (version 2) are not there, or not ours, it says so; the exit status is 0 then, too.

use becket_sys::Ready;
use becket_sys::attribute::Attribute;
use becket_sys::mounts::Table;
use becket_sys::process::Child;
use std::error::Error;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, process};

/// Prints all of it, from the begin: that arms it again. Several changes before that count as one.
fn show(attribute: &Attribute) -> io::Result<String> {
    let text = String::from_utf8_lossy(&attribute.read()?).trim_end().replace('\n', ", ");
    println!("{text}");
    Ok(text)
}

/// Prints what it becomes, until that begins with `last`, or for ten seconds.
fn watch(attribute: &Attribute, last: &str) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    // PRI alone: it is always readable.
    while attribute.wait_ready(Ready::PRI, Some(end))?.is_some() && !show(attribute)?.starts_with(last) {}
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(path) = env::args_os().nth(1) {
        let attribute = Attribute::open(path)?;
        show(&attribute)?;
        return Ok(watch(&attribute, "\0")?);
    }
    let table = Table::read()?;
    let Some(mount) = table.iter().find(|mount| mount.fs_type == "cgroup2") else {
        return Ok(println!("SKIP: watch_attribute: no control groups of version 2 are mounted"));
    };
    let group = mount.target.join(format!("becket-watch-attribute-{}", process::id()));
    let mut child = Child::spawn(Command::new("cat").stdin(Stdio::piped()))?; // ends with its input
    let moved = fs::create_dir(&group).and_then(|()| fs::write(group.join("cgroup.procs"), child.id().to_string()));
    if let Err(e) = moved {
        let _ = fs::remove_dir(&group);
        return Ok(println!("SKIP: watch_attribute: {}: {e}", group.display()));
    }
    let events = Attribute::open(group.join("cgroup.events"))?;
    show(&events)?;
    drop(child.stdin.take());
    watch(&events, "populated 0")?;
    child.wait(None)?;
    Ok(fs::remove_dir(&group)?)
}
