//! A frame.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState};

use super::model::{Model, View};
use super::peers::peers;
use crate::engine::State;
use crate::printable::printable;
use crate::report::clock::duration;
use crate::status::text;
use crate::status::{MarginWord, RouterStatus, Status};

const MS_NS: u64 = 1_000_000;

/// How high the tail of the events is, with its title.
const TAIL: u16 = 8;

/// Below this there is no room for it.
const LOW: u16 = 20;

const HEAD: [&str; 8] = [
    "ROUTER",
    "STATE",
    "FOR",
    "MASTER",
    "MARGIN",
    "TIME BETWEEN ADVERTS",
    "FAST PATH",
    "NOTE",
];

/// Draws what the model shows.
pub(super) fn draw(model: &Model, frame: &mut Frame<'_>) {
    let tail = if frame.area().height < LOW { 0 } else { TAIL };
    let [head, body, events, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(3),
        Constraint::Length(tail),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(header(model)), head);
    match (model.view, &model.status) {
        (View::Routers, _) => routers(model, frame, body),
        (View::Peers, status) => peer_table(status.as_deref(), frame, body),
        (View::Router, _) => {
            let told = model.selection().map(text::one).unwrap_or_default();
            frame.render_widget(Paragraph::new(told), body);
        }
    }
    if tail > 0 {
        event_tail(model, frame, events);
    }
    frame.render_widget(Paragraph::new(footer(model)), keys);
}

fn header(model: &Model) -> Vec<Line<'static>> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let first = match &model.status {
        None => "keepfast".to_owned(),
        Some(status) => summary(status),
    };
    let wrong = Style::new().fg(Color::Red);
    let second = match (&model.trouble, &model.status) {
        (Some(why), _) => Line::styled(printable(why), wrong),
        (None, Some(status)) => warnings(status),
        (None, None) => Line::raw("asking the daemon"),
    };
    vec![Line::styled(first, bold), second]
}

fn summary(status: &Status) -> String {
    let count = |state: State| status.routers.iter().filter(|it| it.state == state).count();
    let others = [State::Fault, State::Unknown, State::Rising, State::Falling];
    let mut text = format!(
        "keepfast {}  up {}  {} routers: {} primary, {} backup",
        status.daemon.version,
        duration(status.daemon.up_ms.saturating_mul(MS_NS)),
        status.routers.len(),
        count(State::Primary),
        count(State::Backup)
    );
    for state in others {
        let count = count(state);
        if count > 0 {
            text += &format!(", {count} {state}");
        }
    }
    text
}

fn warnings(status: &Status) -> Line<'static> {
    let daemon = &status.daemon;
    let mut parts = Vec::new();
    if daemon.drained {
        parts.push("drained: takes nothing over".to_owned());
    }
    parts.extend(daemon.problems.iter().map(|it| printable(it)));
    parts.extend(daemon.fallbacks.iter().map(|it| printable(it)));
    if daemon.events_lost > 0 {
        parts.push(format!("{} events lost", daemon.events_lost));
    }
    if daemon.timers_refused > 0 {
        parts.push(format!("{} timers refused", daemon.timers_refused));
    }
    Line::styled(parts.join("; "), Style::new().fg(Color::Yellow))
}

fn routers(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    // Only what fits is made: of a thousand routers, some forty.
    let first = (model.selected + 1).saturating_sub(height);
    let visible: Vec<&RouterStatus> = model.routers().skip(first).take(height).collect();
    let widest = |text: fn(&RouterStatus) -> String, least: u16, most: u16| {
        let lengths = visible.iter().map(|it| text(it).chars().count());
        let longest = lengths.max().and_then(|it| u16::try_from(it).ok());
        Constraint::Length(longest.unwrap_or(most).clamp(least, most))
    };
    let widths = [
        widest(|it| it.id.clone(), 6, 36),
        Constraint::Length(8),
        Constraint::Length(12),
        widest(text::master_in_short, 6, 34),
        Constraint::Length(14),
        Constraint::Length(24),
        widest(text::fast_path_in_short, 9, 18),
        Constraint::Fill(1),
    ];
    let rows = visible.iter().map(|router| {
        let bars = model.gaps.get(&router.id).map(|gaps| gaps.bars());
        row(router, bars.unwrap_or_default())
    });
    let table = Table::new(rows, widths)
        .header(Row::new(HEAD).style(Style::new().add_modifier(Modifier::BOLD)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let selected = (!model.shown.is_empty()).then(|| model.selected.saturating_sub(first));
    let mut state = TableState::new().with_selected(selected);
    frame.render_stateful_widget(table, area, &mut state);
}

fn row(router: &RouterStatus, bars: String) -> Row<'static> {
    let state = match router.state {
        State::Primary => Style::new().fg(Color::Green),
        State::Fault => Style::new().fg(Color::Red),
        State::Backup => Style::new(),
        State::Unknown | State::Rising | State::Falling => Style::new().fg(Color::Yellow),
    };
    let margin = router.adverts.as_ref().and_then(|it| it.margin);
    let margin_style = match margin.map(|it| it.word) {
        Some(MarginWord::Thin) => Style::new().fg(Color::Yellow),
        Some(MarginWord::Exceeded) => Style::new().fg(Color::Red),
        _ => Style::new(),
    };
    Row::new([
        Cell::new(router.id.clone()),
        Cell::new(router.state.as_str()).style(state),
        Cell::new(duration(router.state_age_ms.saturating_mul(MS_NS))),
        Cell::new(text::master_in_short(router)),
        Cell::new(text::margin_in_short(router)).style(margin_style),
        Cell::new(bars),
        Cell::new(text::fast_path_in_short(router)),
        Cell::new(printable(router.note.as_deref().unwrap_or_default())),
    ])
}

fn peer_table(status: Option<&Status>, frame: &mut Frame<'_>, area: Rect) {
    let peers = status.map(peers).unwrap_or_default();
    let rows = peers.into_iter().map(|peer| {
        let sessions = peer.sessions.iter();
        let sessions: Vec<String> = sessions.map(|(phase, n)| format!("{n} {phase}")).collect();
        let ended = match peer.ended {
            0 => String::new(),
            ended => format!("keepalived ended for {ended}"),
        };
        Row::new([
            peer.mac,
            peer.address,
            peer.routers.to_string(),
            sessions.join(", "),
            duration(peer.worst_answer_us.saturating_mul(1_000)),
            ended,
        ])
    });
    let widths = [
        Constraint::Length(18),
        Constraint::Max(40),
        Constraint::Length(8),
        Constraint::Length(24),
        Constraint::Length(14),
        Constraint::Fill(1),
    ];
    let head = ["PEER", "ADDRESS", "ROUTERS", "SESSIONS", "SLOWEST", "NOTE"];
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(Style::new().add_modifier(Modifier::BOLD)));
    frame.render_widget(table, area);
}

fn event_tail(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let block = Block::new().borders(Borders::TOP).title("events");
    let room = usize::from(area.height.saturating_sub(1));
    let skip = model.events.len().saturating_sub(room);
    let lines: Vec<Line<'_>> = model
        .events
        .iter()
        .skip(skip)
        .map(|line| Line::raw(line.as_str()))
        .collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn footer(model: &Model) -> Line<'static> {
    if model.typing {
        return Line::raw(format!(
            "filter: {}_  (Enter keeps it, Esc ends it)",
            printable(&model.filter)
        ));
    }
    let order = if model.reversed { ", reversed" } else { "" };
    let filter = if model.filter.is_empty() {
        String::new()
    } else {
        format!(", only {:?}", model.filter)
    };
    let sort = model.sort.as_str();
    Line::raw(format!(
        "q quit  / filter  s sort  r reverse  p peers  Enter router   by {sort}{order}{filter}"
    ))
}

#[cfg(test)]
mod tests;
