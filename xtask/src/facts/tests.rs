//! Facts of objects made here, so that each test changes one thing.

use object::write::{Object, Relocation, StandardSection, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind,
    SymbolFlags, SymbolKind, SymbolScope, elf,
};

use super::*;

/// A program of three functions, two maps, a constant and a licence.
#[derive(Clone)]
struct Fixture {
    immediate: u8,
    constant: u8,
    license: &'static [u8],
    entries: u32,
    member: &'static str,
    line: u32,
    /// `entry` calls this one of the two other functions.
    callee: &'static str,
    /// The order of the functions `first` and `second`.
    swapped: bool,
}

impl Default for Fixture {
    fn default() -> Self {
        Self {
            immediate: 1,
            constant: 3,
            license: b"GPL\0",
            entries: 64,
            member: "adverts",
            line: 10,
            callee: "first",
            swapped: false,
        }
    }
}

impl Fixture {
    fn facts(&self) -> Facts {
        read(&self.build()).expect("read the object that was just built")
    }

    fn build(&self) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
        let text = object.section_id(StandardSection::Text);
        for name in if self.swapped {
            ["second", "first"]
        } else {
            ["first", "second"]
        } {
            let value = if name == "first" { 7 } else { 8 };
            let code = [[0xb7, 0, 0, 0, value, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]].concat();
            let id = symbol(&mut object, name, SymbolKind::Text);
            object.add_symbol_data(id, text, &code, 8);
        }
        let rodata = object.section_id(StandardSection::ReadOnlyData);
        let limit = symbol(&mut object, "LIMIT", SymbolKind::Data);
        object.add_symbol_data(limit, rodata, &[self.constant, 0, 0, 0, 0, 0, 0, 0], 8);

        self.add_entry(&mut object, limit);
        add_section(
            &mut object,
            "license",
            SectionKind::ReadOnlyData,
            self.license,
        );
        add_section(&mut object, ".BTF", SectionKind::Other, &self.btf());
        add_section(&mut object, ".BTF.ext", SectionKind::Other, &self.btf_ext());
        add_section(&mut object, ".comment", SectionKind::Other, b"some tools\n");
        object.write().expect("write the object")
    }

    /// `r1 = LIMIT; r2 = immediate; call callee; exit`, as a program of its own.
    fn add_entry(&self, object: &mut Object<'_>, limit: SymbolId) {
        let code = [
            [0x18, 1, 0, 0, 0, 0, 0, 0],
            [0; 8],
            [0xb7, 2, 0, 0, self.immediate, 0, 0, 0],
            // -1: the number that a compiler leaves for a call by name.
            [0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff],
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        let section = object.add_section(Vec::new(), b"xdp".to_vec(), SectionKind::Text);
        let entry = symbol(object, "entry", SymbolKind::Text);
        object.add_symbol_data(entry, section, &code.concat(), 8);
        let callee = object
            .symbol_id(self.callee.as_bytes())
            .expect("find the callee");
        for (offset, symbol, r_type) in
            [(0, limit, elf::R_BPF_64_64), (24, callee, elf::R_BPF_64_32)]
        {
            let relocation = Relocation {
                offset,
                symbol,
                addend: 0,
                flags: RelocationFlags::Elf { r_type },
            };
            object
                .add_relocation(section, relocation)
                .expect("add a relocation");
        }
        // The writer puts the addend over the operation instead of behind it.
        object
            .section_mut(section)
            .data_mut()
            .copy_from_slice(&code.concat());
    }

    /// `u32`, `struct Inst { <member>: u32 }` and the map
    /// `TABLE: Table { value: *Inst, max_entries: *[u32; entries] }`.
    fn btf(&self) -> Vec<u8> {
        let mut strings = Strings::default();
        let kind = |number: u32, count: u32| number << 24 | count;
        let words = [
            vec![strings.add("u32"), kind(1, 0), 4, 32],
            vec![
                strings.add("Inst"),
                kind(4, 1),
                4,
                strings.add(self.member),
                1,
                0,
            ],
            vec![0, kind(2, 0), 2],
            vec![0, kind(3, 0), 0, 1, 1, self.entries],
            vec![0, kind(2, 0), 4],
            vec![
                strings.add("Table"),
                kind(4, 2),
                16,
                strings.add("value"),
                3,
                0,
                strings.add("max_entries"),
                5,
                64,
            ],
            vec![strings.add("TABLE"), kind(14, 0), 6, 1],
            vec![strings.add(".maps"), kind(15, 1), 0, 7, 0, 16],
            vec![0, kind(13, 1), 1, strings.add("limit"), 3],
            vec![strings.add("entry"), kind(12, 1), 9],
        ];
        for text in ["xdp", "main.rs", "let limit = 1;"] {
            strings.add(text);
        }
        let table = bytes(&words.concat());
        let length = table.len() as u32;
        let header = [MAGIC, 24, 0, length, length, strings.0.len() as u32];
        [bytes(&header), table, strings.0].concat()
    }

    fn btf_ext(&self) -> Vec<u8> {
        // The same strings in the same order have the same places.
        let mut strings = Strings::find(&self.btf());
        let [section, file, source] = ["xdp", "main.rs", "let limit = 1;"].map(|s| strings.add(s));
        let signatures = [8, section, 1, 0, 10];
        let lines = [16, section, 1, 16, file, source, self.line << 10 | 5];
        let [first, second] = [4 * signatures.len() as u32, 4 * lines.len() as u32];
        let header = [MAGIC, 24, 0, first, first, second];
        bytes(&[&header[..], &signatures, &lines].concat())
    }
}

const MAGIC: u32 = 0x0001_eb9f;

/// A string table that starts with the empty string.
#[derive(Default)]
struct Strings(Vec<u8>);

impl Strings {
    fn find(btf: &[u8]) -> Self {
        let start = 24 + word(btf, 16).expect("read the header") as usize;
        Self(btf[start..].to_vec())
    }

    fn add(&mut self, text: &str) -> u32 {
        if self.0.is_empty() {
            self.0.push(0);
        }
        let entry = [text.as_bytes(), b"\0"].concat();
        let known = self.0.windows(entry.len()).position(|part| part == entry);
        let place = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.extend(entry);
        }
        place as u32
    }
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn symbol(object: &mut Object<'_>, name: &str, kind: SymbolKind) -> SymbolId {
    object.add_symbol(Symbol {
        name: name.as_bytes().to_vec(),
        value: 0,
        size: 0,
        kind,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Undefined,
        flags: SymbolFlags::None,
    })
}

fn add_section(object: &mut Object<'_>, name: &str, kind: SectionKind, data: &[u8]) {
    let section = object.add_section(Vec::new(), name.as_bytes().to_vec(), kind);
    object.append_section_data(section, data, 1);
    if kind == SectionKind::Other {
        object.section_mut(section).flags = SectionFlags::Elf { sh_flags: 0 };
    }
}

/// Compares the plain fixture with a changed one.
fn check(changed: Fixture, expected: &[&str]) {
    let differences = differences(&Fixture::default().facts(), &changed.facts());
    assert_eq!(differences, expected);
}

#[test]
fn equal_objects_have_no_differences() {
    check(Fixture::default(), &[]);
}

#[test]
fn a_changed_instruction_is_named_by_function_and_section() {
    check(
        Fixture {
            immediate: 2,
            ..Fixture::default()
        },
        &["function entry in xdp:\
           \n    committed: 0x0010: b7 02 00 00 01 00 00 00\
           \n    rebuilt:   0x0010: b7 02 00 00 02 00 00 00"],
    );
}

#[test]
fn a_call_to_another_function_is_a_difference() {
    check(
        Fixture {
            callee: "second",
            ..Fixture::default()
        },
        &["function entry in xdp:\
           \n    committed: 0x0018: 85 10 00 00 -> first\
           \n    rebuilt:   0x0018: 85 10 00 00 -> second"],
    );
}

#[test]
fn the_order_of_functions_is_no_difference() {
    let swapped = Fixture {
        swapped: true,
        ..Fixture::default()
    };
    assert_ne!(swapped.build(), Fixture::default().build());
    check(swapped, &[]);
}

#[test]
fn a_changed_constant_is_named_by_section() {
    check(
        Fixture {
            constant: 4,
            ..Fixture::default()
        },
        &["section .rodata:\
           \n    committed: 0x0000: 03 00 00 00 00 00 00 00 \\x03\\x00\\x00\\x00\\x00\\x00\\x00\\x00\
           \n    rebuilt:   0x0000: 04 00 00 00 00 00 00 00 \\x04\\x00\\x00\\x00\\x00\\x00\\x00\\x00"],
    );
}

#[test]
fn a_changed_license_is_a_difference() {
    check(
        Fixture {
            license: b"MIT\0",
            ..Fixture::default()
        },
        &["section license:\
           \n    committed: 0x0000: 47 50 4c 00 GPL\\x00\
           \n    rebuilt:   0x0000: 4d 49 54 00 MIT\\x00"],
    );
}

#[test]
fn a_changed_map_is_named() {
    check(
        Fixture {
            entries: 65,
            ..Fixture::default()
        },
        &[
            "BTF struct Table:\
             \n    committed: max_entries: ptr (array (64 of int u32)) at bit 64\
             \n    rebuilt:   max_entries: ptr (array (65 of int u32)) at bit 64",
            "map TABLE:\
             \n    committed: max_entries: ptr (array (64 of int u32)) at bit 64\
             \n    rebuilt:   max_entries: ptr (array (65 of int u32)) at bit 64",
        ],
    );
}

#[test]
fn a_changed_type_is_named() {
    check(
        Fixture {
            member: "packets",
            ..Fixture::default()
        },
        &["BTF struct Inst:\
           \n    committed: adverts: int u32 at bit 0\
           \n    rebuilt:   packets: int u32 at bit 0"],
    );
}

#[test]
fn a_moved_source_line_is_a_difference() {
    check(
        Fixture {
            line: 11,
            ..Fixture::default()
        },
        &["source lines of entry:\
           \n    committed: entry+0x10 main.rs:10:5 let limit = 1;\
           \n    rebuilt:   entry+0x10 main.rs:11:5 let limit = 1;"],
    );
}

#[test]
fn a_missing_fact_is_named_on_either_side() {
    let (one, none) = (
        Facts::from([("map A".to_owned(), String::new())]),
        Facts::new(),
    );
    assert_eq!(
        differences(&one, &none),
        ["map A: only in the committed object"]
    );
    assert_eq!(
        differences(&none, &one),
        ["map A: only in the rebuilt object"]
    );
}

#[test]
fn types_that_share_a_name_are_told_apart() {
    let mut facts = Facts::new();
    for value in ["4 bytes", "8 bytes", "4 bytes"] {
        add(&mut facts, "BTF struct Inst".to_owned(), value.to_owned());
    }
    assert_eq!(
        facts.into_keys().collect::<Vec<_>>(),
        ["BTF struct Inst", "BTF struct Inst #2"]
    );
}

#[test]
fn the_producer_is_read_and_is_no_fact() {
    let object = Fixture::default().build();
    assert_eq!(producer(&object, ".comment").as_deref(), Some("some tools"));
    assert!(
        Fixture::default()
            .facts()
            .keys()
            .all(|name| !name.contains("comment"))
    );
}

#[test]
fn a_damaged_object_is_an_error_not_a_panic() {
    let object = Fixture::default().build();
    for length in 0..object.len() {
        // The end of the file is the section table: without it nothing is found.
        assert!(read(&object[..length]).is_err());
    }
    for index in 0..object.len() {
        let mut damaged = object.clone();
        damaged[index] ^= 0xff;
        // Either reading is fine, as long as it ends.
        drop(read(&damaged));
    }
}
