//! The pages under `/problems`: what each code means, what to do, and whether to retry. A problem's `type` leads there.

mod catalogue;

pub use catalogue::{CATALOGUE, Entry, find};

use crate::error::{Error, title_of};
use crate::html::{document, marked_up};
use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use std::fmt::Write as _;

pub fn pages() -> Router {
    Router::new().route("/problems", get(async || Html(list()))).route("/problems/{code}", get(page))
}

async fn page(code: Result<Path<String>, PathRejection>) -> Response {
    match code.ok().and_then(|Path(code)| find(&code)) {
        Some(entry) => Html(page_of(entry)).into_response(),
        None => Error::NoSuchPath.into_response(),
    }
}

fn list() -> String {
    let mut rows = String::new();
    for entry in CATALOGUE {
        let Entry { code, status, meaning, .. } = entry;
        let meaning = marked_up(meaning);
        let _ = write!(
            rows,
            "<tr><td><a href=\"/problems/{code}\"><code>{code}</code></a></td><td>{status}</td><td>{meaning}</td></tr>"
        );
    }
    let table = format!("<table><tr><th>Code</th><th>Status</th><th>Meaning</th></tr>{rows}</table>");
    document(
        "Problems",
        &format!(
            "<p>Each error is a problem (RFC 9457) with one of these codes. A code never changes its meaning.</p>{table}"
        ),
    )
}

fn page_of(entry: &Entry) -> String {
    let parts = [
        ("Code", format!("<code>{}</code>, status {}", entry.code, entry.status)),
        ("What it means", marked_up(entry.meaning)),
        ("What to do", marked_up(entry.remedy)),
        ("Does it help to send it again?", marked_up(entry.retry())),
    ];
    let parts: String =
        parts.into_iter().map(|(term, text)| format!("<dt>{term}</dt><dd>{text}</dd>")).collect();
    document(&title_of(entry.code), &format!("<dl>{parts}</dl><p><a href=\"/problems\">All codes</a></p>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_sorted_and_says_everything_of_each_code() {
        assert!(CATALOGUE.is_sorted_by(|one, two| one.code < two.code));
        for entry in CATALOGUE {
            let Entry { code, status, meaning, remedy } = *entry;
            assert!((400..600).contains(&status), "{code}");
            for text in [meaning, remedy, entry.retry()] {
                assert!(text.ends_with('.') && text.matches('`').count() % 2 == 0, "{code}: {text}");
            }
            assert!(std::ptr::eq(find(code).expect("is found"), entry));
        }
        assert!(find("nonsense").is_none());
    }

    #[test]
    fn a_page_shows_figures_as_code() {
        let page = page_of(find("insufficient_funds").expect("a code"));
        for part in
            ["<h1>Insufficient funds</h1>", "status 409", "<code>spendable_milli</code>", "leaves no trace"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        let list = list();
        assert!(CATALOGUE.iter().all(|it| list.contains(&format!("\"/problems/{}\"", it.code))));
    }
}
