//! Decides which files may be opened: fanotify(7) with permission events, in the loop. Needs CAP_SYS_ADMIN.
//!
//! It guards one file of its own, which a shell opens twice. `cargo run -p becket-loop --example decide_opens`

use becket_loop::{Loop, Next};
use becket_sys::fanotify::{Class, Event, Fanotify, Mask, Options, Report, Scope};
use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    // FD_ERROR: else a file that cannot be opened for us would be an error, which disables the source.
    let group = match Fanotify::builder().class(Class::Content).report(Report::FD_ERROR).open() {
        Err(e)
            if matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported) =>
        {
            println!("SKIP: decide_opens: needs CAP_SYS_ADMIN, and Linux 6.13: {e}");
            return Ok(());
        }
        group => group?,
    };
    let file = std::env::temp_dir().join(format!("becket-decide-{}", std::process::id()));
    fs::write(&file, "")?;
    group.add(Scope::Inode, &file, Mask::OPEN_PERM, Options::empty())?;

    let mut event_loop: Loop<u32> = Loop::new()?;
    // In an `Arc`, so that a question may be kept and answered later, or in another thread.
    event_loop.on(Arc::new(group), |asked, ctx, event| {
        // One that is dropped is answered by the group's default. Who asks waits meanwhile, so it must not be us.
        let Event::Permission(question) = event else { return Ok(Next::Keep) };
        *asked += 1;
        if *asked == 1 {
            question.allow()?
        } else {
            question.deny()?
        }
        if *asked == 2 {
            ctx.exit(0);
        }
        Ok(Next::Keep)
    })?;
    let script = r#"cat "$0" && echo "first: yes"; cat "$0" 2> /dev/null || echo "second: no""#;
    let shell = Command::new("sh").args(["-c", script]).arg(&file).stdout(Stdio::piped()).spawn()?;
    event_loop.run(&mut 0)?;
    print!("{}", String::from_utf8_lossy(&shell.wait_with_output()?.stdout));
    fs::remove_file(file)?;
    Ok(())
}
