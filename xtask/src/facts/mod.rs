//! What a BPF object means to the kernel and to the agent, as named facts.
//!
//! Two objects that differ in bytes may still be the same program: symbols and
//! strings may stand in another order. So the objects are not compared, but
//! what can be said of each: its instructions with their targets by name, its
//! data, its maps, types and line information.

mod btf;
mod btf_ext;
mod elf;
mod locks;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

pub(crate) use locks::calls_under_lock;

/// The value of each fact by its name, such as `function observe in xdp`.
pub(crate) type Facts = BTreeMap<String, String>;

/// Reads all facts from the bytes of an object.
///
/// # Errors
/// When the bytes are not a well-formed BPF object with BTF.
pub(crate) fn read(bytes: &[u8]) -> Result<Facts> {
    let layout = elf::Layout::parse(bytes)?;
    let mut facts = layout.facts()?;
    let btf = btf::Btf::parse(layout.section(".BTF")?).context("read .BTF")?;
    btf.add_facts(&mut facts)
        .context("read the types in .BTF")?;
    let ext = layout.section(".BTF.ext")?;
    btf_ext::add_facts(ext, &btf, &layout, &mut facts).context("read .BTF.ext")?;
    Ok(facts)
}

/// The names of the tools that made the object, if it carries them.
pub(crate) fn producer(bytes: &[u8], section: &str) -> Option<String> {
    let layout = elf::Layout::parse(bytes).ok()?;
    Some(
        String::from_utf8_lossy(layout.section(section).ok()?)
            .trim()
            .to_owned(),
    )
}

/// Names every fact on which two objects differ, with the first line of each
/// that does.
pub(crate) fn differences(committed: &Facts, rebuilt: &Facts) -> Vec<String> {
    let names: BTreeSet<_> = committed.keys().chain(rebuilt.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| difference(name, committed, rebuilt))
        .collect()
}

fn difference(name: &str, committed: &Facts, rebuilt: &Facts) -> Option<String> {
    let (old, new) = match (committed.get(name), rebuilt.get(name)) {
        (Some(old), Some(new)) => (old, new),
        (Some(_), None) => return Some(format!("{name}: only in the committed object")),
        (None, _) => return Some(format!("{name}: only in the rebuilt object")),
    };
    if old == new {
        return None;
    }
    let (mut old, mut new) = (old.lines(), new.lines());
    loop {
        let (before, after) = (old.next(), new.next());
        if before != after || before.is_none() {
            let (before, after) = (before.unwrap_or("(end)"), after.unwrap_or("(end)"));
            return Some(format!(
                "{name}:\n    committed: {before}\n    rebuilt:   {after}"
            ));
        }
    }
}

/// Adds a fact; types may share a name, and then each keeps its own.
fn add(facts: &mut Facts, name: String, value: String) {
    let mut unique = name.clone();
    for number in 2.. {
        match facts.get(&unique) {
            None => break,
            Some(same) if *same == value => return,
            Some(_) => unique = format!("{name} #{number}"),
        }
    }
    facts.insert(unique, value);
}

/// The little-endian word at an offset.
fn word(bytes: &[u8], offset: usize) -> Result<u32> {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map(|word| u32::from_le_bytes(*word))
        .with_context(|| format!("read a word at {offset:#x} of {:#x}", bytes.len()))
}

#[cfg(test)]
mod tests;
