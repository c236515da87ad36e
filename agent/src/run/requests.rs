//! What operators ask for through the control socket.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tracing::debug;

use crate::config::{self, Keepalived, NamespaceChoice, Router, RouterId};
use crate::control::{ErrorKind, Incoming, Reply, Request};
use crate::engine::{Input, Program, Published};
use crate::exit::BadInput;
use crate::files::Dir;
use crate::netns::Namespace;
use crate::network::monitor::Monitor;

use super::daemon::Daemon;
use super::member::Member;

impl Daemon {
    /// Answers a request.
    pub(super) fn answer(&mut self, incoming: Incoming) {
        let Incoming {
            request,
            peer,
            answer,
            lines,
        } = incoming;
        let outcome = match &request {
            Request::Apply {
                text,
                origin,
                wait_for_interfaces,
            } => self.apply(text, origin, *wait_for_interfaces),
            Request::Delete { id } => self.delete(id),
            Request::List => Ok(self.list()),
            Request::Show { id } => self.show(id),
            Request::Status { id } => self.tell_status(id.as_deref()),
            Request::Register { .. } => self.register(&request, lines, peer),
            Request::Unregister { id } => self.unregister(id),
            Request::Failover { id } => match self.known(id) {
                Ok(id) => return self.failover(id, answer),
                Err(error) => Err(error),
            },
            Request::DrainHost => return self.drain_host(&peer.to_string(), answer),
            Request::Undrain => self.undrain_host(),
            Request::Shadow { id, on } => self.known(id).and_then(|id| self.shadow(&id, *on)),
            Request::Teardown => Ok(self.tear_down()),
            Request::Diff { text, origin } => self.diff(text, origin),
        };
        let reply = match outcome {
            Ok(result) => Reply::done(result),
            Err(error) if error.is::<NotFound>() => {
                Reply::refused(ErrorKind::NotFound, error.to_string())
            }
            Err(error) => Reply::from(&error),
        };
        self.metrics.answered(reply.outcome());
        // Whoever asked may have gone away.
        if answer.send(reply).is_err() {
            debug!("nobody waits for the answer any more");
        }
    }

    fn apply(&mut self, text: &str, origin: &str, wait: bool) -> Result<Value> {
        let router = self.parse(text, origin)?;
        if !wait {
            self.demand_interfaces(&router)?;
        }
        let id = router.id.clone();
        // All that can be refused is, before anything changes; the file is for good.
        self.demand_possible(&router)?;
        self.planner.plan(router.clone())?;
        let directory = Dir::create(&self.declarations, 0o755)?;
        directory.replace(&format!("{id}.toml"), text.as_bytes(), 0o640)?;
        self.declare(router)?;
        Ok(json!({ "id": id.as_str() }))
    }

    fn delete(&mut self, id: &str) -> Result<Value> {
        let id = self.known(id)?;
        if self.is_registered(&id) {
            return Err(BadInput(format!(
                "router {id} was registered by Neutron's monitor and goes with it: expected one \
                 that was declared"
            ))
            .into());
        }
        if let Ok(directory) = Dir::open(&self.declarations) {
            directory.remove(&format!("{id}.toml"))?;
        }
        self.input(&id, Input::Delete);
        Ok(json!({ "id": id.as_str() }))
    }

    fn list(&self) -> Value {
        let routers: Vec<Value> = self.members.values().map(|it| self.line(it)).collect();
        json!({ "routers": routers, "problems": self.problems })
    }

    fn tell_status(&mut self, id: Option<&str>) -> Result<Value> {
        let id = id.map(|id| self.known(id)).transpose()?;
        serde_json::to_value(self.status(id.as_ref())?).context("write as JSON")
    }

    fn show(&self, id: &str) -> Result<Value> {
        let id = self.known(id)?;
        let member = self.members.get(&id).context("no such router")?;
        let mut shown = self.line(member);
        let plan = member.plan();
        let site = self.site(member);
        let interface = member.advert_interface();
        let programs: serde_json::Map<String, Value> = member
            .engine
            .programs()
            .map(|(program, phase)| {
                let pid = member.processes.get(&program).map(|it| it.pid());
                let name = member.engine.name(program);
                (name, json!({ "phase": phase, "pid": pid }))
            })
            .collect();
        let present: Vec<String> = member
            .engine
            .present()
            .iter()
            .map(|place| format!("{} dev {}", place.address, place.interface))
            .collect();
        let more = json!({
            "registered_by": member.registered.as_ref().map(|it| it.pid),
            "directory": self.planner.directory(id.as_str()),
            "interface": interface,
            "vrid": plan.instance.as_ref().map(|it| it.vrid.get()),
            "watched_by": interface
                .and_then(|name| site?.hooks(name))
                .unwrap_or_else(|| "netlink only".to_owned()),
            "programs": programs,
            "addresses_declared": plan.addresses.len(),
            "addresses_present": present,
            "fast_path": self.fast_status(member),
            "hooks": member.notifier.status(),
            "events_not_logged": member.unlogged,
            "declaration": config::render::render(&plan.router),
        });
        if let (Value::Object(shown), Value::Object(more)) = (&mut shown, more) {
            shown.extend(more);
        }
        Ok(shown)
    }

    fn diff(&self, text: &str, origin: &str) -> Result<Value> {
        let router = self.parse(text, origin)?;
        let new = config::render::render(&router);
        let Some(member) = self.members.get(&router.id) else {
            let lines: Vec<String> = new.lines().map(|line| format!("+{line}")).collect();
            return Ok(json!({ "changes": lines }));
        };
        let mut changes = changes(&config::render::render(&member.plan().router), &new);
        let plan = self.planner.plan(router)?;
        if plan.configuration != member.plan().configuration {
            changes.push("keepalived reads its configuration again".to_owned());
        }
        Ok(json!({ "changes": changes }))
    }

    /// Reads a declaration, and compares it with the routers that are there.
    fn parse(&self, text: &str, origin: &str) -> Result<Router> {
        let router = config::file::parse(text, origin, None)?;
        self.demand_no_conflict(&router, origin)?;
        Ok(router)
    }

    /// Refuses a router that cannot be beside those that are there.
    pub(super) fn demand_no_conflict(&self, router: &Router, origin: &str) -> Result<()> {
        let own = [(origin, router)];
        let others: Vec<(String, &Router)> = self
            .members
            .values()
            .filter(|member| member.id != router.id)
            .map(|member| (format!("{}.toml", member.id), &*member.plan().router))
            .collect();
        let others = others.iter().map(|(name, router)| (name.as_str(), *router));
        let all: Vec<(&str, &Router)> = others.chain(own).collect();
        let problems = config::conflicts::conflicts(&all);
        if problems.is_empty() {
            Ok(())
        } else {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Err(BadInput(lines.join("\n")).into())
        }
    }

    /// Refuses a managed router of which an interface is not there, where its
    /// namespace is.
    fn demand_interfaces(&self, router: &Router) -> Result<()> {
        let Keepalived::Managed(managed) = &router.keepalived else {
            return Ok(());
        };
        let Some(names) = interfaces_of(&router.namespace)? else {
            return Ok(());
        };
        for interface in managed.interfaces() {
            if !names.iter().any(|name| name == interface.as_str()) {
                let place = router.namespace_name().unwrap_or("the agent's namespace");
                return Err(BadInput(format!(
                    "interface {interface} does not exist in {place}: expected one of {} \
                     (--wait accepts the router and waits for it)",
                    names.join(", ")
                ))
                .into());
            }
        }
        Ok(())
    }

    pub(super) fn known(&self, id: &str) -> Result<RouterId> {
        let found = self.members.keys().find(|known| known.as_str() == id);
        found.cloned().ok_or_else(|| {
            NotFound(format!(
                "there is no router {id:?}: `keepfast router list` shows those that are there"
            ))
            .into()
        })
    }

    fn line(&self, member: &Member) -> Value {
        let engine = &member.engine;
        let plan = member.plan();
        let phase = engine
            .programs()
            .find(|(program, _)| *program == Program::Keepalived);
        // Somebody else's is held while it runs, if its process id is known.
        let held = member.processes.contains_key(&Program::Keepalived);
        let keepalived = match phase {
            Some((_, phase)) => phase,
            None if held => "running",
            None => "-",
        };
        json!({
            "id": member.id.as_str(),
            "state": engine.state().as_str(),
            "published": engine.published().map(Published::as_str),
            "since": self.clock.instant(engine.since_ns()).to_string(),
            "namespace": plan.router.namespace_name(),
            "mode": if member.managed().is_some() { "managed" } else { "attached" },
            "primary": plan.addresses.first().map(|place| place.address.to_string()),
            "keepalived": keepalived,
            "note": engine.note(),
        })
    }
}

/// The names of the interfaces of a namespace; `None` where the namespace is not
/// there.
fn interfaces_of(namespace: &NamespaceChoice) -> Result<Option<Vec<String>>> {
    let namespace = match namespace {
        NamespaceChoice::Host => Namespace::current()?,
        NamespaceChoice::Named { name, .. } => match Namespace::named(name.as_str()) {
            Ok(namespace) => namespace,
            Err(_) => return Ok(None),
        },
    };
    // By netlink: /sys shows the namespace that it was mounted in.
    let (ignored, _) = tokio::sync::mpsc::channel(1);
    let view = Monitor::open(&namespace, 0, ignored)?.dump()?;
    Ok(Some(
        view.links.into_values().map(|link| link.name).collect(),
    ))
}

/// What was asked for is not there.
#[derive(Debug)]
struct NotFound(String);

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFound {}

/// The lines that differ, each with its sign.
fn changes(old: &str, new: &str) -> Vec<String> {
    let diff = similar::TextDiff::from_lines(old, new);
    diff.iter_all_changes()
        .filter(|change| change.tag() != similar::ChangeTag::Equal)
        .map(|change| format!("{}{}", change.tag(), change.value().trim_end()))
        .collect()
}
