//! Lists: pages, cursors, and waiting for what was just written.

use crate::Api;
use crate::error::Error;
use crate::words::PersonCardView;
use chrono::Datelike;
use platform::identity::{self, PersonCard};
use platform::page::{ListError, Place};
use projections::{Cursor, QueryError};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub const DEFAULT_LIMIT: u32 = 20;
pub const MAX_LIMIT: u32 = 100;

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
            async fn ready(&self, api: &$crate::Api) -> Result<u32, $crate::error::Error> {
                let limit = $crate::page::limit(self.limit)?;
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
    use chrono::{DateTime, NaiveDate};
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
