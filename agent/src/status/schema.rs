//! The JSON schema of [`Status`].

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Status;

/// The schema, made from the types that are written.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let generator = settings.into_generator();
    generator.into_root_schema_for::<Status>().to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the members of all objects that are described below `schema`.
    fn walk(schema: &Value, path: &str, count: &mut usize) {
        match schema {
            Value::Object(members) => {
                for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                    *count += 1;
                    assert!(property["description"].is_string(), "{path}.{name}");
                }
                for (name, member) in members {
                    walk(member, &format!("{path}.{name}"), count);
                }
            }
            Value::Array(members) => members.iter().for_each(|it| walk(it, path, count)),
            _ => {}
        }
    }

    #[test]
    fn every_member_is_described() {
        let mut count = 0;
        walk(&schema(), "", &mut count);
        assert!(count > 80, "{count}");
    }

    #[test]
    fn every_member_is_always_there() {
        let schema = schema();
        let router = &schema["$defs"]["RouterStatus"];
        let members = router["properties"].as_object().unwrap().len();
        assert_eq!(router["required"].as_array().unwrap().len(), members);
    }
}
