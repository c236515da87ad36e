//! The outages as a picture: an SVG of plain text that is readable on light and on dark.

use crate::peers::cycle::Measured;
use crate::peers::pair::FAULTS;
use crate::peers::peer::{Kind, PEERS};
use crate::spread::Spread;
use anyhow::Result;
use std::fmt::Write;

const WIDTH: f64 = 820.0;
/// Where the axis begins and ends.
const LEFT: f64 = 250.0;
const RIGHT: f64 = 790.0;
const ROW: f64 = 17.0;
/// Above the rows of a fault.
const TITLE: f64 = 34.0;
/// The axis, milliseconds.
const LEAST: f64 = 0.1;
const MOST: f64 = 10_000.0;
const TICKS: [(f64, &str); 6] = [
    (0.1, "0.1 ms"),
    (1.0, "1 ms"),
    (10.0, "10 ms"),
    (100.0, "100 ms"),
    (1_000.0, "1 s"),
    (10_000.0, "10 s"),
];
/// Text and lines follow the reader's choice; the three colours differ for the colour-blind, too,
/// and each kind has a form of its own.
const STYLE: &str = "text { font: 12px sans-serif; fill: #24292f; } \
                     .axis { stroke: #8c959f; stroke-width: 0.5; } \
                     .keepalived { stroke: #0072b2; fill: #0072b2; } \
                     .frr { stroke: #c65100; fill: #c65100; } \
                     .keepfast { stroke: #008a65; fill: #008a65; } \
                     @media (prefers-color-scheme: dark) { text { fill: #d0d7de; } \
                     .keepalived { stroke: #56b4e9; fill: #56b4e9; } \
                     .frr { stroke: #e69f00; fill: #e69f00; } \
                     .keepfast { stroke: #2bd4a0; fill: #2bd4a0; } }";

/// Of each peer and each fault the median, as a mark, and the worst, as the end of a line.
pub(crate) fn draw(measured: &[Measured]) -> Result<String> {
    let mut body = String::new();
    let mut top = 10.0;
    for fault in FAULTS {
        let mut rows = String::new();
        let mut y = top + TITLE;
        for peer in &PEERS {
            let found = measured
                .iter()
                .find(|it| it.peer.key == peer.key && it.fault == fault);
            let Some(Ok(spread)) = found.map(Measured::outage) else {
                continue;
            };
            row(&mut rows, y, peer.name, peer.kind, spread)?;
            y += ROW;
        }
        if rows.is_empty() {
            continue;
        }
        axis(&mut body, fault.name(), top, y)?;
        body += &rows;
        top = y + 8.0;
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top:.0}\" role=\"img\" \
         aria-label=\"Outages of a client: median and worst\">\n<style>{STYLE}</style>\n{body}</svg>\n"
    ))
}

fn axis(to: &mut String, title: &str, top: f64, bottom: f64) -> Result<()> {
    let y = top + 16.0;
    writeln!(
        to,
        "<text x=\"8\" y=\"{y:.0}\" font-weight=\"bold\">{title}</text>"
    )?;
    for (value, label) in TICKS {
        let x = place(value);
        writeln!(
            to,
            "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.0}\" y2=\"{:.0}\"/>\
             <text x=\"{x:.1}\" y=\"{y:.0}\" text-anchor=\"middle\">{label}</text>",
            y + 4.0,
            bottom - 6.0
        )?;
    }
    Ok(())
}

fn row(to: &mut String, y: f64, name: &str, kind: Kind, spread: Spread) -> Result<()> {
    let (x, end) = (place(spread.p50), place(spread.max));
    let class = match kind {
        Kind::Keepalived => "keepalived",
        Kind::Frr => "frr",
        Kind::Keepfast => "keepfast",
    };
    writeln!(
        to,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{name}</text>\
         <g class=\"{class}\"><line x1=\"{x:.1}\" x2=\"{end:.1}\" y1=\"{y:.0}\" y2=\"{y:.0}\" stroke-width=\"2\"/>\
         <line x1=\"{end:.1}\" x2=\"{end:.1}\" y1=\"{:.0}\" y2=\"{:.0}\" stroke-width=\"2\"/>{}\
         <title>{name}: median {:.1} ms, worst {:.1} ms</title></g>",
        LEFT - 12.0,
        y + 4.0,
        y - 4.0,
        y + 4.0,
        mark(kind, x, y),
        spread.p50,
        spread.max
    )?;
    Ok(())
}

/// A form for each kind.
fn mark(kind: Kind, x: f64, y: f64) -> String {
    match kind {
        Kind::Keepalived => {
            let (x, y) = (x - 4.5, y - 4.5);
            format!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"9\" height=\"9\"/>")
        }
        Kind::Frr => {
            let [left, right, low, high] = [x - 5.5, x + 5.5, y + 4.5, y - 5.5];
            format!("<polygon points=\"{left:.1},{low:.1} {right:.1},{low:.1} {x:.1},{high:.1}\"/>")
        }
        Kind::Keepfast => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>"),
    }
}

/// Where on the axis so many milliseconds are; what is beyond it is at its end.
fn place(milliseconds: f64) -> f64 {
    let part = (milliseconds.clamp(LEAST, MOST) / LEAST).log10() / (MOST / LEAST).log10();
    LEFT + part * (RIGHT - LEFT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::cycle::Sample;
    use crate::peers::pair::Fault;

    fn measured(number: usize, outages: &[f64]) -> Measured {
        let sample = |&outage_ms: &f64| Sample {
            outage_ms,
            moved_ms: 1.0,
        };
        Measured {
            peer: &PEERS[number],
            fault: Fault::Power,
            samples: outages.iter().map(sample).collect(),
            error: None,
        }
    }

    #[test]
    fn the_axis_is_logarithmic_and_nothing_leaves_it() {
        assert_eq!(place(0.1), LEFT);
        assert_eq!(place(10_000.0), RIGHT);
        let steps = [place(1.0) - place(0.1), place(1_000.0) - place(100.0)];
        assert!((steps[0] - steps[1]).abs() < 1e-9);
        assert_eq!((place(0.0), place(1e9)), (LEFT, RIGHT));
    }

    #[test]
    fn each_that_was_measured_has_a_mark_and_others_have_none() {
        let drawn = draw(&[
            measured(0, &[10.0, 20.0, 1_000.0]),
            measured(8, &[1.0]),
            measured(3, &[]),
        ])
        .unwrap();
        assert_eq!(drawn.matches("<rect").count(), 1);
        assert_eq!(drawn.matches("<circle").count(), 1);
        assert_eq!(drawn.matches("<polygon").count(), 0);
        assert!(drawn.contains("median 20.0 ms, worst 1000.0 ms"));
        // Faults without a figure have no axis.
        assert!(drawn.contains(">power cut<") && !drawn.contains(">killed<"));
    }
}
