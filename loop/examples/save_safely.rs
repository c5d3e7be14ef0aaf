//! Saves a file so that a crash leaves the old content or the new one: written under another name, brought to the disk,
//! renamed, and the folder brought to the disk as well. None of it stops the loop.
//!
//! Steps that follow each other read better in a fiber; this is what it costs without.
//! `cargo run -p becket-loop --example save_safely`

use becket_loop::op::{Open, Rename, Sync, Write};
use becket_loop::{Ctx, Loop};
use std::error::Error;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

type Saved = Vec<PathBuf>;

fn save(ctx: &mut Ctx<Saved>, folder: &Path, name: &'static str, content: &str) -> std::io::Result<()> {
    let (new, path, folder) = (folder.join(".new"), folder.join(name), folder.to_path_buf());
    let content = content.as_bytes().to_vec();
    ctx.submit(Open::create(&new)?, move |_, ctx, file| {
        ctx.submit(Write::new(file?, content, Some(0)), move |_, ctx, end| {
            if end.result? < end.buf.len() {
                return Err("the disk is full".into());
            }
            ctx.submit(Sync::data(end.file), move |_, ctx, (result, _file)| {
                result?;
                ctx.submit(Rename::new(new, &path)?, move |_, ctx, result| {
                    result?;
                    let folder = OwnedFd::from(File::open(folder)?);
                    ctx.submit(Sync::all(folder), move |saved, _, (result, _)| Ok(result.map(|()| saved.push(path))?));
                    Ok(())
                });
                Ok(())
            });
            Ok(())
        });
        Ok(())
    });
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("becket-save-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let mut event_loop: Loop<Saved> = Loop::new()?;
    save(&mut event_loop, &folder, "settings", "volume 3\n")?;
    let mut saved = Saved::new();
    event_loop.run(&mut saved)?; // the first step that fails ends it, by its error
    for path in &saved {
        print!("{}: {}", path.strip_prefix(&folder)?.display(), fs::read_to_string(path)?);
    }
    println!("{} file in the folder", fs::read_dir(&folder)?.count());
    Ok(fs::remove_dir_all(folder)?)
}
