//! Processes that serve a data folder: each keeps a locked file there while it runs, so that
//! `hostel config reload` finds it, and no number is taken for a process that is gone.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// This process, findable until it is dropped.
pub(crate) struct Running {
    path: PathBuf,
    _locked: File,
}

impl Running {
    /// Notes that this process serves the folder.
    pub(crate) fn note(data: &Path) -> std::io::Result<Self> {
        let folder = folder(data);
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(std::process::id().to_string());
        let file = File::create(&path)?;
        file.lock()?;
        Ok(Self { path, _locked: file })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The processes that serve the folder. What others left behind is removed.
pub(crate) fn processes(data: &Path) -> std::io::Result<Vec<u32>> {
    let mut processes = Vec::new();
    let entries = match std::fs::read_dir(folder(data)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(processes),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(process) = name.and_then(|name| name.parse().ok()) else { continue };
        let Ok(file) = File::open(&path) else { continue };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => processes.push(process),
            // Nobody holds it: that process has ended without a word.
            Ok(()) => {
                let _ = std::fs::remove_file(&path);
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(processes)
}

fn folder(data: &Path) -> PathBuf {
    data.join("running")
}
