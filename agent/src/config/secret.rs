//! Passwords.

use std::fmt;
use std::hint::black_box;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::fcntl::AT_FDCWD;

use super::regular;
use super::value::is_plain;
use crate::exit::BadInput;

/// No file with a password is longer.
const LONGEST_FILE: usize = 1024;
/// keepalived uses no more of a password, whatever the kind of authentication.
const LONGEST: usize = 8;
/// A password is for its owner alone.
const OTHERS: u32 = 0o077;

/// A password. It does not show itself, and is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The password itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        // It is printable ASCII.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // So that the zeros count as used.
        black_box(&self.0);
    }
}

/// Reads the password in the file at `path`: one line.
///
/// # Errors
///
/// It is no regular file, somebody else's, open to others, or holds no password that
/// keepalived would take as it is.
pub fn read(path: &Path) -> Result<Secret> {
    let read = || {
        let file = regular::open(AT_FDCWD, path, OTHERS)?;
        // It is dropped, and so overwritten, whatever becomes of it.
        let mut secret = Secret(regular::contents(&file, LONGEST_FILE)?);
        if secret.0.last() == Some(&b'\n') {
            secret.0.pop();
        }
        check(&secret.0).map(|()| secret)
    };
    read().with_context(|| format!("secret file {}", path.display()))
}

/// Checks that keepalived takes `secret` as it is. What is wrong is told without it.
fn check(secret: &[u8]) -> Result<()> {
    let length = secret.len();
    if length == 0 {
        bail!(BadInput(
            "is empty: expected a password of 1 to 8 characters".to_owned()
        ));
    }
    if !secret.iter().copied().all(is_plain) {
        bail!(BadInput(
            "holds what keepalived would not take as it is: expected one line of letters, digits \
             and signs without spaces, quotes, `#`, `!`, braces, `$`, `~`, `\\` and `;`"
                .to_owned()
        ));
    }
    if length > LONGEST {
        bail!(BadInput(format!(
            "holds {length} characters, of which keepalived would use {LONGEST}: expected at most \
             {LONGEST}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::regular::tests::Scratch;
    use crate::exit;

    fn check_refused(path: &Path, expected: &str) {
        let error = read(path).unwrap_err();
        let told = format!("{error:#}");
        let expected = format!("secret file {}: {expected}", path.display());
        assert!(told.starts_with(&expected), "{told}");
        assert_eq!(exit::code(&error), exit::USAGE);
    }

    #[test]
    fn one_line_is_the_password_and_does_not_show_itself() {
        let scratch = Scratch::new();
        for (contents, mode) in [(&b"s3cr-t%1"[..], 0o600), (b"s3cr-t%1\n", 0o400)] {
            let secret = read(&scratch.file("secret", contents, mode)).unwrap();
            assert_eq!(secret.expose(), "s3cr-t%1");
            assert_eq!(format!("{secret:?}"), "Secret(..)");
            std::fs::remove_file(scratch.path().join("secret")).unwrap();
        }
    }

    #[test]
    fn passwords_that_others_see_or_keepalived_changes_are_refused() {
        let scratch = Scratch::new();
        let unusable = "holds what keepalived would not take as it is";
        for (name, contents, mode, expected) in [
            ("empty", &b"\n"[..], 0o600, "is empty"),
            (
                "long",
                b"hunter234",
                0o600,
                "holds 9 characters, of which keepalived would use 8",
            ),
            ("lines", b"a\nb\n", 0o600, unusable),
            ("return", b"hunter2\r\n", 0o600, unusable),
            ("space", b"hunter 2", 0o600, unusable),
            ("comment", b"hunter#2", 0o600, unusable),
            ("quote", b"hunter\"2", 0o600, unusable),
            ("latin", b"h\xfcnter2", 0o600, unusable),
            (
                "big",
                &[b'a'; 1025],
                0o600,
                "is too long: expected at most 1024 bytes",
            ),
            (
                "group",
                b"hunter2",
                0o640,
                "has the permissions 0640: expected 0600 or less",
            ),
            (
                "others",
                b"hunter2",
                0o604,
                "has the permissions 0604: expected 0600 or less",
            ),
        ] {
            let path = scratch.file(name, contents, mode);
            check_refused(&path, expected);
            assert!(!format!("{:#}", read(&path).unwrap_err()).contains("hunter"));
        }
        let link = scratch.path().join("link");
        symlink(scratch.file("target", b"hunter2", 0o600), &link).unwrap();
        check_refused(&link, "is a symbolic link: expected a regular file");
    }
}
