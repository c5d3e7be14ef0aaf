//! A folder and all below it: inotify(7) watches single folders, so new ones, moves and lost events are up to us.
//!
//! Run it with a folder, which it watches until that is gone; without one it makes one, where things happen.
//! `+` is there, `-` is gone with all below it, `*` was written, `?` cannot be watched. A move is `-` and `+`.

use becket_sys::inotify::{Event, Inotify, Mask, Options, WatchId};
use becket_sys::{EventBuf, Ready, process::Child};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

const SCRIPT: &str = "cd $0; mkdir -p a/b; sleep 0.1; echo 1 >a/b/file; sleep 0.1; mv a z; sleep 0.1; rm -r $0";
/// What watches, the folders that are watched, and all that is known to be there.
type Tree = (Inotify, HashMap<WatchId, PathBuf>, BTreeSet<PathBuf>);

fn there(tree: &mut Tree, path: &Path) {
    tree.2.insert(path.into()).then(|| println!("+ {}", path.display()));
    let mask = Mask::CREATE | Mask::DELETE | Mask::MOVE | Mask::CLOSE_WRITE;
    match tree.0.modify(path, mask, Options::ONLYDIR | Options::DONT_FOLLOW) {
        Ok(watch) => _ = tree.1.insert(watch, path.into()), // perhaps known by an older name
        Err(e) if matches!(e.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::NotFound) => return,
        Err(e) => return println!("? {}: {e}", path.display()), // ENOSPC: see fs.inotify.max_user_watches
    }
    // Watched first, listed now: what came in between is found twice, not missed.
    fs::read_dir(path).into_iter().flatten().flatten().for_each(|entry| there(tree, &entry.path()));
}

fn gone((inotify, folders, known): &mut Tree, path: &Path) {
    known.remove(path).then(|| println!("- {}", path.display()));
    known.retain(|below| !below.starts_with(path));
    // A folder that was moved is still watched. Removing fails where the watch has ended with its folder.
    folders.extract_if(|_, folder| folder.starts_with(path)).for_each(|(watch, _)| _ = inotify.remove(watch));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = env::args_os().nth(1).map(PathBuf::from);
    let root = given.clone().unwrap_or(env::temp_dir().join(format!("becket-watch-recursive-{}", process::id())));
    fs::create_dir_all(&root)?;
    let (mut tree, mut buf) = ((Inotify::new()?, HashMap::new(), BTreeSet::new()), EventBuf::new());
    there(&mut tree, &root);
    let script = || Child::spawn(process::Command::new("sh").args(["-c", SCRIPT]).arg(&root));
    let _others = given.is_none().then(script).transpose()?;
    while !tree.1.is_empty() && tree.0.wait_ready(Ready::READ, None)?.is_some() {
        for event in tree.0.read_events(&mut buf)?.into_iter().flatten() {
            let Event::Change(change) = event else {
                gone(&mut tree, &root); // events were lost: all anew
                there(&mut tree, &root);
                continue;
            };
            let Some(folder) = tree.1.get(&change.watch) else { continue };
            let path = change.name.map_or(folder.clone(), |name| folder.join(name));
            match change.mask {
                mask if mask.intersects(Mask::DELETE | Mask::MOVED_FROM | Mask::IGNORED) => gone(&mut tree, &path),
                mask if mask.intersects(Mask::CREATE | Mask::MOVED_TO) => there(&mut tree, &path),
                _ => println!("* {}", path.display()),
            }
        }
    }
    Ok(())
}
