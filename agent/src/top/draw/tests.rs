use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::model::{Input, Key};
use super::*;
use crate::status::text::fixture;

/// A frame of what the model shows, its lines without the blanks at their ends.
fn frame(model: &Model, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(model, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| -> String { (0..width).map(|x| buffer[(x, y)].symbol()).collect() };
    let lines = (0..height).map(line);
    lines.map(|line| line.trim_end().to_owned()).collect()
}

/// So many routers, of which every tenth is a primary and one is in fault.
fn status(count: usize) -> Box<Status> {
    let mut status = fixture::status();
    status.routers = (0..count)
        .map(|number| {
            let mut router = fixture::router();
            router.id = format!("r{number:03}");
            if number % 10 == 0 {
                router.state = State::Primary;
                router.master.as_mut().unwrap().this_host = true;
            }
            if number == 7 {
                router.state = State::Fault;
                router.note = Some("interface ha0 is down".into());
            }
            router
        })
        .collect();
    Box::new(status)
}

fn model(count: usize) -> Model {
    let mut model = Model::default();
    model.take(Input::Status(status(count)));
    model
}

fn press(model: &mut Model, keys: &str) {
    for key in keys.chars() {
        model.take(Input::Key(match key {
            '\n' => Key::Enter,
            '\u{1b}' => Key::Escape,
            '\u{8}' => Key::Backspace,
            other => Key::Char(other),
        }));
    }
}

/// The names of the routers that are shown.
fn names(model: &Model) -> Vec<&str> {
    model.routers().map(|router| router.id.as_str()).collect()
}

#[test]
fn a_frame_has_the_daemon_the_routers_the_events_and_the_keys() {
    let mut model = model(2);
    for look in 1..=3 {
        let mut status = status(2);
        status.daemon.up_ms += look * 1_000;
        status.routers.iter_mut().for_each(|router| {
            router.adverts.as_mut().unwrap().received += look;
        });
        model.take(Input::Status(status));
    }
    model.take(Input::Events(vec!["12:00:00  r001  took_over".into()]));
    let expected = "\
keepfast 0.1.0  up 2 min 9 s  2 routers: 1 primary, 1 backup

ROUTER    STATE    FOR          MASTER                      MARGIN         TIME BETWEEN ADVERTS     FAST PATH        NOTE
r000      primary  2 min 5 s    this host (101)             55 % reduced   ▃▃▃                      armed, up
r001      backup   2 min 5 s    169.254.192.1 (101)         55 % reduced   ▃▃▃                      armed, up
";
    let shown = frame(&model, 128, 20);
    for (line, expected) in shown.iter().zip(expected.lines()) {
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(line), words(expected), "{shown:#?}");
    }
    assert!(shown[11].starts_with("events"), "{shown:#?}");
    assert_eq!(shown[12], "12:00:00  r001  took_over");
    assert!(shown[19].starts_with("q quit"), "{shown:#?}");
    assert!(shown[19].ends_with("by name"), "{shown:#?}");
}

#[test]
fn what_is_wrong_is_on_top_of_it_and_an_old_picture_stays() {
    let mut model = model(1);
    model.take(Input::Trouble("no keepfast daemon\nlistens".into()));
    let shown = frame(&model, 100, 24);
    assert_eq!(shown[1], "no keepfast daemon listens");
    assert!(shown[3].starts_with("r000"), "{shown:#?}");
    let mut status = status(1);
    status.daemon.drained = true;
    status.daemon.fallbacks.push("memory is not locked".into());
    model.take(Input::Status(status));
    let shown = frame(&model, 100, 24);
    assert_eq!(
        shown[1],
        "drained: takes nothing over; memory is not locked"
    );
}

#[test]
fn routers_are_sorted_and_reversed_and_the_selection_stays_with_its_router() {
    let mut model = model(12);
    press(&mut model, "jjj");
    assert_eq!(model.selection().unwrap().id, "r003");
    press(&mut model, "s");
    let by_state = names(&model);
    assert_eq!(by_state[..4], ["r007", "r000", "r010", "r001"]);
    assert_eq!(model.selection().unwrap().id, "r003");
    press(&mut model, "r");
    assert_eq!(names(&model).last(), Some(&"r007"));
    assert_eq!(model.selection().unwrap().id, "r003");
    press(&mut model, "ssssr");
    assert_eq!(names(&model)[0], "r000");
    let mut status = status(12);
    let adverts = status.routers[5].adverts.as_mut().unwrap();
    adverts.margin = crate::status::Margin::of(9, 10);
    model.take(Input::Status(status));
    press(&mut model, "sss");
    assert_eq!(names(&model)[0], "r005", "the worst margin first");
}

#[test]
fn routers_are_filtered_by_what_is_typed() {
    let mut model = model(30);
    press(&mut model, "/FAULT");
    assert_eq!(names(&model), ["r007"]);
    let shown = frame(&model, 128, 24);
    assert!(shown[23].starts_with("filter: FAULT_"), "{shown:#?}");
    press(&mut model, "\n");
    assert!(frame(&model, 128, 24)[23].ends_with("only \"FAULT\""));
    // Its own keys are text while it is typed.
    press(&mut model, "\u{1b}/q1\u{8}\u{8}r01");
    assert!(!model.ends());
    assert_eq!(names(&model).len(), 10);
    press(&mut model, "x");
    assert_eq!(names(&model).len(), 0);
    frame(&model, 128, 24);
    press(&mut model, "\u{1b}");
    assert_eq!(names(&model).len(), 30);
}

#[test]
fn a_thousand_routers_are_paged_through() {
    let mut model = model(1_000);
    model.take(Input::Key(Key::End));
    let shown = frame(&model, 128, 40);
    assert!(
        shown.iter().any(|line| line.starts_with("r999")),
        "{shown:#?}"
    );
    model.take(Input::Key(Key::PageUp));
    model.take(Input::Key(Key::Up));
    assert_eq!(model.selection().unwrap().id, "r988");
    model.take(Input::Key(Key::Home));
    assert!(frame(&model, 128, 40)[3].starts_with("r000"));
    // Most of them go.
    model.take(Input::Key(Key::End));
    model.take(Input::Status(status(3)));
    assert_eq!(model.selection().unwrap().id, "r002");
    model.take(Input::Status(status(0)));
    assert!(model.selection().is_none());
    frame(&model, 128, 40);
}

#[test]
fn peers_are_told_with_what_they_are_masters_of() {
    let mut model = model(30);
    press(&mut model, "p");
    let shown = frame(&model, 128, 24);
    let words: Vec<&str> = shown[3].split_whitespace().collect();
    assert_eq!(
        words,
        [
            "02:00:00:00:00:01",
            "169.254.192.1",
            "27",
            "27",
            "up",
            "180",
            "us"
        ]
    );
    assert_eq!(shown[4], "");
    press(&mut model, "p");
    assert!(frame(&model, 128, 24)[3].starts_with("r000"));
}

#[test]
fn one_router_is_told_in_full_and_any_size_will_do() {
    let mut model = model(8);
    press(&mut model, "G\n");
    let shown = frame(&model, 128, 40);
    assert!(shown[2].starts_with("r007"), "{shown:#?}");
    assert!(
        shown
            .iter()
            .any(|line| line.contains("interface ha0 is down"))
    );
    for (width, height) in [(1, 1), (20, 3), (80, 10), (300, 100)] {
        for keys in ["", "\n", "p", "p/", "\u{1b}"] {
            press(&mut model, keys);
            frame(&model, width, height);
        }
    }
}
