//! Takeovers as a picture: one row for each on a common logarithmic axis, and below them the
//! outages once more to scale.

use crate::timeline::{Mark, Takeover};
use std::fmt::{self, Write};

/// All lengths are in pixels.
const WIDTH: f64 = 1190.0;
/// Where the power is cut.
const CUT: f64 = 120.0;
/// Where the service before the cut begins.
const LEFT: f64 = 30.0;
/// Where the axis ends; labels may go on behind it.
const RIGHT: f64 = 970.0;
/// What the axis begins with; what happened before that is drawn there.
const FIRST_MS: f64 = 0.1;
/// From [`FIRST_MS`] to 10 s.
const DECADES: u8 = 5;
const BAR: f64 = 34.0;
/// From a row's top to its bar.
const TITLE: f64 = 34.0;
/// One line of labels.
const LINE: f64 = 19.0;
/// Of a row's labels.
const LINES: usize = 6;
const ROW: f64 = TITLE + BAR + LINE * LINES as f64 + 24.0;
/// About that of a character, a little more rather than less.
const CHARACTER: f64 = 7.2;

const INK: &str = "#1b1f24";
const PALE: &str = "#d0d7de";
const SERVICE: &str = "#2da44e";
const OUTAGE: &str = "#cf222e";

/// A label and where it is.
#[derive(Debug)]
struct Label {
    text: String,
    /// Of the moment that it is of.
    at: f64,
    /// Its left end.
    left: f64,
    /// Counts from the bar down.
    line: usize,
}

/// The picture, as an SVG file.
pub(crate) fn draw(takeovers: &[Takeover]) -> String {
    let mut svg = String::new();
    // Writing into a string does not fail.
    match write_all(&mut svg, takeovers) {
        Ok(()) | Err(fmt::Error) => svg,
    }
}

fn write_all(svg: &mut String, takeovers: &[Takeover]) -> fmt::Result {
    let axis = 40.0 + ROW * takeovers.len() as f64;
    let scale = axis + 60.0;
    let height = scale + 40.0 + 26.0 * takeovers.len() as f64;
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\" \
         fill=\"{INK}\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>"
    )?;
    text(
        svg,
        (LEFT, 28.0),
        "The same power cut of the primary's host, twice",
        "font-size=\"17\" font-weight=\"bold\"",
    )?;
    write_axis(svg, axis)?;
    for (number, takeover) in takeovers.iter().enumerate() {
        write_row(svg, 40.0 + ROW * number as f64, takeover)?;
    }
    write_to_scale(svg, scale, takeovers)?;
    svg.write_str("</svg>\n")
}

/// Where a time after the cut is.
fn place(after_ms: f64) -> f64 {
    let decades = (after_ms.max(FIRST_MS) / FIRST_MS).log10();
    (CUT + decades / f64::from(DECADES) * (RIGHT - CUT)).min(RIGHT)
}

fn write_axis(svg: &mut String, bottom: f64) -> fmt::Result {
    for decade in 0..=DECADES {
        let after_ms = FIRST_MS * 10_f64.powi(i32::from(decade));
        let at = place(after_ms);
        line(svg, (at, 56.0), (at, bottom), PALE)?;
        let anchor = "text-anchor=\"middle\"";
        text(svg, (at, bottom + 16.0), &amount(after_ms), anchor)?;
    }
    let after = "after the cut, logarithmic";
    let anchor = "text-anchor=\"end\"";
    text(svg, (RIGHT, bottom + 34.0), after, anchor)
}

fn write_row(svg: &mut String, top: f64, takeover: &Takeover) -> fmt::Result {
    let title = format!(
        "{}: no answers for {}",
        takeover.name,
        amount(takeover.outage_ms())
    );
    let bold = "font-weight=\"bold\"";
    text(svg, (LEFT, top + TITLE - 8.0), &title, bold)?;
    let bar = top + TITLE;
    let served = place(takeover.served_ms());
    bar_of(svg, (LEFT, bar), CUT - LEFT, SERVICE)?;
    bar_of(svg, (CUT, bar), served - CUT, OUTAGE)?;
    bar_of(svg, (served, bar), RIGHT - served, SERVICE)?;
    for label in labels(takeover.marks()) {
        let below = bar + BAR + LINE * (label.line as f64 + 1.0);
        line(svg, (label.at, bar), (label.at, below - 4.0), INK)?;
        text(svg, (label.left, below), &label.text, "")?;
    }
    Ok(())
}

/// Puts each label to the right of its moment, on the first line on which it hides no other. The
/// last come first: so the line from an earlier moment passes to the left of what is above it.
fn labels(marks: impl Iterator<Item = Mark>) -> Vec<Label> {
    let mut marks: Vec<Mark> = marks.collect();
    marks.reverse();
    // Of each line, where its first label begins.
    let mut begins = [WIDTH; LINES];
    let mut labels = Vec::new();
    for Mark { after_ms, label } in marks {
        let at = place(after_ms);
        let text = match after_ms {
            0.0 => label.to_owned(),
            _ => format!("{label} {}", amount(after_ms)),
        };
        let left = at + 4.0;
        let right = left + CHARACTER * text.chars().count() as f64;
        let free = begins.iter().position(|begin| right < *begin);
        let line = free.unwrap_or(LINES - 1);
        if let Some(begin) = begins.get_mut(line) {
            *begin = left;
        }
        labels.push(Label {
            text,
            at,
            left,
            line,
        });
    }
    labels
}

fn write_to_scale(svg: &mut String, top: f64, takeovers: &[Takeover]) -> fmt::Result {
    let bold = "font-weight=\"bold\"";
    text(svg, (LEFT, top), "The outages to scale", bold)?;
    let outages = takeovers.iter().map(Takeover::outage_ms);
    let longest = outages.fold(FIRST_MS, f64::max);
    let begin = LEFT + 130.0;
    // Room for the time behind the longest.
    let room = RIGHT - begin - 80.0;
    for (number, takeover) in takeovers.iter().enumerate() {
        let bar = top + 12.0 + 26.0 * number as f64;
        // The shortest is seen too.
        let width = (takeover.outage_ms() / longest * room).max(1.0);
        text(svg, (LEFT, bar + 14.0), takeover.name, "")?;
        writeln!(
            svg,
            "<rect x=\"{begin:.1}\" y=\"{bar:.1}\" width=\"{width:.1}\" height=\"18\" \
             fill=\"{OUTAGE}\"/>"
        )?;
        let time = amount(takeover.outage_ms());
        text(svg, (begin + width + 8.0, bar + 14.0), &time, "")?;
    }
    Ok(())
}

fn bar_of(svg: &mut String, (x, y): (f64, f64), width: f64, color: &str) -> fmt::Result {
    writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{color}\"/>"
    )
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), color: &str) -> fmt::Result {
    writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{color}\"/>",
        from.0, from.1, to.0, to.1
    )
}

/// All texts are from this program: nothing in them has a meaning in XML.
fn text(svg: &mut String, (x, y): (f64, f64), text: &str, style: &str) -> fmt::Result {
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{text}</text>")
}

/// A time in words, to three figures or so.
fn amount(ms: f64) -> String {
    match ms {
        1000.0.. => format!("{} s", figures(ms / 1000.0)),
        _ => format!("{} ms", figures(ms)),
    }
}

fn figures(value: f64) -> String {
    let decimals = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_is_logarithmic_and_keeps_all_within_it() {
        let step = (RIGHT - CUT) / f64::from(DECADES);
        assert_eq!(place(0.0), CUT);
        assert!((place(1.0) - (CUT + step)).abs() < 1e-9);
        assert!((place(100.0) - (CUT + 3.0 * step)).abs() < 1e-9);
        assert_eq!(place(1e9), RIGHT);
    }

    #[test]
    fn no_label_hides_another_or_leaves_the_picture() {
        let moments = [0.0, 3.1, 3.2, 3.9, 4.2, 20_000.0];
        let marks = moments.map(|after_ms| Mark {
            after_ms,
            label: "takeover begins",
        });
        let labels = labels(marks.into_iter());
        let right = |label: &Label| label.left + CHARACTER * label.text.len() as f64;
        for (number, label) in labels.iter().enumerate() {
            assert!(right(label) <= WIDTH, "{label:?}");
            for later in labels.iter().take(number) {
                let apart = label.line != later.line || right(label) <= later.left;
                assert!(apart, "{label:?} {later:?}");
                let passes = label.line <= later.line || label.at < later.left;
                assert!(passes, "{label:?} {later:?}");
            }
        }
    }

    #[test]
    fn times_are_told_in_their_own_unit() {
        let told = [0.1, 4.256, 10.0, 100.0, 3_614.0, 10_000.0].map(amount);
        assert_eq!(
            told,
            ["0.1 ms", "4.26 ms", "10 ms", "100 ms", "3.61 s", "10 s"]
        );
    }
}
