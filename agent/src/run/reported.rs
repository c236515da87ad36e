//! Failovers that are over: what each was made of, as a line of the event log.

use anyhow::Result;
use keepfast_common::blackbox::BlackBox;
use keepfast_common::maps::RouterKey;
use serde_json::json;
use tracing::info;

use crate::config::RouterId;
use crate::engine::Nanos;
use crate::postmortem::{Evidence, FAILOVER, Report, Side, gather, text, turns};
use crate::report::clock::monotonic_ns;
use crate::status::FailoverStatus;

use super::daemon::Daemon;

/// How long after a router changed hands it is looked at what that was made of: by then
/// the first packet has passed, and a host that gave up has said why.
const AFTER_NS: Nanos = 1_500_000_000;

/// How long before the change of a router's state the change of hands may have been.
const LATE_NS: Nanos = 5_000_000_000;

/// How many are made at a time: of a thousand routers that change hands at once, each
/// costs a fraction of a millisecond in which nothing else happens.
const AT_A_TIME: usize = 50;

impl Daemon {
    /// A router's state changed at `now`.
    pub(super) fn report_soon(&mut self, id: &RouterId, now: Nanos) {
        self.unreported.insert(id.clone(), now);
    }

    /// Every second: what is to be reported by now.
    pub(super) fn report(&mut self) {
        let Ok(now) = monotonic_ns() else {
            return;
        };
        let due = self.unreported.iter();
        let due = due.filter(|(_, changed)| now >= **changed + AFTER_NS);
        let due: Vec<(RouterId, Nanos)> = due
            .take(AT_A_TIME)
            .map(|(id, changed)| (id.clone(), *changed))
            .collect();
        for (id, changed) in due {
            self.unreported.remove(&id);
            match self.report_of(&id, changed) {
                Ok(Some(report)) => self.reported(&id, &report),
                Ok(None) => {}
                Err(error) => self.trouble(&id, &error.context("look back at a failover")),
            }
        }
    }

    /// What the change of hands that made a router change its state at `changed` was
    /// made of; `None` where it was none.
    fn report_of(&mut self, id: &RouterId, changed: Nanos) -> Result<Option<Report>> {
        let (Some(member), Some(identity), Some(observer)) = (
            self.members.get(id),
            self.boxes.identity(id),
            &mut self.observer,
        ) else {
            return Ok(None);
        };
        let black_boxes = observer.kernel.maps().black_boxes();
        let link = RouterKey::of_link(identity.netns, identity.ifindex);
        let [of_router, of_link] = [identity.key(), link].map(|key| black_boxes.read(key));
        let evidence = Evidence {
            router: id.as_str().to_owned(),
            identity: identity.clone(),
            boxes: [of_router?, of_link?].map(|it| it.unwrap_or(BlackBox::EMPTY)),
            log: gather::last_lines(&member.directory)?,
        };
        let turns = turns(&evidence);
        let turn = turns.last().filter(|turn| turn.at_ns + LATE_NS > changed);
        Ok(turn.map(|turn| Report::build(&evidence, turn, &self.clock)))
    }

    /// A failover is over.
    pub(super) fn reported(&mut self, id: &RouterId, report: &Report) {
        let detail = format!("{}; outage: {}", report.words, text::outage(report));
        info!(router = %id, "{FAILOVER}: {detail}");
        // The host that lost the role tells of the same outage.
        if let (Side::NewPrimary, Some(outage_ns)) = (report.side, report.outage_ns) {
            self.metrics.failover(report.cause.as_str(), outage_ns);
        }
        if let Some(member) = self.members.get_mut(id) {
            member.failover = Some(FailoverStatus {
                time: report.time.clone(),
                cause: report.cause,
                words: report.words.clone(),
                outage_us: report.outage_ns.map(|it| it / 1_000),
                stock_us: report.stock_ns.map(|it| it / 1_000),
            });
        }
        let mut report = json!(report);
        // The kernel and the lines around have it.
        if let Some(fields) = report.as_object_mut() {
            fields.remove("timeline");
        }
        if let Ok(now) = monotonic_ns() {
            self.note_with(id, now, FAILOVER, &detail, json!({ "report": report }));
        }
    }
}
