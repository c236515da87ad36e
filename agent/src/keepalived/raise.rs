//! The file by which keepalived's priority is raised, while it runs and at once: a
//! `track_file` of weight 1, whose number is added to the priority that is configured,
//! up to 254 in all, and down to 1.

use anyhow::Result;

use crate::files::Dir;

/// Its name in the router's directory.
pub const FILE: &str = "raise";

/// Everybody may read it, as keepalived's configuration.
const MODE: u32 = 0o644;

/// What makes the priority 1, whatever is configured. keepalived takes anything below it
/// for a fault.
const LOWERED: i16 = -253;

/// Makes the file, with 0, where there is none: what an agent before this one said
/// goes on to be so.
///
/// # Errors
///
/// It cannot be read or made, or something else has its name.
pub fn prepare(directory: &Dir) -> Result<()> {
    if directory.read(FILE, usize::from(u16::MAX))?.is_some() {
        return Ok(());
    }
    directory.replace_soon(FILE, text(0).as_bytes(), MODE)
}

/// Has keepalived's priority be below all others, until it is raised again.
///
/// # Errors
///
/// As [`raise`].
pub fn lower(directory: &Dir) -> Result<()> {
    write(directory, LOWERED)
}

/// Has keepalived add `value` to its priority; 0 takes that back.
///
/// Written in place: keepalived 2.2.7 reads it when it is closed, within a fifth of a
/// millisecond in the median, and the writer waits for no disk. A new file by rename
/// is noticed too, but takes a journal's time to make.
///
/// # Errors
///
/// It cannot be written, or something else has its name.
pub fn raise(directory: &Dir, value: u8) -> Result<()> {
    write(directory, value.into())
}

fn write(directory: &Dir, value: i16) -> Result<()> {
    let text = text(value);
    if directory.overwrite(FILE, text.as_bytes())? {
        return Ok(());
    }
    directory.replace_soon(FILE, text.as_bytes(), MODE)
}

/// As long for each value, so that nothing is ever cut off or allotted. The blanks
/// are behind it, for with zeros in front keepalived would read an octal number.
fn text(value: i16) -> String {
    format!("{value:<4}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    #[test]
    fn the_file_is_made_once_written_in_place_and_made_again_if_lost() {
        let path = std::env::temp_dir().join(format!("kf-raise-{}", std::process::id()));
        let directory = Dir::create(&path, 0o755).unwrap();
        let file = path.join(FILE);
        let read = || fs::read_to_string(&file).unwrap();

        prepare(&directory).unwrap();
        assert_eq!(read(), "0   \n");
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o644);
        raise(&directory, 254).unwrap();
        assert_eq!(read(), "254 \n");
        // keepalived watches the name, yet a file of its own would cost a journal entry.
        assert_eq!(fs::metadata(&file).unwrap().ino(), metadata.ino());
        prepare(&directory).unwrap();
        assert_eq!(read(), "254 \n");
        lower(&directory).unwrap();
        assert_eq!(read(), "-253\n");
        fs::write(&file, "12345678\n").unwrap();
        raise(&directory, 7).unwrap();
        assert_eq!(read(), "7   \n");

        fs::remove_file(&file).unwrap();
        raise(&directory, 9).unwrap();
        assert_eq!(read(), "9   \n");
        fs::remove_file(&file).unwrap();
        symlink("/dev/null", &file).unwrap();
        let error = raise(&directory, 0).unwrap_err().to_string();
        assert!(
            error.ends_with("raise is a symbolic link: expected a regular file"),
            "{error}"
        );
        fs::remove_dir_all(&path).unwrap();
    }
}
