//! Waiting until files are others than they were, however that is done: written in place, renamed over, or reached by
//! another symbolic link. The folders are watched, since a file that is renamed over is gone, and its watch with it.

use becket_fiber::inotify::{Change, Event, Inotify, Mask, Options, WatchId};
use becket_fiber::select::at;
use becket_fiber::sync::Notify;
use becket_fiber::{Ready, select, timeout};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// For how long nothing may happen before a file counts as complete, and how long that is waited for at most.
const SETTLING: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How often it is looked whether folders that are not there are back.
const MISSING: Duration = Duration::from_secs(1);

/// What is told of a folder: a file was written and closed, or has come, or is gone. A file that is merely made is
/// going to be written: it is told of because of links.
const TOLD: Mask = Mask::CLOSE_WRITE.union(Mask::MOVE).union(Mask::CREATE).union(Mask::DELETE);

/// What is told of a folder itself: its watch is worth nothing any more.
const GONE: Mask = Mask::DELETE_SELF.union(Mask::MOVE_SELF).union(Mask::IGNORED);

/// The names that lead to files, of which one may become another.
pub struct Watch {
    inotify: Inotify,
    places: BTreeSet<(PathBuf, OsString)>,
    folders: HashMap<WatchId, PathBuf>,
    /// Those that cannot be watched.
    missing: Vec<PathBuf>,
}

/// Why a wait has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A file may be another.
    Changed,
    /// Somebody asked.
    Asked,
}

impl Watch {
    /// Watches all names that lead to these files: what changes from here on is told by [`wait`](Self::wait).
    pub fn new(files: &[PathBuf]) -> io::Result<Watch> {
        let places = places(files);
        let inotify = Inotify::new()?;
        let mut folders = HashMap::new();
        let mut missing = Vec::new();
        for folder in places.iter().map(|(folder, _)| folder).collect::<BTreeSet<_>>() {
            match inotify.modify(folder, TOLD | Mask::DELETE_SELF | Mask::MOVE_SELF, Options::ONLYDIR) {
                Ok(id) => drop(folders.insert(id, folder.clone())),
                Err(e) if e.kind() == io::ErrorKind::StorageFull => return Err(e),
                Err(_) => missing.push(folder.clone()),
            }
        }
        Ok(Watch { inotify, places, folders, missing })
    }

    /// Whether the names that lead to these files are those that are watched.
    pub fn is_for(&self, files: &[PathBuf]) -> bool {
        self.places == places(files)
    }

    /// Waits until one of the files may be another, and does not change just now; or until somebody asks.
    pub fn wait(&self, asked: &Notify) -> io::Result<Why> {
        // Other files of the same folder may change more often than that.
        let mut look = Instant::now() + MISSING;
        loop {
            let why = select! {
                _ = asked.on_signal() => Some(Why::Asked),
                _ = at(look), if !self.missing.is_empty() => Some(Why::Changed),
                _ = self.inotify.on_ready(Ready::READ) => None,
            };
            match why? {
                // Another watch would find no more; and to close this one takes the kernel milliseconds.
                Some(Why::Changed) if !self.missing.iter().any(|folder| folder.exists()) => {
                    look = Instant::now() + MISSING;
                }
                Some(why) => return Ok(why),
                None if self.take()? => break,
                None => {}
            }
        }
        let begun = Instant::now();
        while begun.elapsed() < SETTLING.1 {
            match timeout(SETTLING.0, || self.inotify.wait_ready(Ready::READ, None)) {
                Ok(_) => drop(self.take()?),
                Err(e) if e.kind() == io::ErrorKind::TimedOut => break,
                Err(e) => return Err(e),
            }
        }
        Ok(Why::Changed)
    }

    /// Takes what has happened; whether one of the names is concerned.
    fn take(&self) -> io::Result<bool> {
        let events = self.inotify.read()?;
        Ok(events.iter().any(|event| match event {
            Event::Overflow => true,
            Event::Change(change) => self.concerns(change),
        }))
    }

    fn concerns(&self, Change { watch, mask, name, .. }: &Change) -> bool {
        if mask.intersects(GONE) {
            return true;
        }
        let (Some(folder), Some(name)) = (self.folders.get(watch), name) else { return false };
        self.places.contains(&(folder.clone(), name.clone()))
            && (!mask.contains(Mask::CREATE) || is_link(&folder.join(name)))
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.is_symlink() || file.nlink() > 1)
}

/// The names that lead to the files, each with its folder: their own, and those of all symbolic links on the way.
fn places(files: &[PathBuf]) -> BTreeSet<(PathBuf, OsString)> {
    let mut places = BTreeSet::new();
    for file in files {
        let path = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        let mut folder = PathBuf::from("/");
        let mut names: VecDeque<_> = names(&path).collect();
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            let here = folder.join(&name);
            match fs::read_link(&here) {
                // As many as the kernel follows.
                Ok(target) if links < 40 => {
                    links += 1;
                    if target.is_absolute() {
                        places.insert((std::mem::replace(&mut folder, "/".into()), name));
                    } else {
                        places.insert((folder.clone(), name));
                    }
                    self::names(&target).rev().for_each(|name| names.push_front(name));
                }
                _ if name == ".." => drop(folder.pop()),
                _ if names.is_empty() => drop(places.insert((folder.clone(), name))),
                _ => folder = here,
            }
        }
    }
    places
}

/// The parts of a path.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let is_name = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_name).map(|part| part.as_os_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_link_on_the_way_to_a_file_is_a_place() {
        let folder = std::env::temp_dir().join(format!("becket-places-{}", std::process::id()));
        fs::create_dir_all(folder.join("v1")).unwrap();
        let folder = folder.canonicalize().unwrap();
        fs::write(folder.join("v1/file"), "").unwrap();
        symlink("v1", folder.join("data")).unwrap();
        symlink("data/file", folder.join("file")).unwrap();
        symlink(folder.join("loop"), folder.join("loop")).unwrap();
        let of = |name: &str| places(&[folder.join(name)]);
        let place = |folder: &Path, name: &str| (folder.to_owned(), OsString::from(name));
        let file = [place(&folder, "data"), place(&folder, "file"), place(&folder.join("v1"), "file")];
        assert_eq!(of("file"), BTreeSet::from(file.clone()));
        assert_eq!(of("v1/../file"), BTreeSet::from(file));
        assert_eq!(of("none/none"), BTreeSet::from([place(&folder.join("none"), "none")]));
        assert!(of("loop").contains(&place(&folder, "loop")));
        fs::remove_dir_all(folder).unwrap();
    }
}
