//! A router as the file that declares it.

use std::path::Path;

use super::form::{
    AddressForm, AttachedForm, AuthenticationForm, ChildForm, ConntrackdForm, FastPathForm, Form,
    HookForm, ProtectForm, RadvdForm, RadvdInterfaceForm, RouteForm, Scope, VrrpForm,
};
use super::{
    Attached, Child, Cidr, Conntrackd, FastPath, Hook, HookTarget, Keepalived, Managed,
    NamespaceChoice, Protect, Radvd, RadvdInterface, Router, VirtualAddress, VirtualRoute, Vrid,
    Vrrp,
};

/// `router` as TOML with nothing left to defaults: reading it gives the same router,
/// and equal routers give the same text.
#[must_use]
pub fn render(router: &Router) -> String {
    // A form is tables, text and numbers: there is nothing in it that TOML could not
    // say.
    toml::to_string(&form(router)).unwrap_or_else(|error| format!("# {error}\n"))
}

fn form(router: &Router) -> Form {
    let mut form = Form {
        id: Some(router.id.to_string()),
        fast_path: fast_path(&router.fast_path),
        protect: router.protect.as_ref().map(protect),
        hook: router.hooks.iter().map(hook).collect(),
        child: router.children.iter().map(child).collect(),
        ..Form::default()
    };
    match &router.namespace {
        NamespaceChoice::Host => form.host = Some(true),
        NamespaceChoice::Named { name, create } => {
            form.namespace = Some(name.to_string());
            form.create_namespace = create.then_some(true);
        }
    }
    match &router.keepalived {
        Keepalived::Managed(it) => managed(it, &mut form),
        Keepalived::Attached(it) => form.attached = Some(attached(it)),
    }
    form
}

fn managed(managed: &Managed, form: &mut Form) {
    form.profile = Some(managed.profile);
    form.gateway_check = managed.gateway_check.map(Into::into);
    form.announce_again = Some(managed.announce_again.into());
    form.vrrp = Some(vrrp(&managed.vrrp));
    form.address = managed.addresses.iter().map(address).collect();
    form.route = managed.routes.iter().map(route).collect();
    form.radvd = managed.radvd.as_ref().map(radvd);
    let vrid = managed.vrrp.vrid;
    form.conntrackd = managed.conntrackd.as_ref().map(|it| conntrackd(it, vrid));
}

fn attached(attached: &Attached) -> AttachedForm {
    AttachedForm {
        config_file: Some(path(&attached.config_file)),
        instance: Some(attached.instance.clone()),
        pid_file: attached.pid_file.as_deref().map(path),
    }
}

/// None is no table: the declaration of a router without says nothing of it.
fn fast_path(fast_path: &FastPath) -> Option<FastPathForm> {
    (*fast_path != FastPath::OFF).then(|| FastPathForm {
        mode: Some(fast_path.mode),
        interval: Some(fast_path.interval.into()),
        multiplier: fast_path.multiplier.map(Into::into),
        liveness: Some(fast_path.liveness),
        solicit_interval: Some(fast_path.solicit_interval.into()),
        witness: Some(fast_path.witness),
        gateway_interval: fast_path.gateway_interval.map(Into::into),
        gateway_multiplier: Some(fast_path.gateway_multiplier.into()),
    })
}

fn protect(protect: &Protect) -> ProtectForm {
    ProtectForm {
        mode: Some(protect.mode),
        peers: texts(&protect.peers),
        owner: protect.owner.as_ref().map(ToString::to_string),
    }
}

fn vrrp(vrrp: &Vrrp) -> VrrpForm {
    let authentication = vrrp.authentication.as_ref().map(|it| AuthenticationForm {
        r#type: Some(it.kind),
        secret_file: Some(path(&it.secret_file)),
    });
    VrrpForm {
        interface: Some(vrrp.interface.to_string()),
        addresses: texts(&vrrp.addresses),
        vrid: Some(vrrp.vrid.get().into()),
        priority: Some(vrrp.priority.into()),
        advert_interval: Some(vrrp.advert_interval.into()),
        version: Some(vrrp.version.into()),
        preempt: Some(vrrp.preempt),
        authentication,
        primary_address: Some(vrrp.primary_address.to_string()),
        track_interfaces: Some(texts(&vrrp.track_interfaces)),
    }
}

fn address(address: &VirtualAddress) -> AddressForm {
    AddressForm {
        interface: Some(address.interface.to_string()),
        address: Some(address.address.to_string()),
        scope: Some(scope(address.link_scope)),
    }
}

fn route(route: &VirtualRoute) -> RouteForm {
    RouteForm {
        to: Some(route.to.to_string()),
        via: route.via.as_ref().map(ToString::to_string),
        interface: route.interface.as_ref().map(ToString::to_string),
        scope: Some(scope(route.link_scope)),
    }
}

const fn scope(link: bool) -> Scope {
    if link { Scope::Link } else { Scope::Global }
}

fn radvd(radvd: &Radvd) -> RadvdForm {
    RadvdForm {
        user: (!radvd.user.is_empty()).then(|| radvd.user.clone()),
        interface: Some(radvd.interfaces.iter().map(radvd_interface).collect()),
    }
}

fn radvd_interface(interface: &RadvdInterface) -> RadvdInterfaceForm {
    RadvdInterfaceForm {
        interface: Some(interface.interface.to_string()),
        min_interval: Some(interface.min_interval.into()),
        max_interval: Some(interface.max_interval.into()),
        managed: Some(interface.managed),
        other: Some(interface.other),
        mtu: interface.mtu.map(Into::into),
        prefixes: texts::<Cidr>(&interface.prefixes),
        name_servers: texts(&interface.name_servers),
    }
}

fn conntrackd(conntrackd: &Conntrackd, vrid: Vrid) -> ConntrackdForm {
    ConntrackdForm {
        hash_size: Some(conntrackd.hash_size.into()),
        hash_limit: Some(conntrackd.hash_limit.into()),
        unix_backlog: Some(conntrackd.unix_backlog.into()),
        socket_buffer_size: Some(conntrackd.socket_buffer_size.into()),
        socket_buffer_size_max: Some(conntrackd.socket_buffer_size_max.into()),
        multicast_address: Some(conntrackd.multicast_address.to_string()),
        group: Some(i64::from(conntrackd.port) - i64::from(vrid.get())),
        send_buffer: Some(conntrackd.send_buffer.into()),
        receive_buffer: Some(conntrackd.receive_buffer.into()),
    }
}

fn hook(hook: &Hook) -> HookForm {
    let mut form = HookForm {
        name: Some(hook.name.clone()),
        timeout: Some(hook.timeout.into()),
        settle: Some(hook.settle.into()),
        ..HookForm::default()
    };
    match &hook.target {
        HookTarget::Program(words) => form.program = Some(words.clone()),
        HookTarget::Socket(socket) => form.socket = Some(path(socket)),
        HookTarget::NeutronSocket(socket) => form.neutron_socket = Some(path(socket)),
    }
    form
}

fn child(child: &Child) -> ChildForm {
    ChildForm {
        name: Some(child.name.clone()),
        command: Some(child.command.clone()),
        run: Some(child.run),
        stop_timeout: Some(child.stop_timeout.into()),
    }
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Paths were text in a file once.
fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::parse;
    use crate::config::file::tests::{EXAMPLES, Numbers};

    /// A valid router file that says many things or few, by the numbers drawn.
    fn file(numbers: &mut Numbers) -> String {
        let mut text = String::new();
        let mut maybe = |line: &str, text: &mut String, one_in: usize| {
            if numbers.below(one_in) == 0 {
                text.push_str(line);
                text.push('\n');
            }
        };
        let start = text.len();
        maybe("host = true", &mut text, 3);
        if text.len() == start {
            maybe("namespace = \"qrouter-x.y\"", &mut text, 2);
            maybe("create_namespace = true", &mut text, 2);
        }
        let start = text.len();
        maybe("profile = \"neutron\"", &mut text, 2);
        let neutron = text.len() > start;
        maybe("gateway_check = \"7s\"", &mut text, 2);
        maybe("announce_again = 33", &mut text, 2);
        text.push_str("[vrrp]\ninterface = \"ha-0\"\nvrid = 17\n");
        text.push_str("addresses = [\"169.254.192.3/18\", \"10.9.0.3/24\"]\n");
        maybe("priority = 254", &mut text, 2);
        maybe("advert_interval = \"3s\"", &mut text, 2);
        maybe("preempt = true", &mut text, 2);
        maybe("primary_address = \"10.9.0.1/24\"", &mut text, 2);
        maybe("track_interfaces = []", &mut text, 2);
        if neutron {
            let line = "authentication = { type = \"AH\", secret_file = \"/a b/\\\"\\\\ü\" }";
            maybe(line, &mut text, 2);
        }
        for address in [
            "10.0.0.1/24",
            "203.0.113.7/32",
            "2001:db8::1/64",
            "fe80::1/64",
        ] {
            let entry = format!("[[address]]\ninterface = \"lan0\"\naddress = \"{address}\"");
            maybe(&entry, &mut text, 2);
        }
        for (to, rest) in [
            ("default", "via = \"203.0.113.1\"\ninterface = \"wan0\""),
            ("default", "via = \"fe80::99\"\ninterface = \"wan0\""),
            ("192.0.2.0/24", "interface = \"lan0\""),
            ("192.0.2.1", "interface = \"lan0\"\nscope = \"global\""),
            ("2001:db8:1::/48", "via = \"fe80::7\"\ninterface = \"wan0\""),
        ] {
            maybe(&format!("[[route]]\nto = \"{to}\"\n{rest}"), &mut text, 2);
        }
        let entry = "[radvd]\nuser = \"radvd\"\n[[radvd.interface]]\ninterface = \"lan0\"\n\
                     prefixes = [\"2001:db8::/64\"]\nmtu = 1500\nmanaged = true\n\
                     [[radvd.interface]]\ninterface = \"lan1\"\nmax_interval = 9\nother = true\n\
                     name_servers = [\"2001:db8::53\"]";
        maybe(entry, &mut text, 2);
        maybe(
            "[conntrackd]\ngroup = 4000\nhash_size = 4294967295",
            &mut text,
            2,
        );
        for (name, target) in [
            ("a", "program = [\"/bin/a\", \"\", \"'\\t\\\"\"]"),
            ("b", "socket = \"/run/b\"\nsettle = \"1500us\""),
            ("c", "neutron_socket = \"/run/c\"\ntimeout = \"24h\""),
        ] {
            maybe(
                &format!("[[hook]]\nname = \"{name}\"\n{target}"),
                &mut text,
                2,
            );
        }
        for mode in [
            "",
            "mode = \"off\"",
            "mode = \"armed\"\nmultiplier = 100\nwitness = false",
        ] {
            let entry = format!(
                "[fast_path]\n{mode}\ninterval = \"250us\"\nliveness = \"host\"\n\
                 solicit_interval = \"1s\"\ngateway_interval = \"5ms\"\ngateway_multiplier = 99"
            );
            if !text.contains("[fast_path]") {
                maybe(&entry, &mut text, 4);
            }
        }
        for run in ["primary", "always"] {
            let entry = format!(
                "[[child]]\nname = \"{run}\"\ncommand = [\"/bin/c\"]\nrun = \"{run}\"\n\
                 stop_timeout = \"1.000000001s\""
            );
            maybe(&entry, &mut text, 2);
        }
        text
    }

    fn check(text: &str) {
        let router = parse(text, "r.toml", Some("r")).unwrap_or_else(|it| panic!("{it}\n{text}"));
        let rendered = render(&router);
        let again = parse(&rendered, "rendered", None);
        let again = again.unwrap_or_else(|it| panic!("{it}\n{rendered}"));
        assert_eq!(again, router, "{rendered}");
        assert_eq!(render(&again), rendered);
    }

    #[test]
    fn what_is_rendered_declares_the_same_router() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for (_, text) in EXAMPLES {
            check(text);
        }
        for _ in 0..1_000 {
            check(&file(&mut numbers));
        }
    }

    #[test]
    fn nothing_is_left_to_defaults() {
        let least = "[vrrp]\ninterface = \"ha0\"\nvrid = 9\n";
        let router = parse(least, "r.toml", Some("r")).unwrap();
        let expected = r#"id = "r"
namespace = "qrouter-r"
profile = "plain"
announce_again = "60s"

[vrrp]
interface = "ha0"
addresses = []
vrid = 9
priority = 100
advert_interval = "1s"
version = 3
preempt = false
primary_address = "169.254.0.9/24"
track_interfaces = ["ha0"]
"#;
        assert_eq!(render(&router), expected);
    }
}
