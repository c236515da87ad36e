//! Arbitrary bytes as a keepalived.conf and the files that it includes.

use std::path::{Path, PathBuf};

use keepfast::keepalived::read::{Source, read};

use crate::assert_harmless;

/// Between one file and the next.
const END: u8 = 0;

pub(crate) fn run(bytes: &[u8]) {
    let sources: Vec<Source> = bytes
        .split(|byte| *byte == END)
        .enumerate()
        .map(|(number, bytes)| Source {
            path: PathBuf::from(number.to_string()),
            text: String::from_utf8_lossy(bytes).into_owned(),
        })
        .collect();
    let Some(first) = sources.first() else {
        return;
    };
    // `*` are all of them, also the one that includes them.
    let include = |_: &Path, pattern: &str| {
        let named = sources
            .iter()
            .filter(|source| pattern == "*" || source.path.as_path() == Path::new(pattern));
        Ok(named.cloned().collect())
    };
    match read(first, include) {
        Ok(instances) => {
            for instance in instances {
                assert!(!instance.name.is_empty());
                assert!((2..=3).contains(&instance.version));
                assert!(!instance.advert_interval.is_zero());
            }
        }
        Err(error) => assert_harmless(&format!("{error:#}")),
    }
}
