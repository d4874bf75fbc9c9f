//! The pages under `/docs`, which show the OpenAPI document.

use axum::Router;
use serde_json::Value;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The pages and the document that they show.
pub fn pages(document: Value) -> Router {
    // The page would send the document's address to a validator of somebody else's.
    let config = Config::default().validator_url("none");
    SwaggerUi::new("/docs").external_url_unchecked("/v1/openapi.json", document).config(config).into()
}
