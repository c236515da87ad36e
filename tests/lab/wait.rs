//! Waiting for a condition, with a limit, and with what was seen when it ran out.

use anyhow::{Result, bail};
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(2);

/// Asks `probe` every two milliseconds until it gives a value.
///
/// `probe` answers `Err` with what it saw instead.
///
/// # Errors
/// When `limit` is over: names `what` was waited for and what was seen last.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        // The limit is looked at first, so that a slow probe is asked once more after it.
        let over = start.elapsed() >= limit;
        match probe() {
            Ok(value) => return Ok(value),
            Err(seen) if over => bail!("waited {limit:?} for {what}, saw {seen}"),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_says_what_was_awaited_and_what_was_seen() {
        let error = until::<()>("rain", Duration::from_millis(5), || Err("sun".into()));
        assert_eq!(
            error.unwrap_err().to_string(),
            "waited 5ms for rain, saw sun"
        );
    }

    #[test]
    fn a_value_ends_the_wait() {
        let mut asked = 0;
        let got = until("the third time", Duration::from_secs(5), || {
            asked += 1;
            if asked == 3 {
                Ok(asked)
            } else {
                Err(asked.to_string())
            }
        });
        assert_eq!(got.unwrap(), 3);
    }
}
