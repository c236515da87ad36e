//! What a guest boots from: a kernel of Debian's, and a release of Debian as the first file
//! system.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::Kernel;
use crate::machine;
use crate::process::{line, run, step};
use crate::project::Project;
use crate::provision::mirror::Mirror;
use crate::provision::root::debootstrap;
use crate::provision::suite::Suite;

/// Always names the image of the suite. It has all that the lab uses, and is the smallest.
const METAPACKAGE: &str = "linux-image-cloud-amd64";

/// What the tests of the subset use, beside the least that Debian needs.
const PACKAGES: &str = "bpftool,iproute2,iputils-arping,iputils-ping,keepalived,kmod,nftables,\
                        procps,python3,tcpdump,tshark";

/// Nothing that runs reads these.
const UNUSED: [&str; 6] = [
    "usr/share/doc",
    "usr/share/i18n",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
];

/// The drivers of a machine that there is not.
const UNUSED_MODULES: [&str; 2] = ["kernel/fs", "kernel/drivers"];

/// The network devices that the lab makes.
const DEVICES: [&str; 4] = ["dummy", "ifb", "macvlan", "veth"];

/// The files that qemu boots.
pub(super) struct Image {
    pub(super) kernel: PathBuf,
    /// A cpio archive, without the tests.
    pub(super) system: PathBuf,
}

/// Makes it, if it is not there. It stays as it is until its folder is removed.
pub(super) fn provide(project: &Project, kernel: Kernel) -> Result<Image> {
    let folder = project.target.join("guest").join(kernel.name());
    let image = Image {
        kernel: folder.join("vmlinuz"),
        system: folder.join("system.cpio"),
    };
    let wanted = format!("{} {} {PACKAGES}", kernel.release(), kernel.suites());
    let made_of = folder.join("made-of");
    if fs::read_to_string(&made_of).is_ok_and(|made| made == wanted) {
        return Ok(image);
    }
    machine::provide_lab()?;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let unpacked = folder.join("kernel");
    let version = unpack_kernel(kernel, &folder.join("apt"), &unpacked)?;
    // Of late it is among its modules.
    let places = [
        format!("boot/vmlinuz-{version}"),
        format!("usr/lib/modules/{version}/vmlinuz"),
    ]
    .map(|it| unpacked.join(it));
    let built = places.iter().find(|it| it.exists());
    let built = built.with_context(|| format!("find the kernel {version}"))?;
    fs::rename(built, &image.kernel).with_context(|| format!("move {}", built.display()))?;
    let release = kernel.release();
    step(format!("making a Debian {release} with Linux {version}"));
    let root = folder.join("root");
    debootstrap(release, PACKAGES, &root)?;
    for path in UNUSED {
        remove(&root.join(path))?;
    }
    add_modules(&unpacked, &root, &version)?;
    pack(&root, &image.system)?;
    for path in [root, unpacked, folder.join("apt")] {
        remove(&path)?;
    }
    // Written last, so that half an image is never used.
    fs::write(&made_of, wanted).with_context(|| format!("write {}", made_of.display()))?;
    Ok(image)
}

/// The newest kernel of its suites; returns what it calls itself.
fn unpack_kernel(kernel: Kernel, apt: &Path, destination: &Path) -> Result<String> {
    let mirror = Mirror::of_system().context("find the Debian mirror that this system uses")?;
    let suite = Suite::open(apt, &mirror, kernel.suites())?;
    let versions = suite.versions(METAPACKAGE)?;
    let newest = versions
        .first()
        .with_context(|| format!("no {METAPACKAGE} in {}", kernel.suites()))?;
    let described = suite.ask(&["show", &format!("{METAPACKAGE}={newest}")])?;
    let version = image_of(&described)
        .with_context(|| format!("{METAPACKAGE} {newest} depends on no image"))?;
    step(format!("downloading Debian's Linux {version}"));
    let image = format!("linux-image-{version}");
    // Of late an image is several packages.
    let tree = suite.ask(&[
        "depends",
        "--recurse",
        "--no-recommends",
        "--no-suggests",
        &image,
    ])?;
    let packages = parts_of(&tree, version);
    suite.unpack(&packages, destination)?;
    Ok(version.to_owned())
}

/// The version in the name of the image that the metapackage depends on.
fn image_of(described: &str) -> Option<&str> {
    let depends = described
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "))?;
    depends.split(", ").find_map(|it| {
        let name = it.split_whitespace().next()?;
        name.strip_prefix("linux-image-")
    })
}

/// The packages in a tree of `apt-cache depends` that are made for just this version.
fn parts_of<'a>(tree: &'a str, version: &str) -> Vec<&'a str> {
    tree.lines()
        .filter(|line| line.starts_with("linux-"))
        .filter(|line| {
            line.strip_suffix(version)
                .is_some_and(|it| it.ends_with('-') && !it.ends_with("-unsigned-"))
        })
        .filter(|line| !line.contains("headers"))
        .collect()
}

/// Moves the modules that a guest can use to where it looks for them, and lists them.
fn add_modules(unpacked: &Path, root: &Path, version: &str) -> Result<()> {
    let places = ["usr/lib/modules", "lib/modules"].map(|it| unpacked.join(it).join(version));
    let Some(from) = places.iter().find(|it| it.join("kernel/net").exists()) else {
        bail!("no modules of Linux {version} in {}", unpacked.display());
    };
    let to = root.join("usr/lib/modules").join(version);
    let move_to = |from: &Path, to: &Path| {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        fs::rename(from, to).with_context(|| format!("move {}", from.display()))
    };
    let drivers = from.join("kernel/drivers/net");
    let entries = fs::read_dir(&drivers).with_context(|| format!("list {}", drivers.display()))?;
    for driver in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = driver.file_name().unwrap_or_default().to_string_lossy();
        if DEVICES
            .iter()
            .any(|device| name.starts_with(&format!("{device}.ko")))
        {
            move_to(&driver, &from.join("kernel/devices").join(&*name))?;
        }
    }
    for path in UNUSED_MODULES {
        remove(&from.join(path))?;
    }
    move_to(from, &to)?;
    run(Command::new("chroot").arg(root).args(["depmod", version]))
}

fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))
}

/// Packs a folder as the kernel unpacks it.
pub(super) fn pack(folder: &Path, archive: &Path) -> Result<()> {
    let out = fs::File::create(archive).with_context(|| format!("make {}", archive.display()))?;
    let mut find = Command::new("find");
    find.current_dir(folder).args([".", "-print0"]);
    let names = find
        .output()
        .with_context(|| format!("start {}", line(&find)))?;
    ensure!(names.status.success(), "{}: {}", line(&find), names.status);
    let mut cpio = Command::new("cpio");
    cpio.current_dir(folder)
        .args(["--quiet", "--null", "--create", "--format=newc"])
        .stdin(Stdio::piped())
        .stdout(out);
    let mut child = cpio
        .spawn()
        .with_context(|| format!("start {}", line(&cpio)))?;
    // Dropped after it, so that cpio sees the end.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&names.stdout).context("write to cpio")?;
    }
    let status = child.wait().context("wait for cpio")?;
    ensure!(status.success(), "{}: {status}", line(&cpio));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metapackage_names_the_image() {
        let old = "Package: x\nDepends: linux-image-6.1.0-53-cloud-amd64 (= 6.1.176-1)\n";
        assert_eq!(image_of(old), Some("6.1.0-53-cloud-amd64"));
        let new = "Depends: linux-base-cloud-amd64 (= 7.3.4-1), \
                   linux-image-7.3.4+deb13-cloud-amd64 (= 7.3.4-1), linux-modules-cloud-amd64\n";
        assert_eq!(image_of(new), Some("7.3.4+deb13-cloud-amd64"));
        assert_eq!(image_of("Package: x\n"), None);
    }

    #[test]
    fn an_image_may_be_several_packages() {
        let tree = "linux-image-7.3-cloud-amd64\n  PreDepends: linux-binary-7.3-cloud-amd64\n\
                    linux-binary-7.3-cloud-amd64\nlinux-base\nkmod\nlinux-modules-cloud-amd64\n\
                    linux-modules-7.3-cloud-amd64\n<linux-initramfs-tool>\n";
        assert_eq!(
            parts_of(tree, "7.3-cloud-amd64"),
            [
                "linux-image-7.3-cloud-amd64",
                "linux-binary-7.3-cloud-amd64",
                "linux-modules-7.3-cloud-amd64"
            ]
        );
    }
}
