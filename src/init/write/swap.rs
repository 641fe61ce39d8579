//! One directory and its versions: naming, switching, going back, cleaning.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{WriteError, make_directory, sync};
use crate::init::render::File;

/// The link to the current version; the kubelet's own name for it.
const CURRENT: &str = "..data";

/// The link that is renamed to [`CURRENT`].
const NEXT: &str = "..data_next";

/// What the directories of versions begin with. No request's name begins with a dot.
const VERSION: &str = "..keystow-";

/// A directory whose next version is being made.
pub(super) struct Directory<'f> {
    path: &'f Path,
    /// The name of the current version, where there is one.
    old: Option<String>,
    /// The name of the version to be.
    new: String,
    /// What applications open: `secret`, `files`, …
    names: BTreeSet<&'f str>,
}

impl<'f> Directory<'f> {
    /// Makes or checks the directory, finds the current version and cleans what a killed run left.
    pub(super) fn open(path: &'f Path, files: &'f BTreeMap<String, File>) -> Result<Self, WriteError> {
        make_parents(path)?;
        let current = path.join(CURRENT);
        let old = match fs::read_link(&current) {
            Ok(target) => {
                let name = target.to_str().filter(|name| number(name).is_some());
                Some(name.ok_or(WriteError::Foreign { path: current })?.to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => return Err(WriteError::Foreign { path: current }),
        };
        let next = old.as_deref().and_then(number).map_or(1, |number| number.wrapping_add(1));
        let directory = Self {
            path,
            old,
            new: format!("{VERSION}{next}"),
            names: files
                .keys()
                .map(|name| name.split_once('/').map_or(name.as_str(), |(top, _)| top))
                .collect(),
        };
        directory.clean().map_err(WriteError::place(path))?;
        Ok(directory)
    }

    /// The directory of the version to be.
    pub(super) fn version(&self) -> PathBuf {
        self.path.join(&self.new)
    }

    /// Makes the names that applications open. New ones lead nowhere until the switch.
    pub(super) fn name(&self) -> Result<(), WriteError> {
        for name in &self.names {
            let path = self.path.join(name);
            let target = target(name);
            match fs::read_link(&path) {
                Ok(found) if found == target => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    symlink(&target, &path).map_err(WriteError::place(&path))?;
                }
                _ => return Err(WriteError::Foreign { path }),
            }
        }
        Ok(())
    }

    /// Makes the new version the current one, in one rename.
    pub(super) fn switch(&self) -> Result<(), WriteError> {
        self.point_to(&self.new).map_err(WriteError::place(&self.path.join(CURRENT)))
    }

    /// Undoes [`Self::switch`], as far as that is possible.
    pub(super) fn switch_back(&self) {
        // A failure is being reported already, and what is not undone is complete in itself.
        let _ = match &self.old {
            Some(old) => self.point_to(old),
            None => fs::remove_file(self.path.join(CURRENT)),
        };
    }

    /// Removes the new version and the names that lead nowhere without it.
    pub(super) fn discard(&self) {
        // A failure is being reported already; what stays is cleaned at the next start.
        let _ = fs::remove_file(self.path.join(NEXT));
        let _ = fs::remove_dir_all(self.version());
        self.remove_names(|path| !path.exists());
    }

    /// Removes the old version, and the names that only it had.
    pub(super) fn remove_old(&self) {
        self.remove_names(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| !self.names.contains(name))
        });
        if let Some(old) = &self.old {
            let _ = fs::remove_dir_all(self.path.join(old));
        }
    }

    fn point_to(&self, version: &str) -> io::Result<()> {
        let next = self.path.join(NEXT);
        symlink(version, &next)?;
        fs::rename(&next, self.path.join(CURRENT))?;
        // The switch has happened, so this must not say that it has not. What a lost rename would cost is a
        // second run of init, and the volume is in memory anyway.
        let _ = sync(self.path);
        Ok(())
    }

    /// Removes versions that are not current, and a link that was not renamed.
    fn clean(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name == NEXT {
                fs::remove_file(entry.path())?;
            } else if number(name).is_some() && self.old.as_deref() != Some(name) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn remove_names(&self, is_unwanted: impl Fn(&Path) -> bool) {
        let Ok(entries) = fs::read_dir(self.path) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str());
            let is_ours =
                name.is_some_and(|name| fs::read_link(&path).is_ok_and(|found| found == target(name)));
            if is_ours && is_unwanted(&path) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

fn target(name: &str) -> PathBuf {
    Path::new(CURRENT).join(name)
}

fn number(version: &str) -> Option<u64> {
    version.strip_prefix(VERSION)?.parse().ok()
}

/// Makes a directory and what is above it. A link in its place is refused: another container may have put it
/// there to have files written elsewhere.
fn make_parents(path: &Path) -> Result<(), WriteError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(WriteError::Foreign { path: path.to_owned() }),
        Err(_) => {
            if let Some(parent) = path.parent() {
                make_parents(parent)?;
            }
            make_directory(path)
        }
    }
}
