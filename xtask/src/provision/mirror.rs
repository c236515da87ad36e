//! Reads from the system's apt configuration which Debian mirror it uses.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Suites that only the main Debian archive has, beside the running one.
const MAIN_SUITES: [&str; 4] = ["stable", "testing", "unstable", "sid"];

/// A Debian archive and the key that signs it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    uri: String,
    /// A key file, or an embedded key whose lines are kept as they stand.
    signed_by: Option<String>,
}

impl Mirror {
    /// The archive that the system installs its own packages from.
    pub(crate) fn of_system() -> Result<Self> {
        let os_release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
        let codename = os_release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
            .map_or("", |name| name.trim_matches('"'));
        let apt = Path::new("/etc/apt");
        let mut files = vec![apt.join("sources.list")];
        if let Ok(entries) = fs::read_dir(apt.join("sources.list.d")) {
            files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        }
        files.sort();
        files
            .iter()
            .filter_map(|file| Some((file, fs::read_to_string(file).ok()?)))
            .find_map(|(file, text)| Self::find(file, &text, codename))
            .with_context(|| format!("find the suite {codename:?} in /etc/apt"))
    }

    /// The address of the archive.
    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// A sources file for other suites of the same archive, with a blank between their names.
    pub(crate) fn sources(&self, suite: &str) -> String {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n",
            self.uri
        );
        if let Some(key) = &self.signed_by {
            text.push_str(&format!("Signed-By: {key}\n"));
        }
        text
    }

    fn find(file: &Path, text: &str, codename: &str) -> Option<Self> {
        let is_main = |suite: &str| suite == codename || MAIN_SUITES.contains(&suite);
        if file
            .extension()
            .is_some_and(|extension| extension == "sources")
        {
            split_stanzas(text)
                .iter()
                .find_map(|stanza| Self::from_stanza(stanza, is_main))
        } else {
            text.lines().find_map(|line| Self::from_line(line, is_main))
        }
    }

    /// One stanza of a deb822 file: `Name: value`, continued by indented lines.
    fn from_stanza(stanza: &str, is_main: impl Fn(&str) -> bool) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = stanza.lines().skip_while(|line| {
                !line
                    .split_once(':')
                    .is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
            });
            let (_, first) = lines.next()?.split_once(':')?;
            let rest = lines.take_while(|line| line.starts_with([' ', '\t']));
            Some(rest.fold(first.trim().to_owned(), |value, line| value + "\n" + line))
        };
        let has = |name: &str, wanted: &dyn Fn(&str) -> bool| {
            field(name).is_some_and(|value| value.split_whitespace().any(wanted))
        };
        let wanted = has("Types", &|word| word == "deb")
            && has("Components", &|word| word == "main")
            && has("Suites", &is_main)
            && !has("Enabled", &|word| word.eq_ignore_ascii_case("no"));
        let uri = field("URIs")?.split_whitespace().next()?.to_owned();
        (wanted && is_debian(&uri)).then(|| Self {
            uri,
            signed_by: field("Signed-By"),
        })
    }

    /// `deb [option=value ...] uri suite component ...`
    fn from_line(line: &str, is_main: impl Fn(&str) -> bool) -> Option<Self> {
        let rest = line.trim().strip_prefix("deb")?;
        let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?.to_owned();
        let wanted = is_main(words.next()?) && words.any(|component| component == "main");
        let signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(|keys| keys.replace(',', " "));
        (wanted && is_debian(&uri)).then_some(Self { uri, signed_by })
    }
}

/// Other archives use the same suite names; all of Debian's mirrors are called
/// after it, and a wrong guess only fails to offer the package.
fn is_debian(uri: &str) -> bool {
    uri.contains("debian")
}

fn split_stanzas(text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines
        .split(|line| line.trim().is_empty())
        .map(|stanza| stanza.join("\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(file: &str, text: &str) -> Option<Mirror> {
        Mirror::find(Path::new(file), text, "bookworm")
    }

    fn mirror(uri: &str, signed_by: Option<&str>) -> Option<Mirror> {
        Some(Mirror {
            uri: uri.to_owned(),
            signed_by: signed_by.map(str::to_owned),
        })
    }

    #[test]
    fn reads_the_stanza_of_the_running_suite() {
        let text = "\
Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

# a comment between the fields is not a new stanza
Types: deb deb-src
# another
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg
";
        let expected = mirror(
            "http://mirror.example/debian",
            Some("/usr/share/keyrings/debian.gpg"),
        );
        assert_eq!(find("debian.sources", text), expected);
    }

    #[test]
    fn keeps_an_embedded_key_line_by_line() {
        let key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----";
        let text = format!(
            "Types: deb\nSigned-By:{key}\nURIs: http://m/debian\nSuites: bookworm\nComponents: main\n"
        );
        let found = find("debian.sources", &text);
        assert_eq!(found, mirror("http://m/debian", Some(key)));
        let written = found
            .map(|mirror| mirror.sources("sid"))
            .unwrap_or_default();
        assert!(written.ends_with(&format!(
            "Suites: sid\nComponents: main\nSigned-By: {key}\n"
        )));
    }

    #[test]
    fn skips_stanzas_that_are_off_or_foreign() {
        let off =
            "Types: deb\nURIs: http://m/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n";
        let suite = "Types: deb\nURIs: http://m/debian\nSuites: other\nComponents: main\n";
        let archive = "Types: deb\nURIs: http://m/apt\nSuites: bookworm\nComponents: main\n";
        for text in [off, suite, archive] {
            assert_eq!(find("a.sources", text), None);
        }
    }

    #[test]
    fn reads_one_line_sources_with_and_without_options() {
        let plain = "# deb http://old bookworm main\ndeb http://m/debian bookworm main contrib\n";
        assert_eq!(find("sources.list", plain), mirror("http://m/debian", None));

        let options = "deb [ arch=amd64 signed-by=/k.gpg ] http://m/debian sid main";
        assert_eq!(
            find("sources.list", options),
            mirror("http://m/debian", Some("/k.gpg"))
        );
    }

    #[test]
    fn one_line_sources_of_other_archives_are_skipped() {
        let text = "deb-src http://m/debian bookworm main\n\
                    deb http://s/debian-security bookworm-security main\n\
                    deb http://x/apt stable-x main\n";
        assert_eq!(find("sources.list", text), None);
    }
}
