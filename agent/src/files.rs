//! Files that a root daemon may touch: in directories that only it can change, and
//! never through a symbolic link.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat, openat2, renameat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{Uid, UnlinkatFlags, unlinkat};

use kind::{A_DIRECTORY, A_FILE, regular, surprise};

mod kind;

#[cfg(test)]
mod tests;

/// How deep a tree may be that [`Dir::remove_tree`] removes.
const DEPTH: usize = 16;
/// The mode of directories made on the way to the one asked for.
const PARENT_MODE: u32 = 0o755;

/// A directory of root or of this user that nobody else may write to. Held open:
/// what is done in it is done there, wherever its path leads by then. A clone is
/// the same descriptor.
///
/// Names are single components; errors name the whole path.
#[derive(Debug, Clone)]
pub struct Dir {
    descriptor: Arc<OwnedFd>,
    path: Arc<Path>,
}

impl Dir {
    /// Opens a directory by its absolute path, no component of which may be a
    /// symbolic link.
    ///
    /// # Errors
    ///
    /// It is not there, not a directory, or others may write to it.
    pub fn open(path: &Path) -> Result<Self> {
        names_of(path)?;
        let how = OpenHow::new().flags(DIRECTORY).resolve(NO_LINKS);
        let descriptor = openat2(AT_FDCWD, path, how)
            .map_err(|errno| surprise("open", path, A_DIRECTORY, errno))?;
        Self::checked(descriptor, path.to_owned())
    }

    /// Opens a directory as [`Dir::open`] does, and makes it and what is missing on
    /// the way to it: with `mode`, the parents with 0755.
    ///
    /// # Errors
    ///
    /// As [`Dir::open`], and when it cannot be made.
    pub fn create(path: &Path, mode: u32) -> Result<Self> {
        let names = names_of(path)?;
        let (last, parents) = names
            .split_last()
            .context("/: expected a directory below it")?;
        let root = open("/", DIRECTORY, Mode::empty()).context("open /")?;
        let mut at = Self::unchecked(root, PathBuf::from("/"));
        for name in parents {
            // Who may write to the parents is the business of whoever made them.
            let (descriptor, path) = at.make_directory(name, PARENT_MODE)?;
            at = Self::unchecked(descriptor, path);
        }
        at.subdirectory(last, mode)
    }

    /// Its path when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a directory in this one; made with `mode` where missing.
    ///
    /// # Errors
    ///
    /// As [`Dir::create`].
    pub fn subdirectory(&self, name: &str, mode: u32) -> Result<Self> {
        let (descriptor, path) = self.make_directory(name, mode)?;
        Self::checked(descriptor, path)
    }

    /// Opens a directory in this one; `None` where there is none.
    ///
    /// # Errors
    ///
    /// As [`Dir::open`].
    pub fn existing(&self, name: &str) -> Result<Option<Self>> {
        let path = self.join(name)?;
        match self.open_at(name, DIRECTORY) {
            Ok(descriptor) => Self::checked(descriptor, path).map(Some),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(surprise("open", &path, A_DIRECTORY, errno)),
        }
    }

    /// Gives a file new content and `mode`, at once and whole: a reader sees the old
    /// content or this one. Whatever else had that name is replaced, except a
    /// directory.
    ///
    /// # Errors
    ///
    /// It cannot be written; then the old content is as it was.
    pub fn replace(&self, name: &str, content: &[u8], mode: u32) -> Result<()> {
        self.write(name, content, mode, true)
    }

    /// As [`Self::replace`], without waiting for the disk: for what is written anew
    /// whenever the agent starts. After a power cut the file may be empty.
    ///
    /// # Errors
    ///
    /// As [`Self::replace`].
    pub fn replace_soon(&self, name: &str, content: &[u8], mode: u32) -> Result<()> {
        self.write(name, content, mode, false)
    }

    fn write(&self, name: &str, content: &[u8], mode: u32, wait: bool) -> Result<()> {
        let path = self.join(name)?;
        // One name per file, so that a killed writer leaves one at most.
        let temporary = format!(".{name}.new");
        let written = self
            .write_new(&temporary, content, mode, wait)
            .and_then(|()| {
                renameat(
                    &*self.descriptor,
                    temporary.as_str(),
                    &*self.descriptor,
                    name,
                )
                .map_err(|errno| surprise("replace", &path, A_FILE, errno))
            });
        if written.is_err() {
            // The first error is the one to tell; this one would follow from it.
            drop(self.remove(&temporary));
        }
        written.with_context(|| format!("write {}", path.display()))
    }

    /// Writes `content` over that of a regular file, in place and without waiting for
    /// the disk; whether there is one. It keeps its mode and whoever watches it. A
    /// reader may see parts of both unless their length is the same and small.
    ///
    /// # Errors
    ///
    /// It is something else, or cannot be written.
    pub fn overwrite(&self, name: &str, content: &[u8]) -> Result<bool> {
        let path = self.join(name)?;
        let Some(file) = self.open_regular(name, &path, OFlag::O_WRONLY)? else {
            return Ok(false);
        };
        let doing = || format!("write {}", path.display());
        let length = content.len() as u64;
        file.write_all_at(content, 0).with_context(doing)?;
        if file.metadata().with_context(doing)?.len() != length {
            file.set_len(length).with_context(doing)?;
        }
        Ok(true)
    }

    /// The content of a regular file of at most `limit` bytes; `None` where there is
    /// none.
    ///
    /// # Errors
    ///
    /// It is something else, bigger, or cannot be read.
    pub fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        let path = self.join(name)?;
        let Some(file) = self.open_regular(name, &path, OFlag::O_RDONLY)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.take(limit as u64 + 1)
            .read_to_end(&mut content)
            .with_context(|| format!("read {}", path.display()))?;
        ensure!(
            content.len() <= limit,
            "{} is too big: expected {limit} bytes at most",
            path.display()
        );
        Ok(Some(content))
    }

    /// Opens a regular file to append to it and to read it; made with `mode` where
    /// missing.
    ///
    /// # Errors
    ///
    /// It is something else, or cannot be opened.
    pub fn open_append(&self, name: &str, mode: u32) -> Result<File> {
        let path = self.join(name)?;
        let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        match self.open_at(name, flags) {
            Ok(descriptor) => regular(descriptor, &path),
            Err(Errno::ENOENT) => self.make_file(name, flags, mode),
            Err(errno) => Err(surprise("open", &path, A_FILE, errno)),
        }
    }

    /// Gives a file another name, and replaces what had that.
    ///
    /// # Errors
    ///
    /// It is not there, or `new` is a directory.
    pub fn rename(&self, name: &str, new: &str) -> Result<()> {
        let (path, new_path) = (self.join(name)?, self.join(new)?);
        renameat(&*self.descriptor, name, &*self.descriptor, new)
            .with_context(|| format!("rename {} to {}", path.display(), new_path.display()))
    }

    /// Removes a file of any kind except a directory; a symbolic link is removed
    /// itself. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// It is a directory, or cannot be removed.
    pub fn remove(&self, name: &str) -> Result<bool> {
        let path = self.join(name)?;
        match unlinkat(&*self.descriptor, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(surprise("remove", &path, A_FILE, errno)),
        }
    }

    /// Removes a file or directory with all that is in it, if it is there. Follows
    /// no symbolic link and enters no other file system.
    ///
    /// # Errors
    ///
    /// Something cannot be removed, or it is deeper than 16 directories.
    pub fn remove_tree(&self, name: &str) -> Result<()> {
        self.join(name)?;
        let name = CString::new(name).context("a name holds a zero byte")?;
        self.remove_below(&name, DEPTH)
    }

    /// The names in it, sorted. One that is not UTF-8 is nobody's that works with
    /// this directory and is left out.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self
            .entries()?
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn unchecked(descriptor: OwnedFd, path: PathBuf) -> Self {
        Self {
            descriptor: Arc::new(descriptor),
            path: Arc::from(path),
        }
    }

    /// Insists that nobody else may write to it.
    fn checked(descriptor: OwnedFd, path: PathBuf) -> Result<Self> {
        let file = File::from(descriptor);
        let metadata = file
            .metadata()
            .with_context(|| format!("inspect {}", path.display()))?;
        let (owner, mode) = (metadata.uid(), metadata.permissions().mode() & 0o7777);
        ensure!(
            owner == 0 || owner == Uid::effective().as_raw(),
            "{} belongs to user {owner}: expected root or user {}",
            path.display(),
            Uid::effective()
        );
        ensure!(
            mode & 0o022 == 0,
            "{} has mode {mode:04o}: expected a directory that only its owner may write to",
            path.display()
        );
        Ok(Self::unchecked(file.into(), path))
    }

    /// The path of `name`, which must be one component.
    fn join(&self, name: &str) -> Result<PathBuf> {
        let mut components = Path::new(name).components();
        let single = matches!(components.next(), Some(Component::Normal(only)) if only == name)
            && components.next().is_none()
            && !name.contains('\0');
        ensure!(
            single,
            "{name:?} in {}: expected the name of a file, not a path",
            self.path.display()
        );
        Ok(self.path.join(name))
    }

    fn open_at(&self, name: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(NO_LINKS | ResolveFlag::RESOLVE_BENEATH);
        openat2(&*self.descriptor, name, how)
    }

    /// Opens a regular file that is there; `None` where there is none.
    fn open_regular(&self, name: &str, path: &Path, access: OFlag) -> Result<Option<File>> {
        // O_NONBLOCK: a FIFO would be waited for.
        match self.open_at(name, access | OFlag::O_NONBLOCK | OFlag::O_NOCTTY) {
            Ok(descriptor) => regular(descriptor, path).map(Some),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(surprise("open", path, A_FILE, errno)),
        }
    }

    /// Opens a directory in this one; made with `mode` where missing.
    fn make_directory(&self, name: &str, mode: u32) -> Result<(OwnedFd, PathBuf)> {
        let path = self.join(name)?;
        // Its mode is set afterwards: the umask must not lessen it.
        let made = match mkdirat(&*self.descriptor, name, Mode::S_IRWXU) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(errno) => {
                return Err(errno).with_context(|| format!("make {}", path.display()));
            }
        };
        let descriptor = self
            .open_at(name, DIRECTORY)
            .map_err(|errno| surprise("open", &path, A_DIRECTORY, errno))?;
        if made {
            fchmod(&descriptor, Mode::from_bits_truncate(mode))
                .with_context(|| format!("set the mode of {}", path.display()))?;
        }
        Ok((descriptor, path))
    }

    /// Makes a file that must not be there.
    fn make_file(&self, name: &str, flags: OFlag, mode: u32) -> Result<File> {
        let path = self.join(name)?;
        let flags = flags | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let least = Mode::S_IRUSR | Mode::S_IWUSR;
        let descriptor = openat(&*self.descriptor, name, flags, least)
            .with_context(|| format!("make {}", path.display()))?;
        // Not given at once: the umask must not lessen it.
        fchmod(&descriptor, Mode::from_bits_truncate(mode))
            .with_context(|| format!("set the mode of {}", path.display()))?;
        Ok(File::from(descriptor))
    }

    /// Writes a whole file in place of one of that name.
    fn write_new(&self, name: &str, content: &[u8], mode: u32, wait: bool) -> Result<()> {
        self.remove(name)?;
        let mut file = self.make_file(name, OFlag::O_WRONLY, mode)?;
        file.write_all(content)
            .and_then(|()| if wait { file.sync_all() } else { Ok(()) })
            .with_context(|| format!("write {}", self.path.join(name).display()))
    }

    fn entries(&self) -> Result<Vec<CString>> {
        let path = || format!("list {}", self.path.display());
        // Opened anew: a descriptor has one position in its listing.
        let mut listing = nix::dir::Dir::openat(&*self.descriptor, ".", DIRECTORY, Mode::empty())
            .with_context(path)?;
        let mut names = Vec::new();
        for entry in listing.iter() {
            let entry = entry.with_context(path)?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn remove_below(&self, name: &CStr, depth: usize) -> Result<()> {
        let path = self.path.join(name.to_string_lossy().as_ref());
        let doing = || format!("remove {}", path.display());
        match unlinkat(&*self.descriptor, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EISDIR) => {}
            Err(errno) => return Err(errno).with_context(doing),
        }
        if depth == 0 {
            bail!(
                "{} is nested too deep: expected {DEPTH} directories at most",
                path.display()
            );
        }
        let resolve = NO_LINKS | ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV;
        let how = OpenHow::new().flags(DIRECTORY).resolve(resolve);
        let inner = openat2(&*self.descriptor, name, how)
            .map(|descriptor| Self::unchecked(descriptor, path.clone()))
            .with_context(doing)?;
        for name in inner.entries()? {
            inner.remove_below(&name, depth - 1)?;
        }
        unlinkat(&*self.descriptor, name, UnlinkatFlags::RemoveDir).with_context(doing)
    }
}

/// How a directory is opened.
const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// No symbolic link anywhere, nor the like of `/proc/self/fd`.
const NO_LINKS: ResolveFlag =
    ResolveFlag::RESOLVE_NO_SYMLINKS.union(ResolveFlag::RESOLVE_NO_MAGICLINKS);

/// The components of an absolute path.
fn names_of(path: &Path) -> Result<Vec<&str>> {
    let mut components = path.components();
    ensure!(
        components.next() == Some(Component::RootDir),
        "{}: expected an absolute path",
        path.display()
    );
    components
        .map(|component| match component {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect::<Option<_>>()
        .with_context(|| format!("{}: expected a path in UTF-8 without ..", path.display()))
}
