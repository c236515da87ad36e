//! Hooks and children.

use std::time::Duration;

use super::check::{Check, LONGEST};
use crate::config::form::{ChildForm, HookForm};
use crate::config::{Child, Hook, HookTarget};

/// No wait is shorter.
const SHORTEST: Duration = Duration::from_millis(1);
/// Unless another is given.
const DEFAULT_LIMIT: Duration = Duration::from_secs(5);
/// Names of children whose files would be those of keepfast's own.
const TAKEN: [&str; 4] = ["conntrackd", "keepalived", "keepalived-vrrp", "radvd"];

pub(super) fn hooks(check: &mut Check, forms: &[HookForm]) -> Option<Vec<Hook>> {
    let hooks: Vec<_> = forms
        .iter()
        .enumerate()
        .map(|(index, form)| hook(check, form, &format!("hook[{index}]")))
        .collect();
    names_differ(check, "hook", forms.iter().map(|form| form.name.as_deref()));
    hooks.into_iter().collect()
}

pub(super) fn children(check: &mut Check, forms: &[ChildForm]) -> Option<Vec<Child>> {
    let children: Vec<_> = forms
        .iter()
        .enumerate()
        .map(|(index, form)| child(check, form, &format!("child[{index}]")))
        .collect();
    names_differ(
        check,
        "child",
        forms.iter().map(|form| form.name.as_deref()),
    );
    children.into_iter().collect()
}

fn hook(check: &mut Check, form: &HookForm, at: &str) -> Option<Hook> {
    let name = check.name(&format!("{at}.name"), form.name.as_deref());
    let target = target(check, form, at);
    let field = format!("{at}.timeout");
    let timeout = check.duration(
        &field,
        form.timeout.as_ref(),
        DEFAULT_LIMIT,
        SHORTEST..=LONGEST,
    );
    let field = format!("{at}.settle");
    let range = Duration::ZERO..=LONGEST;
    let settle = check.duration(&field, form.settle.as_ref(), Duration::ZERO, range);
    Some(Hook {
        name: name?,
        target: target?,
        timeout: timeout?,
        settle: settle?,
    })
}

fn target(check: &mut Check, form: &HookForm, at: &str) -> Option<HookTarget> {
    match (&form.program, &form.socket, &form.neutron_socket) {
        (Some(words), None, None) => {
            let words = check.command(&format!("{at}.program"), words);
            words.map(HookTarget::Program)
        }
        (None, Some(path), None) => {
            let path = check.socket(&format!("{at}.socket"), Some(path));
            path.map(HookTarget::Socket)
        }
        (None, None, Some(path)) => {
            let path = check.socket(&format!("{at}.neutron_socket"), Some(path));
            path.map(HookTarget::NeutronSocket)
        }
        _ => {
            let message = "is told in no way or in several: expected exactly one of program, \
                           socket and neutron_socket";
            check.wrong(at, message);
            None
        }
    }
}

fn child(check: &mut Check, form: &ChildForm, at: &str) -> Option<Child> {
    let field = format!("{at}.name");
    let name = check.name(&field, form.name.as_deref());
    if let Some(name) = name.as_deref().filter(|name| TAKEN.contains(name)) {
        let message = format!("{name} is the name of what keepfast runs itself: expected another");
        check.wrong(field, message);
    }
    let words = form.command.as_ref();
    let command = words.and_then(|it| check.command(&format!("{at}.command"), it));
    let field = format!("{at}.stop_timeout");
    let given = form.stop_timeout.as_ref();
    let stop_timeout = check.duration(&field, given, DEFAULT_LIMIT, SHORTEST..=LONGEST);
    Some(Child {
        name: name?,
        command: command?,
        run: form.run?,
        stop_timeout: stop_timeout?,
    })
}

fn names_differ<'a>(check: &mut Check, of: &str, names: impl Iterator<Item = Option<&'a str>>) {
    let fields = names
        .enumerate()
        .filter_map(|(index, name)| Some((format!("{of}[{index}].name"), name?)));
    check.unique(fields, |name, first| {
        format!("{name} is {first} too: expected a name of its own")
    });
}
