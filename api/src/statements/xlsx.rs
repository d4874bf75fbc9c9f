//! A statement as a spreadsheet.

use super::{ASSET, Statement, coins};
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

const COLUMNS: [(&str, u16); 12] = [
    ("Revision", 10),
    ("Recorded at", 26),
    ("Type", 12),
    ("Source", 38),
    ("Payer", 38),
    ("Host", 38),
    ("Agency", 38),
    ("Charged", 12),
    ("Platform", 12),
    ("Others", 12),
    ("Net", 12),
    ("Reason", 20),
];

/// None where the library refuses, which it does only beyond a sheet's size.
pub fn write(statement: &Statement) -> Option<Vec<u8>> {
    workbook(statement).ok()
}

fn workbook(statement: &Statement) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    // Not the moment of asking, so that a statement is always the same file.
    let made = ExcelDateTime::from_timestamp(statement.heading.to.timestamp())?;
    workbook.set_properties(&DocProperties::new().set_title("Settlement").set_creation_datetime(&made));
    let (bold, money) = (Format::new().set_bold(), Format::new().set_num_format("#,##0.000"));
    let sheet = workbook.add_worksheet().set_name("Statement")?;
    sheet.set_column_width(0, 36)?.set_column_width(1, 40)?;
    let mut row = 0;
    for (name, value) in statement.heading.facts(&statement.earner) {
        sheet.write_string_with_format(row, 0, name, &bold)?.write_string(row, 1, value)?;
        row += 1;
    }
    sheet.write_string_with_format(row, 0, "Amounts in", &bold)?.write_string(
        row,
        1,
        format!("coins ({ASSET})"),
    )?;
    row += 1;
    for (name, milli) in statement.heading.sums() {
        sheet.write_string_with_format(row, 0, name, &bold)?;
        amount(sheet, row, 1, milli, &money)?;
        row += 1;
    }
    if statement.left_out {
        sheet.write_string(
            row,
            0,
            "The sheet of items has the first lines; all of them are listed under /items.",
        )?;
    }
    items(workbook.add_worksheet().set_name("Items")?, statement, &bold, &money)?;
    workbook.save_to_buffer()
}

fn items(
    sheet: &mut Worksheet,
    statement: &Statement,
    bold: &Format,
    money: &Format,
) -> Result<(), XlsxError> {
    for (column, (name, width)) in (0..).zip(COLUMNS) {
        sheet.set_column_width(column, width)?.write_string_with_format(0, column, name, bold)?;
    }
    sheet.set_freeze_panes(1, 0)?;
    for (row, line) in (1..).zip(&statement.lines) {
        let id = |id: Option<uuid::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let at = line.recorded_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let texts = [
            line.revision.to_string(),
            at,
            line.kind.clone(),
            id(line.source_id),
            id(line.payer),
            id(line.host),
            id(line.agency),
        ];
        for (column, text) in (0..).zip(texts) {
            sheet.write_string(row, column, text)?;
        }
        let amounts = [line.gross_milli, line.platform_milli, line.others_milli, line.net_milli];
        for (column, milli) in (7..).zip(amounts) {
            amount(sheet, row, column, milli, money)?;
        }
        sheet.write_string(row, 11, line.reason.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

/// Coins as a number. A spreadsheet knows no other numbers than these; it is read of the decimal text, and no amount is
/// computed with.
fn amount(sheet: &mut Worksheet, row: u32, column: u16, milli: i64, money: &Format) -> Result<(), XlsxError> {
    let number: f64 = coins(milli).parse().unwrap_or(f64::NAN);
    sheet.write_number_with_format(row, column, number, money)?;
    Ok(())
}
