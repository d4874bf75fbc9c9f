//! Figures for people and for scripts.

use comfy_table::{CellAlignment, Table};
use serde::Serialize;

/// Prints rows as a table whose first column is a name and whose others are figures, or as JSON.
///
/// # Errors
/// When the rows cannot be written as JSON.
pub fn print<R: Serialize>(
    json: bool,
    head: &[&str],
    rows: &[R],
    cells: impl Fn(&R) -> Vec<String>,
) -> anyhow::Result<()> {
    if json {
        crate::out!("{}", serde_json::to_string_pretty(rows)?);
        return Ok(());
    }
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(head);
    for row in rows {
        table.add_row(cells(row));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    crate::out!("{table}");
    Ok(())
}
