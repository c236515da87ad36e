//! Reading a router file.

use serde::Deserialize as _;

use super::build::Mistake;
use super::document::Document;
use super::form::Form;
use super::problem::{Problem, Problems};
use super::{Router, build, schema, shape};

/// No router file is longer, in bytes.
pub const LONGEST: usize = 1 << 20;

/// The router that `text` declares. `origin` is what messages call the file; its id
/// is `default_id` unless it says another.
///
/// # Errors
///
/// It is no TOML, or declares no router: all that is wrong with it.
pub fn parse(text: &str, origin: &str, default_id: Option<&str>) -> Result<Router, Problems> {
    if text.len() > LONGEST {
        let message = format!("is {} bytes long: expected at most {LONGEST}", text.len());
        return Err(Problems::new(vec![Problem::of_file(origin, message)]));
    }
    let (document, mut problems) = Document::read(text, origin);
    let Some(document) = document else {
        return Err(Problems::new(problems));
    };
    let (fitting, misfits) = shape::fit(&document, schema::made());
    // What fits is what the types take, for the schema is made from them.
    let form = match Form::deserialize(fitting) {
        Ok(form) => form,
        Err(error) => {
            problems.push(document.problem("", error.to_string()));
            problems.extend(misfits);
            return Err(Problems::new(problems));
        }
    };
    let (router, mistakes) = build::router(&form, default_id);
    for Mistake { field, message } in mistakes {
        // What was left out because it does not fit is not missing too.
        let follows = |problem: &Problem| {
            let rest = problem.field.strip_prefix(&field);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if !misfits.iter().any(follows) {
            problems.push(document.problem(&field, message));
        }
    }
    problems.extend(misfits);
    match router {
        Some(router) if problems.is_empty() => Ok(router),
        _ => Err(Problems::new(problems)),
    }
}

/// A problem with `field` of a text that declares a router.
pub(super) fn problem(text: &str, origin: &str, field: &str, message: String) -> Problem {
    match Document::read(text, origin) {
        (Some(document), _) => document.problem(field, message),
        (None, _) => Problem::of_file(origin, format!("{field}: {message}")),
    }
}

#[cfg(test)]
pub(super) mod tests;

#[cfg(test)]
mod malformed;
