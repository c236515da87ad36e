//! From a file's form to a router: what each field means, and whether it can be.
//!
//! Every function goes on after a mistake, so that one look finds all of them; what
//! it could not make of a field is `None`, and has then been told.

mod check;

mod vrrp;

mod virtuals;

mod helpers;

mod beside;

mod fast_path;

mod protect;

use std::time::Duration;

use check::Check;

use super::form::{AttachedForm, Form};
use super::{Attached, Keepalived, Managed, NamespaceChoice, Profile, Router, RouterId};

/// Of what only a managed router can have.
const NOT_ATTACHED: &str = "is for a router whose keepalived is keepfast's: expected it beside \
                            [vrrp], not [attached]";

/// Something is wrong with a field.
pub(super) struct Mistake {
    /// Its dotted path.
    pub(super) field: String,
    /// What was found and what was expected.
    pub(super) message: String,
}

/// The router that `form` declares, if nothing is wrong; its id is `default_id`
/// unless it says another.
pub(super) fn router(form: &Form, default_id: Option<&str>) -> (Option<Router>, Vec<Mistake>) {
    let mut check = Check::default();
    let id = id(&mut check, form, default_id);
    let namespace = namespace(&mut check, form, id.as_ref());
    let keepalived = keepalived(&mut check, form);
    let fast_path = fast_path::fast_path(&mut check, form.fast_path.as_ref(), form.vrrp.is_some());
    let protect = protect::protect(&mut check, form.protect.as_ref(), keepalived.as_ref());
    let hooks = beside::hooks(&mut check, &form.hook);
    let children = beside::children(&mut check, &form.child);
    let router = (|| {
        Some(Router {
            id: id?,
            namespace: namespace?,
            keepalived: keepalived?,
            fast_path: fast_path?,
            protect: protect?,
            hooks: hooks?,
            children: children?,
        })
    })();
    (router, check.into_mistakes())
}

fn id(check: &mut Check, form: &Form, default_id: Option<&str>) -> Option<RouterId> {
    if form.id.is_some() {
        return check.parse("id", form.id.as_deref());
    }
    let Some(id) = default_id else {
        check.wrong(
            "id",
            "is missing: expected one, for there is no file name to take it from",
        );
        return None;
    };
    match id.parse() {
        Ok(id) => Some(id),
        Err(message) => {
            check.wrong(
                "id",
                format!("is taken from the name of the file: {message}"),
            );
            None
        }
    }
}

fn namespace(check: &mut Check, form: &Form, id: Option<&RouterId>) -> Option<NamespaceChoice> {
    if form.host == Some(true) {
        for (field, given) in [
            ("namespace", form.namespace.is_some()),
            ("create_namespace", form.create_namespace == Some(true)),
        ] {
            if given {
                check.wrong(
                    field,
                    "is for a namespace of its own: expected it without host = true",
                );
            }
        }
        return Some(NamespaceChoice::Host);
    }
    let name = match &form.namespace {
        Some(name) => check.parse("namespace", Some(name))?,
        None => check.parse("namespace", Some(&format!("qrouter-{}", id?)))?,
    };
    let create = form.create_namespace.unwrap_or(false);
    Some(NamespaceChoice::Named { name, create })
}

fn keepalived(check: &mut Check, form: &Form) -> Option<Keepalived> {
    match (&form.vrrp, &form.attached) {
        (Some(_), None) => managed(check, form).map(|it| Keepalived::Managed(Box::new(it))),
        (None, Some(attached)) => {
            only_managed(check, form);
            self::attached(check, attached).map(Keepalived::Attached)
        }
        (Some(_), Some(_)) => {
            let message = "is there beside vrrp: expected [vrrp] where keepalived is keepfast's, \
                           [attached] where it is somebody else's";
            check.wrong("attached", message);
            None
        }
        (None, None) => {
            check.wrong(
                "vrrp",
                "is missing: expected a table [vrrp] or a table [attached]",
            );
            None
        }
    }
}

/// Refuses what an attached router cannot have.
fn only_managed(check: &mut Check, form: &Form) {
    for (field, given) in [
        ("create_namespace", form.create_namespace == Some(true)),
        ("profile", form.profile.is_some()),
        ("gateway_check", form.gateway_check.is_some()),
        ("announce_again", form.announce_again.is_some()),
        ("address", !form.address.is_empty()),
        ("route", !form.route.is_empty()),
        ("radvd", form.radvd.is_some()),
        ("conntrackd", form.conntrackd.is_some()),
    ] {
        if given {
            check.wrong(field, NOT_ATTACHED);
        }
    }
}

fn attached(check: &mut Check, form: &AttachedForm) -> Option<Attached> {
    let config_file = check.path("attached.config_file", form.config_file.as_deref());
    let instance = check.instance("attached.instance", form.instance.as_deref());
    let pid_file = form.pid_file.as_deref();
    let pid_file = check.optional(pid_file, |check, file| {
        check.path("attached.pid_file", Some(file))
    });
    Some(Attached {
        config_file: config_file?,
        instance: instance?,
        pid_file: pid_file?,
    })
}

fn managed(check: &mut Check, form: &Form) -> Option<Managed> {
    let profile = form.profile.unwrap_or(Profile::Plain);
    let vrrp = form
        .vrrp
        .as_ref()
        .and_then(|it| vrrp::vrrp(check, it, profile));
    let (addresses, routes) = virtuals::virtuals(check, form, vrrp.as_ref());
    let gateway_check = gateway_check(check, form, profile);
    let announce_again = check.seconds(
        "announce_again",
        form.announce_again.as_ref(),
        Duration::from_secs(60),
        Duration::from_secs(1)..=check::LONGEST,
    );
    let radvd = check.optional(form.radvd.as_ref(), helpers::radvd);
    let conntrackd = check.optional(form.conntrackd.as_ref(), |check, it| {
        helpers::conntrackd(check, it, vrrp.as_ref())
    });
    Some(Managed {
        profile,
        vrrp: vrrp?,
        addresses: addresses?,
        routes: routes?,
        gateway_check: gateway_check?,
        announce_again: announce_again?,
        radvd: radvd?,
        conntrackd: conntrackd?,
    })
}

fn gateway_check(check: &mut Check, form: &Form, profile: Profile) -> Option<Option<Duration>> {
    let least = Duration::from_secs(1);
    let range = least..=check::LONGEST;
    check.optional(form.gateway_check.as_ref(), |check, it| match profile {
        Profile::Plain => check.duration("gateway_check", Some(it), least, range),
        // Neutron knows whole seconds only.
        Profile::Neutron => check.seconds("gateway_check", Some(it), least, range),
    })
}
