//! The inventory of unsafe code: `xtask/SAFETY.md` has a line for each file that has some, and
//! how much, so that none comes or goes unseen.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The folders whose code is counted; `common` may have none at all.
const FOLDERS: [&str; 4] = ["agent", "ebpf", "tests", "xtask"];

const INVENTORY: &str = "xtask/SAFETY.md";

/// What may follow the word where it begins unsafe code.
const FORMS: [&str; 4] = ["{", "impl", "fn", "extern"];

/// Fails unless the inventory says what there is, and says what it should say.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut found = BTreeMap::new();
    for folder in FOLDERS {
        count_below(root, folder, &mut found)?;
    }
    let path = root.join(INVENTORY);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let differences = differences(&listed(&text), &found);
    ensure!(
        differences.is_empty(),
        "{INVENTORY} is not what there is:\n{}",
        differences.join("\n")
    );
    Ok(())
}

fn count_below(root: &Path, folder: &str, found: &mut BTreeMap<String, usize>) -> Result<()> {
    let path = root.join(folder);
    let entries = fs::read_dir(&path).with_context(|| format!("list {}", path.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", path.display()))?;
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        let kind = entry
            .file_type()
            .with_context(|| format!("inspect {name}"))?;
        if kind.is_dir() {
            count_below(root, &name, found)?;
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).with_context(|| format!("read {name}"))?;
            let count = count(&text);
            if count > 0 {
                found.insert(name, count);
            }
        }
    }
    Ok(())
}

/// Blocks, functions and implementations that are unsafe; attributes and comments are not.
fn count(text: &str) -> usize {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split(UNSAFE).skip(1))
        .filter(|rest| {
            let rest = rest.strip_prefix(' ').unwrap_or_default();
            FORMS.iter().any(|form| rest.starts_with(form))
        })
        .count()
}

/// In two parts: this file has none.
const UNSAFE: &str = concat!("un", "safe");

/// The files of the table, and their numbers: `` | `agent/src/files.rs` | 2 | why | ``.
fn listed(text: &str) -> BTreeMap<String, usize> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let file = cells.next()?.strip_suffix('`')?.to_owned();
        let count = cells.next()?.parse().ok()?;
        cells.next().filter(|why| !why.is_empty())?;
        Some((file, count))
    };
    text.lines().filter_map(row).collect()
}

fn differences(listed: &BTreeMap<String, usize>, found: &BTreeMap<String, usize>) -> Vec<String> {
    let is = found
        .iter()
        .filter(|(file, count)| listed.get(*file) != Some(count));
    let is = is
        .map(|(file, count)| format!("  {file} has {count}: expected a row that says so, and why"));
    let was = listed.keys().filter(|file| !found.contains_key(*file));
    let was = was.map(|file| format!("  {file} has none: expected no row"));
    is.chain(was).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_functions_and_implementations_count() {
        let text = "\
// SAFETY: un-safe { } in a comment
#[UN(no_mangle)]
let a = UN { b };
UN impl Pod for A {}
type C = UN extern \"C\" fn();
const CSP: &str = \"style-src 'UN-inline'\";
#![forbid(UN_code)]
f(UN { a }, UN { b });
    // UN { commented } out
"
        .replace("UN", UNSAFE);
        assert_eq!(count(&text), 5);
    }

    #[test]
    fn a_row_without_a_reason_is_none() {
        let text = "| file | n | why |\n|---|---|---|\n| `a.rs` | 2 | a call |\n| `b.rs` | 1 | |\n";
        assert_eq!(listed(text), BTreeMap::from([("a.rs".to_owned(), 2)]));
    }

    #[test]
    fn what_comes_goes_or_changes_is_a_difference() {
        let [listed, found] = [
            [("same", 1), ("more", 1), ("gone", 1)],
            [("same", 1), ("more", 2), ("new", 1)],
        ]
        .map(|rows| BTreeMap::from(rows.map(|(file, count)| (file.to_owned(), count))));
        assert_eq!(
            differences(&listed, &found),
            [
                "  more has 2: expected a row that says so, and why",
                "  new has 1: expected a row that says so, and why",
                "  gone has none: expected no row"
            ]
        );
        assert_eq!(differences(&found, &found), [""; 0]);
    }
}
