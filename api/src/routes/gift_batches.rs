//! Many gifts in one request, for servers.

use super::gifts::GiftSent;
use crate::Api;
use crate::allowance::Left;
use crate::error::{Error, Problem};
use crate::extract::{ClientAddress, Json, UserCaller};
use crate::page::COIN;
use axum::extract::State;
use axum::http::StatusCode;
use ledger_core::{CallId, ClientKey, GiftId, GiftSendingId, PersonId};
use ledger_runtime::Receipt;
use platform::commands::CommandError;
use platform::gifts::Sending;
use platform::problem::Problem as Refusal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// Gifts of one batch: what the ledger decides in one go, well within the longest body.
const MOST_GIFTS: usize = 100;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(send_gifts))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GiftBatch {
    /// 1 to 100 gifts, sent in this order.
    #[schema(min_items = 1, max_items = 100)]
    items: Vec<GiftOfBatch>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GiftOfBatch {
    gift: Uuid,
    host: Uuid,
    /// The running call of sender and host that it is sent in, if any.
    call: Option<Uuid>,
    /// The price that the sender was shown: another one is refused.
    price_seen_milli: i64,
    /// Idempotency key of this gift: 1 to 255 printable ASCII characters, at best a UUID of version 7. The key is the
    /// same whether the gift is sent in this batch, in another one or by itself.
    #[serde(deserialize_with = "read_key")]
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    key: ClientKey,
}

fn read_key<'de, D: Deserializer<'de>>(from: D) -> Result<ClientKey, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

#[derive(Serialize, ToSchema)]
struct GiftsSent {
    /// What became of each gift, in the order of the request.
    items: Vec<GiftOutcome>,
}

/// What became of a gift of a batch: `sent`, or the `problem` for which it was refused.
#[derive(Serialize, ToSchema)]
struct GiftOutcome {
    /// The status with which the gift would have been answered by itself.
    #[schema(example = 201)]
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<GiftSent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// Send several gifts at once
///
/// For servers that send many gifts: up to 100 in one request, recorded together. Each gift has an idempotency key of its
/// own, so the request needs no `Idempotency-Key` header. The answer is 200 and has one outcome for each gift, in the
/// same order: the receipt, or the problem for which this gift was refused. A refused gift does not keep the others from
/// being sent. After a lost answer, send the same batch again: gifts that were sent are answered with their first receipt
/// and `duplicate`, and are not charged again.
///
/// If one gift cannot be read, or there are more than 100, the whole request is refused and nothing is sent; `field` names
/// the gift by its index, such as `items[3].host`. A batch counts as one request for each gift against the limit of
/// requests a minute; if that is more than is left, the whole request is refused with 429 and nothing is sent.
#[utoipa::path(post, path = "/v1/gifts/batch", tag = "gifts", security(("bearer" = ["user"])),
    responses((status = 200, body = GiftsSent)))]
async fn send_gifts(
    State(api): State<Api>,
    user: UserCaller,
    address: ClientAddress,
    Json(GiftBatch { items }): Json<GiftBatch>,
) -> Result<(Left, Json<GiftsSent>), Error> {
    if items.is_empty() || items.len() > MOST_GIFTS {
        return Err(Error::field("items", format!("a batch has 1 to {MOST_GIFTS} gifts")));
    }
    // The request itself was counted when it came.
    let further = u32::try_from(items.len() - 1).unwrap_or(u32::MAX);
    let left = Left(api.count_requests(&address, further)?);
    let asked: Vec<(ClientKey, Sending)> = items.into_iter().map(GiftOfBatch::keyed).collect();
    let outcomes = api.app.gifts.send_together(user.person(), &asked).await?;
    let items = outcomes.into_iter().zip(asked).enumerate();
    let items = items.map(|(index, (outcome, (_, asked)))| GiftOutcome::of(index, outcome, &asked));
    Ok((left, Json(GiftsSent { items: items.collect() })))
}

impl GiftOfBatch {
    fn keyed(self) -> (ClientKey, Sending) {
        let GiftOfBatch { gift, host, call, price_seen_milli, key } = self;
        let (host, gift, call) = (PersonId(host), GiftId(gift), call.map(CallId));
        (key, Sending { host, gift, call, price_seen_milli })
    }
}

impl GiftOutcome {
    fn of(
        index: usize,
        outcome: Result<(GiftSendingId, Receipt), CommandError>,
        asked: &Sending,
    ) -> GiftOutcome {
        match outcome {
            Ok((sending, receipt)) => {
                let sent = GiftSent {
                    recorded: receipt.into(),
                    sending: sending.0,
                    asset: COIN,
                    price_milli: asked.price_seen_milli,
                };
                GiftOutcome { status: StatusCode::CREATED.as_u16(), sent: Some(sent), problem: None }
            }
            Err(fault) => {
                let refusal = Refusal::from(&fault);
                if refusal.status >= 500 {
                    tracing::error!(?fault, code = %refusal.code, "a gift of a batch failed");
                }
                let place = match &refusal.field {
                    Some(field) => format!("items[{index}].{field}"),
                    None => format!("items[{index}]"),
                };
                let problem = Problem::from(refusal.field(place));
                GiftOutcome { status: problem.status, sent: None, problem: Some(problem) }
            }
        }
    }
}
