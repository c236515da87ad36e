//! Black boxes on disk, from the end of one agent to the start of the next: its maps go
//! with an agent that is ended properly. What one leaves that is killed is found in its
//! pins.

use anyhow::{Context as _, Result};
use keepfast_common::blackbox::BlackBox;
use keepfast_common::maps::RouterKey;

use crate::files::Dir;
use crate::kernel::Boxes;

/// The file in the directory of all routers.
const FILE: &str = "blackbox.before";
const MODE: u32 = 0o640;
/// What it begins with: the layout, and then which boot of the host it is about, for
/// times and namespaces mean nothing in another.
const MAGIC: [u8; 8] = *b"KFBOX\0\0\x01";
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
const ENTRY: usize = size_of::<RouterKey>() + size_of::<BlackBox>();
/// As many as the kernel's map has room for.
const MOST: usize = 16_384;

/// Puts boxes away; those in which there is nothing are left out.
///
/// # Errors
///
/// The file cannot be written.
pub fn put(base: &Dir, boxes: &Boxes) -> Result<()> {
    let mut content = head()?;
    let used = boxes
        .iter()
        .filter(|(_, it)| it.adverts_total != 0 || it.records_total != 0);
    for (key, kept) in used.take(MOST) {
        content.extend_from_slice(bytemuck::bytes_of(key));
        content.extend_from_slice(bytemuck::bytes_of(kept));
    }
    base.replace_soon(FILE, &content, MODE)
}

/// The boxes that were put away since the host was started; the file stays. None where
/// there is no such file, or it is of another boot or layout.
///
/// # Errors
///
/// The file cannot be read.
pub fn look(base: &Dir) -> Result<Boxes> {
    let head = head()?;
    let content = base
        .read(FILE, head.len() + MOST * ENTRY)?
        .unwrap_or_default();
    let Some(entries) = content.strip_prefix(head.as_slice()) else {
        return Ok(Boxes::new());
    };
    let (entries, _) = entries.as_chunks::<ENTRY>();
    Ok(entries.iter().filter_map(read).collect())
}

/// The same, and the file goes.
///
/// # Errors
///
/// The file cannot be read or removed.
pub fn take(base: &Dir) -> Result<Boxes> {
    let boxes = look(base);
    base.remove(FILE)?;
    boxes
}

fn read(entry: &[u8; ENTRY]) -> Option<(RouterKey, BlackBox)> {
    let (key, kept) = entry.split_at_checked(size_of::<RouterKey>())?;
    let key = bytemuck::try_pod_read_unaligned(key).ok()?;
    let kept = bytemuck::try_pod_read_unaligned(kept).ok()?;
    Some((key, kept))
}

fn head() -> Result<Vec<u8>> {
    let boot = std::fs::read(BOOT).with_context(|| format!("read {BOOT}"))?;
    Ok([MAGIC.as_slice(), boot.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_put_away_is_found_once() {
        let path = std::env::temp_dir().join(format!("kf-shelf-{}", std::process::id()));
        let base = Dir::create(&path, 0o700).unwrap();
        assert_eq!(look(&base).unwrap(), Boxes::new());
        let mut boxes = Boxes::new();
        for number in 0..3 {
            let mut kept = BlackBox::EMPTY;
            for time in 0..number {
                kept.next(65, u64::from(time) + 1, 2).unwrap().session = 77;
            }
            boxes.insert(RouterKey::of_link(4, number), kept);
        }
        put(&base, &boxes).unwrap();
        // The one that is empty says nothing.
        boxes.remove(&RouterKey::of_link(4, 0));
        assert_eq!(look(&base).unwrap(), boxes);
        let file = path.join(FILE);
        let whole = fs::read(&file).unwrap();
        for (content, found) in [
            (whole[..whole.len() - 1].to_vec(), 1),
            (whole[..12].to_vec(), 0),
            (Vec::new(), 0),
            ([b"KFBOX\0\0\x02", &whole[8..]].concat(), 0),
            ([&whole[..8], b"another", &whole[15..]].concat(), 0),
        ] {
            fs::write(&file, content).unwrap();
            assert_eq!(look(&base).unwrap().len(), found);
        }
        fs::write(&file, whole).unwrap();
        assert_eq!(take(&base).unwrap(), boxes);
        assert_eq!(take(&base).unwrap(), Boxes::new());
        fs::remove_dir_all(&path).unwrap();
    }
}
