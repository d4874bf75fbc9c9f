//! The statement of a settlement as a file: for a program, a spreadsheet, or paper.

mod pdf;
mod xlsx;

use crate::Api;
use crate::csv;
use crate::error::Error;
use crate::page::COIN;
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use axum::http::{HeaderValue, request::Parts};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use ledger_core::event::Earner;
use ledger_core::settlements::Totals;
use ledger_core::{AgencyId, Asset, PersonId};
use platform::identity;
use platform::page::ListError;
use projections::{PAGE_LIMIT, SettlementItem, SettlementRow};
use std::convert::Infallible;
use uuid::Uuid;

/// A file has so many lines at the most; all of them are listed under `/items`.
pub const MOST_LINES: usize = 50_000;

/// The forms of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementFormat {
    Json,
    Csv,
    Xlsx,
    Pdf,
}

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const PDF: &str = "application/pdf";

/// What the files of a statement are called in a request's `Accept`.
pub const FILES: [&str; 3] = ["text/csv", XLSX, PDF];

impl StatementFormat {
    fn accepted(accept: &str) -> StatementFormat {
        let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let mut known = kinds.filter_map(|kind| match kind {
            "text/csv" => Some(StatementFormat::Csv),
            XLSX => Some(StatementFormat::Xlsx),
            PDF => Some(StatementFormat::Pdf),
            "application/json" | "application/*" | "*/*" => Some(StatementFormat::Json),
            _ => None,
        });
        known.next().unwrap_or(StatementFormat::Json)
    }
}

impl<S: Sync> axum::extract::FromRequestParts<S> for StatementFormat {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<StatementFormat, Infallible> {
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        Ok(accept.map_or(StatementFormat::Json, StatementFormat::accepted))
    }
}

/// What a statement says, closed or not.
#[derive(Clone, Debug)]
pub struct Heading {
    pub of: Earner,
    /// None while it is a draft.
    pub settlement: Option<(Uuid, i64)>,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub first_revision: i64,
    pub end_revision: i64,
    pub totals: Totals,
}

impl Heading {
    pub fn of(it: &SettlementRow) -> Option<Heading> {
        let row = &it.row;
        let host = row.host.map(|host| Earner::Host(PersonId(host)));
        let totals = Totals {
            items: u64::try_from(row.items).unwrap_or(0),
            gross_milli: row.gross_milli,
            platform_milli: row.platform_milli,
            earned_milli: row.earned_milli,
            adjusted_milli: row.adjusted_milli,
        };
        Some(Heading {
            of: host.or(row.agency.map(|agency| Earner::Agency(AgencyId(agency))))?,
            settlement: Some((row.settlement, row.version)),
            from: row.starts_at,
            to: row.ends_at,
            first_revision: row.first_revision,
            end_revision: row.end_revision,
            totals,
        })
    }

    /// What stands above the lines: a name and a value each.
    fn facts(&self, earner: &str) -> Vec<(&'static str, String)> {
        let version = match self.settlement {
            Some((id, version)) => vec![("Settlement", id.to_string()), ("Version", version.to_string())],
            None => vec![("Settlement", "draft, not closed".to_owned())],
        };
        let (kind, id) = match self.of {
            Earner::Host(host) => ("Host", host.to_string()),
            Earner::Agency(agency) => ("Agency", agency.to_string()),
        };
        let moment = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let who = [(kind, id), ("Name", earner.to_owned())];
        let period = [("From", moment(self.from)), ("To (not included)", moment(self.to))];
        version.into_iter().chain(who).chain(period).collect()
    }

    /// The totals: a name and an amount each.
    fn sums(&self) -> [(&'static str, i64); 6] {
        let others = match self.of {
            Earner::Host(_) => "Agency's share",
            Earner::Agency(_) => "Hosts' share",
        };
        [
            ("Charged, less what was given back", self.totals.gross_milli),
            ("Platform's share", self.totals.platform_milli),
            (others, self.totals.others_milli()),
            ("Own share", self.totals.earned_milli),
            ("Adjustments and corrections", self.totals.adjusted_milli),
            ("Net", self.totals.net_milli()),
        ]
    }
}

/// Thousandths of a coin as people read them.
fn coins(milli: i64) -> String {
    let text = Asset::COIN.format(milli);
    text.split_once(' ').map_or(text.clone(), |(number, _)| number.to_owned())
}

/// A statement with its lines, of which some may be left out.
struct Statement {
    heading: Heading,
    earner: String,
    lines: Vec<SettlementItem>,
    left_out: bool,
}

/// The statement as a file.
pub async fn file(api: &Api, heading: Heading, form: StatementFormat) -> Result<Response, Error> {
    let statement = read(api, heading).await?;
    let name = match statement.heading.settlement {
        Some((id, _)) => format!("settlement-{id}"),
        None => "settlement-draft".to_owned(),
    };
    let (mut response, ending) = match form {
        StatementFormat::Json | StatementFormat::Csv => (csv::answer(&statement.with_total(), None), "csv"),
        StatementFormat::Xlsx => (bytes(XLSX, made(statement, xlsx::write).await?), "xlsx"),
        StatementFormat::Pdf => (bytes(PDF, made(statement, |it| Some(pdf::write(it))).await?), "pdf"),
    };
    let headers = response.headers_mut();
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{ending}\"")) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    headers.append(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

fn bytes(kind: &'static str, body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
}

/// Makes a file beside the tasks that answer others: thousands of lines take a while.
async fn made(statement: Statement, write: fn(&Statement) -> Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
    let file = tokio::task::spawn_blocking(move || write(&statement)).await;
    file.ok().flatten().ok_or(Error::Panicked)
}

async fn read(api: &Api, heading: Heading) -> Result<Statement, Error> {
    let range = (heading.first_revision, heading.end_revision);
    let (mut lines, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = api.read.settlement_items(heading.of, range, cursor.as_deref(), PAGE_LIMIT).await?;
        lines.extend(page.items);
        cursor = page.next;
        if cursor.is_none() || lines.len() >= MOST_LINES {
            break;
        }
    }
    let left_out = cursor.is_some();
    if let Some((id, _)) = heading.settlement {
        lines.extend(api.read.settlement_corrections(ledger_core::SettlementId(id)).await?);
    }
    let earner = match heading.of {
        Earner::Host(host) => {
            let cards = identity::cards(&api.app.pool, &[host.0]).await.map_err(ListError::from)?;
            cards.get(&host.0).and_then(|card| card.name.clone()).unwrap_or_default()
        }
        Earner::Agency(agency) => {
            let agency = api.app.agencies.get(agency).await?;
            format!("{} ({})", agency.name, agency.code)
        }
    };
    Ok(Statement { heading, earner, lines, left_out })
}

impl Statement {
    /// The lines, and one that has the totals.
    fn with_total(&self) -> Vec<SettlementItem> {
        let (of, totals) = (self.heading.of, self.heading.totals);
        let total = SettlementItem {
            revision: self.heading.end_revision,
            recorded_at: self.heading.to,
            kind: "total".to_owned(),
            source_id: self.heading.settlement.map(|(id, _)| id),
            payer: None,
            host: if let Earner::Host(host) = of { Some(host.0) } else { None },
            agency: if let Earner::Agency(agency) = of { Some(agency.0) } else { None },
            gross_milli: totals.gross_milli,
            platform_milli: totals.platform_milli,
            others_milli: totals.others_milli(),
            net_milli: totals.net_milli(),
            reason: None,
        };
        self.lines.iter().cloned().chain([total]).collect()
    }
}

/// The asset of all amounts.
const ASSET: &str = COIN;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_a_client_accepts_is_taken() {
        for (accept, form) in [
            ("text/csv", StatementFormat::Csv),
            (XLSX, StatementFormat::Xlsx),
            ("application/pdf, application/json", StatementFormat::Pdf),
            ("text/html, application/json;q=0.9", StatementFormat::Json),
            ("image/png", StatementFormat::Json),
        ] {
            assert_eq!(StatementFormat::accepted(accept), form, "{accept}");
        }
    }

    fn statement() -> Statement {
        let at = DateTime::from_timestamp_millis(1_700_000_000_123).expect("a time");
        let heading = Heading {
            of: Earner::Agency(AgencyId(Uuid::from_u128(7))),
            settlement: Some((Uuid::from_u128(8), 2)),
            from: at,
            to: at,
            first_revision: 0,
            end_revision: 9,
            totals: Totals {
                items: 120,
                gross_milli: 11_666,
                platform_milli: 3_499,
                earned_milli: 2_334,
                adjusted_milli: -500,
            },
        };
        let line = |number: i64| SettlementItem {
            revision: number,
            recorded_at: at,
            kind: "gift".to_owned(),
            source_id: Some(Uuid::from_u128(9)),
            payer: Some(Uuid::from_u128(1)),
            host: Some(Uuid::from_u128(2)),
            agency: Some(Uuid::from_u128(7)),
            gross_milli: 97,
            platform_milli: 29,
            others_milli: 49,
            net_milli: 19,
            reason: None,
        };
        let earner = "Sitārā (Night \u{1F319}".to_owned();
        Statement { heading, earner, lines: (0..120).map(line).collect(), left_out: true }
    }

    #[test]
    fn a_pdf_has_all_lines_on_as_many_pages_as_it_takes() {
        let bytes = pdf::write(&statement());
        assert!(bytes.starts_with(b"%PDF-1."));
        let text = String::from_utf8_lossy(&bytes);
        for part in ["1.834", "11.666", "-0.500", "00000000-0000-0000-0000-000000000008", "/items"] {
            assert!(text.contains(part), "{part}");
        }
        assert_eq!(text.matches("0.097").count(), 120);
        // A parenthesis would end a text of a PDF, and its own fonts know no other letters than western ones.
        assert!(text.contains("Sit?r? \\(Night ?"), "{}", &text[..2_000]);
        assert!(text.matches("/Type /Page\n").count() >= 3, "{}", text.matches("/Type /Page\n").count());
        assert_eq!(bytes, pdf::write(&statement()), "the same statement is the same file");
    }

    #[test]
    fn the_same_statement_is_the_same_spreadsheet() {
        let bytes = xlsx::write(&statement()).expect("it can be written");
        assert!(bytes.starts_with(b"PK"));
        assert_eq!(Some(bytes), xlsx::write(&statement()));
    }

    #[test]
    fn lines_and_total_agree_in_a_table() {
        let rows = statement().with_total();
        assert_eq!((rows.len(), rows[120].kind.as_str(), rows[120].net_milli), (121, "total", 1_834));
    }
}
