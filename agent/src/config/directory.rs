//! All routers of a directory.

use std::fs::{File, OpenOptions, read_dir};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::libc::{O_DIRECTORY, O_NOFOLLOW};

use super::problem::Problem;
use super::{Router, file, regular};

/// Nobody else must write what root will act by.
const OTHERS_WRITE: u32 = 0o022;
/// How the names of router files end.
const SUFFIX: &str = ".toml";

/// What a directory declares.
#[derive(Debug, Default)]
pub struct Declared {
    /// The routers, by the names of their files and sorted by them.
    pub routers: Vec<(String, Router)>,
    /// What is wrong with the other files.
    pub problems: Vec<Problem>,
}

/// A router file: its name, and its text or what is wrong with the file.
pub(super) type Text = (String, Result<String, Problem>);

/// Reads every router file in `directory`. A file that declares no router is told of
/// and disturbs no other.
///
/// # Errors
///
/// It is no directory, others may write there, or it cannot be read.
pub fn read(directory: &Path) -> Result<Declared> {
    let mut declared = Declared::default();
    for (name, text) in texts(directory)? {
        match text {
            Ok(text) => match router(&text, &name, &name) {
                Ok(router) => declared.routers.push((name, router)),
                Err(problems) => declared.problems.extend(problems),
            },
            Err(problem) => declared.problems.push(problem),
        }
    }
    Ok(declared)
}

/// The router that `text` declares, the contents of the file `name` in a directory;
/// messages call it `origin`.
pub(super) fn router(text: &str, origin: &str, name: &str) -> Result<Router, Vec<Problem>> {
    let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
    let router = file::parse(text, origin, Some(stem))
        .map_err(|problems| problems.into_iter().collect::<Vec<_>>())?;
    let id = router.id.as_str();
    if id != stem {
        let message = format!("{id:?} is not the name of the file: expected {stem:?}");
        return Err(vec![file::problem(text, origin, "id", message)]);
    }
    Ok(router)
}

/// The router files in `directory`, sorted by name. Hidden files and those that
/// editors leave behind are none.
pub(super) fn texts(directory: &Path) -> Result<Vec<Text>> {
    let shown = directory.display();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(O_DIRECTORY | O_NOFOLLOW)
        .open(directory)
        .with_context(|| format!("open directory {shown}"))?;
    regular::trust(&opened, OTHERS_WRITE).with_context(|| format!("directory {shown}"))?;
    let mut names = Vec::new();
    for entry in read_dir(directory).with_context(|| format!("list {shown}"))? {
        let entry = entry.with_context(|| format!("list {shown}"))?;
        // A name that is no text is no router's either: its id is text.
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(SUFFIX) && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    let read = |name: String| {
        let text = text(&opened, &name);
        let text = text.map_err(|error| Problem::of_file(&name, format!("{error:#}")));
        (name, text)
    };
    Ok(names.into_iter().map(read).collect())
}

fn text(directory: &File, name: &str) -> Result<String> {
    let file = regular::open(directory.as_fd(), Path::new(name), OTHERS_WRITE)?;
    let bytes = regular::contents(&file, file::LONGEST)?;
    String::from_utf8(bytes).context("is no UTF-8 text")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;
    use crate::config::regular::tests::Scratch;
    use crate::exit;

    const LEAST: &[u8] = b"[vrrp]\ninterface = \"ha0\"\nvrid = 5\n";

    #[test]
    fn bad_files_are_told_and_disturb_no_other() {
        let scratch = Scratch::new();
        for name in ["b.toml", "a.toml", ".hidden.toml", "a.toml~", "notes.txt"] {
            scratch.file(name, LEAST, 0o644);
        }
        let id = [b"id = \"r\"\n", LEAST].concat();
        scratch.file("other-id.toml", &id, 0o644);
        scratch.file("r.toml", &id, 0o600);
        scratch.file("typo.toml", b"[vrrp]\nvrid = 5\n", 0o644);
        scratch.file("latin.toml", b"id = \"\xfc\"\n", 0o644);
        scratch.file("long.toml", &[b'#'; file::LONGEST + 1], 0o644);
        scratch.file("open.toml", LEAST, 0o666);
        let secret = scratch.file("secret", b"hunter2", 0o600);
        symlink(secret, scratch.path().join("link.toml")).unwrap();
        fs::create_dir(scratch.path().join("directory.toml")).unwrap();
        mkfifo(&scratch.path().join("fifo.toml"), Mode::S_IRUSR).unwrap();

        let declared = read(scratch.path()).unwrap();
        let names: Vec<_> = declared
            .routers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["a.toml", "b.toml", "r.toml"]);
        assert_eq!(declared.routers[0].1.id.as_str(), "a");
        let told: Vec<_> = declared.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "directory.toml: is no regular file: expected one",
                "fifo.toml: is no regular file: expected one",
                "latin.toml: is no UTF-8 text: invalid utf-8 sequence of 1 bytes from index 6",
                "link.toml: is a symbolic link: expected a regular file",
                "long.toml: is too long: expected at most 1048576 bytes",
                "open.toml: has the permissions 0666: expected 0644 or less",
                "other-id.toml:1:6: id: \"r\" is not the name of the file: expected \"other-id\"",
                "typo.toml:1:1: vrrp.interface: is missing: expected a string",
            ]
        );
    }

    #[test]
    fn directories_where_others_may_write_are_refused() {
        let scratch = Scratch::new();
        scratch.file("a.toml", LEAST, 0o644);
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o1777)).unwrap();
        let error = read(scratch.path()).unwrap_err();
        let shown = scratch.path().display();
        let expected =
            format!("directory {shown}: has the permissions 1777: expected 1755 or less");
        assert_eq!(format!("{error:#}"), expected);
        assert_eq!(exit::code(&error), exit::USAGE);
    }

    #[test]
    fn links_to_directories_are_not_followed() {
        let scratch = Scratch::new();
        let link = scratch.path().join("link");
        symlink(scratch.path(), &link).unwrap();
        let error = format!("{:#}", read(&link).unwrap_err());
        assert!(error.contains("Not a directory"), "{error}");
    }
}
