//! What the story prints, and what it found.

use comfy_table::{CellAlignment, Table};
use ledger_core::Asset;
use serde::Serialize;
use serde_json::{Value, json};

/// One figure: what the story's own arithmetic expects, and what the books say.
#[derive(Serialize)]
pub struct Figure {
    pub what: String,
    pub expected: String,
    pub found: String,
    pub ok: bool,
}

/// Collects the story; prints it as it goes, unless it is told as JSON at the end.
pub struct Report {
    quiet: bool,
    steps: Vec<String>,
    figures: Vec<Figure>,
    tables: serde_json::Map<String, Value>,
}

impl Report {
    pub fn new(quiet: bool) -> Report {
        Report { quiet, steps: Vec::new(), figures: Vec::new(), tables: serde_json::Map::new() }
    }

    /// What a reader should know first; for people alone.
    pub fn intro(&self, text: &str) {
        if !self.quiet {
            crate::out!("{text}");
        }
    }

    pub fn chapter(&mut self, title: &str) {
        if !self.quiet {
            crate::out!("\n{title}");
        }
    }

    /// A sentence of the story.
    pub fn step(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.quiet {
            crate::out!("  {text}");
        }
        self.steps.push(text);
    }

    /// Compares a figure in coins.
    pub fn coins(&mut self, what: &str, expected_milli: i64, found_milli: i64) {
        self.figure(what, coins(expected_milli), coins(found_milli));
    }

    pub fn figure(&mut self, what: &str, expected: String, found: String) {
        let ok = expected == found;
        if !self.quiet {
            match ok {
                true => crate::out!("    ok     {what}: {found}"),
                false => crate::out!("    WRONG  {what}: expected {expected}, found {found}"),
            }
        }
        self.figures.push(Figure { what: what.to_owned(), expected, found, ok });
    }

    /// A table of rows, kept as JSON too. Columns are (heading, field, right-aligned).
    pub fn table(&mut self, name: &str, rows: &[Value], columns: &[(&str, &str, bool)]) {
        if !self.quiet {
            crate::out!("\n{name}");
            let mut table = Table::new();
            table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED);
            table.set_header(columns.iter().map(|(heading, ..)| *heading));
            for row in rows {
                table.add_row(columns.iter().map(|(_, field, _)| plain(&row[*field])));
            }
            for (index, (.., right)) in columns.iter().enumerate() {
                if let Some(column) = table.column_mut(index).filter(|_| *right) {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
            crate::out!("{table}");
        }
        self.tables.insert(name.to_owned(), Value::Array(rows.to_vec()));
    }

    pub fn wrong(&self) -> usize {
        self.figures.iter().filter(|figure| !figure.ok).count()
    }

    /// The end of the story: a line for people, or everything for scripts.
    pub fn end(&self, fault: Option<&str>) {
        let (wrong, all) = (self.wrong(), self.figures.len());
        if self.quiet {
            let ok = wrong == 0 && fault.is_none();
            let told = json!({
                "ok": ok, "fault": fault, "steps": self.steps, "figures": self.figures, "tables": self.tables,
            });
            crate::out!("{told:#}");
        } else if let Some(fault) = fault {
            eprintln!("\nThe story broke off: {fault}");
        } else if wrong == 0 {
            crate::out!("\nAll {all} figures are what the story's own arithmetic expects.");
        } else {
            crate::out!("\n{wrong} of {all} figures are WRONG.");
        }
    }
}

/// Thousandths of a coin as people read them.
pub fn coins(milli: i64) -> String {
    Asset::COIN.format(milli)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
