//! Files onto the volume: all or nothing, by the technique that the kubelet uses for its own volumes.
//!
//! ```text
//! /secret/..keystow-2/{secret,resources,…}   the files, written, synced and with their modes
//! /secret/..data   -> ..keystow-2            one rename switches every file at once
//! /secret/secret   -> ..data/secret          what applications open
//! ```
//!
//! Order: clean what a killed run left, write the new version in its own directory, make the names that point
//! through `..data` (they lead nowhere the first time), rename `..data`, remove the old version and its names.
//! So a reader finds all old files or all new ones, and at the first time none or all, at whatever instant this
//! program is killed. Where several directories are written, each switches on its own after all are prepared, and
//! a failure switches those back that had gone ahead.
//!
//! Invariants: files are created, never opened (`O_EXCL` in a directory that was just made), so no link is
//! followed; a file has its mode before its name can be reached; directories of versions can be searched by
//! everybody, because readers may have other users. What is in the way and is not ours is left alone and refused.

mod swap;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::render::{File, Files};

use swap::Directory;

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The directory cannot be made.
    #[error("cannot create {path}; mount a volume there that this user may write to")]
    Create {
        /// The directory or file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Something that is not ours is where a name of ours must be.
    #[error("{path} is there already and is not keystow's; take it away, or choose another inject path")]
    Foreign {
        /// What is in the way.
        path: PathBuf,
    },
    /// A file cannot be filled.
    #[error("cannot write {path}; the volume may be full (its sizeLimit) or read-only")]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The new version cannot be made the current one, or the old one cannot be cleaned away.
    #[error("cannot put {path} in place; see that nobody else writes to this directory")]
    Place {
        /// The name.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}

impl WriteError {
    pub(super) fn create(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Create { path: path.to_owned(), source }
    }

    pub(super) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }

    pub(super) fn place(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Place { path: path.to_owned(), source }
    }
}

/// Writes every directory, or leaves all of them as they were.
pub(super) fn write(files: &Files) -> Result<(), WriteError> {
    let mut prepared: Vec<Directory<'_>> = Vec::with_capacity(files.len());
    let mut switched = 0;
    let done = prepare_all(files, &mut prepared).and_then(|()| {
        prepared.iter().try_for_each(|directory| {
            directory.switch()?;
            switched += 1;
            Ok(())
        })
    });
    if let Err(error) = done {
        for directory in &prepared[..switched] {
            directory.switch_back();
        }
        for directory in &prepared {
            directory.discard();
        }
        return Err(error);
    }
    // The new files are in place; an old version that cannot be removed is removed at the next start.
    for directory in &prepared {
        directory.remove_old();
    }
    Ok(())
}

fn prepare_all<'f>(files: &'f Files, prepared: &mut Vec<Directory<'f>>) -> Result<(), WriteError> {
    for (path, files) in files {
        let directory = Directory::open(path, files)?;
        // Noted before it is filled, so that a half-filled one is discarded too.
        prepared.push(directory);
        if let Some(directory) = prepared.last() {
            fill(&directory.version(), files)?;
            directory.name()?;
        }
    }
    Ok(())
}

/// Writes a version. Its directory was not there before.
fn fill(version: &Path, files: &BTreeMap<String, File>) -> Result<(), WriteError> {
    make_directory(version)?;
    for (name, file) in files {
        let path = version.join(name);
        if let Some(parent) = path.parent().filter(|parent| *parent != version && !parent.exists()) {
            make_directory(parent)?;
        }
        let mut open = std::fs::OpenOptions::new();
        let mut out =
            open.write(true).create_new(true).mode(0o600).open(&path).map_err(WriteError::create(&path))?;
        let mode = std::fs::Permissions::from_mode(file.mode.bits().into());
        out.write_all(file.content.expose())
            .and_then(|()| out.set_permissions(mode))
            .and_then(|()| out.sync_all())
            .map_err(WriteError::write(&path))?;
    }
    sync(version).map_err(WriteError::write(version))
}

/// Makes a directory that others can search, whatever the umask. The group that it inherits from a volume with
/// `fsGroup` and its set-group-ID bit stay.
fn make_directory(path: &Path) -> Result<(), WriteError> {
    let make = || {
        std::fs::DirBuilder::new().mode(0o755).create(path)?;
        let inherited = std::fs::metadata(path)?.permissions().mode() & 0o7000;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(inherited | 0o755))
    };
    make().map_err(WriteError::create(path))
}

/// Makes what happened in a directory last.
fn sync(directory: &Path) -> std::io::Result<()> {
    std::fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests;
