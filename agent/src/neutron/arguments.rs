//! What Neutron's agent says on the command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use crate::config::{Cidr, InterfaceName, NamespaceName, RouterId};
use crate::control::DEFAULT_SOCKET;

/// Where Neutron's own monitor logs unless told otherwise.
const DEFAULT_LOG: &str = "/var/log/neutron/neutron-keepalived-state-change.log";

/// The name of the agent's socket in its state path.
const AGENT_SOCKET: &str = "keepalived-state-change";

/// Options with a value. Others are skipped, and so are their values.
const VALUED: [&str; 11] = [
    "router_id",
    "namespace",
    "conf_dir",
    "log-file",
    "monitor_interface",
    "monitor_cidr",
    "pid_file",
    "state_path",
    "user",
    "group",
    // Not of Neutron's: the control socket of another daemon than the usual one.
    "keepfast_socket",
];

/// The longest path of a unix socket.
const SOCKET_PATH: usize = 107;

/// A router, and where things of it are.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) router: RouterId,
    pub(super) namespace: NamespaceName,
    pub(super) interface: InterfaceName,
    /// The address whose presence means "primary".
    pub(super) address: Cidr,
    pub(super) conf_dir: PathBuf,
    pub(super) pid_file: PathBuf,
    pub(super) log_file: PathBuf,
    pub(super) agent_socket: PathBuf,
    pub(super) keepfast_socket: PathBuf,
    pub(super) conntrackd: bool,
    pub(super) debug: bool,
    /// Whether the caller waits for it to go to the background: releases up to 28, which say
    /// `--pid_file=PATH`, do; later ones say `--pid_file PATH` and do not.
    pub(super) detached: bool,
}

/// The command line is wrong.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Where to say so.
    pub(super) log_file: PathBuf,
    pub(super) message: String,
}

/// An option's value, and whether it followed an equals sign.
type Values<'a> = BTreeMap<&'a str, (&'a str, bool)>;

impl Arguments {
    /// Reads the words after the program's name. The last of several values counts.
    pub(super) fn read(words: &[OsString]) -> Result<Self, Wrong> {
        let words: Vec<&str> = words.iter().map(|it| it.to_str().unwrap_or("")).collect();
        let mut values = Values::new();
        let mut rest = words.iter().copied().peekable();
        while let Some(word) = rest.next() {
            let Some(option) = word.strip_prefix("--") else {
                continue;
            };
            if let Some((name, value)) = option.split_once('=') {
                values.insert(name, (value, true));
            } else if !VALUED.contains(&option) {
                values.insert(option, ("", false));
            } else if let Some(value) = rest.next_if(|next| !next.starts_with("--")) {
                values.insert(option, (value, false));
            }
        }
        let log_file = values
            .get("log-file")
            .map_or(DEFAULT_LOG, |(value, _)| value);
        Self::of(&values, log_file.into()).map_err(|message| Wrong {
            log_file: log_file.into(),
            message,
        })
    }

    fn of(values: &Values<'_>, log_file: PathBuf) -> Result<Self, String> {
        let state_path: PathBuf = path(values, "state_path")?;
        let agent_socket = state_path.join(AGENT_SOCKET);
        if agent_socket.as_os_str().len() > SOCKET_PATH {
            return Err(format!(
                "--state_path: {} is too long: expected at most {SOCKET_PATH} bytes",
                agent_socket.display()
            ));
        }
        let (_, detached) = values.get("pid_file").copied().unwrap_or_default();
        Ok(Self {
            router: parsed(values, "router_id")?,
            namespace: parsed(values, "namespace")?,
            interface: parsed(values, "monitor_interface")?,
            address: parsed(values, "monitor_cidr")?,
            conf_dir: path(values, "conf_dir")?,
            pid_file: path(values, "pid_file")?,
            log_file,
            agent_socket,
            keepfast_socket: path(values, "keepfast_socket")
                .unwrap_or_else(|_| DEFAULT_SOCKET.into()),
            conntrackd: values.contains_key("enable_conntrackd"),
            debug: values.contains_key("debug"),
            detached,
        })
    }
}

fn value<'a>(values: &Values<'a>, name: &str) -> Result<&'a str, String> {
    let found = values.get(name).map(|(value, _)| *value);
    found
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("Missing --{name} parameter: exiting."))
}

fn parsed<T: FromStr<Err = String>>(values: &Values<'_>, name: &str) -> Result<T, String> {
    let text = value(values, name)?;
    text.parse().map_err(|why| format!("--{name}: {why}"))
}

fn path(values: &Values<'_>, name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value(values, name)?);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!(
            "--{name} {}: expected an absolute path",
            path.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_29: &str = "--router_id r-1 --namespace qrouter-r-1 --conf_dir /c --log-file /l \
        --monitor_interface ha-1 --monitor_cidr 169.254.0.5/24 --pid_file /p --state_path /s \
        --user 64055 --group 64055";

    fn read(line: &str) -> Result<Arguments, Wrong> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Arguments::read(&words)
    }

    #[test]
    fn both_forms_say_the_same_and_tell_whether_to_detach() {
        let of_28 = OF_29
            .replace(" --", "\n--")
            .replace(' ', "=")
            .replace("==", "");
        for (line, detached) in [(OF_29, false), (of_28.as_str(), true)] {
            let read = read(line).unwrap();
            assert_eq!(read.router.as_str(), "r-1", "{line}");
            assert_eq!(read.address.to_string(), "169.254.0.5/24");
            assert_eq!(
                read.agent_socket,
                PathBuf::from("/s/keepalived-state-change")
            );
            assert_eq!(read.log_file, PathBuf::from("/l"));
            assert_eq!(read.detached, detached);
            assert!(!read.conntrackd && !read.debug);
        }
    }

    #[test]
    fn unknown_options_are_skipped_wherever_they_are() {
        for unknown in [
            "--new",
            "--new value",
            "--new=value",
            "stray",
            "--config-file /x",
        ] {
            for line in [
                format!("{unknown} {OF_29}"),
                format!("{OF_29} {unknown} --debug"),
            ] {
                let read = read(&line).unwrap();
                assert_eq!(read.conf_dir, PathBuf::from("/c"), "{line}");
                assert_eq!(read.debug, line.ends_with("--debug"), "{line}");
            }
        }
        assert!(
            read(&format!("{OF_29} --enable_conntrackd"))
                .unwrap()
                .conntrackd
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_and_logged_where_it_was_said() {
        for name in [
            "router_id",
            "namespace",
            "conf_dir",
            "monitor_interface",
            "monitor_cidr",
        ] {
            let line = OF_29.replace(&format!("--{name}"), "--other");
            let wrong = read(&line).unwrap_err();
            assert!(wrong.message.contains(name), "{}", wrong.message);
            assert_eq!(wrong.log_file, PathBuf::from("/l"));
        }
        for (right, bad) in [
            ("r-1 ", "r:1 "),
            ("/24", "/99"),
            ("/p ", "p "),
            ("ha-1", "a/b"),
        ] {
            assert!(read(&OF_29.replacen(right, bad, 1)).is_err(), "{bad}");
        }
        let wrong = read("--debug").unwrap_err();
        assert_eq!(wrong.log_file, PathBuf::from(DEFAULT_LOG));
    }
}
