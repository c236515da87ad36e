//! What the maps look like, as one number: two objects with the same one can share them.
//!
//! The number covers what the object's own type information (BTF) says of each map that is
//! pinned: type, sizes, flags, and its keys and values down to the last field's name, place
//! and type. So a change of a layout shows by itself, and a change of a program does not.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};

/// How deep types are followed: far deeper than ours go.
const DEPTH: u32 = 24;

const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const VAR: u32 = 14;
const ENUM64: u32 = 19;

/// A digest of the layouts of the maps called `names` in `object`, an ELF file, made with
/// `sizes`, which the object's own are replaced by.
///
/// # Errors
///
/// The object is damaged, or has no such map.
pub(super) fn schema(object: &[u8], names: &[&str], sizes: &str) -> Result<u64> {
    let btf = section(object, ".BTF").context("find the object's types")?;
    let types = Types::parse(btf).context("read the object's types")?;
    let mut text = String::from(sizes);
    for name in names {
        let map = types
            .variable(name)
            .with_context(|| format!("find the layout of map {name}"))?;
        _ = write!(text, ";{name}=");
        types.describe(map, DEPTH, &mut text);
    }
    Ok(digest(text.as_bytes()))
}

/// FNV-1a: the same in each version of this program, which the standard library's is not.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The content of a section of a 64-bit ELF file of this machine's byte order.
fn section<'a>(object: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let table = usize::try_from(u64::from_ne_bytes(array(object, 0x28)?)).ok()?;
    let size = usize::from(u16::from_ne_bytes(array(object, 0x3a)?));
    let count = usize::from(u16::from_ne_bytes(array(object, 0x3c)?));
    let names = usize::from(u16::from_ne_bytes(array(object, 0x3e)?));
    let header = |index: usize| object.get(table.checked_add(size.checked_mul(index)?)?..);
    let content = |header: &[u8]| {
        let at = usize::try_from(u64::from_ne_bytes(array(header, 0x18)?)).ok()?;
        let length = usize::try_from(u64::from_ne_bytes(array(header, 0x20)?)).ok()?;
        object.get(at..at.checked_add(length)?)
    };
    let names = content(header(names)?)?;
    (0..count).filter_map(header).find_map(|header| {
        let name = u32::from_ne_bytes(array(header, 0)?);
        (text_at(names, name)? == wanted).then(|| content(header))?
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn text_at(strings: &[u8], at: u32) -> Option<&str> {
    let rest = strings.get(usize::try_from(at).ok()?..)?;
    let text = rest.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok()
}

/// The types of an object, by number; the first is 1.
struct Types<'a> {
    strings: &'a [u8],
    types: Vec<Type<'a>>,
}

struct Type<'a> {
    name: u32,
    kind: u32,
    /// Its size, or the type that it refers to.
    third: u32,
    /// What follows, by kind.
    extra: &'a [u8],
}

impl<'a> Types<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let word = |at| array(bytes, at).map(u32::from_ne_bytes);
        let part = |offset, length| {
            let start = word(4)?.checked_add(word(offset)?)?;
            let end = start.checked_add(word(length)?)?;
            bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
        };
        let (Some(mut rest), Some(strings)) = (part(8, 12), part(16, 20)) else {
            bail!("the header is damaged");
        };
        let mut types = Vec::new();
        while !rest.is_empty() {
            let header = [0, 4, 8].map(|at| array(rest, at).map(u32::from_ne_bytes));
            let [Some(name), Some(info), Some(third)] = header else {
                bail!("type {} is truncated", types.len() + 1);
            };
            let kind = info >> 24 & 0x1f;
            let count = usize::from(info as u16);
            let length = match kind {
                1 | VAR | 17 => 4,
                ARRAY => 12,
                STRUCT | UNION | 15 | ENUM64 => count * 12,
                ENUM | 13 => count * 8,
                PTR | 7..=12 | 16 | 18 => 0,
                _ => bail!("type {} is of unknown kind {kind}", types.len() + 1),
            };
            let extra = rest
                .get(12..12 + length)
                .with_context(|| format!("type {} is truncated", types.len() + 1))?;
            rest = rest.get(12 + length..).unwrap_or_default();
            types.push(Type {
                name,
                kind,
                third,
                extra,
            });
        }
        Ok(Self { strings, types })
    }

    fn get(&self, id: u32) -> Option<&Type<'a>> {
        self.types.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    fn name(&self, at: u32) -> &'a str {
        text_at(self.strings, at).unwrap_or("?")
    }

    /// The type of the variable with this name.
    fn variable(&self, name: &str) -> Option<u32> {
        let is_meant = |it: &&Type<'_>| it.kind == VAR && self.name(it.name) == name;
        self.types.iter().find(is_meant).map(|it| it.third)
    }

    /// Writes down all that a value's bytes depend on.
    fn describe(&self, id: u32, depth: u32, text: &mut String) {
        let Some(it) = self.get(id).filter(|_| depth > 0) else {
            text.push('.');
            return;
        };
        let words = |width: usize| {
            it.extra.chunks_exact(width).map(|chunk| {
                let word = |at| array(chunk, at).map_or(0, u32::from_ne_bytes);
                [word(0), word(4), word(8)]
            })
        };
        match it.kind {
            ARRAY => {
                for [element, _, count] in words(12) {
                    _ = write!(text, "[{count}]");
                    self.describe(element, depth - 1, text);
                }
            }
            STRUCT | UNION => {
                _ = write!(text, "{}{}{{", it.kind, it.third);
                for [name, member, offset] in words(12) {
                    _ = write!(text, "{}@{offset}:", self.name(name));
                    self.describe(member, depth - 1, text);
                }
                text.push('}');
            }
            ENUM | ENUM64 => {
                _ = write!(text, "e{}{{", it.third);
                for [name, low, high] in words(if it.kind == ENUM { 8 } else { 12 }) {
                    _ = write!(text, "{}={low}:{high},", self.name(name));
                }
                text.push('}');
            }
            // Numbers: size and encoding.
            1 | 16 => _ = write!(text, "i{}:{:?}", it.third, it.extra),
            // Pointers, aliases, qualifiers.
            kind => {
                _ = write!(text, "{kind}>");
                self.describe(it.third, depth - 1, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use keepfast_common::maps as names;

    use super::*;
    use crate::kernel::OBJECT;

    fn of(object: &[u8]) -> u64 {
        schema(object, &names::PINNED, "").unwrap()
    }

    #[test]
    fn a_layout_that_changes_is_noticed() {
        let same = of(OBJECT);
        assert_ne!(schema(OBJECT, &names::PINNED, "x").unwrap(), same);
        // A field of a map's value is called otherwise: what was kept means something else.
        let mut object = OBJECT.to_vec();
        let name = b"\0own_active\0";
        let at = object
            .windows(name.len())
            .position(|it| it == name)
            .unwrap();
        object[at + 1] = b'O';
        assert_ne!(of(&object), same);
    }

    #[test]
    fn a_program_that_changes_is_not() {
        let same = of(OBJECT);
        let mut object = OBJECT.to_vec();
        let code = section(OBJECT, "xdp").unwrap();
        let at = code.as_ptr() as usize - OBJECT.as_ptr() as usize;
        object[at] ^= 1;
        assert_eq!(of(&object), same);
    }

    #[test]
    fn damaged_objects_are_errors() {
        for length in (0..OBJECT.len()).step_by(997) {
            let _outcome = schema(&OBJECT[..length], &names::PINNED, "");
        }
        assert!(schema(b"", &names::PINNED, "").is_err());
        assert!(schema(OBJECT, &["NO_SUCH_MAP"], "").is_err());
    }
}
