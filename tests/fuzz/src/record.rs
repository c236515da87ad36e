//! Arbitrary bytes as records of the ring, one after another, and the lines made of them.

use keepfast::kernel::event;
use keepfast::report::{ClockMapping, Format, Place, Reporter, words};
use keepfast_common::event::Event;
use serde_json::Value;

use crate::assert_harmless;

const PLACE: Place<'_> = Place {
    interface: "eth0",
    netns: Some("office"),
};

pub(crate) fn run(bytes: &[u8]) {
    let mut people = Reporter::new(Format::Words, ClockMapping::capture());
    let mut programs = Reporter::new(Format::Json, ClockMapping::capture());
    for record in bytes.chunks(size_of::<Event>()) {
        let Ok(event) = event(record) else {
            assert_ne!(record.len(), size_of::<Event>());
            return;
        };
        assert_eq!(bytemuck::bytes_of(&event), record);
        assert_harmless(&people.line(&event, &PLACE));
        let line = programs.line(&event, &PLACE);
        assert!(!line.contains('\n') && serde_json::from_str::<Value>(&line).is_ok());
        assert_harmless(&words::sentence(&event));
    }
}
