//! A real Prometheus, with our rules, that scrapes daemons.

use super::*;
use anyhow::{Context as _, Result, ensure};
use lab::process::Process;
use lab::workdir::WorkDir;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// A Prometheus of its own, at a port of its own on loopback.
pub(super) struct Prometheus {
    // Before its directory.
    _process: Process,
    _directory: WorkDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it and waits until it has scraped all of these once.
    pub(super) fn start(targets: &[SocketAddr]) -> Self {
        let directory = WorkDir::new("prometheus").unwrap();
        // Nobody else asks for it meanwhile, or the start fails.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let targets: Vec<String> = targets.iter().map(|it| format!("\"{it}\"")).collect();
        let rules = fs::canonicalize(rules()).unwrap();
        let configuration = directory.file("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n  - job_name: keepfast\n    static_configs: [{{targets: [{}]}}]\n",
            rules.display(),
            targets.join(", "),
        );
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.file("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(directory.path());
        let log = directory.file("log");
        let process = Process::start("prometheus", &mut command, &log).unwrap();
        let prometheus = Self {
            _process: process,
            _directory: directory,
            address,
        };
        let all = targets.len() as f64;
        prometheus.wait("sum(up{job=\"keepfast\"})", all);
        prometheus
    }

    /// What a query comes to: labels and value of each series.
    pub(super) fn query(&self, query: &str) -> Result<Vec<(Value, f64)>> {
        let mut encoded = String::new();
        for byte in query.bytes() {
            write!(encoded, "%{byte:02x}")?;
        }
        let answer = self.get(&format!("/api/v1/query?query={encoded}"))?;
        let result = answer["data"]["result"].as_array();
        result
            .with_context(|| answer.to_string())?
            .iter()
            .map(|series| {
                let value = series["value"][1].as_str().context("find the value")?;
                Ok((series["metric"].clone(), value.parse()?))
            })
            .collect()
    }

    /// Waits until a query comes to one series of this value.
    pub(super) fn wait(&self, query: &str, expected: f64) {
        wait::until(&format!("{query} to be {expected}"), LIMIT, || {
            match self.query(query) {
                Ok(series) if series.len() == 1 && series[0].1 == expected => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .unwrap();
    }

    /// What the API says.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let answer = http::say(self.address, request.as_bytes())?;
        let (_, body) = answer.split_once("\r\n\r\n").context("find the body")?;
        let answer: Value = serde_json::from_str(body).with_context(|| body.to_owned())?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer)
    }
}

/// The file with the rules.
pub(super) fn rules() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../agent/package/prometheus/keepfast.rules.yml"
    ))
}
