//! Offsets of members of kernel structures, from the kernel's own description.
//!
//! Reads the BTF of `/sys/kernel/btf/vmlinux`
//! (<https://docs.kernel.org/bpf/btf.html>). Only what the question "where in
//! struct A is member b.c" takes.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use keepfast_common::maps::NetnsOffsets;

/// Where the running kernel describes itself.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;

/// Where the running kernel keeps a device's network namespace.
///
/// # Errors
///
/// The kernel has no BTF, or its structures differ from those known.
pub fn netns_offsets() -> Result<NetnsOffsets> {
    let bytes = std::fs::read(Path::new(VMLINUX)).with_context(|| format!("read {VMLINUX}"))?;
    let btf = Btf::parse(&bytes).with_context(|| format!("read {VMLINUX}"))?;
    Ok(NetnsOffsets {
        known: 1,
        xdp_buff_rxq: btf.offset("xdp_buff", &["rxq"])?,
        xdp_rxq_info_dev: btf.offset("xdp_rxq_info", &["dev"])?,
        sk_buff_dev: btf.offset("sk_buff", &["dev"])?,
        net_device_net: btf.offset("net_device", &["nd_net"])?,
        net_inum: btf.offset("net", &["ns", "inum"])?,
    })
}

/// A description of types.
struct Btf<'a> {
    strings: &'a [u8],
    /// Type identifier to its structure or union.
    aggregates: HashMap<u32, Aggregate<'a>>,
    /// Type identifier of what a typedef or qualifier refers to.
    aliases: HashMap<u32, u32>,
}

struct Aggregate<'a> {
    name: u32,
    members: &'a [u8],
    /// Member offsets hold a bit field's size in their upper byte.
    packed: bool,
}

impl<'a> Btf<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let word = |at: usize| {
            bytes
                .get(at..)
                .and_then(|rest| rest.first_chunk())
                .map(|chunk| u32::from_ne_bytes(*chunk))
                .context("BTF header is truncated")
        };
        if word(0)? as u16 != MAGIC {
            bail!("not BTF of this machine's byte order");
        }
        let header = word(4)? as usize;
        let section = |offset: u32, length: u32| {
            let start = header.checked_add(offset as usize)?;
            bytes.get(start..start.checked_add(length as usize)?)
        };
        let types = section(word(8)?, word(12)?).context("BTF types are truncated")?;
        let strings = section(word(16)?, word(20)?).context("BTF strings are truncated")?;
        let mut btf = Self {
            strings,
            aggregates: HashMap::new(),
            aliases: HashMap::new(),
        };
        btf.index(types)?;
        Ok(btf)
    }

    fn index(&mut self, mut types: &'a [u8]) -> Result<()> {
        let mut id = 0;
        while let Some(([name, info, third], rest)) = words(types) {
            id += 1;
            let count = (info & 0xffff) as usize;
            let kind = info >> 24 & 0x1f;
            // What follows the three words, by kind.
            let extra = match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                STRUCT | UNION | 15 | 19 => count * 12,
                6 | 13 => count * 8,
                2 | 7..=12 | 16 | 18 => 0,
                _ => bail!("BTF type {id} is of unknown kind {kind}"),
            };
            let extra = rest.get(..extra).context("BTF types are truncated")?;
            match kind {
                STRUCT | UNION => {
                    let packed = info >> 31 == 1;
                    self.aggregates.insert(
                        id,
                        Aggregate {
                            name,
                            members: extra,
                            packed,
                        },
                    );
                }
                // typedef, volatile, const, restrict, type tag
                8..=11 | 18 => {
                    self.aliases.insert(id, third);
                }
                _ => {}
            }
            types = &rest[extra.len()..];
        }
        Ok(())
    }

    /// Offset of the member at `path` in `structure`, in bytes.
    fn offset(&self, structure: &str, path: &[&str]) -> Result<u32> {
        self.aggregates
            .values()
            .filter(|aggregate| self.is(aggregate.name, structure))
            .find_map(|aggregate| self.member(aggregate, path, 0))
            .with_context(|| {
                format!(
                    "kernel has no member {} in struct {structure}",
                    path.join(".")
                )
            })
    }

    /// As [`Self::offset`], from within an aggregate; looks into anonymous members.
    fn member(&self, aggregate: &Aggregate<'_>, path: &[&str], depth: u32) -> Option<u32> {
        let (wanted, rest) = path.split_first()?;
        let mut members = aggregate.members;
        while let Some(([name, kind, offset], next)) = words(members) {
            members = next;
            let bits = if aggregate.packed {
                offset & 0x00ff_ffff
            } else {
                offset
            };
            let inner = self.aggregates.get(&self.resolve(kind));
            let found = if self.is(name, wanted) {
                if rest.is_empty() {
                    Some(0)
                } else {
                    self.member(inner?, rest, depth + 1)
                }
            } else if name == 0 && depth < 8 {
                inner.and_then(|inner| self.member(inner, path, depth + 1))
            } else {
                None
            };
            if let Some(found) = found {
                return Some(bits / 8 + found);
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> u32 {
        for _ in 0..16 {
            match self.aliases.get(&id) {
                Some(next) => id = *next,
                None => break,
            }
        }
        id
    }

    fn is(&self, name: u32, wanted: &str) -> bool {
        self.strings
            .get(name as usize..)
            .and_then(|rest| rest.strip_prefix(wanted.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// The first three words of `bytes`, and what follows them.
fn words(bytes: &[u8]) -> Option<([u32; 3], &[u8])> {
    let (first, rest) = bytes.split_first_chunk::<12>()?;
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *first;
    let word = u32::from_ne_bytes;
    Some((
        [word([a, b, c, d]), word([e, f, g, h]), word([i, j, k, l])],
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// struct outer { anonymous union { int x; struct inner y; }; } with `y` at
    /// byte 8 of the union's place, and struct inner { ...; inum at byte 24 }.
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0y\0inner\0inum\0";
        let types: Vec<u32> = vec![
            7 + 2,
            STRUCT << 24 | 1,
            32, // 1: struct inner
            15,
            9,
            24 * 8,
            0,
            UNION << 24 | 1,
            40, // 2: anonymous union
            7,
            4,
            0,
            1,
            STRUCT << 24 | 1,
            48, // 3: struct outer
            0,
            2,
            8 * 8,
            0,
            10 << 24,
            1, // 4: const inner
        ];
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC.to_ne_bytes());
        bytes.extend_from_slice(&[1, 0]);
        for word in [
            24,
            0,
            types.len() as u32 * 4,
            types.len() as u32 * 4,
            strings.len() as u32,
        ] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        for word in types {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.extend_from_slice(strings);
        bytes
    }

    #[test]
    fn members_are_found_in_anonymous_ones_and_behind_qualifiers() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.offset("outer", &["y"]).unwrap(), 8);
        assert_eq!(btf.offset("outer", &["y", "inum"]).unwrap(), 8 + 24);
        assert_eq!(
            btf.offset("outer", &["z"]).unwrap_err().to_string(),
            "kernel has no member z in struct outer"
        );
    }

    #[test]
    fn damaged_descriptions_are_errors() {
        let bytes = sample();
        for length in 0..bytes.len() {
            let _outcome = Btf::parse(&bytes[..length]);
        }
        assert!(Btf::parse(b"").is_err());
        assert!(Btf::parse(&[0; 64]).is_err());
    }
}
