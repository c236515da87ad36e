//! `keepfast config`: what is wrong with router files, and what they may contain.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use nix::libc::O_NONBLOCK;

use super::conflicts::conflicts;
use super::host::Host;
use super::problem::Problem;
use super::{DEFAULT_DIRECTORY, Router, directory, file, regular, schema};
use crate::exit::BadInput;

/// What a file from stdin is called.
const STDIN: &str = "<stdin>";

/// Arguments of `keepfast config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do about router files.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say everything that is wrong with router files.
    ///
    /// Needs no privilege: what this user may not look at, interfaces in other
    /// namespaces or passwords, is said not to be checked.
    Check {
        /// Files, directories of them, or `-` for stdin.
        #[arg(value_name = "FILE|DIR", default_value = DEFAULT_DIRECTORY)]
        paths: Vec<PathBuf>,
    },
    /// Print the JSON schema of router files.
    Schema,
}

/// Runs `keepfast config`.
///
/// # Errors
///
/// A router file is wrong or cannot be read, or stdout cannot be written.
pub fn run(args: &ConfigArgs) -> Result<()> {
    match &args.command {
        ConfigCommand::Check { paths } => check(paths),
        ConfigCommand::Schema => {
            let schema = serde_json::to_string_pretty(schema::made()).context("write as JSON")?;
            writeln!(io::stdout(), "{schema}").context("write to stdout")
        }
    }
}

/// Says everything that is wrong with the router files in `directory`, and with what they
/// name, as `plan` finds when it reads that.
///
/// # Errors
///
/// As [`run`].
pub fn check_directory(directory: &Path, plan: impl Fn(Router) -> Result<()>) -> Result<()> {
    let mut declarations = read(directory)?;
    for it in &mut declarations {
        if let Some(router) = it.router.clone()
            && let Err(error) = plan(router)
        {
            it.wrong.push(format!("{}: {error:#}", it.origin));
        }
    }
    blame(&mut declarations);
    tell(&declarations, &[])
}

/// A router file.
struct Declaration {
    origin: String,
    text: String,
    router: Option<Router>,
    /// What is wrong with it, each a line.
    wrong: Vec<String>,
}

impl Declaration {
    fn new(origin: String, text: String, router: Result<Router, Vec<Problem>>) -> Self {
        let (router, problems) = match router {
            Ok(router) => (Some(router), Vec::new()),
            Err(problems) => (None, problems),
        };
        let wrong = problems.iter().map(ToString::to_string).collect();
        Self {
            origin,
            text,
            router,
            wrong,
        }
    }
}

fn check(paths: &[PathBuf]) -> Result<()> {
    let mut declarations = Vec::new();
    for path in paths {
        declarations.extend(read(path)?);
    }
    let mut notes = Vec::new();
    let mut host = Host::default();
    for it in &mut declarations {
        let Some(router) = &it.router else {
            continue;
        };
        let findings = host.look(router);
        for (field, message) in findings.wrong {
            let problem = file::problem(&it.text, &it.origin, &field, message);
            it.wrong.push(problem.to_string());
        }
        for what in findings.unknown {
            notes.push(format!("not checked: {}: {what}", it.origin));
        }
    }
    blame(&mut declarations);
    tell(&declarations, &notes)
}

/// Adds what is wrong with declarations that cannot both be.
fn blame(declarations: &mut [Declaration]) {
    for (index, wrong) in compared(declarations) {
        if let Some(it) = declarations.get_mut(index) {
            it.wrong.push(wrong);
        }
    }
}

/// The declarations at `path`.
fn read(path: &Path) -> Result<Vec<Declaration>> {
    if path.is_dir() {
        let texts = directory::texts(path)?;
        let declaration = |(name, text): directory::Text| {
            let origin = path.join(&name).display().to_string();
            let text = match text {
                Ok(text) => text,
                Err(problem) => {
                    let problem = Problem::of_file(&origin, problem.message);
                    return Declaration::new(origin, String::new(), Err(vec![problem]));
                }
            };
            let router = directory::router(&text, &origin, &name);
            Declaration::new(origin, text, router)
        };
        return Ok(texts.into_iter().map(declaration).collect());
    }
    let is_stdin = path == Path::new("-");
    let (origin, id) = if is_stdin {
        (STDIN.to_owned(), None)
    } else {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy());
        (path.display().to_string(), stem)
    };
    let contents = if is_stdin {
        regular::contents(io::stdin().lock(), file::LONGEST)
    } else {
        one(path)
    };
    let contents = contents.with_context(|| origin.clone())?;
    let text = String::from_utf8(contents)
        .map_err(|_| BadInput(format!("{origin}: is no UTF-8 text: expected TOML")))?;
    let router = file::parse(&text, &origin, id.as_deref());
    let router = router.map_err(|problems| problems.into_iter().collect());
    Ok(vec![Declaration::new(origin, text, router)])
}

/// A file that the user named: it may be anybody's.
fn one(path: &Path) -> Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    // A FIFO would be waited for.
    let file = options.read(true).custom_flags(O_NONBLOCK).open(path)?;
    regular::insist(&file)?;
    regular::contents(file, file::LONGEST)
}

/// The conflicts among the routers: which declaration is to blame, and a line.
fn compared(declarations: &[Declaration]) -> Vec<(usize, String)> {
    let routers: Vec<_> = declarations
        .iter()
        .filter_map(|it| Some((it.origin.as_str(), it.router.as_ref()?)))
        .collect();
    let place = |origin: &str, field: &str, message: String| {
        let index = declarations.iter().rposition(|it| it.origin == origin)?;
        let it = declarations.get(index)?;
        let problem = file::problem(&it.text, origin, field, message);
        Some((index, problem.to_string()))
    };
    conflicts(&routers)
        .into_iter()
        .filter_map(|it| place(&it.origin, &it.field, it.message))
        .collect()
}

/// Files that are well go to stdout, all else to stderr.
fn tell(declarations: &[Declaration], notes: &[String]) -> Result<()> {
    for note in notes {
        eprintln!("{note}");
    }
    let mut out = io::stdout().lock();
    for it in declarations {
        if it.wrong.is_empty() {
            writeln!(out, "ok  {}", it.origin).context("write to stdout")?;
        }
        for wrong in &it.wrong {
            eprintln!("{wrong}");
        }
    }
    out.flush().context("write to stdout")?;
    let (count, bad) = (
        declarations.len(),
        declarations
            .iter()
            .filter(|it| !it.wrong.is_empty())
            .count(),
    );
    if bad == 0 {
        return Ok(());
    }
    Err(BadInput(format!("{bad} of {count} router files cannot be used")).into())
}
