//! The dashboard and the rules against the endpoint.

use super::*;
use crate::prometheus::{Prometheus, rules};
use lab::process;
use lab::router::{Declaration, Topology};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const DASHBOARD: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../agent/package/grafana/keepfast.json"
);

/// What stands in for Grafana's variables.
const VARIABLES: [(&str, &str); 4] = [
    ("$__rate_interval", "1m"),
    ("$instance", ".*"),
    ("$router", ".*"),
    ("$datasource", "prometheus"),
];

#[test]
fn promtool_is_content_with_the_rules() {
    alone(|| {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/metrics/rules.test.yml");
        for arguments in [["check", "rules"], ["test", "rules"]] {
            let file = if arguments[0] == "check" {
                rules()
            } else {
                &tests
            };
            let said = process::output(Command::new("promtool").args(arguments).arg(file)).unwrap();
            println!("{said}");
        }
    });
}

#[test]
fn prometheus_understands_the_rules_and_the_dashboard() {
    alone(|| {
        let topology = Topology::new(1).unwrap();
        let daemon = daemon("metrics");
        let router = Declaration {
            tables: "[protect]\n".to_owned(),
            ..Declaration::plain(&topology.hosts[0])
        };
        router.apply(&daemon).unwrap();
        let prometheus = Prometheus::start(&[endpoint(&daemon)]);
        let rules = prometheus.get("/api/v1/rules").unwrap();
        let rules = rules["data"]["groups"][0]["rules"]
            .as_array()
            .unwrap()
            .clone();
        assert!(rules.len() > 20, "{}", rules.len());
        wait::until("an evaluation of all rules", LIMIT, || {
            let now = prometheus.get("/api/v1/rules").unwrap();
            let now = now["data"]["groups"][0]["rules"].as_array().unwrap();
            let bad = now.iter().find(|rule| rule["health"] != "ok");
            bad.map_or(Ok(()), |rule| Err(rule.to_string()))
        })
        .unwrap();
        for rule in &rules {
            let annotations = &rule["annotations"];
            for key in ["summary", "runbook"] {
                let words = annotations[key].as_str().unwrap_or_default();
                assert!(
                    words.ends_with('.') || words.ends_with(")"),
                    "{}: {words}",
                    rule["name"]
                );
            }
            assert!(rule["labels"]["severity"].is_string(), "{}", rule["name"]);
        }
        all_is_drawn(&prometheus);
    });
}

/// What the dashboard asks is understood, and there is something to draw, but of what has no
/// number before it happens.
fn all_is_drawn(prometheus: &Prometheus) {
    let eventful = [
        "takeovers",
        "shadow",
        "hand_overs",
        "outage",
        "fast_path_working",
        "losses",
        "hook",
    ];
    for expression in dashboard_expressions() {
        let may_be_empty = eventful.iter().any(|word| expression.contains(word));
        // A rate is there after two scrapes.
        wait::until(&expression, LIMIT, || {
            let drawn = prometheus.query(&expression);
            let drawn = drawn.map_err(|error| format!("{error:#}"))?;
            if drawn.is_empty() && !may_be_empty {
                return Err("nothing".to_owned());
            }
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn every_name_is_known_and_every_family_is_used() {
    alone(|| {
        let daemon = daemon("metrics");
        let page = scrape(&daemon);
        let rules = fs::read_to_string(rules()).unwrap();
        let mut used: BTreeSet<String> = names(&rules).collect();
        let dashboard = dashboard_expressions();
        used.extend(dashboard.iter().flat_map(|expression| names(expression)));
        let family = |name: &str| {
            let short = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            let short = short.filter(|_| !page.families.contains(name));
            short.unwrap_or(name).to_owned()
        };
        let used: BTreeSet<String> = used.iter().map(|name| family(name)).collect();
        let unknown: Vec<_> = used.difference(&page.families).collect();
        assert!(unknown.is_empty(), "not told by the endpoint: {unknown:?}");
        let unused: Vec<_> = page.families.difference(&used).collect();
        assert!(unused.is_empty(), "neither drawn nor watched: {unused:?}");
    });
}

/// All that the dashboard asks Prometheus.
fn dashboard_expressions() -> Vec<String> {
    let text = fs::read_to_string(DASHBOARD).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    assert!(found.len() > 40, "{}", found.len());
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(expression)) = fields.get("expr") {
                let filled = VARIABLES
                    .iter()
                    .fold(expression.clone(), |text, (name, value)| {
                        text.replace(name, value)
                    });
                assert!(!filled.contains('$'), "{filled}");
                found.push(filled);
            }
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// The names of metrics in a text.
fn names(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    words
        .filter(|word| {
            let ours = ["keepfast_", "process_"];
            ours.iter().any(|start| word.starts_with(start))
        })
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}
