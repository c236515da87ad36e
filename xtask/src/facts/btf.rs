//! BTF: the types, maps and function signatures that the kernel checks.
//!
//! Types are told by name and content, never by number: the numbers follow the
//! order in which the compiler came upon the types.
//! <https://docs.kernel.org/bpf/btf.html>

use anyhow::{Context, Result, ensure};

use super::{Facts, add, word};

/// The first two bytes of both BTF sections.
pub(super) const MAGIC: u32 = 0xeb9f;
/// Names of the kinds by their numbers.
const KINDS: [&str; 20] = [
    "void",
    "int",
    "ptr",
    "array",
    "struct",
    "union",
    "enum",
    "fwd",
    "typedef",
    "volatile",
    "const",
    "restrict",
    "func",
    "func_proto",
    "var",
    "datasec",
    "float",
    "decl_tag",
    "type_tag",
    "enum64",
];
/// Types without a name do not nest deeper; a cycle through them is an error.
const MAX_DEPTH: usize = 32;

/// The types of an object.
pub(super) struct Btf<'data> {
    types: Vec<Type>,
    strings: &'data [u8],
}

struct Type {
    kind: &'static str,
    name: u32,
    /// The number of members; for a function, its linkage.
    count: u32,
    /// A size or a type, as the kind has it.
    value: u32,
    /// The members, values, parameters or variables, one after another.
    words: Vec<u32>,
}

impl<'data> Btf<'data> {
    pub(super) fn parse(bytes: &'data [u8]) -> Result<Self> {
        ensure!(word(bytes, 0)? & 0xffff == MAGIC, "no BTF magic number");
        let header = word(bytes, 4)? as usize;
        let part = |field| {
            let start = header + word(bytes, field)? as usize;
            let length = word(bytes, field + 4)? as usize;
            bytes
                .get(start..start + length)
                .context("find a part of the section")
        };
        let (table, strings) = (part(8)?, part(16)?);
        let mut types = Vec::new();
        let mut offset = 0;
        while offset < table.len() {
            let one = Type::parse(table, offset)
                .with_context(|| format!("read type {} at {offset:#x}", types.len() + 1))?;
            offset += 4 * (3 + one.words.len());
            types.push(one);
        }
        Ok(Self { types, strings })
    }

    /// The string at an offset of the string table.
    pub(super) fn string(&self, offset: u32) -> Result<String> {
        let rest = self
            .strings
            .get(offset as usize..)
            .context("find a string")?;
        let bytes = rest.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Adds what each named type is, and each map.
    pub(super) fn add_facts(&self, facts: &mut Facts) -> Result<()> {
        for one in self.types.iter().filter(|one| one.name != 0) {
            let name = format!("BTF {} {}", one.kind, self.string(one.name)?);
            let lines = self
                .content(one, 0)
                .with_context(|| format!("read {name}"))?;
            add(facts, name, lines.join("\n"));
            if one.kind == "datasec" && self.string(one.name)? == ".maps" {
                self.add_maps(one, facts)?;
            }
        }
        Ok(())
    }

    /// A map is a variable; the types of its members encode its definition.
    fn add_maps(&self, section: &Type, facts: &mut Facts) -> Result<()> {
        for [variable, ..] in section.entries::<3>() {
            let variable = self.get(*variable)?;
            let definition = self.content(self.get(variable.value)?, 0)?;
            add(
                facts,
                format!("map {}", self.string(variable.name)?),
                definition.join("\n"),
            );
        }
        Ok(())
    }

    /// How a use of a type reads.
    pub(super) fn reference(&self, id: u32) -> Result<String> {
        self.nested(id, 0)
    }

    fn nested(&self, id: u32, depth: usize) -> Result<String> {
        ensure!(depth < MAX_DEPTH, "type {id} nests too deep");
        if id == 0 {
            return Ok("void".to_owned());
        }
        let one = self.get(id)?;
        if one.name != 0 {
            return Ok(format!("{} {}", one.kind, self.string(one.name)?));
        }
        Ok(format!(
            "{} ({})",
            one.kind,
            self.content(one, depth + 1)?.join(", ")
        ))
    }

    /// What a type is made of, a line for each part.
    fn content(&self, one: &Type, depth: usize) -> Result<Vec<String>> {
        let reference = |id| self.nested(id, depth);
        let members = |member: &dyn Fn(&[u32; 3]) -> Result<String>| {
            one.entries::<3>()
                .iter()
                .map(member)
                .collect::<Result<Vec<_>>>()
        };
        Ok(match one.kind {
            "int" => vec![format!(
                "{} bytes, encoding {:#010x}",
                one.value,
                one.word()?
            )],
            "array" => {
                members(&|[element, _, count]| Ok(format!("{count} of {}", reference(*element)?)))?
            }
            "struct" | "union" => {
                let mut lines = members(&|[name, id, offset]| {
                    Ok(format!(
                        "{}: {} at bit {offset}",
                        self.string(*name)?,
                        reference(*id)?
                    ))
                })?;
                lines.push(format!("{} bytes", one.value));
                lines
            }
            "enum" | "func_proto" => {
                let entry = |[name, value]: &[u32; 2]| {
                    let name = self.string(*name)?;
                    match one.kind {
                        "enum" => Ok(format!("{name} = {value}")),
                        _ => Ok(format!("{name}: {}", reference(*value)?)),
                    }
                };
                let mut lines = one
                    .entries::<2>()
                    .iter()
                    .map(entry)
                    .collect::<Result<Vec<_>>>()?;
                match one.kind {
                    "enum" => lines.push(format!("{} bytes", one.value)),
                    _ => lines.push(format!("returns {}", reference(one.value)?)),
                }
                lines
            }
            "enum64" => members(&|[name, low, high]| {
                Ok(format!("{} = {high:#x}:{low:#010x}", self.string(*name)?))
            })?,
            "datasec" => {
                let mut lines =
                    members(&|[id, _, size]| Ok(format!("{}, {size} bytes", reference(*id)?)))?;
                lines.sort();
                lines
            }
            "func" => vec![format!("{}, linkage {}", reference(one.value)?, one.count)],
            "var" => vec![format!(
                "{}, linkage {}",
                reference(one.value)?,
                one.word()?
            )],
            "decl_tag" => vec![format!(
                "on {}, part {}",
                reference(one.value)?,
                one.word()?
            )],
            "float" => vec![format!("{} bytes", one.value)],
            "fwd" => Vec::new(),
            _ => vec![reference(one.value)?],
        })
    }

    fn get(&self, id: u32) -> Result<&Type> {
        (id as usize)
            .checked_sub(1)
            .and_then(|index| self.types.get(index))
            .with_context(|| format!("find type {id}"))
    }
}

impl Type {
    fn parse(table: &[u8], offset: usize) -> Result<Self> {
        let [name, info, value] = [
            word(table, offset)?,
            word(table, offset + 4)?,
            word(table, offset + 8)?,
        ];
        let count = info & 0xffff;
        let number = (info >> 24) & 0x1f;
        let kind = *KINDS
            .get(number as usize)
            .with_context(|| format!("kind {number}"))?;
        let length = match kind {
            "int" | "var" | "decl_tag" => 1,
            "array" => 3,
            "struct" | "union" | "datasec" | "enum64" => 3 * count,
            "enum" | "func_proto" => 2 * count,
            _ => 0,
        };
        let words = (0..length as usize).map(|index| word(table, offset + 12 + 4 * index));
        Ok(Self {
            kind,
            name,
            count,
            value,
            words: words.collect::<Result<_>>()?,
        })
    }

    fn entries<const N: usize>(&self) -> &[[u32; N]] {
        self.words.as_chunks().0
    }

    fn word(&self) -> Result<u32> {
        self.words
            .first()
            .copied()
            .with_context(|| format!("read the last word of {}", self.kind))
    }
}
