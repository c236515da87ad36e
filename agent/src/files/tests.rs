use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::stat::umask;
use nix::unistd::mkfifo;

use super::*;

/// A directory of this test, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kf-files-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        set_mode(&path, 0o755);
        Self(path)
    }

    fn dir(&self) -> Dir {
        Dir::open(&self.0).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Insists that `result` is an error that says `expected`.
#[track_caller]
fn check<T>(result: Result<T>, expected: &str) {
    let error = format!("{:#}", result.err().expect("an error"));
    assert!(error.contains(expected), "{error:?} lacks {expected:?}");
}

#[test]
fn a_link_in_place_of_any_component_is_refused() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.file("a/b")).unwrap();
    symlink("a", scratch.file("link")).unwrap();
    symlink("b", scratch.file("a/link")).unwrap();
    for (path, culprit) in [("link", "link"), ("link/b", "link"), ("a/link", "a/link")] {
        let path = scratch.file(path);
        let expected = format!(
            "{} is a symbolic link: expected a directory",
            scratch.file(culprit).display()
        );
        check(Dir::open(&path), &expected);
        check(Dir::create(&path, 0o755), &expected);
        check(Dir::create(&path.join("new"), 0o755), &expected);
    }
    check(
        scratch.dir().existing("link"),
        "link is a symbolic link: expected a directory",
    );
    check(
        scratch.dir().subdirectory("link", 0o755),
        "link is a symbolic link: expected a directory",
    );
    assert!(!scratch.file("a/new").exists());
    assert!(!scratch.file("a/b/new").exists());
}

#[test]
fn a_path_must_be_absolute_and_a_name_single() {
    check(Dir::open(Path::new("tmp")), "expected an absolute path");
    check(Dir::open(Path::new("/tmp/../etc")), "without ..");
    let scratch = Scratch::new();
    let dir = scratch.dir();
    for name in ["", ".", "..", "/", "a/b", "../a", "a/", "a\0b"] {
        let expected = "expected the name of a file, not a path";
        check(dir.read(name, 1), expected);
        check(dir.replace(name, b"", 0o600), expected);
        check(dir.open_append(name, 0o600), expected);
        check(dir.remove(name), expected);
        check(dir.remove_tree(name), expected);
        check(dir.existing(name), expected);
        check(dir.subdirectory(name, 0o700), expected);
        check(dir.rename("a", name), expected);
    }
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.file("open")).unwrap();
    for loose in [0o775, 0o757, 0o1777] {
        set_mode(&scratch.file("open"), loose);
        let expected = format!("has mode {loose:04o}: expected a directory that only its owner");
        check(Dir::open(&scratch.file("open")), &expected);
        check(scratch.dir().existing("open"), &expected);
        check(Dir::create(&scratch.file("open"), 0o755), &expected);
    }
}

#[test]
fn what_is_no_directory_is_refused() {
    let scratch = Scratch::new();
    fs::write(scratch.file("file"), "").unwrap();
    check(
        Dir::open(&scratch.file("file")),
        "file is a regular file: expected a directory",
    );
    check(
        Dir::open(&scratch.file("file/below")),
        "file is a regular file: expected a directory",
    );
    check(Dir::open(&scratch.file("none")), "open");
    assert!(scratch.dir().existing("none").unwrap().is_none());
}

#[test]
fn modes_are_as_asked_whatever_the_umask() {
    let scratch = Scratch::new();
    let before = umask(Mode::from_bits_truncate(0o077));
    let made = Dir::create(&scratch.file("parent/child"), 0o750);
    let written = scratch.dir().replace("file", b"x", 0o644);
    let appended = scratch.dir().open_append("log", 0o640);
    umask(before);
    written.unwrap();
    appended.unwrap();
    assert_eq!(made.unwrap().path(), scratch.file("parent/child"));
    for (name, expected) in [
        ("parent", 0o755),
        ("parent/child", 0o750),
        ("file", 0o644),
        ("log", 0o640),
    ] {
        assert_eq!(mode(&scratch.file(name)), expected, "{name}");
    }
    // A directory that is there keeps its mode.
    set_mode(&scratch.file("parent"), 0o700);
    scratch.dir().subdirectory("parent", 0o755).unwrap();
    assert_eq!(mode(&scratch.file("parent")), 0o700);
}

#[test]
fn replacing_follows_nothing_and_leaves_no_temporary_file() {
    let scratch = Scratch::new();
    let dir = scratch.dir();
    fs::write(scratch.file("elsewhere"), "untouched").unwrap();
    symlink("elsewhere", scratch.file("link")).unwrap();
    mkfifo(&scratch.file("fifo"), Mode::S_IRWXU).unwrap();
    // What a killed writer left, and what somebody laid as a trap.
    fs::write(scratch.file(".stale.new"), "torn").unwrap();
    symlink("elsewhere", scratch.file(".trap.new")).unwrap();
    for name in ["link", "fifo", "stale", "trap", "fresh"] {
        dir.replace(name, b"content", 0o600).unwrap();
        assert_eq!(dir.read(name, 7).unwrap().unwrap(), b"content", "{name}");
    }
    assert_eq!(fs::read(scratch.file("elsewhere")).unwrap(), b"untouched");
    assert_eq!(
        dir.names().unwrap(),
        ["elsewhere", "fifo", "fresh", "link", "stale", "trap"]
    );
}

#[test]
fn a_failed_replacement_changes_nothing() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.file("state")).unwrap();
    check(
        scratch.dir().replace("state", b"x", 0o600),
        "state is a directory: expected a regular file",
    );
    assert_eq!(scratch.dir().names().unwrap(), ["state"]);
}

#[test]
fn only_regular_files_of_bounded_size_are_read() {
    let scratch = Scratch::new();
    let dir = scratch.dir();
    fs::write(scratch.file("file"), "12345").unwrap();
    symlink("file", scratch.file("link")).unwrap();
    mkfifo(&scratch.file("fifo"), Mode::S_IRWXU).unwrap();
    fs::create_dir(scratch.file("directory")).unwrap();
    let _socket = UnixListener::bind(scratch.file("socket")).unwrap();
    assert_eq!(dir.read("file", 5).unwrap().unwrap(), b"12345");
    check(dir.read("file", 4), "file is too big: expected 4 bytes");
    assert!(dir.read("none", 5).unwrap().is_none());
    for (name, found) in [
        ("link", "a symbolic link"),
        ("fifo", "a FIFO"),
        ("directory", "a directory"),
        ("socket", "a socket"),
    ] {
        let expected = format!("{name} is {found}: expected a regular file");
        check(dir.read(name, 5), &expected);
        check(dir.open_append(name, 0o600), &expected);
    }
    let devices = Dir::open(Path::new("/dev")).unwrap();
    check(
        devices.read("null", 5),
        "/dev/null is a device: expected a regular file",
    );
}

#[test]
fn removing_takes_the_link_and_never_a_directory() {
    let scratch = Scratch::new();
    let dir = scratch.dir();
    fs::write(scratch.file("file"), "").unwrap();
    symlink("file", scratch.file("link")).unwrap();
    fs::create_dir(scratch.file("directory")).unwrap();
    assert!(dir.remove("link").unwrap());
    assert!(!dir.remove("link").unwrap());
    check(
        dir.remove("directory"),
        "directory is a directory: expected a regular file",
    );
    assert_eq!(dir.names().unwrap(), ["directory", "file"]);
}

#[test]
fn a_tree_is_removed_without_what_its_links_lead_to() {
    let scratch = Scratch::new();
    let dir = scratch.dir();
    fs::create_dir_all(scratch.file("tree/a/b")).unwrap();
    fs::create_dir(scratch.file("kept")).unwrap();
    fs::write(scratch.file("kept/file"), "").unwrap();
    fs::write(scratch.file("tree/a/b/file"), "").unwrap();
    symlink("../../kept", scratch.file("tree/a/link")).unwrap();
    symlink("kept", scratch.file("link")).unwrap();
    for name in ["tree", "link", "none"] {
        dir.remove_tree(name).unwrap();
    }
    assert_eq!(dir.names().unwrap(), ["kept"]);
    assert!(scratch.file("kept/file").exists());
}

#[test]
fn a_tree_of_no_reasonable_depth_is_left() {
    let scratch = Scratch::new();
    let deep = "d/".repeat(DEPTH + 2);
    fs::create_dir_all(scratch.file(&deep)).unwrap();
    check(scratch.dir().remove_tree("d"), "nested too deep");
    assert!(scratch.file(&deep).exists());
}

#[test]
fn work_goes_on_in_the_directory_that_was_opened() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.file("a")).unwrap();
    let dir = Dir::open(&scratch.file("a")).unwrap();
    fs::rename(scratch.file("a"), scratch.file("b")).unwrap();
    symlink("/", scratch.file("a")).unwrap();
    dir.replace("file", b"", 0o600).unwrap();
    assert!(scratch.file("b/file").exists());
}
