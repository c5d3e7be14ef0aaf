//! The name under which a broker knows a client, and the file that keeps it.

use crate::backoff::random;
use crate::error::OptionsError;
use crate::ffi;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Where the client id comes from.
#[derive(Debug, Clone)]
pub(crate) enum ClientId {
    /// Random, for as long as the client lives.
    Made,
    Given(String),
    /// From a file; made and written to it where there is none.
    Kept(PathBuf),
    /// The broker chooses.
    Assigned,
}

impl ClientId {
    /// Whether the next process has it too.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self, ClientId::Given(_) | ClientId::Kept(_))
    }

    /// The id to connect with; `None` where the broker chooses.
    pub(crate) fn get(&self) -> Result<Option<String>, OptionsError> {
        match self {
            ClientId::Made => Ok(Some(made())),
            ClientId::Given(id) => Ok(Some(id.clone())),
            ClientId::Kept(path) => {
                let fail = |why: String| OptionsError::new(format!("client id file `{}`: {why}", path.display()));
                let id = kept(path).map_err(|e| fail(e.to_string()))?;
                if !is_id(&id) {
                    return Err(fail("its text is no client id, which has 1 to 65535 bytes".to_owned()));
                }
                Ok(Some(id))
            }
            ClientId::Assigned => Ok(None),
        }
    }
}

pub(crate) fn is_id(id: &str) -> bool {
    !id.is_empty() && ffi::is_string(id)
}

/// Up to 23 characters of this kind are what every broker has to take.
fn made() -> String {
    format!("becket{:016x}", random())
}

/// The id in the file, which is written where there is none. A crash leaves the file whole or absent.
fn kept(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => return Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let id = made();
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{:016x}", random()));
    let beside = PathBuf::from(beside);
    let written = File::create_new(&beside).and_then(|mut file| {
        file.write_all(format!("{id}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    // The name, too, has to outlive a loss of power. Where folders cannot be synced, the file system sees to that.
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;

    #[test]
    fn an_id_is_made_once_and_kept() {
        let folder = env::temp_dir().join(format!("becket-id-{:016x}", random()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("id");
        let get = || ClientId::Kept(path.clone()).get();
        let id = get().unwrap().unwrap();
        assert!(id.starts_with("becket") && id.len() <= 23, "{id}");
        assert_eq!(get().unwrap().unwrap(), id);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        fs::write(&path, "boiler 7\r\n").unwrap();
        assert_eq!(get().unwrap().unwrap(), "boiler 7");
        fs::write(&path, "\n").unwrap();
        assert!(get().unwrap_err().to_string().contains("its text is no client id"));
        fs::write(&path, [0xff]).unwrap();
        assert!(get().unwrap_err().to_string().contains("UTF-8"));
        fs::remove_dir_all(&folder).unwrap();
        let e = get().unwrap_err().to_string();
        assert!(e.contains("No such file") && e.contains("/id`"), "{e}");
    }
}
