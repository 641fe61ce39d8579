//! Writing into directories of the tests.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use super::*;
use crate::domain::{FileMode, SecretValue};

fn files(directory: &Path, content: &[(&str, &str)]) -> Files {
    let of = |text: &str| File { mode: FileMode::OWNER, content: SecretValue::new(text.as_bytes().to_vec()) };
    let files = content.iter().map(|(name, text)| ((*name).to_owned(), of(text))).collect();
    Files::from([(directory.to_owned(), files)])
}

fn listing(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn files_are_read_through_links_and_have_their_modes() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("below/it");
    let mut files = files(&directory, &[("secret", "a=1\n"), ("files/a", "1")]);
    files.get_mut(&directory).unwrap().get_mut("files/a").unwrap().mode = FileMode::ALL;
    write(&files).unwrap();
    assert_eq!(read(directory.join("secret")), "a=1\n");
    assert_eq!(read(directory.join("files/a")), "1");
    assert_eq!(listing(&directory), ["..data", "..keystow-1", "files", "secret"]);
    let mode = |name: &str| fs::metadata(directory.join(name)).unwrap().mode() & 0o7777;
    assert_eq!(
        (mode("secret"), mode("files/a"), mode("files"), mode("..data")),
        (0o400, 0o444, 0o755, 0o755)
    );
}

#[test]
fn a_second_version_replaces_the_first_with_its_names() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    write(&files(directory, &[("secret", "1"), ("old", "x")])).unwrap();
    fs::write(directory.join("foreign"), "stays").unwrap();
    write(&files(directory, &[("secret", "2"), ("new", "y")])).unwrap();
    assert_eq!(read(directory.join("secret")), "2");
    assert_eq!(listing(directory), ["..data", "..keystow-2", "foreign", "new", "secret"]);
}

#[test]
fn what_a_killed_run_left_is_cleaned() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    write(&files(directory, &[("secret", "1")])).unwrap();
    fs::create_dir(directory.join("..keystow-2")).unwrap();
    fs::write(directory.join("..keystow-2/secret"), "half").unwrap();
    symlink("..keystow-2", directory.join("..data_next")).unwrap();
    write(&files(directory, &[("secret", "2")])).unwrap();
    assert_eq!(read(directory.join("secret")), "2");
    assert_eq!(listing(directory), ["..data", "..keystow-2", "secret"]);
}

#[test]
fn before_the_switch_nothing_new_can_be_read() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    let files = files(directory, &[("secret", "1")]);
    let mut prepared = Vec::new();
    prepare_all(&files, &mut prepared).unwrap();
    assert!(!directory.join("secret").exists());
    prepared[0].switch().unwrap();
    assert_eq!(read(directory.join("secret")), "1");
    prepared[0].switch_back();
    prepared[0].discard();
    assert_eq!(listing(directory), Vec::<String>::new());
}

#[test]
fn a_failure_leaves_every_directory_as_it_was() {
    let temporary = tempfile::tempdir().unwrap();
    let (good, bad) = (temporary.path().join("a"), temporary.path().join("b"));
    write(&files(&good, &[("secret", "1")])).unwrap();
    fs::create_dir(&bad).unwrap();
    fs::write(bad.join("leases"), "of somebody else").unwrap();
    let mut both = files(&good, &[("secret", "2"), ("more", "x")]);
    both.extend(files(&bad, &[("leases", "1"), ("also", "2")]));
    let error = write(&both).unwrap_err();
    assert!(matches!(&error, WriteError::Foreign { path } if *path == bad.join("leases")), "{error}");
    assert_eq!(read(good.join("secret")), "1");
    assert_eq!(listing(&good), ["..data", "..keystow-1", "secret"]);
    assert_eq!(listing(&bad), ["leases"]);
}

#[test]
fn links_are_not_followed() {
    let temporary = tempfile::tempdir().unwrap();
    let (target, directory) = (temporary.path().join("target"), temporary.path().join("a"));
    fs::create_dir(&target).unwrap();
    symlink(&target, &directory).unwrap();
    let error = write(&files(&directory, &[("secret", "1")])).unwrap_err();
    assert!(matches!(error, WriteError::Foreign { .. }), "{error}");
    let directory = temporary.path().join("b");
    fs::create_dir(&directory).unwrap();
    symlink(&target, directory.join("secret")).unwrap();
    symlink(&target, directory.join("..keystow-7")).unwrap();
    let _ = write(&files(&directory, &[("secret", "1")]));
    symlink("elsewhere", directory.join("..data")).unwrap();
    let error = write(&files(&directory, &[("other", "1")])).unwrap_err();
    assert!(matches!(error, WriteError::Foreign { .. }), "{error}");
    assert_eq!(listing(&target), Vec::<String>::new());
}

#[test]
fn a_place_that_cannot_be_made_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("file");
    fs::write(&file, "").unwrap();
    let error = write(&files(&file.join("below"), &[("secret", "1")])).unwrap_err();
    assert!(matches!(&error, WriteError::Foreign { path } if *path == file), "{error}");
}
