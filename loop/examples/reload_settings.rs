//! Settings that are read anew when their file changes, however an editor saves: the folder is watched, not the file.
//!
//! `cargo run -p becket-loop --example reload_settings`

use becket_loop::{Loop, Next};
use becket_sys::inotify::{Event, Inotify, Mask, Options};
use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("becket-reload-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let file = folder.join("settings");
    let inotify = Inotify::new()?;
    // A watch of the file itself would go along with the old one when an editor renames a new one over it.
    inotify.add(&folder, Mask::CLOSE_WRITE | Mask::MOVED_TO, Options::ONLYDIR)?;

    let mut event_loop: Loop<u32> = Loop::new()?;
    let path = file.clone();
    event_loop.on(inotify, move |reloads, ctx, event| {
        let ours = match event {
            Event::Change(change) => change.name == Some("settings".as_ref()),
            Event::Overflow => true, // what was lost may have been about us: look again
        };
        if !ours {
            return Ok(Next::Keep);
        }
        *reloads += 1;
        println!("{reloads}: {}", fs::read_to_string(&path)?.trim());
        if *reloads == 2 {
            ctx.exit(0);
        }
        Ok(Next::Keep)
    })?;

    let mut reloads = 0;
    fs::write(&file, "volume 1\n")?; // in place
    while reloads == 0 {
        event_loop.turn(&mut reloads, None)?;
    }
    fs::write(folder.join(".new"), "volume 2\n")?; // anew, and renamed: the name of the first is not ours
    fs::rename(folder.join(".new"), &file)?;
    event_loop.run(&mut reloads)?;
    fs::remove_dir_all(folder)?;
    Ok(())
}
