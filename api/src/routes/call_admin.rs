//! Ending a call on behalf of the platform.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, Json, Path};
use crate::routes::calls::CallChanged;
use crate::routes::people::Why;
use axum::extract::State;
use ledger_core::CallId;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(stop_call))
}

/// End a call of others
///
/// Ends a running or paused call, and a ring before it is answered. What was charged stays charged; nothing more is
/// charged. Both sides are told with the reason `stopped`. Sending the request again answers the same.
#[utoipa::path(post, path = "/v1/admin/calls/{call}/end", tag = "admin: calls",
    security(("bearer" = ["admin"])), responses((status = 200, body = CallChanged)))]
async fn stop_call(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(call): Path<Uuid>,
    Json(asked): Json<Why>,
) -> Result<Json<CallChanged>, Error> {
    let author = asked.author(&admin)?;
    let receipt = api.app.calls.stop(admin.person()?, CallId(call), &author, api.now()).await?;
    Ok(Json(CallChanged::new(call, receipt)))
}
