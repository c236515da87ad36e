//! What the daemon answered, in words.

use serde_json::{Map, Value};

use crate::printable::printable;

/// The columns of [`table`], in order.
const COLUMNS: [&str; 8] = [
    "id",
    "state",
    "since",
    "namespace",
    "mode",
    "primary",
    "keepalived",
    "note",
];

/// Between two columns, and before what belongs to the line above.
const GAP: &str = "  ";

/// Routers, one a line below a head.
pub(super) fn table(routers: &Value) -> String {
    let head = COLUMNS.map(str::to_uppercase);
    let routers = routers.as_array().map_or(&[][..], Vec::as_slice);
    let rows = routers
        .iter()
        .map(|router| COLUMNS.map(|column| scalar(router.get(column).unwrap_or(&Value::Null))));
    let rows: Vec<[String; COLUMNS.len()]> = std::iter::once(head).chain(rows).collect();
    let mut widths = [0; COLUMNS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; COLUMNS.len()]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", cells.join(GAP).trim_end())
    };
    rows.iter().map(line).collect()
}

/// An object as lines of `key: value`.
pub(super) fn object(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(members) => write_members(members, "", &mut text),
        other => text = format!("{}\n", scalar(other)),
    }
    text
}

/// The lines of `changes`.
pub(super) fn changes(result: &Value) -> String {
    let changes = result.get("changes").and_then(Value::as_array);
    let lines = changes.into_iter().flatten();
    lines.map(|line| format!("{}\n", scalar(line))).collect()
}

fn write_members(members: &Map<String, Value>, indent: &str, text: &mut String) {
    let deeper = format!("{indent}{GAP}");
    for (key, value) in members {
        match value {
            Value::Object(members) if !members.is_empty() => {
                *text += &format!("{indent}{key}:\n");
                write_members(members, &deeper, text);
            }
            Value::Array(values) if values.iter().any(|value| value.is_object()) => {
                *text += &format!("{indent}{key}:\n");
                for value in values {
                    write_item(value, &deeper, text);
                }
            }
            other => *text += &format!("{indent}{key}: {}\n", scalar(other)),
        }
    }
}

/// One of a list: a dash, and the lines of its members in a column of their own.
fn write_item(value: &Value, indent: &str, text: &mut String) {
    let lines = object(value);
    for (number, line) in lines.lines().enumerate() {
        let mark = if number == 0 { "- " } else { GAP };
        *text += &format!("{indent}{mark}{line}\n");
    }
}

/// A value on one line, safe to show on a terminal.
fn scalar(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(scalar).collect();
            values.join(", ")
        }
        Value::Object(members) if members.is_empty() => "-".to_owned(),
        other => other.to_string(),
    };
    printable(&text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn routers_are_a_table_whose_columns_are_aligned() {
        let routers = json!([
            {"id": "r1", "state": "primary", "since": "2026-01-02T03:04:05Z", "namespace": "qrouter-r1",
             "mode": "managed", "primary": true, "keepalived": 4711, "note": null},
            {"id": "longer-name", "state": "backup", "since": null, "namespace": "host",
             "mode": "attached", "primary": false, "keepalived": null, "note": "two\nlines \u{1b}[2J"},
        ]);
        let expected = "\
ID           STATE    SINCE                 NAMESPACE   MODE      PRIMARY  KEEPALIVED  NOTE
r1           primary  2026-01-02T03:04:05Z  qrouter-r1  managed   true     4711        -
longer-name  backup   -                     host        attached  false    -           two lines  [2J
";
        assert_eq!(table(&routers), expected);
        assert_eq!(table(&json!([])).lines().count(), 1);
    }

    #[test]
    fn objects_are_lines_of_key_and_value() {
        let router = json!({
            "id": "r1",
            "addresses": ["10.0.0.1/24", "10.0.0.2/24"],
            "children": [],
            "hooks": [{"name": "a", "failed": 0}, {"name": "b", "failed": 2}],
            "keepalived": {"pid": 5, "parent": {"pid": 4}},
        });
        let expected = "\
addresses: 10.0.0.1/24, 10.0.0.2/24
children: -
hooks:
  - failed: 0
    name: a
  - failed: 2
    name: b
id: r1
keepalived:
  parent:
    pid: 4
  pid: 5
";
        assert_eq!(object(&router), expected);
    }

    #[test]
    fn changes_are_lines() {
        assert_eq!(changes(&json!({"changes": ["+ a", "- b"]})), "+ a\n- b\n");
        assert_eq!(changes(&Value::Null), "");
    }
}
