//! BTF.ext: what ties BTF to instructions, section by section.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

use super::btf::{Btf, MAGIC};
use super::elf::Layout;
use super::{Facts, word};

/// Adds function signatures, source lines and relocations against the types
/// of the running kernel, each by the function that it is about.
pub(super) fn add_facts(
    bytes: &[u8],
    btf: &Btf<'_>,
    layout: &Layout<'_>,
    facts: &mut Facts,
) -> Result<()> {
    ensure!(word(bytes, 0)? & 0xffff == MAGIC, "no BTF magic number");
    let header = word(bytes, 4)? as usize;
    let mut table = |field: usize, what: &str, text: &dyn Fn(&[u32]) -> Result<String>| {
        // The header has grown over time: a field behind its end is not there.
        if field + 8 > header {
            return Ok(());
        }
        let start = header + word(bytes, field)? as usize;
        let length = word(bytes, field + 4)? as usize;
        let table = bytes.get(start..start + length).context("find a table")?;
        for (section, record) in records(table, btf).with_context(|| format!("read {what}"))? {
            let place = layout.locate(&section, record[0].into())?;
            let function = place.split('+').next().unwrap_or(&place);
            let fact = facts.entry(format!("{what} of {function}")).or_default();
            writeln!(fact, "{place} {}", text(&record[1..])?)?;
        }
        anyhow::Ok(())
    };
    table(8, "signature", &|record| btf.reference(field(record, 0)?))?;
    table(16, "source lines", &|record| {
        let position = field(record, 2)?;
        let (line, column) = (position >> 10, position & 0x3ff);
        let [file, source] = [
            btf.string(field(record, 0)?)?,
            btf.string(field(record, 1)?)?,
        ];
        Ok(format!("{file}:{line}:{column} {source}"))
    })?;
    table(24, "kernel type relocations", &|record| {
        let [id, access, kind] = [field(record, 0)?, field(record, 1)?, field(record, 2)?];
        Ok(format!(
            "{} {} kind {kind}",
            btf.reference(id)?,
            btf.string(access)?
        ))
    })
}

/// The records of a table, each with the section it is about. A record starts
/// with the offset of its instruction.
fn records(table: &[u8], btf: &Btf<'_>) -> Result<Vec<(String, Vec<u32>)>> {
    let mut records = Vec::new();
    if table.is_empty() {
        return Ok(records);
    }
    let size = word(table, 0)? as usize;
    ensure!(
        size >= 4 && size.is_multiple_of(4),
        "a record size of {size}"
    );
    let mut offset = 4;
    while offset < table.len() {
        let section = btf.string(word(table, offset)?)?;
        let count = word(table, offset + 4)?;
        offset += 8;
        for _ in 0..count {
            let words = (offset..offset + size)
                .step_by(4)
                .map(|place| word(table, place));
            records.push((section.clone(), words.collect::<Result<_>>()?));
            offset += size;
        }
    }
    Ok(records)
}

fn field(record: &[u32], index: usize) -> Result<u32> {
    record
        .get(index)
        .copied()
        .context("read a field behind the end of a record")
}
