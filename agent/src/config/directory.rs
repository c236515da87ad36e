//! All routers of a directory.

use std::fs::{File, OpenOptions, read_dir};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::libc::{O_DIRECTORY, O_NOFOLLOW};

use super::problem::Problem;
use super::{Router, file, regular};

/// Others must not write what root will act by.
const OTHERS_WRITE: u32 = 0o002;
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
