//! From statements to instances.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;

use super::Instance;
use super::source::Place;
use super::statement::Statement;
use crate::config::{AuthenticationKind, Cidr, InterfaceName, VirtualAddress, Vrid};

/// What keepalived advertises unless told otherwise.
const DEFAULT_PRIORITY: u8 = 100;
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// Seconds; version 2 has no more.
const LONGEST_INTERVAL: f64 = 255.0;

/// All instances; each gets `notes` and those about what stands outside of all.
pub(super) fn instances(statements: &[Statement], mut notes: Vec<String>) -> Result<Vec<Instance>> {
    let mut globals = Globals::default();
    for statement in statements {
        match statement.keyword() {
            "vrrp_sync_group" => globals.synchronise(statement),
            "global_defs" => {
                for statement in &statement.block {
                    globals.take(statement, &mut notes);
                }
            }
            _ => globals.take(statement, &mut notes),
        }
    }
    statements
        .iter()
        .filter(|statement| statement.keyword() == "vrrp_instance")
        .map(|statement| Draft::read(statement, &globals, &notes))
        .collect()
}

/// What holds for all instances.
#[derive(Default)]
struct Globals {
    version: Option<u8>,
    interface: Option<InterfaceName>,
    namespace: Option<String>,
    /// Names of instances in groups of several.
    synchronised: Vec<String>,
}

impl Globals {
    /// Takes the members of a group, which are keywords of its block, or words on one line.
    fn synchronise(&mut self, group: &Statement) {
        let lists = group.block.iter().filter(|it| it.keyword() == "group");
        let lines = lists.flat_map(|list| &list.block);
        let names: Vec<String> = lines.flat_map(|line| &line.words).cloned().collect();
        if names.len() > 1 {
            self.synchronised.extend(names);
        }
    }

    fn take(&mut self, statement: &Statement, notes: &mut Vec<String>) {
        let taken = understood(statement).and_then(|()| {
            match statement.keyword() {
                "vrrp_version" => self.version = Some(version(statement)?),
                "default_interface" => self.interface = Some(value(statement)?),
                "net_namespace" => self.namespace = Some(value(statement)?),
                _ => {}
            }
            Ok(())
        });
        note(&statement.place, taken, notes);
    }
}

/// An instance that is being read.
#[derive(Default)]
struct Draft {
    interface: Option<InterfaceName>,
    vrid: Option<Vrid>,
    version: Option<u8>,
    priority: Option<u8>,
    advert_interval: Option<Duration>,
    starts_as_master: bool,
    nopreempt: bool,
    native_ipv6: bool,
    authentication: Option<AuthenticationKind>,
    addresses: Vec<Address>,
    excluded_addresses: Vec<Address>,
    unicast_source: Option<IpAddr>,
    unicast_peers: Vec<IpAddr>,
    track_interfaces: Vec<InterfaceName>,
    own_interface: bool,
    notes: Vec<String>,
}

/// A virtual address; without an interface it is on that of its instance.
struct Address {
    interface: Option<InterfaceName>,
    address: Cidr,
    link_scope: bool,
}

impl Draft {
    fn read(statement: &Statement, globals: &Globals, notes: &[String]) -> Result<Instance> {
        let mut draft = Self {
            notes: notes.to_vec(),
            ..Self::default()
        };
        for inner in &statement.block {
            let taken = understood(inner).and_then(|()| draft.take(inner));
            note(&inner.place, taken, &mut draft.notes);
        }
        draft.finish(statement, globals)
    }

    fn take(&mut self, statement: &Statement) -> Result<(), String> {
        match statement.keyword() {
            "interface" => self.interface = Some(value(statement)?),
            "virtual_router_id" => self.vrid = Some(Vrid::new(value(statement)?)?),
            "version" => self.version = Some(version(statement)?),
            "priority" => self.priority = Some(value(statement)?),
            "advert_int" => self.advert_interval = Some(interval(statement)?),
            "state" => self.starts_as_master = value::<String>(statement)? == "MASTER",
            "nopreempt" => self.nopreempt = true,
            "preempt" => self.nopreempt = false,
            "native_ipv6" => self.native_ipv6 = true,
            "use_vmac" | "use_ipvlan" => self.own_interface = true,
            "unicast_src_ip" => self.unicast_source = Some(value(statement)?),
            "authentication" => self.authenticate(statement),
            "virtual_ipaddress" => {
                let more = self.each(statement, address);
                self.addresses.extend(more);
            }
            "virtual_ipaddress_excluded" => {
                let more = self.each(statement, address);
                self.excluded_addresses.extend(more);
            }
            "unicast_peer" => {
                let more = self.each(statement, |it| parse::<IpAddr>(it.keyword()));
                self.unicast_peers.extend(more);
            }
            "track_interface" => {
                let more = self.each(statement, |it| it.keyword().parse());
                self.track_interfaces.extend(more);
            }
            _ => {}
        }
        Ok(())
    }

    /// What `read` makes of each statement in a block.
    fn each<T>(
        &mut self,
        statement: &Statement,
        read: impl Fn(&Statement) -> Result<T, String>,
    ) -> Vec<T> {
        let mut found = Vec::with_capacity(statement.block.len());
        for inner in &statement.block {
            let taken = understood(inner).and_then(|()| {
                defined(inner)?;
                found.push(read(inner)?);
                Ok(())
            });
            note(&inner.place, taken, &mut self.notes);
        }
        found
    }

    /// Looks at the kind only: the password is none of ours.
    fn authenticate(&mut self, statement: &Statement) {
        for inner in &statement.block {
            let taken = understood(inner).and_then(|()| {
                match (inner.keyword(), inner.value()) {
                    ("auth_type", Some("PASS")) => {
                        self.authentication = Some(AuthenticationKind::Pass);
                    }
                    ("auth_type", Some("AH")) => {
                        self.authentication = Some(AuthenticationKind::Ah);
                    }
                    ("auth_type", _) => {
                        return Err("an auth_type other than PASS and AH".to_owned());
                    }
                    _ => {}
                }
                Ok(())
            });
            note(&inner.place, taken, &mut self.notes);
        }
    }

    fn finish(self, statement: &Statement, globals: &Globals) -> Result<Instance> {
        let name = statement.value().unwrap_or_default();
        let missing = |what: &str| {
            let notes = self.notes.iter().map(|note| format!("\n{note}"));
            statement.place.wrong(format_args!(
                "vrrp_instance {name:?} has no {what}{}",
                notes.collect::<String>()
            ))
        };
        if name.is_empty() {
            return Err(missing("name"));
        }
        let interface = self.interface.clone().or_else(|| globals.interface.clone());
        let interface = interface.ok_or_else(|| missing("interface"))?;
        let vrid = self.vrid.ok_or_else(|| missing("virtual_router_id"))?;
        let first = self.addresses.first();
        let ipv6 = self.native_ipv6 || first.is_some_and(|it| it.address.address().is_ipv6());
        let version = self.version.or(globals.version).unwrap_or(2);
        let place = |address: Address| VirtualAddress {
            interface: address.interface.unwrap_or_else(|| interface.clone()),
            address: address.address,
            link_scope: address.link_scope,
        };
        Ok(Instance {
            name: name.to_owned(),
            namespace: globals.namespace.clone(),
            vrid,
            // IPv6 has no version 2, whatever the file says.
            version: if ipv6 { 3 } else { version },
            priority: self.priority.unwrap_or(DEFAULT_PRIORITY),
            advert_interval: self.advert_interval.unwrap_or(DEFAULT_INTERVAL),
            starts_as_master: self.starts_as_master,
            preempt: !self.nopreempt,
            authentication: self.authentication,
            addresses: self.addresses.into_iter().map(place).collect(),
            excluded_addresses: self.excluded_addresses.into_iter().map(place).collect(),
            unicast_source: self.unicast_source,
            unicast_peers: self.unicast_peers,
            track_interfaces: self.track_interfaces,
            own_interface: self.own_interface,
            synchronised: statement
                .value()
                .is_some_and(|name| globals.synchronised.iter().any(|it| it == name)),
            notes: self.notes,
            interface,
        })
    }
}

/// Whether a statement means what it says, on every host. Its values are not told:
/// they may be secret.
fn understood(statement: &Statement) -> Result<(), String> {
    let first = statement.keyword();
    match first.chars().next() {
        Some('@') => {
            let keyword = statement.value().unwrap_or_default();
            Err(format!(
                "{first} makes {keyword:?} depend on how keepalived was started"
            ))
        }
        Some('~') => Err("a line that is repeated".to_owned()),
        Some('$') => Err(format!("{first} is not defined here")),
        _ => Ok(()),
    }
}

/// Whether nothing in a statement is still to be put in.
fn defined(statement: &Statement) -> Result<(), String> {
    match statement.words.iter().find(|word| word.contains('$')) {
        Some(word) => Err(format!("{word} is not defined here")),
        None => Ok(()),
    }
}

fn note(place: &Place, taken: Result<(), String>, notes: &mut Vec<String>) {
    notes.extend(taken.err().map(|message| place.not_understood(message)));
}

fn value<T: FromStr>(statement: &Statement) -> Result<T, String> {
    defined(statement)?;
    let value = statement.value().unwrap_or_default();
    let wrong = |_| format!("{} {value:?}", statement.keyword());
    value.parse().map_err(wrong)
}

fn parse<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?}"))
}

fn version(statement: &Statement) -> Result<u8, String> {
    match value(statement)? {
        version @ 2..=3 => Ok(version),
        version => Err(format!("{} {version}", statement.keyword())),
    }
}

fn interval(statement: &Statement) -> Result<Duration, String> {
    let seconds: f64 = value(statement)?;
    Some(seconds)
        .filter(|seconds| (0.0..=LONGEST_INTERVAL).contains(seconds) && *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("advert_int {seconds}"))
}

/// `ADDRESS[/PREFIX] [dev INTERFACE] [scope SCOPE] ...`
fn address(statement: &Statement) -> Result<Address, String> {
    let text = statement.keyword();
    let address = match text.split_once('/') {
        Some(_) => text.parse()?,
        None => {
            let address: IpAddr = parse(text)?;
            Cidr::new(address, if address.is_ipv4() { 32 } else { 128 })?
        }
    };
    let interface = statement.after("dev").map(str::parse).transpose()?;
    let link_local = matches!(address.address(), IpAddr::V6(it) if it.is_unicast_link_local());
    Ok(Address {
        interface,
        address,
        link_scope: link_local || statement.after("scope") == Some("link"),
    })
}
