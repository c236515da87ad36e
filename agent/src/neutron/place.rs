//! The files of a router that Neutron's agent reads: in directories that belong to its user.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::engine::Published;

const STATE: &str = "state";

/// What a state file may hold; releases up to 16 wrote `master`.
const STATES: [&str; 4] = ["primary", "backup", "master", "fault"];

/// More than a state or a process id has.
const MOST: u64 = 32;

/// The directories of a router's state and of its monitor's pid file, held open.
#[derive(Debug)]
pub(super) struct Place {
    conf_dir: Folder,
    pids: Folder,
    pid_name: String,
}

/// A directory that may belong to anybody.
#[derive(Debug)]
struct Folder {
    file: File,
    path: PathBuf,
}

impl Place {
    /// Opens both, and refuses to replace what is no state and no pid file.
    pub(super) fn open(conf_dir: &Path, pid_file: &Path) -> Result<Self> {
        let parent = pid_file.parent().context("--pid_file: expected a file")?;
        let name = pid_file.file_name().and_then(|it| it.to_str());
        let place = Self {
            conf_dir: Folder::open(conf_dir)?,
            pids: Folder::open(parent)?,
            pid_name: name.context("--pid_file: expected a file")?.to_owned(),
        };
        let is_state = |text: &str| text.is_empty() || STATES.contains(&text.trim_end());
        let is_pid = |text: &str| text.trim_end().bytes().all(|it| it.is_ascii_digit());
        place.conf_dir.demand(STATE, "a router's state", is_state)?;
        place.pids.demand(&place.pid_name, "a process id", is_pid)?;
        Ok(place)
    }

    /// Writes the state file: exactly the word.
    pub(super) fn write_state(&self, state: Published) -> Result<()> {
        self.conf_dir.replace(STATE, state.as_str())
    }

    /// Writes the own process id, in digits.
    pub(super) fn write_pid(&self) -> Result<()> {
        self.pids
            .replace(&self.pid_name, &std::process::id().to_string())
    }

    /// Removes the pid file, if it is still the own one.
    pub(super) fn remove_pid(&self) {
        let own = std::process::id().to_string();
        if self
            .pids
            .read(&self.pid_name)
            .is_ok_and(|it| it.as_deref() == Some(own.as_str()))
        {
            // Whoever comes next replaces it.
            self.pids.remove(&self.pid_name).unwrap_or_default();
        }
    }
}

impl Folder {
    /// Symbolic links on the way are followed: whoever names the path chooses the directory
    /// anyway.
    fn open(path: &Path) -> Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(path);
        let file = file.with_context(|| format!("open directory {}", path.display()))?;
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    fn demand(&self, name: &str, what: &str, is_one: impl Fn(&str) -> bool) -> Result<()> {
        let found = self.read(name)?;
        ensure!(
            found.is_none_or(|text| is_one(&text)),
            "{} holds something else: expected {what}, or nothing",
            self.path.join(name).display()
        );
        Ok(())
    }

    /// The beginning of a regular file; `None` where there is none.
    fn read(&self, name: &str) -> Result<Option<String>> {
        let doing = || format!("read {}", self.path.join(name).display());
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = match openat(&self.file, name, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(errno).with_context(doing),
        };
        let is_file = file.metadata().with_context(doing)?.is_file();
        ensure!(is_file, "{}: expected a regular file", doing());
        let mut bytes = Vec::new();
        file.take(MOST)
            .read_to_end(&mut bytes)
            .with_context(doing)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Gives a file new content at once, mode 0644, and the owner of the directory: the agent
    /// writes state files, too.
    fn replace(&self, name: &str, content: &str) -> Result<()> {
        let doing = || format!("write {}", self.path.join(name).display());
        let temporary = format!(".{name}.new");
        self.remove(&temporary).with_context(doing)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let owner = self.file.metadata().with_context(doing)?;
        let made = openat(
            &self.file,
            temporary.as_str(),
            flags,
            Mode::S_IRUSR | Mode::S_IWUSR,
        );
        let mut file = File::from(made.with_context(doing)?);
        file.write_all(content.as_bytes()).with_context(doing)?;
        // Not given at once: the umask must not lessen it.
        fchmod(&file, Mode::from_bits_truncate(0o644)).with_context(doing)?;
        fchown(&file, Some(owner.uid()), Some(owner.gid())).with_context(doing)?;
        renameat(&self.file, temporary.as_str(), &self.file, name).with_context(doing)
    }

    fn remove(&self, name: &str) -> nix::Result<()> {
        match unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    /// A directory of this test, removed when dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("kf-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn place(&self) -> Result<Place> {
            Place::open(&self.0, &self.0.join("pid"))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn state_and_pid_are_written_whole_and_for_all_to_read() {
        let scratch = Scratch::new("place");
        fs::write(scratch.0.join("state"), "master").unwrap();
        fs::write(scratch.0.join("pid"), "").unwrap();
        let place = scratch.place().unwrap();
        place.write_state(Published::Primary).unwrap();
        place.write_pid().unwrap();
        let read = |name: &str| fs::read_to_string(scratch.0.join(name)).unwrap();
        assert_eq!(read("state"), "primary");
        assert_eq!(read("pid"), std::process::id().to_string());
        let mode = fs::metadata(scratch.0.join("state"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o644);
        place.remove_pid();
        let names: Vec<_> = fs::read_dir(&scratch.0).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn what_is_no_state_and_no_pid_is_not_replaced() {
        for (name, content) in [("pid", "root:x:0:0::/:\n"), ("state", "ALL ALL=(ALL) ALL")] {
            let scratch = Scratch::new(&format!("precious-{name}"));
            fs::write(scratch.0.join(name), content).unwrap();
            let error = scratch.place().unwrap_err().to_string();
            assert!(error.contains("something else"), "{error}");
        }
    }

    #[test]
    fn links_and_directories_are_refused() {
        for name in ["pid", "state"] {
            let scratch = Scratch::new(&format!("link-{name}"));
            symlink("/etc/hostname", scratch.0.join(name)).unwrap();
            assert!(scratch.place().is_err());
            fs::remove_file(scratch.0.join(name)).unwrap();
            fs::create_dir(scratch.0.join(name)).unwrap();
            assert!(scratch.place().is_err());
        }
    }

    #[test]
    fn the_pid_file_of_another_one_stays() {
        let scratch = Scratch::new("other");
        let place = scratch.place().unwrap();
        fs::write(scratch.0.join("pid"), "1").unwrap();
        place.remove_pid();
        assert!(scratch.0.join("pid").exists());
    }
}
