//! Whether what a router names is on this host.

use std::collections::{HashMap, HashSet};
use std::fs;

use anyhow::{Context as _, Result};

use super::{Keepalived, Managed, NamespaceChoice, Router, secret};
use crate::exit;
use crate::netns::Namespace;

/// The interfaces of the calling thread's namespace, after two lines of headings.
const INTERFACES: &str = "/proc/thread-self/net/dev";

/// What was found out about a router.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Fields whose objects are not there or cannot be used, and why.
    pub(super) wrong: Vec<(String, String)>,
    /// What could not be looked at, and why.
    pub(super) unknown: Vec<String>,
}

/// What is known of the host. Each namespace is looked at once.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// By name, `None` for the agent's own.
    namespaces: HashMap<Option<String>, Result<HashSet<String>, String>>,
}

impl Host {
    /// Looks for what `router` names, as far as this user may.
    pub(super) fn look(&mut self, router: &Router) -> Findings {
        let mut findings = Findings::default();
        let is_there = self.namespace(router, &mut findings);
        if let Keepalived::Managed(managed) = &router.keepalived {
            if is_there {
                self.interfaces(router, managed, &mut findings);
            }
            secret(managed, &mut findings);
        }
        findings
    }

    /// Whether the router's namespace is there.
    fn namespace(&self, router: &Router, findings: &mut Findings) -> bool {
        let NamespaceChoice::Named { name, create } = &router.namespace else {
            return true;
        };
        if Namespace::named(name.as_str()).is_ok() {
            return true;
        }
        if *create {
            let why = format!("interfaces: network namespace {name} is not made yet");
            findings.unknown.push(why);
        } else {
            let message = format!(
                "network namespace {name} does not exist: expected it to, or create_namespace = \
                 true"
            );
            findings.wrong.push(("namespace".to_owned(), message));
        }
        false
    }

    fn interfaces(&mut self, router: &Router, managed: &Managed, findings: &mut Findings) {
        let name = router.namespace_name();
        let there = self.namespaces.entry(name.map(str::to_owned));
        let there = there.or_insert_with(|| list(name).map_err(|error| format!("{error:#}")));
        let there = match there {
            Ok(there) => there,
            Err(why) => {
                findings.unknown.push(format!("interfaces: {why}"));
                return;
            }
        };
        let place = name.map_or("this host's namespace".to_owned(), |name| {
            format!("network namespace {name}")
        });
        for (field, interface) in managed.interface_fields() {
            if !there.contains(interface.as_str()) {
                let mut known: Vec<_> = there.iter().map(String::as_str).collect();
                known.sort_unstable();
                known.truncate(12);
                let message = format!(
                    "{interface} does not exist in {place}: expected one like {}",
                    known.join(", ")
                );
                findings.wrong.push((field, message));
            }
        }
    }
}

/// The names of the interfaces of a namespace.
fn list(namespace: Option<&str>) -> Result<HashSet<String>> {
    let namespace = match namespace {
        Some(name) => Namespace::named(name)?,
        None => Namespace::current()?,
    };
    let table = namespace
        .enter(|| fs::read_to_string(INTERFACES).with_context(|| format!("read {INTERFACES}")))?;
    Ok(names(&table))
}

fn names(table: &str) -> HashSet<String> {
    table
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim().to_owned())
        .collect()
}

/// Checks the password, unless it is not for this user to see.
fn secret(managed: &Managed, findings: &mut Findings) {
    let Some(authentication) = &managed.vrrp.authentication else {
        return;
    };
    if let Err(error) = secret::read(&authentication.secret_file) {
        let why = format!("{error:#}");
        if exit::code(&error) == exit::NO_PERMISSION {
            findings.unknown.push(why);
        } else {
            let field = "vrrp.authentication.secret_file";
            findings.wrong.push((field.to_owned(), why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::parse;

    #[test]
    fn interfaces_are_read_from_the_kernels_table() {
        let table = "Inter-|   Receive            |  Transmit\n \
                     face |bytes    packets errs |bytes    packets errs\n    \
                     lo:  123       4    0       0       0    0\n\
                     ha-0b7f3a52-8c:0 0 0\n";
        let expected = ["lo", "ha-0b7f3a52-8c"].map(str::to_owned);
        assert_eq!(names(table), HashSet::from(expected));
    }

    #[test]
    fn what_is_not_on_the_host_is_told_by_field() {
        let text = "host = true\n[vrrp]\ninterface = \"lo\"\nvrid = 5\nversion = 2\n\
                    track_interfaces = [\"lo\", \"no-such-0\"]\n\
                    authentication = { type = \"PASS\", secret_file = \"/no/such\" }\n";
        let router = parse(text, "r.toml", Some("r")).unwrap();
        let findings = Host::default().look(&router);
        let fields: Vec<_> = findings
            .wrong
            .iter()
            .map(|(field, _)| field.as_str())
            .collect();
        assert_eq!(
            fields,
            [
                "vrrp.track_interfaces[1]",
                "vrrp.authentication.secret_file"
            ]
        );
        let (_, message) = &findings.wrong[0];
        let expected = "no-such-0 does not exist in this host's namespace: expected one like ";
        assert!(message.starts_with(expected), "{message}");
        assert_eq!(findings.unknown, [""; 0]);
    }

    #[test]
    fn a_namespace_must_be_there_unless_keepfast_makes_it() {
        let text = "namespace = \"no-such\"\n[vrrp]\ninterface = \"lo\"\nvrid = 5\n";
        let router = parse(text, "r.toml", Some("r")).unwrap();
        let findings = Host::default().look(&router);
        assert_eq!(findings.wrong[0].0, "namespace");

        let text = format!("create_namespace = true\n{text}");
        let router = parse(&text, "r.toml", Some("r")).unwrap();
        let findings = Host::default().look(&router);
        assert!(findings.wrong.is_empty(), "{findings:?}");
        let expected = "interfaces: network namespace no-such is not made yet";
        assert_eq!(findings.unknown, [expected]);
    }
}
