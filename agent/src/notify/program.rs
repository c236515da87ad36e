//! Delivery to a program: one run for one transition.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::sync::Semaphore;

use super::mailbox::Failure;
use super::{Published, Transition};
use crate::process::{Start, run};

/// Runs `command`, once there is a turn, and expects it to exit with 0 within
/// `limit`; when that is over it is killed, with all that it started.
///
/// It runs in the agent's own network namespace, with nothing on stdin, and is told
/// by its environment. The wait for a turn does not count: others take their time.
pub(super) async fn tell(
    command: &[String],
    transition: &Transition,
    turns: &Semaphore,
    limit: Duration,
) -> Result<(), Failure> {
    let (program, arguments) = command.split_first().context("a command without program")?;
    let _turn = turns.acquire().await.context("wait for a turn")?;
    let start = Start {
        program,
        arguments: arguments.iter().map(OsString::from).collect(),
        namespace: None,
        environment: &[
            ("KEEPFAST_ROUTER", &*transition.router),
            ("KEEPFAST_STATE", transition.state.as_str()),
            (
                "KEEPFAST_PREVIOUS",
                transition.previous.map_or("", Published::as_str),
            ),
            ("KEEPFAST_REASON", &transition.reason),
            ("KEEPFAST_SEQUENCE", &transition.sequence.to_string()),
            ("KEEPFAST_TIME", &transition.time()),
        ],
    };
    let finished = run(&start, limit).await?;
    if finished.status.success() {
        return Ok(());
    }
    let said = finished.output.lines().last().unwrap_or_default();
    Err(Failure::Refused(anyhow!(
        "{program}: {}; it said last: {said:?}",
        finished.status
    )))
}
