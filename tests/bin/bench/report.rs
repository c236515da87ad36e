//! What was found: tables and targets, for people on the terminal and as JSON for programs.

use anyhow::{Context, Result};
use lab::folder;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::PathBuf;
use std::thread;

/// All that one measurement found.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) tables: Vec<Table>,
    pub(crate) targets: Vec<Target>,
    /// What was wrong or missing, in words.
    pub(crate) faults: Vec<String>,
}

impl From<anyhow::Error> for Findings {
    fn from(error: anyhow::Error) -> Self {
        Self {
            faults: vec![format!("{error:#}")],
            ..Self::default()
        }
    }
}

/// Rows under the names of their columns.
pub(crate) struct Table {
    pub(crate) title: &'static str,
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// One field of a table.
pub(crate) enum Cell {
    Text(String),
    /// A measured value and how many decimals of it mean something.
    Number(f64, usize),
}

/// The most that something may come to.
pub(crate) struct Target {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) measured: f64,
    pub(crate) limit: f64,
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) const fn count(count: usize) -> Self {
        Self::Number(count as f64, 0)
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(value, decimals) => format!("{value:.decimals$}"),
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            // Exactly what is shown.
            Self::Number(..) => self.shown().parse::<f64>().map_or(Value::Null, Value::from),
        }
    }
}

impl Target {
    /// Whether it was met.
    pub(crate) fn met(&self) -> bool {
        self.measured <= self.limit
    }
}

impl Findings {
    /// Prints the tables, then each target, then what went wrong.
    pub(crate) fn print(&self) {
        for table in &self.tables {
            table.print();
        }
        for target in &self.targets {
            let Target {
                what,
                unit,
                measured,
                limit,
            } = target;
            let verdict = if target.met() { "met" } else { "MISSED" };
            println!("target: {what} {measured:.2} {unit}, at most {limit} {unit}: {verdict}");
        }
        for fault in &self.faults {
            println!("fault: {fault}");
        }
    }

    /// For JSON.
    pub(crate) fn value(&self) -> Value {
        let tables: Vec<Value> = self.tables.iter().map(Table::value).collect();
        let target = |target: &Target| {
            json!({
                "what": target.what,
                "unit": target.unit,
                "measured": target.measured,
                "limit": target.limit,
                "met": target.met(),
            })
        };
        let targets: Vec<Value> = self.targets.iter().map(target).collect();
        json!({ "tables": tables, "targets": targets, "faults": self.faults })
    }
}

impl Table {
    fn print(&self) {
        let names = self.columns.iter().map(ToString::to_string);
        let rows = self.rows.iter().map(|row| row.iter().map(Cell::shown));
        let mut lines: Vec<Vec<String>> = vec![names.collect()];
        lines.extend(rows.map(Iterator::collect));
        let width = |column| {
            lines
                .iter()
                .filter_map(|line| line.get(column).map(String::len))
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        println!("\n{}", self.title);
        for line in &lines {
            let fields = line.iter().zip(&widths);
            let fields: Vec<String> = fields
                .map(|(field, width)| format!("{field:>width$}"))
                .collect();
            println!("  {}", fields.join("  "));
        }
    }

    fn value(&self) -> Value {
        let row = |row: &Vec<Cell>| -> Map<String, Value> {
            let names = self.columns.iter().map(ToString::to_string);
            names.zip(row.iter().map(Cell::value)).collect()
        };
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        json!({ "title": self.title, "rows": rows })
    }
}

/// Writes all findings under their names, with the machine they are of; returns the file.
pub(crate) fn write(findings: &[(&str, Findings)]) -> Result<PathBuf> {
    let named = findings
        .iter()
        .map(|(name, findings)| ((*name).to_owned(), findings.value()));
    let document = json!({
        "machine": machine()?,
        "measurements": named.collect::<Map<_, _>>(),
    });
    let file = folder::of_target("bench")?.join("keepfast.json");
    fs::write(&file, format!("{document:#}\n"))
        .with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}

/// What the numbers depend on.
pub(crate) fn machine() -> Result<Value> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("ask the kernel")?;
    let processor = fs::read_to_string("/proc/cpuinfo").context("ask for the processor")?;
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model);
    Ok(json!({
        "kernel": release.trim(),
        "processor": model,
        "processors": processors()?,
    }))
}

/// How many loops keep the machine busy.
pub(crate) fn processors() -> Result<usize> {
    Ok(thread::available_parallelism()
        .context("count the processors")?
        .get())
}
