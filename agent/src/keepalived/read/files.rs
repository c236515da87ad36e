//! The files that a keepalived.conf is made of.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::fcntl::OFlag;

use super::{MOST_BYTES, Source};
use crate::exit::BadInput;

/// The most files that are read.
const MOST_FILES: usize = 1024;

/// Reads files until there are too many.
pub(super) struct Files {
    left: usize,
}

impl Files {
    pub(super) const fn new() -> Self {
        Self { left: MOST_FILES }
    }

    /// Reads one file.
    pub(super) fn open(&mut self, path: &Path) -> Result<Source> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            let path = path.display();
            BadInput(format!(
                "{path} is one too many: expected at most {MOST_FILES} files"
            ))
        })?;
        let text = text(path).with_context(|| format!("read {}", path.display()))?;
        Ok(Source {
            path: path.to_owned(),
            text,
        })
    }

    /// Reads the files that `pattern` means in the file `from`, in the order of
    /// their names.
    pub(super) fn matching(&mut self, from: &Path, pattern: &str) -> Result<Vec<Source>> {
        let folder = from.parent().unwrap_or(Path::new(""));
        let paths = matching(folder, pattern)?;
        paths.iter().map(|path| self.open(path)).collect()
    }
}

/// The text of a regular file, if it is not too long. Bytes that are no UTF-8 are
/// replaced: names that matter have none.
fn text(path: &Path) -> Result<String> {
    // Looked at before it is opened: to open a FIFO is to wait for its other end, and to
    // open a device may be to start it. The file may be in a directory of others'.
    let mut options = OpenOptions::new();
    let place = options.read(true).custom_flags(OFlag::O_PATH.bits());
    let place = place.open(path)?;
    if !place.metadata()?.is_file() {
        return Err(BadInput("expected a regular file".to_owned()).into());
    }
    let file = File::open(format!("/proc/self/fd/{}", place.as_raw_fd()))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MOST_BYTES {
        return Err(BadInput(format!("too long: expected at most {MOST_BYTES} bytes")).into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The paths that `pattern` means, seen from `folder`.
fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    // Like a shell: a name without a wildcard need not be looked for.
    let mut paths = vec![folder.to_owned()];
    for component in Path::new(pattern).components() {
        let name = component.as_os_str().to_string_lossy();
        let wild = matches!(component, Component::Normal(_)) && name.contains(['*', '?', '[']);
        let mut deeper = Vec::new();
        for path in paths {
            if wild {
                deeper.extend(children(&path, &name)?);
            } else {
                deeper.push(path.join(component));
            }
            if deeper.len() > MOST_FILES {
                let message = format!("more than {MOST_FILES} files: expected fewer");
                return Err(BadInput(message).into());
            }
        }
        paths = deeper;
    }
    paths.retain(|path| path.exists());
    Ok(paths)
}

/// What is in `folder` under a name like `pattern`, by name.
fn children(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(here) else {
        // A folder that is none has no files.
        return Ok(found);
    };
    let pattern: Vec<char> = pattern.chars().collect();
    for entry in entries {
        let name = entry
            .with_context(|| format!("list {}", here.display()))?
            .file_name();
        let letters: Vec<char> = name.to_string_lossy().chars().collect();
        let hidden = letters.first() == Some(&'.') && pattern.first() != Some(&'.');
        if !hidden && is_like(&letters, &pattern) {
            found.push(folder.join(name));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether `name` is like `pattern`: `*` any letters, `?` any letter, `[a-c]` one of
/// them, `[!a-c]` none of them.
fn is_like(name: &[char], pattern: &[char]) -> bool {
    let (mut name, mut pattern) = (name, pattern);
    // Where to go on when this does not fit: behind the last `*`, a letter later.
    let mut retry: Option<(&[char], &[char])> = None;
    loop {
        if let ['*', rest @ ..] = pattern {
            pattern = rest;
            retry = Some((name, pattern));
            continue;
        }
        match (name, one(name, pattern)) {
            ([_, name_rest @ ..], Some(pattern_rest)) => {
                (name, pattern) = (name_rest, pattern_rest);
            }
            ([], _) if pattern.is_empty() => return true,
            _ => match retry {
                Some(([_, later @ ..], behind)) => {
                    retry = Some((later, behind));
                    (name, pattern) = (later, behind);
                }
                _ => return false,
            },
        }
    }
}

/// The rest of `pattern`, if its first element fits the first letter of `name`.
fn one<'p>(name: &[char], pattern: &'p [char]) -> Option<&'p [char]> {
    let letter = name.first()?;
    match pattern {
        ['?', rest @ ..] => Some(rest),
        ['[', set @ ..] => {
            let (negated, set) = match set {
                ['!' | '^', set @ ..] => (true, set),
                set => (false, set),
            };
            // A `]` that comes first is one of the letters.
            let end = 1 + set.iter().skip(1).position(|it| *it == ']')?;
            let (mut set, rest) = set.split_at_checked(end)?;
            let mut found = false;
            loop {
                match set {
                    [from, '-', to, more @ ..] => {
                        found |= (from..=to).contains(&letter);
                        set = more;
                    }
                    [one, more @ ..] => {
                        found |= one == letter;
                        set = more;
                    }
                    [] => break,
                }
            }
            (found != negated).then(|| rest.get(1..).unwrap_or_default())
        }
        [one, rest @ ..] if one == letter => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_with_patterns_as_a_shell_does() {
        for (name, pattern, expected) in [
            ("a.conf", "*.conf", true),
            ("a.conf.old", "*.conf", false),
            ("ab.conf.conf", "a*.conf", true),
            ("abc", "a?c", true),
            ("ac", "a?c", false),
            ("b", "[a-c]", true),
            ("d", "[a-c]", false),
            ("d", "[!a-c]", true),
            ("]", "[]]", true),
            ("-", "[a-]", true),
            ("a", "[a", false),
            ("", "*", true),
            ("", "?", false),
            (
                "aaaaaaaaaaaaaaaaaaaaaaaaaab",
                "*a*a*a*a*a*a*a*a*a*a*a*c",
                false,
            ),
        ] {
            let [name_letters, pattern_letters] =
                [name, pattern].map(|it| it.chars().collect::<Vec<_>>());
            assert_eq!(
                is_like(&name_letters, &pattern_letters),
                expected,
                "{name} {pattern}"
            );
        }
    }
}
