//! keepfast: see [`keepfast::cli`] for what it does and [`keepfast::exit`] for
//! what it exits with.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use keepfast::cli::{Cli, Command};
use keepfast::network::gateway_check;
use keepfast::service::{log, teardown};
use keepfast::{
    check, config, control, discover, events, exit, neutron, postmortem, replay, run as daemon,
    status, top, watch,
};

fn main() -> ExitCode {
    if let Some(arguments) = neutron::arguments(std::env::args_os()) {
        return neutron::run(&arguments);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return tell(&answer),
    };
    log::start(cli.verbose, cli.log());
    match run(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our lines has had enough of them: `keepfast ... | head`.
        Err(error) if exit::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit::code(&error))
        }
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Watch(args) => watch::run(args),
        Command::Run(args) => daemon::run(args),
        Command::Check(args) => check::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Discover(args) => discover::run(args),
        Command::Top(args) => top::run(args),
        Command::Events(args) => events::run(args),
        Command::Status(args) => status::command::run(args),
        Command::Failover(args) => control::act::failover(args),
        Command::Drain(args) => control::act::drain(args),
        Command::Undrain(args) => control::act::undrain(args),
        Command::Shadow(args) => control::act::shadow(args),
        Command::Router(args) => control::command::run(args),
        Command::Postmortem(args) => postmortem::command::run(args),
        Command::Config(args) => config::command::run(args),
        Command::Teardown(args) => teardown::run(args),
        Command::GatewayCheck(args) => gateway_check::run(args),
    }
}

/// Help and version are answers, all else that clap says is a usage error.
fn tell(answer: &clap::Error) -> ExitCode {
    let code = if answer.use_stderr() { exit::USAGE } else { 0 };
    match answer.print() {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::from(exit::FAILURE),
    }
}
