use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::json;

use super::*;
use crate::event_log::EventLog;

/// A state directory of one test, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let name = format!("kf-events-{}-{test}", std::process::id());
        let path = std::env::temp_dir().join(name);
        Dir::create(&path, 0o700).unwrap();
        Self(path)
    }

    /// Adds an event at so many seconds to a router's log.
    fn log(&self, router: &str, second: i64, event: &str) {
        let directory = Dir::create(&self.0.join(router), 0o755).unwrap();
        let time = Timestamp::from_second(second).unwrap().to_string();
        let line = json!({"time": time, "router": router, "event": event});
        let mut log = EventLog::open(&directory, LOG).unwrap();
        log.append(&line).unwrap();
    }

    fn reader(&self, routers: &[&str]) -> Reader {
        let routers = routers.iter().map(|it| (*it).to_owned()).collect();
        Reader::new(&self.0, routers).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The names of the events that have come.
fn next(reader: &mut Reader) -> Vec<String> {
    let entries = reader.read().unwrap();
    let name = |entry: &Entry| entry.line["event"].as_str().unwrap().to_owned();
    entries.iter().map(name).collect()
}

#[test]
fn routers_are_merged_by_time_and_each_event_comes_once() {
    let scratch = Scratch::new("merge");
    for (router, second, event) in [("b", 2, "2"), ("a", 1, "1"), ("a", 3, "3")] {
        scratch.log(router, second, event);
    }
    // Files of keepalived's are no routers.
    fs::write(scratch.0.join("a.pid.keepalived"), "1\n").unwrap();
    let mut reader = scratch.reader(&[]);
    assert_eq!(next(&mut reader), ["1", "2", "3"]);
    assert_eq!(next(&mut reader), [""; 0]);
    scratch.log("a", 5, "5");
    scratch.log("b", 4, "4");
    // One that is new.
    scratch.log("c", 6, "6");
    assert_eq!(next(&mut reader), ["4", "5", "6"]);
    assert_eq!(reader.troubles().count(), 0);
    let mut one = scratch.reader(&["b"]);
    assert_eq!(next(&mut one), ["2", "4"]);
    assert!(one.has("b") && !one.has("a"));
}

#[test]
fn none_is_missed_or_told_twice_when_a_log_becomes_the_older_one() {
    let scratch = Scratch::new("rotate");
    let long = "x".repeat(1_000);
    let mut reader = scratch.reader(&[]);
    let mut told = 0;
    let mut rotations = 0;
    for number in 0..1_000 {
        let before = identity(&scratch.0.join("a").join(LOG));
        scratch.log("a", number, &long);
        let after = identity(&scratch.0.join("a").join(LOG));
        rotations += usize::from(before.is_some() && before.map(|it| it.0) != after.map(|it| it.0));
        // Now and then, at no particular moment.
        if number % 7 == 0 {
            told += reader.read().unwrap().len();
        }
    }
    told += reader.read().unwrap().len();
    assert!(rotations >= 3, "{rotations}");
    assert_eq!(told, 1_000);
    assert_eq!(reader.troubles().count(), 0);
    // One that begins now has what both generations hold.
    let kept = scratch.reader(&[]).read().unwrap().len();
    assert!(kept > LIMIT / 1_200 && kept < 1_000, "{kept}");
}

#[test]
fn a_reader_that_was_too_slow_says_so() {
    let scratch = Scratch::new("slow");
    scratch.log("a", 0, "first");
    let mut reader = scratch.reader(&[]);
    assert_eq!(next(&mut reader), ["first"]);
    let long = "x".repeat(1_000);
    // At least two generations, so that the first one is gone.
    (1..700).for_each(|second| scratch.log("a", second, &long));
    let count = reader.read().unwrap().len();
    assert!(count < 699, "{count}");
    let troubles: Vec<&str> = reader.troubles().collect();
    assert_eq!(
        troubles,
        ["router a: events came faster than they were read; some are lost"]
    );
}

#[test]
fn a_router_that_is_deleted_and_declared_anew_begins_anew() {
    let scratch = Scratch::new("deleted");
    scratch.log("a", 1, "old");
    let mut reader = scratch.reader(&[]);
    assert_eq!(next(&mut reader), ["old"]);
    fs::remove_dir_all(scratch.0.join("a")).unwrap();
    assert_eq!(next(&mut reader), [""; 0]);
    scratch.log("a", 2, "new");
    assert_eq!(next(&mut reader), ["new"]);
    assert_eq!(reader.troubles().count(), 0);
}

#[test]
fn a_half_line_waits_for_its_end_and_a_spoilt_one_is_counted() {
    let scratch = Scratch::new("torn");
    scratch.log("a", 1, "1");
    let mut reader = scratch.reader(&[]);
    assert_eq!(next(&mut reader), ["1"]);
    let file = scratch.0.join("a").join(LOG);
    let mut file = OpenOptions::new().append(true).open(file).unwrap();
    let line = "{\"time\":\"1970-01-01T00:00:02Z\",\"event\":\"2\"}\n";
    let (one, other) = line.split_at(20);
    file.write_all(one.as_bytes()).unwrap();
    assert_eq!(next(&mut reader), [""; 0]);
    file.write_all(other.as_bytes()).unwrap();
    assert_eq!(next(&mut reader), ["2"]);
    file.write_all(b"no JSON\n{\"time\":\"never\"}\n").unwrap();
    scratch.log("a", 3, "3");
    assert_eq!(next(&mut reader), ["3"]);
    let troubles: Vec<&str> = reader.troubles().collect();
    assert_eq!(troubles, ["router a: 2 lines cannot be read"]);
}
