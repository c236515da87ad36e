//! The fast path.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::NOT_ATTACHED;
use super::check::Check;
use crate::config::form::FastPathForm;
use crate::config::{FastPath, Mode};

const INTERVALS: RangeInclusive<Duration> = Duration::from_micros(250)..=Duration::from_secs(1);
/// Between questions that a keepalived or a gateway has to answer.
const QUESTIONS: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_secs(1);
const MULTIPLIERS: RangeInclusive<i64> = 3..=100;

/// The fast path; without a table there is none. `managed`: keepalived is keepfast's.
pub(super) fn fast_path(
    check: &mut Check,
    form: Option<&FastPathForm>,
    managed: bool,
) -> Option<FastPath> {
    let Some(form) = form else {
        return Some(FastPath::OFF);
    };
    let default = FastPath::OFF;
    let interval = check.duration(
        "fast_path.interval",
        form.interval.as_ref(),
        default.interval,
        INTERVALS,
    );
    let multiplier = check.optional(form.multiplier.as_ref(), |check, given| {
        check.number("fast_path.multiplier", Some(*given), 0, MULTIPLIERS)
    });
    let solicit_interval = check.duration(
        "fast_path.solicit_interval",
        form.solicit_interval.as_ref(),
        default.solicit_interval,
        QUESTIONS,
    );
    let field = "fast_path.gateway_interval";
    let gateway_interval = check.optional(form.gateway_interval.as_ref(), |check, it| {
        if !managed {
            check.wrong(field, NOT_ATTACHED);
            return None;
        }
        check.duration(field, Some(it), *QUESTIONS.start(), QUESTIONS)
    });
    let gateway_multiplier = check.number(
        "fast_path.gateway_multiplier",
        form.gateway_multiplier,
        default.gateway_multiplier,
        MULTIPLIERS,
    );
    Some(FastPath {
        mode: form.mode.unwrap_or(Mode::Shadow),
        interval: interval?,
        multiplier: multiplier?,
        liveness: form.liveness.unwrap_or(default.liveness),
        solicit_interval: solicit_interval?,
        witness: form.witness.unwrap_or(default.witness),
        gateway_interval: gateway_interval?,
        gateway_multiplier: gateway_multiplier?,
    })
}
