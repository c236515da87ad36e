//! Whether a document has the shape that the schema describes: which keys there
//! are, and of which types their values.
//!
//! What is wrong is named and left out, so that the rest can be looked at all the
//! same. Bounds of numbers and the like are left to [`super::build`], whose messages
//! say more.

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, join};
use super::problem::Problem;

/// What of `document` has the shape of `schema`, and what has not.
pub(super) fn fit(document: &Document<'_>, schema: &Value) -> (Value, Vec<Problem>) {
    let mut fitter = Fitter {
        document,
        problems: Vec::new(),
    };
    let fitting = fitter.table(document.root().get_ref(), schema, "");
    (fitting, fitter.problems)
}

struct Fitter<'a> {
    document: &'a Document<'a>,
    problems: Vec<Problem>,
}

impl Fitter<'_> {
    fn table(&mut self, table: &DeTable<'_>, schema: &Value, path: &str) -> Value {
        let nothing = Map::new();
        let known = schema.get("properties").and_then(Value::as_object);
        let known = known.unwrap_or(&nothing);
        let mut fitting = Map::new();
        for (key, value) in table {
            let field = join(path, key.get_ref());
            let Some(schema) = known.get(key.get_ref().as_ref()) else {
                let message = unknown(key.get_ref(), known.keys());
                let problem = self.document.problem_at(key.span(), field, message);
                self.problems.push(problem);
                continue;
            };
            if let Some(value) = self.value(value, schema, &field) {
                fitting.insert(key.get_ref().to_string(), value);
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for key in required.into_iter().flatten().filter_map(Value::as_str) {
            if table.get(key).is_none() {
                let field = join(path, key);
                let kind = known.get(key).map_or_else(String::new, expected);
                let message = format!("is missing: expected {kind}");
                self.problems.push(self.document.problem(&field, message));
            }
        }
        Value::Object(fitting)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, schema: &Value, path: &str) -> Option<Value> {
        let fits = match value.get_ref() {
            DeValue::String(text) if is_kind(schema, "string") => {
                return Some(text.as_ref().into());
            }
            DeValue::String(text) => choices(schema)
                .any(|it| it == text)
                .then(|| text.as_ref().into()),
            DeValue::Integer(number) if is_kind(schema, "integer") => {
                i64::from_str_radix(number.as_str(), number.radix())
                    .ok()
                    .map(Value::from)
            }
            DeValue::Boolean(yes) if is_kind(schema, "boolean") => Some(Value::from(*yes)),
            DeValue::Table(table) if is_kind(schema, "object") => {
                return Some(self.table(table, schema, path));
            }
            DeValue::Array(array) if is_kind(schema, "array") => {
                let of = schema.get("items").unwrap_or(&Value::Null);
                let elements: Vec<Value> = array
                    .iter()
                    .enumerate()
                    .filter_map(|(index, it)| self.value(it, of, &format!("{path}[{index}]")))
                    .collect();
                // Without one of its elements, the indices of the others would lie.
                return (elements.len() == array.len()).then_some(Value::Array(elements));
            }
            _ => None,
        };
        if fits.is_none() {
            let expected = expected(schema);
            let message = match value.get_ref() {
                // A table may be for secrets, so this may be one.
                DeValue::String(_) if is_kind(schema, "object") => {
                    format!("expected {expected}, found a string")
                }
                value => format!("expected {expected}, found {}", found(value)),
            };
            let problem = self
                .document
                .problem_at(value.span(), path.to_owned(), message);
            self.problems.push(problem);
        }
        fits
    }
}

fn is_kind(schema: &Value, kind: &str) -> bool {
    kinds(schema).any(|it| it == kind)
}

fn kinds(schema: &Value) -> impl Iterator<Item = &str> {
    let (one, many) = match schema.get("type") {
        Some(Value::String(kind)) => (Some(kind.as_str()), None),
        Some(Value::Array(kinds)) => (None, Some(kinds)),
        _ => (None, None),
    };
    let many = many.into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(many)
}

/// The words of an enumeration.
fn choices(schema: &Value) -> impl Iterator<Item = &str> {
    let choices = schema.get("oneOf").and_then(Value::as_array);
    choices
        .into_iter()
        .flatten()
        .filter_map(|choice| choice.get("const").and_then(Value::as_str))
}

/// What `schema` asks for, in words.
fn expected(schema: &Value) -> String {
    let quoted: Vec<_> = choices(schema).map(|word| format!("{word:?}")).collect();
    if !quoted.is_empty() {
        return quoted.join(" or ");
    }
    let words: Vec<_> = kinds(schema)
        .map(|kind| match kind {
            "string" => "a string",
            "integer" => "an integer",
            "boolean" => "true or false",
            "array" => "an array",
            _ => "a table",
        })
        .collect();
    words.join(" or ")
}

fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => return format!("{:?}", shorten(text)),
        DeValue::Integer(number) => return shorten(&number.to_string()).to_owned(),
        DeValue::Float(number) => return shorten(&number.to_string()).to_owned(),
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
    .to_owned()
}

/// The beginning of `text`: messages are not for whole documents.
fn shorten(text: &str) -> &str {
    text.char_indices()
        .nth(40)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}

fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let nearest = known.iter().map(|it| (distance(key, it), it)).min();
    match nearest {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => {
            format!("is unknown: the nearest key is {name}")
        }
        _ => format!("is unknown: expected one of {}", known.join(", ")),
    }
}

/// How many characters must be put in, taken out or changed to make `a` of `b`
/// (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    // No known key is as long as this: the answer is "far" all the same.
    for (number, left) in a.chars().take(64).enumerate() {
        let mut next = vec![number + 1];
        for ((corner, above), right) in row.iter().zip(row.iter().skip(1)).zip(b.chars()) {
            let beside = next.last().copied().unwrap_or_default();
            let changed = corner + usize::from(left != right);
            next.push(changed.min(above + 1).min(beside + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
