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

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(schema: &'a Value, pointer: &str) -> &'a Value {
        schema
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer} in {schema:#}"))
    }

    #[test]
    fn it_describes_bounds_words_and_what_must_be_there() {
        let schema = schema();
        for (pointer, expected) in [
            (
                "/properties/vrrp/required",
                serde_json::json!(["interface", "vrid"]),
            ),
            ("/properties/vrrp/properties/vrid/minimum", 1.into()),
            ("/properties/vrrp/properties/priority/maximum", 254.into()),
            ("/properties/vrrp/additionalProperties", false.into()),
            ("/properties/profile/oneOf/1/const", "neutron".into()),
            (
                "/properties/address/items/required",
                serde_json::json!(["interface", "address"]),
            ),
            (
                "/properties/hook/items/oneOf/2/required/0",
                "neutron_socket".into(),
            ),
            (
                "/properties/gateway_check/type",
                serde_json::json!(["string", "integer"]),
            ),
            ("/properties/radvd/properties/interface/minItems", 1.into()),
        ] {
            assert_eq!(at(&schema, pointer), &expected, "{pointer}");
        }
    }

    #[test]
    fn every_key_is_described_and_nothing_of_rust_shows() {
        fn walk(schema: &Value, path: &str, count: &mut usize) {
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{key}");
                *count += 1;
                assert!(property["description"].is_string(), "{path}");
                assert!(property.get("anyOf").is_none(), "{path}");
                walk(property, &path, count);
                walk(&property["items"], &path, count);
            }
        }
        let schema = schema();
        let mut count = 0;
        walk(&schema, "", &mut count);
        assert!(count > 60, "{count}");
        let text = schema.to_string();
        for rust in ["null", "int64", "$ref", "Form"] {
            assert!(!text.contains(rust), "{rust}");
        }
    }
}
