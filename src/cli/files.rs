//! Manifests that a command is given: files, directories, standard input.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{EX_CANTCREAT, EX_NOINPUT, Failure};

/// What manifests are called.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// Which manifests.
#[derive(Debug, clap::Args)]
pub(super) struct FileArguments {
    /// A manifest, a directory of them (*.yaml, *.yml, *.json, with all below it), or `-` for standard input. Can be
    /// given several times.
    #[arg(short = 'f', long = "filename", short_alias = 'i', alias = "input", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    pub(super) namespace: String,
}

/// A file that was read.
pub(super) struct SourceFile {
    /// As it was named, or found.
    pub(super) name: String,
    pub(super) text: String,
}

/// Reads files, and what is in directories, sorted by name.
pub(super) fn read_all(files: &[PathBuf]) -> Result<Vec<SourceFile>, Failure> {
    let mut found = Vec::new();
    for file in files {
        if file.is_dir() {
            let before = found.len();
            find(file, &mut found)?;
            if found.len() == before {
                let message = format!("{} has no files that end in .yaml, .yml or .json", file.display());
                return Err(Failure::new(EX_NOINPUT, message));
            }
        } else {
            found.push(file.clone());
        }
    }
    let read = |file: &PathBuf| Ok(SourceFile { name: file.display().to_string(), text: read(file)? });
    found.iter().map(read).collect()
}

fn find(directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(EX_NOINPUT, format!("cannot read {}: {error}", directory.display()))
    };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(cannot)? {
        entries.push(entry.map_err(cannot)?.path());
    }
    entries.sort_unstable();
    for path in entries {
        let is_manifest = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        if path.is_dir() && !path.is_symlink() {
            find(&path, found)?;
        } else if is_manifest {
            found.push(path);
        }
    }
    Ok(())
}

/// Writes a file that its owner alone may read where `is_secret`, whole or not at all: nobody finds half of it.
pub(super) fn write(file: &Path, text: &str, is_secret: bool) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(EX_CANTCREAT, format!("cannot write {}: {error}", file.display()))
    };
    // What is no file, such as /dev/stdout, cannot be put in place of anything.
    if file.exists() && !file.is_file() {
        return std::fs::write(file, text).map_err(cannot);
    }
    let name = file.file_name().ok_or_else(|| cannot(std::io::ErrorKind::InvalidInput.into()))?;
    let beside = file.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let mode = if is_secret { 0o600 } else { 0o666 };
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&beside, file));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        cannot(error)
    })
}

/// Reads one file, or standard input.
pub(super) fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    read.map_err(|error| Failure::new(EX_NOINPUT, format!("cannot read {}: {error}", file.display())))?;
    Ok(text)
}
