//! A router as the file that declares it.

use std::path::Path;

use super::form::{
    AddressForm, AttachedForm, AuthenticationForm, ChildForm, ConntrackdForm, Form, HookForm,
    RadvdForm, RadvdInterfaceForm, RouteForm, Scope, VrrpForm,
};
use super::{
    Attached, Child, Cidr, Conntrackd, Hook, HookTarget, Keepalived, Managed, NamespaceChoice,
    Radvd, RadvdInterface, Router, VirtualAddress, VirtualRoute, Vrid, Vrrp,
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
