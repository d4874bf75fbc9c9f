//! The pages under `/docs`: the OpenAPI document, and at `/docs/sockets` what goes over the sockets.

mod sequence;
mod sockets;

use crate::html;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::Value;
use std::sync::Arc;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The pages and the OpenAPI document that they show. Without an AsyncAPI document there is no page of the sockets.
pub fn pages(openapi: Value, asyncapi: &Value) -> Router {
    // The page would send the document's address to a validator of somebody else's.
    let config = Config::default().validator_url("none");
    let swagger = SwaggerUi::new("/docs").external_url_unchecked("/v1/openapi.json", openapi).config(config);
    let pages = html::style().merge(swagger);
    if asyncapi.is_null() {
        return pages;
    }
    // It follows from the code, so it is made once.
    let page: Arc<str> = sockets::page(asyncapi).into();
    pages.route("/docs/sockets", get(async move || Html(page.to_string())))
}
