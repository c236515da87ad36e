//! The JSON schema of a router file.

use std::sync::LazyLock;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use serde_json::Value;

use super::form::Form;

/// The schema, made from the types that are read.
#[must_use]
pub fn schema() -> Value {
    made().clone()
}

/// The schema, made once.
pub(super) fn made() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        // Without references: whoever follows it, editor or `shape`, need not.
        let settings = SchemaSettings::draft2020_12().with(|it| it.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<Form>();
        RecursiveTransform(simplify).transform(&mut schema);
        schema.to_value()
    });
    &SCHEMA
}

/// Leaves out what is true of Rust only. TOML has no null: what is optional is
/// missing.
fn simplify(schema: &mut Schema) {
    schema.remove("format");
    if schema.get("default") == Some(&Value::Array(Vec::new())) {
        schema.remove("default");
    }
    let null = Value::from("null");
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| *kind != null);
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            schema.insert("type".to_owned(), kind);
        }
    }
    let is_null = |schema: &Value| schema.get("type") == Some(&null);
    let Some(Value::Array(mut choices)) = schema.remove("anyOf") else {
        return;
    };
    choices.retain(|choice| !is_null(choice));
    if let [Value::Object(only)] = choices.as_slice() {
        for (key, value) in only {
            if schema.get(key).is_none() {
                schema.insert(key.clone(), value.clone());
            }
        }
    } else {
        schema.insert("anyOf".to_owned(), Value::Array(choices));
    }
}
