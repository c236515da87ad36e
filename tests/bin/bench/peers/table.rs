//! What was found, as the two tables of the README, which are written by nothing else: one of a
//! single router, one of many. Each says when and by which command it was made.

use crate::peers::calm::Calm;
use crate::peers::crowd::Crowd;
use crate::peers::cycle::Measured;
use crate::peers::pair::FAULTS;
use crate::peers::peer::Peer;
use anyhow::{Context, Result};
use std::fmt::Write;

/// Where the table of outages is.
const OUTAGES: &str = "peers";
/// Where that of many routers is.
const MANY: &str = "many";
/// Where the configurations are, seen from the README.
const FOLDER: &str = "tests/bin/bench/peers";

const PICTURE: &str = "![Outages by fault: median and worst](tests/bin/bench/peers/outage.svg)";

/// The state of a host is known so late at most, ms.
const UNKNOWN_MS: f64 = 200.0;

/// All that was found.
pub(crate) struct Found {
    pub(crate) measured: Vec<Measured>,
    pub(crate) calm: Vec<Calm>,
    /// Why not all loads were put on.
    pub(crate) calm_error: Option<anyhow::Error>,
    pub(crate) crowds: Vec<Crowd>,
}

impl Found {
    /// The README with the tables of what was measured instead of those that it had; `cycles`
    /// faults of each kind were wanted.
    pub(crate) fn put(
        &self,
        mut readme: String,
        peers: &[&Peer],
        cycles: usize,
        told: &str,
    ) -> Result<String> {
        if !self.measured.is_empty() {
            let table = self.outages(peers, cycles)?;
            readme = put(&readme, OUTAGES, &format!("{told}\n\n{PICTURE}\n\n{table}"))?;
        }
        if !self.crowds.is_empty() {
            let table = self.many(peers)?;
            readme = put(&readme, MANY, &format!("{told}\n\n{table}"))?;
        }
        Ok(readme)
    }

    fn outages(&self, peers: &[&Peer], cycles: usize) -> Result<String> {
        let mut text = "| outage, median / worst ms |".to_owned();
        for fault in FAULTS {
            write!(text, " {} |", fault.name())?;
        }
        text += " false failovers |\n|---|---|---|---|---|---|\n";
        for peer in peers {
            write!(text, "| [{}]({FOLDER}/{}) |", peer.name, peer.file)?;
            for fault in FAULTS {
                let found = self
                    .measured
                    .iter()
                    .find(|it| it.peer.key == peer.key && it.fault == fault);
                write!(
                    text,
                    " {} |",
                    found.map_or_else(dash, |it| cell(it, cycles))
                )?;
            }
            let calm = self.calm.iter().filter(|it| it.peer.key == peer.key);
            let counts: Vec<_> = calm.map(|it| it.changes.to_string()).collect();
            writeln!(text, " {} |", or_dash(&counts.join(" / ")))?;
        }
        text += &self.loads();
        Ok(text)
    }

    fn many(&self, peers: &[&Peer]) -> Result<String> {
        let mut text =
            "| all processes of a backup: CPU %, memory MB; power cut, median / worst ms |"
                .to_owned();
        let mut sizes: Vec<_> = self.crowds.iter().map(|it| it.routers).collect();
        sizes.sort_unstable();
        sizes.dedup();
        for size in &sizes {
            write!(text, " {size} routers |")?;
        }
        text += "\n|---|";
        text += &"---|".repeat(sizes.len());
        text.push('\n');
        for peer in peers {
            write!(text, "| {} |", peer.name)?;
            for &size in &sizes {
                let found = self
                    .crowds
                    .iter()
                    .find(|it| it.peer.key == peer.key && it.routers == size);
                write!(text, " {} |", found.map_or_else(dash, many))?;
            }
            text.push('\n');
        }
        Ok(text)
    }

    /// Under which loads failovers were counted, in the order of the column.
    fn loads(&self) -> String {
        let Some(first) = self.calm.first() else {
            return String::new();
        };
        let of_one = self.calm.iter().filter(|it| it.peer.key == first.peer.key);
        let names: Vec<_> = of_one.map(|it| it.load).collect();
        let seconds = first.seconds;
        format!(
            "\nFalse failovers: in {seconds:.0} s of each of {}, all side by side.\n",
            names.join(" / ")
        )
    }
}

/// Median and worst; and when the other host had the router, where the client knows nothing of that:
/// one that is killed may leave its addresses, and its host answers on.
fn cell(measured: &Measured, cycles: usize) -> String {
    let (Ok(outage), Ok(moved)) = (measured.outage(), measured.moved()) else {
        return dash();
    };
    let mut text = format!("{} / {}", figure(outage.p50), figure(outage.max));
    if moved.p50 > outage.p50 + UNKNOWN_MS {
        text += &format!(", moved after {}", figure(moved.p50));
    }
    let times = measured.samples.len();
    if times < cycles {
        text += &format!(" ({times} times only)");
    }
    text
}

/// What a host with so many routers takes, and how it fares without power.
fn many(crowd: &Crowd) -> String {
    let held = crowd.held.as_ref().map_or_else(
        |_| dash(),
        |[_, backup]| format!("{:.2}, {:.0}", backup.busy, backup.megabytes),
    );
    let outage = match &crowd.outage {
        Some(Ok(outage)) => format!("{} / {}", figure(outage.p50), figure(outage.max)),
        _ => dash(),
    };
    format!("{held}; {outage}")
}

fn dash() -> String {
    "-".to_owned()
}

/// Three digits are all that mean something.
fn figure(milliseconds: f64) -> String {
    match milliseconds {
        it if it < 100.0 => format!("{it:.1}"),
        it => format!("{it:.0}"),
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// The README with `table` between the two marks of that name.
fn put(readme: &str, name: &str, table: &str) -> Result<String> {
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- {name}:{edge} -->\n"));
    let (before, rest) = readme
        .split_once(&begin)
        .with_context(|| format!("README.md: no {begin}"))?;
    let (_, after) = rest
        .split_once(&end)
        .with_context(|| format!("README.md: no {end} after {begin}"))?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::crowd::Held;
    use crate::peers::cycle::Sample;
    use crate::peers::pair::Fault;
    use crate::peers::peer::PEERS;
    use crate::spread::Spread;

    #[test]
    fn a_peer_has_what_was_measured_of_it_and_dashes() {
        let sample = |outage_ms| Sample {
            outage_ms,
            moved_ms: 2_500.0,
        };
        let held = |megabytes| Held {
            busy: 1.5,
            megabytes,
            processes: 2,
        };
        let found = Found {
            measured: vec![Measured {
                peer: &PEERS[1],
                fault: Fault::Link,
                samples: [5.0, 3_000.4, 4.0].map(sample).into(),
                error: None,
            }],
            calm: vec![Calm {
                peer: &PEERS[1],
                load: "nothing",
                seconds: 60.0,
                changes: 3,
            }],
            calm_error: None,
            crowds: vec![Crowd {
                peer: &PEERS[1],
                routers: 50,
                held: Ok([held(1.0), held(9.0)]),
                outage: Some(Spread::of([20.0, 3_000.0])),
            }],
        };
        let text = found.outages(&[&PEERS[1], &PEERS[2]], 4).unwrap();
        assert!(text.contains(
            "(tests/bin/bench/peers/keepalived-1s.conf) | - | 5.0 / 3000, moved after 2500 (3 times only) | - | - | 3 |\n"
        ));
        assert!(
            text.contains("(tests/bin/bench/peers/keepalived-bfd.conf) | - | - | - | - | - |\n")
        );
        assert!(
            text.contains("\nFalse failovers: in 60 s of each of nothing, all side by side.\n")
        );
        let text = found.many(&[&PEERS[1], &PEERS[2]]).unwrap();
        assert!(text.contains("| keepalived, v3, 1 s | 1.50, 9; 20.0 / 3000 |\n"));
        assert!(text.contains("| keepalived, v3, 1 s, its BFD | - |\n"));
    }

    #[test]
    fn only_what_is_between_the_marks_of_what_was_measured_is_replaced() {
        let marked =
            |name, text: &str| format!("<!-- {name}:begin -->\n{text}<!-- {name}:end -->\n");
        let readme = |many: &str| {
            let [outages, many] = [marked(OUTAGES, "old\n"), marked(MANY, many)];
            format!("a\n{outages}b\n{many}c\n")
        };
        let found = Found {
            measured: Vec::new(),
            calm: Vec::new(),
            calm_error: None,
            crowds: vec![Crowd {
                peer: &PEERS[1],
                routers: 1,
                held: Err(anyhow::anyhow!("not watched")),
                outage: None,
            }],
        };
        let table = found.many(&[&PEERS[1]]).unwrap();
        assert_eq!(
            found.put(readme("old\n"), &[&PEERS[1]], 4, "told").unwrap(),
            readme(&format!("told\n\n{table}"))
        );
        assert!(
            found
                .put("a\n".to_owned(), &[&PEERS[1]], 4, "told")
                .is_err()
        );
    }
}
