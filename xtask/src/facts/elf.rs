//! Sections, functions with their instructions, and data.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use object::read::elf::ElfFile64;
use object::{
    Endianness, Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget,
    SectionFlags, SectionIndex, SectionKind, SymbolKind, elf,
};

use super::{Facts, add, word};

/// Size of an instruction; a 64-bit load takes two.
const INSTRUCTION: usize = 8;
const CALL: u8 = 0x85;
/// The source register of a call that means: to another function of the program.
const PSEUDO_CALL: u8 = 1;

type Section<'data, 'file> = object::read::elf::ElfSection64<'data, 'file>;

/// The sections of an object, and where its functions begin.
pub(super) struct Layout<'data> {
    file: ElfFile64<'data>,
    functions: Vec<Function<'data>>,
}

struct Function<'data> {
    section: SectionIndex,
    start: u64,
    name: &'data str,
}

impl<'data> Layout<'data> {
    pub(super) fn parse(bytes: &'data [u8]) -> Result<Self> {
        let file = ElfFile64::<Endianness>::parse(bytes).context("parse the ELF file")?;
        let mut functions = Vec::new();
        for symbol in file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text)
        {
            let name = symbol.name().context("read the name of a function")?;
            if let Some(section) = symbol.section_index() {
                functions.push(Function {
                    section,
                    start: symbol.address(),
                    name,
                });
            }
        }
        functions.sort_by_key(|function| (function.section.0, function.start));
        Ok(Self { file, functions })
    }

    /// The content of a section.
    pub(super) fn section(&self, name: &str) -> Result<&'data [u8]> {
        let section = self
            .file
            .section_by_name(name)
            .with_context(|| format!("find section {name}"))?;
        section
            .data()
            .with_context(|| format!("read section {name}"))
    }

    /// Names a place in a section by its function: `observe+0x18`.
    pub(super) fn locate(&self, section: &str, offset: u64) -> Result<String> {
        let section = self
            .file
            .section_by_name(section)
            .with_context(|| format!("find section {section}"))?;
        self.place(&section, offset)
    }

    /// All that the file says apart from BTF.
    pub(super) fn facts(&self) -> Result<Facts> {
        let mut facts = Facts::new();
        for section in self.file.sections() {
            let name = section.name().context("read the name of a section")?;
            let SectionFlags::Elf { sh_flags } = section.flags() else {
                continue;
            };
            if sh_flags & u64::from(elf::SHF_ALLOC) == 0 {
                continue;
            }
            if section.kind() == SectionKind::Text {
                self.add_functions(&section, name, &mut facts)?;
            } else {
                let value = self.data(&section)?;
                add(&mut facts, format!("section {name}"), value);
            }
        }
        for symbol in self.file.symbols().filter(|symbol| symbol.is_global()) {
            let name = symbol.name().context("read the name of a symbol")?;
            let value = self.symbol(&symbol)?;
            add(&mut facts, format!("symbol {name}"), value);
        }
        Ok(facts)
    }

    /// Where a global symbol lies. The functions and maps of a section may
    /// change places without a change of meaning.
    fn symbol<'file>(&'file self, symbol: &impl ObjectSymbol<'data>) -> Result<String> {
        let Some(index) = symbol.section_index() else {
            return Ok("outside".to_owned());
        };
        let section = self
            .file
            .section_by_index(index)
            .context("find the section of a symbol")?;
        let name = section.name().context("read the name of a section")?;
        if section.kind() == SectionKind::Text || name == ".maps" {
            Ok(format!("in {name}, {} bytes", symbol.size()))
        } else {
            Ok(format!(
                "in {name} at {:#x}, {} bytes",
                symbol.address(),
                symbol.size()
            ))
        }
    }

    fn add_functions(
        &self,
        section: &Section<'data, '_>,
        section_name: &str,
        facts: &mut Facts,
    ) -> Result<()> {
        let code = section
            .data()
            .with_context(|| format!("read section {section_name}"))?;
        let mut listings: Facts = Facts::new();
        for (index, instruction) in code.chunks(INSTRUCTION).enumerate() {
            let offset = index * INSTRUCTION;
            let (function, within) = self.function(section.index(), offset as u64);
            let listing = listings.entry(function.to_owned()).or_default();
            let text = self
                .instruction(section, offset, instruction)
                .with_context(|| format!("read the instruction at {section_name}+{offset:#x}"))?;
            writeln!(listing, "{within:#06x}: {text}")?;
        }
        for (function, listing) in listings {
            add(
                facts,
                format!("function {function} in {section_name}"),
                listing,
            );
        }
        Ok(())
    }

    /// The bytes of an instruction, with a target by name in place of a number
    /// that only says where the target happens to lie.
    fn instruction(
        &self,
        section: &Section<'data, '_>,
        offset: usize,
        bytes: &[u8],
    ) -> Result<String> {
        let &[operation, registers, ..] = bytes else {
            bail!("half an instruction")
        };
        let target = match self.relocation(section, offset as u64)? {
            Some((symbol, flags)) => Some(self.target(symbol, flags, word(bytes, 4)?)?),
            None if operation == CALL && registers >> 4 == PSEUDO_CALL => {
                let next = (offset + INSTRUCTION) as u64;
                Some(self.place(section, call_target(next, word(bytes, 4)?))?)
            }
            None => None,
        };
        Ok(match target {
            Some(target) => format!("{} -> {target}", hex(bytes.get(..4).unwrap_or(bytes))),
            None => hex(bytes),
        })
    }

    fn relocation(
        &self,
        section: &Section<'data, '_>,
        offset: u64,
    ) -> Result<Option<(object::SymbolIndex, RelocationFlags)>> {
        let found = section.relocations().find(|(place, _)| *place == offset);
        let Some((_, relocation)) = found else {
            return Ok(None);
        };
        match relocation.target() {
            RelocationTarget::Symbol(symbol) => Ok(Some((symbol, relocation.flags()))),
            other => bail!("a relocation to {other:?}, not to a symbol"),
        }
    }

    fn target(
        &self,
        symbol: object::SymbolIndex,
        flags: RelocationFlags,
        immediate: u32,
    ) -> Result<String> {
        let symbol = self
            .file
            .symbol_by_index(symbol)
            .context("find the target's symbol")?;
        let is_call = matches!(
            flags,
            RelocationFlags::Elf {
                r_type: elf::R_BPF_64_32
            }
        );
        if symbol.kind() != SymbolKind::Section {
            let name = symbol.name().context("read the target's name")?;
            // A call carries -1 here, which says nothing.
            let addend = if is_call { 0 } else { immediate };
            return Ok(if addend == 0 {
                name.to_owned()
            } else {
                format!("{name}+{addend:#x}")
            });
        }
        let index = symbol
            .section_index()
            .context("find the target's section")?;
        let section = self
            .file
            .section_by_index(index)
            .context("find the target's section")?;
        let offset = if is_call {
            call_target(0, immediate.wrapping_add(1))
        } else {
            immediate.into()
        };
        self.place(&section, offset)
    }

    fn place(&self, section: &Section<'data, '_>, offset: u64) -> Result<String> {
        let name = section.name().context("read the name of a section")?;
        if section.kind() != SectionKind::Text {
            return Ok(format!("{name}+{offset:#x}"));
        }
        Ok(match self.function(section.index(), offset) {
            (function, 0) => function.to_owned(),
            (function, within) => format!("{function}+{within:#x}"),
        })
    }

    /// The function at an offset, and how far into it the offset points.
    fn function(&self, section: SectionIndex, offset: u64) -> (&'data str, u64) {
        let before =
            |function: &&Function<'_>| function.section == section && function.start <= offset;
        match self.functions.iter().rfind(before) {
            Some(function) => (function.name, offset - function.start),
            None => ("(no name)", offset),
        }
    }

    fn data(&self, section: &Section<'data, '_>) -> Result<String> {
        let bytes = section.data().context("read a data section")?;
        let mut text = format!("{} bytes\n", section.size());
        for (index, row) in bytes.chunks(16).enumerate() {
            writeln!(
                text,
                "{:#06x}: {} {}",
                index * 16,
                hex(row),
                row.escape_ascii()
            )?;
        }
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                continue;
            };
            let start = usize::try_from(offset).context("read an offset")?;
            let target = self.target(symbol, relocation.flags(), word(bytes, start)?)?;
            writeln!(text, "{offset:#06x} -> {target}")?;
        }
        Ok(text)
    }
}

/// Where a call goes: its number counts instructions from the one after it.
fn call_target(next: u64, distance: u32) -> u64 {
    let distance = i64::from(distance.cast_signed()) * INSTRUCTION as i64;
    next.wrapping_add_signed(distance)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(" ")
}
