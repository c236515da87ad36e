//! `keepfast config check` on a host with namespaces, as root and as nobody.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use lab::netns::Namespace;
use lab::require::{Need, require};
use lab::workdir::WorkDir;
use lab::{binary, link};

const NOBODY: u32 = 65534;

/// A file for a router in `namespace` whose password is in `secret`.
fn router(namespace: &Namespace, interface: &str, secret: &Path) -> String {
    format!(
        "namespace = \"{}\"\n\
         [vrrp]\n\
         interface = \"ha0\"\n\
         vrid = 5\n\
         version = 2\n\
         authentication = {{ type = \"PASS\", secret_file = \"{}\" }}\n\
         [[address]]\n\
         interface = \"{interface}\"\n\
         address = \"10.0.0.1/24\"\n",
        namespace.name(),
        secret.display()
    )
}

/// Exit code, stdout and stderr.
fn outcome(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn check_looks_at_the_host_as_far_as_it_may() {
    if !require(&[Need::Root]) {
        return;
    }
    let namespace = Namespace::new("config").unwrap();
    link::ip(&namespace, "link add ha0 type veth peer name lan0\n").unwrap();
    let directory = WorkDir::new("config").unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let secret = at("secret");
    fs::write(&secret, "hunter2\n").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let (good, bad) = (at("good.toml"), at("bad.toml"));
    fs::write(&good, router(&namespace, "lan0", &secret)).unwrap();
    fs::write(&bad, router(&namespace, "lan1", &secret)).unwrap();
    let check = |file: &Path| {
        let mut command = binary::keepfast();
        command.args(["config", "check"]).arg(file);
        command
    };
    let ok = format!("ok  {}\n", good.display());

    assert_eq!(outcome(&mut check(&good)), (0, ok.clone(), String::new()));

    let (code, out, error) = outcome(&mut check(&bad));
    assert_eq!((code, out.as_str()), (64, ""));
    let expected = format!(
        "{}:8:13: address[0].interface: lan1 does not exist in network namespace {}: expected \
         one like ha0, lan0, lo\n\
         error: 1 of 1 router files cannot be used\n",
        bad.display(),
        namespace.name()
    );
    assert_eq!(error, expected);

    fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    let (code, _, error) = outcome(&mut check(&good));
    assert_eq!(code, 64);
    assert!(
        error.contains(":6:49: vrrp.authentication.secret_file: "),
        "{error}"
    );
    assert!(!error.contains("hunter2"));
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();

    let (code, out, error) = outcome(check(&good).uid(NOBODY).gid(NOBODY));
    assert_eq!((code, out), (0, ok), "{error}");
    let notes: Vec<_> = error.lines().collect();
    let begins = format!("not checked: {}: ", good.display());
    assert_eq!(notes.len(), 2, "{error}");
    assert!(notes.iter().all(|it| it.starts_with(&begins)), "{error}");
    assert!(
        notes[0].contains("interfaces: enter network namespace"),
        "{error}"
    );
    assert!(notes[1].contains("Permission denied"), "{error}");
}
