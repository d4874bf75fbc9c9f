//! Lists as spreadsheets read them: a line for each row and a column for each field.

use crate::error::Error;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// The cursor of the next page, which has no place in a table.
pub const NEXT_CURSOR: HeaderName = HeaderName::from_static("next-cursor");

/// The schemas of all answers, with the fields in the order of their types.
static SCHEMAS: LazyLock<BTreeMap<String, RefOr<Schema>>> = LazyLock::new(|| {
    crate::routes::all().into_openapi().components.unwrap_or_default().schemas.into_iter().collect()
});

/// The rows under the names of their fields. What is no number, text or truth value stands as JSON.
pub fn answer<T: Serialize + ToSchema>(rows: &[T], next_cursor: Option<&str>) -> Response {
    let mut columns = Vec::new();
    collect(&T::schema(), &mut columns);
    let Ok(bytes) = write(&columns, rows) else { return Error::Panicked.into_response() };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    if let Some(Ok(cursor)) = next_cursor.map(HeaderValue::from_str) {
        headers.insert(NEXT_CURSOR, cursor);
    }
    response
}

/// The fields of a row as its type declares them, those of rows within it among them.
fn collect(schema: &RefOr<Schema>, columns: &mut Vec<String>) {
    match schema {
        RefOr::Ref(target) => {
            let named = target.ref_location.rsplit('/').next().and_then(|name| SCHEMAS.get(name));
            named.into_iter().for_each(|it| collect(it, columns));
        }
        RefOr::T(Schema::Object(object)) => columns.extend(object.properties.keys().cloned()),
        RefOr::T(Schema::AllOf(all)) => all.items.iter().for_each(|it| collect(it, columns)),
        RefOr::T(_) => {}
    }
}

fn write<T: Serialize>(columns: &[String], rows: &[T]) -> Result<Vec<u8>, csv::Error> {
    let mut table = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    table.write_record(columns)?;
    for row in rows {
        let row = serde_json::to_value(row).map_err(std::io::Error::from)?;
        table.write_record(columns.iter().map(|column| cell(&row[column.as_str()]).into_owned()))?;
    }
    Ok(table.into_inner().map_err(|fault| fault.into_error())?)
}

fn cell(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        // A spreadsheet would run a text that begins so as a formula, and people choose their names.
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
            format!("'{text}").into()
        }
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::InCoins;
    use serde_json::json;
    use utoipa::PartialSchema;

    #[test]
    fn a_table_has_a_line_of_names_and_one_for_each_row() {
        let columns = ["name", "amount_milli", "at", "proposal"].map(str::to_owned);
        let rows = [
            json!({ "name": "Ann", "amount_milli": -5, "at": null, "proposal": { "kind": "bonus" } }),
            json!({ "name": "a, \"b\"\nc", "amount_milli": 1, "at": "2026-01-01T00:00:00.000Z", "proposal": [] }),
            json!({ "name": "=SUM(A1)", "amount_milli": 2, "at": null, "proposal": true }),
        ];
        let table = write(&columns, &rows).expect("it can be written");
        let lines = [
            "name,amount_milli,at,proposal",
            "Ann,-5,,\"{\"\"kind\"\":\"\"bonus\"\"}\"",
            "\"a, \"\"b\"\"\nc\",1,2026-01-01T00:00:00.000Z,[]",
            "'=SUM(A1),2,,true",
        ];
        assert_eq!(String::from_utf8(table).expect("text"), format!("{}\r\n", lines.join("\r\n")));
    }

    #[test]
    fn columns_stand_in_the_order_of_their_type() {
        let mut columns = Vec::new();
        collect(&InCoins::<projections::WithdrawalRow>::schema(), &mut columns);
        assert_eq!(columns[..3], ["withdrawal", "requested_revision", "person"]);
        assert_eq!(columns.last().map(String::as_str), Some("asset"));
    }
}
