//! Lists: pages, cursors, and waiting for what was just written.

use crate::Api;
use crate::csv;
use crate::error::Error;
use crate::extract::Json;
use crate::words::PersonCardView;
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderValue, request::Parts};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Datelike, Utc};
use ledger_core::{Amounts, Period, Timestamp};
use platform::identity::{self, PersonCard};
use platform::page::{ListError, Place};
use projections::{Cursor, QueryError};
use serde::Serialize;
use std::convert::Infallible;
use utoipa::ToSchema;
use uuid::Uuid;

pub const DEFAULT_LIMIT: u32 = 20;
pub const MAX_LIMIT: u32 = 100;
/// What fits into a spreadsheet's file at once.
pub const MAX_CSV_LIMIT: u32 = 10_000;

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass this as `cursor` to get the next page. Null on the last page.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(each).collect(), next_cursor: self.next_cursor }
    }
}

impl<T> From<projections::Page<T>> for Page<T> {
    fn from(page: projections::Page<T>) -> Page<T> {
        Page { items: page.items, next_cursor: page.next }
    }
}

/// A page in the form that the client asked for.
pub struct Listed<T> {
    page: Page<T>,
    format: Format,
}

impl<T: Serialize + ToSchema> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let mut response = match self.format {
            Format::Json => Json(self.page).into_response(),
            Format::Csv => csv::answer(&self.page.items, self.page.next_cursor.as_deref()),
        };
        response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        response
    }
}

/// The form of a list: pages of JSON, or a table for a spreadsheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
}

impl Format {
    /// How many rows a page has. A table may have more of them, and has when nobody says.
    pub fn limit(self, asked: Option<u32>) -> Result<u32, Error> {
        match (self, asked) {
            (Format::Json, asked) => limit(asked),
            (Format::Csv, None) => Ok(MAX_CSV_LIMIT),
            (Format::Csv, Some(limit @ 1..=MAX_CSV_LIMIT)) => Ok(limit),
            (Format::Csv, Some(_)) => Err(Error::field("limit", "must be from 1 to 10000")),
        }
    }

    pub fn of<T>(self, page: Page<T>) -> Listed<T> {
        Listed { page, format: self }
    }

    fn accepted(accept: &str) -> Format {
        let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
        kinds
            .filter_map(|kind| match kind {
                "text/csv" => Some(Format::Csv),
                "application/json" | "application/*" | "*/*" => Some(Format::Json),
                _ => None,
            })
            .next()
            .unwrap_or(Format::Json)
    }
}

impl<S: Sync> FromRequestParts<S> for Format {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Format, Infallible> {
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        Ok(accept.map_or(Format::Json, Format::accepted))
    }
}

/// A list of the platform, under the name that its cursors carry.
pub struct List(pub &'static str);

impl List {
    /// The page as clients see it.
    pub fn page<T>(&self, page: platform::page::Page<T>) -> Page<T> {
        let next_cursor = page.next.map(|place| Cursor::write(self.0, &place.key()));
        Page { items: page.items, next_cursor }
    }

    /// Where the page begins that is asked for; `None` for the first one.
    pub fn place(&self, cursor: Option<&str>) -> Result<Option<Place>, Error> {
        let read = |cursor| Cursor::read(self.0, cursor).ok().and_then(Place::of_key);
        let place = |cursor| read(cursor).ok_or(QueryError::BadCursor);
        Ok(cursor.map(place).transpose()?)
    }
}

/// An amount's asset beside a row that counts in coins alone.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InCoins<T> {
    /// What every `..._milli` counts: thousandths of a coin.
    #[schema(example = "COIN/3")]
    pub asset: &'static str,
    #[serde(flatten)]
    pub row: T,
}

/// A row with the card of the person on the other side.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WithOther<T> {
    /// The person on the other side; null where there is none.
    #[schema(value_type = Option<PersonCardView>)]
    pub other: Option<PersonCard>,
    #[serde(flatten)]
    pub row: T,
}

impl<T> Page<T> {
    /// The page with the card of the person that each row names.
    pub async fn with_others(
        self,
        api: &Api,
        other: impl Fn(&T) -> Option<Uuid>,
    ) -> Result<Page<WithOther<T>>, Error> {
        let people: Vec<Uuid> = self.items.iter().filter_map(&other).collect();
        let cards = identity::cards(&api.app.pool, &people).await.map_err(ListError::from)?;
        Ok(self.map(|row| {
            let person = other(&row);
            let other = person.map(|id| cards.get(&id).cloned().unwrap_or_else(|| PersonCard::blank(id)));
            WithOther { other, row }
        }))
    }
}

pub const COIN: &str = "COIN/3";

impl<T> From<T> for InCoins<T> {
    fn from(row: T) -> InCoins<T> {
        InCoins { asset: COIN, row }
    }
}

/// How many rows a page has.
pub fn limit(asked: Option<u32>) -> Result<u32, Error> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(Error::field("limit", "must be from 1 to 100")),
    }
}

/// A moment or a day of a year that everybody can write: others fit our type but not Postgres'.
pub fn common_era<T: Datelike>(field: &'static str, day: T) -> Result<T, Error> {
    match day.year() {
        1..=9_999 => Ok(day),
        _ => Err(Error::field(field, "must lie in the years 1 to 9999")),
    }
}

/// A moment that may be absent, as the ledger has it.
pub fn moment(field: &'static str, at: Option<DateTime<Utc>>) -> Result<Option<Timestamp>, Error> {
    Ok(at.map(|at| common_era(field, at)).transpose()?.map(Timestamp::from))
}

/// The time of a list: from one moment on, and before another.
pub fn period(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Result<Period, Error> {
    let from = from.map(|at| common_era("from", at)).transpose()?;
    let to = to.map(|at| common_era("to", at)).transpose()?;
    match (from, to) {
        (Some(from), Some(to)) if to < from => Err(Error::field("to", "must not lie before `from`")),
        _ => Ok(Period { from, to }),
    }
}

/// The amounts of a list, both ends included.
pub fn amounts(min: Option<i64>, max: Option<i64>) -> Result<Amounts, Error> {
    match (min, max) {
        (Some(min), Some(max)) if max < min => {
            Err(Error::field("max_amount_minor", "must not be less than `min_amount_minor`"))
        }
        _ => Ok(Amounts { min, max }),
    }
}

/// A word of a filter: one that no row has would find nothing, and nobody would see why.
pub fn one_of(field: &'static str, word: Option<&str>, words: &[&str]) -> Result<(), Error> {
    match word {
        Some(word) if !words.contains(&word) => {
            Err(Error::field(field, format!("must be one of {}", words.join(", "))))
        }
        _ => Ok(()),
    }
}

/// The query of a route that answers with one thing or a short list.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReadQuery {
    /// Wait until the read models include this revision, for example that of a receipt.
    pub min_revision: Option<u64>,
}

/// Declares the query of a list: its own filters beside what every list has.
macro_rules! list_query {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, serde::Deserialize, utoipa::IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* #[serde(default)] pub $field: $kind,)*
            /// The `next_cursor` of the previous page.
            pub cursor: Option<String>,
            /// How many items to return, from 1 to 100. The default is 20.
            #[param(minimum = 1, maximum = 100)]
            pub limit: Option<u32>,
            /// Wait until the read models include this revision, for example that of a receipt.
            pub min_revision: Option<u64>,
        }

        impl $name {
            /// The size of the page, once the read models have come as far as was asked.
            async fn ready(
                &self,
                format: $crate::page::Format,
                api: &$crate::Api,
            ) -> Result<u32, $crate::error::Error> {
                let limit = format.limit(self.limit)?;
                api.reach(self.min_revision).await?;
                Ok(limit)
            }
        }
    };
}
pub(crate) use list_query;

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;
    use uuid::Uuid;

    #[test]
    fn a_page_has_one_to_a_hundred_rows_and_twenty_when_nobody_says() {
        for (asked, rows) in
            [(None, Some(20)), (Some(1), Some(1)), (Some(100), Some(100)), (Some(0), None), (Some(101), None)]
        {
            assert_eq!(limit(asked).ok(), rows, "{asked:?}");
        }
    }

    #[test]
    fn a_table_has_as_many_rows_as_fit_into_a_file() {
        for (asked, rows) in [
            (None, Some(10_000)),
            (Some(1), Some(1)),
            (Some(10_000), Some(10_000)),
            (Some(0), None),
            (Some(10_001), None),
        ] {
            assert_eq!(Format::Csv.limit(asked).ok(), rows, "{asked:?}");
        }
    }

    #[test]
    fn the_first_form_that_a_client_accepts_is_taken() {
        for (accept, format) in [
            ("text/csv", Format::Csv),
            ("text/html, text/csv;q=0.9, */*;q=0.1", Format::Csv),
            ("application/json, text/csv", Format::Json),
            ("*/*", Format::Json),
            ("image/png", Format::Json),
            ("", Format::Json),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn what_ends_before_it_begins_is_refused() {
        let at = |second| Some(DateTime::from_timestamp(second, 0).expect("a time"));
        for (from, to, fits) in
            [(None, None, true), (at(1), at(1), true), (at(1), at(2), true), (at(2), at(1), false)]
        {
            assert_eq!(period(from, to).is_ok(), fits, "{from:?} {to:?}");
        }
        for (min, max, fits) in [
            (None, None, true),
            (Some(-1), Some(-1), true),
            (Some(0), Some(-1), false),
            (Some(5), None, true),
        ] {
            assert_eq!(amounts(min, max).is_ok(), fits, "{min:?} {max:?}");
        }
    }

    #[test]
    fn a_cursor_leads_to_its_place_in_its_own_list_and_nothing_else_is_one() {
        let (list, other) = (List("hosts"), List("audit"));
        let at = DateTime::from_timestamp_micros(1_767_225_600_123_456).expect("a time");
        let place = Place { at, id: Uuid::from_u128(7) };
        let cursor = |list: &List, place| {
            list.page(platform::page::Page { items: vec![1], next: Some(place) })
                .next_cursor
                .expect("a cursor")
        };
        assert_eq!(list.place(Some(&cursor(&list, place))).ok(), Some(Some(place)));
        assert_eq!(list.place(None).ok(), Some(None));
        let never = Cursor::write("hosts", &(-1_i64, Uuid::nil()));
        for bad in ["", "-", "1-x", &"f".repeat(48), &never, &cursor(&other, place)] {
            assert!(list.place(Some(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn years_that_a_database_cannot_hold_are_refused() {
        for (text, fits) in
            [("2026-11-20", true), ("9999-12-31", true), ("+10000-01-01", false), ("-0001-01-01", false)]
        {
            let day: NaiveDate = text.parse().expect("a day");
            assert_eq!(common_era("from", day).is_ok(), fits, "{text}");
        }
    }
}
