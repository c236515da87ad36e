//! Arbitrary bytes as a router file, and keepalived.conf made of it.

use std::path::{Path, PathBuf};

use keepfast::config::conflicts::conflicts;
use keepfast::config::{Keepalived, Managed, Router, file, render};
use keepfast::keepalived::read::{self, Source};
use keepfast::keepalived::render::{self as keepalived, Features, Paths};

use crate::assert_harmless;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let router = match file::parse(text, "router.toml", Some("router")) {
        Ok(router) => router,
        Err(problems) => return assert_harmless(&problems.to_string()),
    };
    let written = render::render(&router);
    assert_eq!(
        file::parse(&written, "written.toml", None).as_ref(),
        Ok(&router),
        "{written}"
    );
    assert_eq!(conflicts(&[("one", &router)]), [], "{written}");
    if let Keepalived::Managed(managed) = &router.keepalived {
        check(&router, managed);
    }
}

/// keepalived is told of one instance, and of nothing that the router's author smuggled in.
fn check(router: &Router, managed: &Managed) {
    let paths = Paths {
        check_script: PathBuf::from("/var/lib/keepfast/router/check"),
        raise: PathBuf::from("/var/lib/keepfast/router/raise"),
    };
    let secret = managed.vrrp.authentication.as_ref().map(|_| "secret");
    let features = Features { no_track: true };
    let text = keepalived::render(router, managed, secret, &paths, features);
    let source = Source {
        path: PathBuf::from("keepalived.conf"),
        text: text.clone(),
    };
    let nothing = |_: &Path, _: &str| Err(anyhow::Error::msg("included something"));
    let instances = read::read(&source, nothing);
    let Ok([instance]) = instances.as_deref() else {
        panic!("{instances:?} in\n{text}");
    };
    assert_eq!(instance.interface, managed.vrrp.interface, "{text}");
    assert_eq!(instance.vrid, managed.vrrp.vrid, "{text}");
    assert_eq!(instance.priority, managed.vrrp.priority, "{text}");
    assert_eq!(instance.notes, [""; 0], "{text}");
    let listed = instance.addresses.len() + instance.excluded_addresses.len();
    assert_eq!(listed, managed.addresses.len() + 1, "{text}");
}
