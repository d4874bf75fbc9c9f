//! The gift catalogue, sending and receiving.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AnyCaller, HostCaller, IdempotencyKey, Json, Path, Query, UserCaller};
use crate::page::{COIN, Format, InCoins, Page, ReadQuery, WithOther, list_query};
use crate::receipt::{Answered, Recorded};
use axum::extract::State;
use ledger_core::{CallId, GiftId, PersonId};
use platform::gifts::{GiftCard, Sending};
use projections::{GiftRow, HostGiftTotals};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_gifts))
        .routes(routes!(send_gift))
        .routes(routes!(list_received_gifts))
        .routes(routes!(set_gift))
}

#[derive(Serialize, ToSchema)]
struct GiftView {
    gift: Uuid,
    name: String,
    image_url: String,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    price_milli: i64,
}

#[derive(Serialize, ToSchema)]
struct Gifts {
    items: Vec<GiftView>,
}

/// List gifts
///
/// Returns the gifts that can be sent, in the order in which they are shown.
#[utoipa::path(get, path = "/v1/gifts", tag = "gifts", security(("bearer" = [])), params(ReadQuery),
    responses((status = 200, body = Gifts)))]
async fn list_gifts(
    State(api): State<Api>,
    _: AnyCaller,
    Query(query): Query<ReadQuery>,
) -> Result<Json<Gifts>, Error> {
    api.reach(query.min_revision).await?;
    let prices = api.read.gift_prices().await?;
    let prices: HashMap<Uuid, i64> =
        prices.into_iter().filter_map(|row| Some((row.gift, row.price_milli?))).collect();
    let cards = api.app.gifts.list().await?.into_iter();
    let items = cards.filter_map(|card| {
        let price_milli = *prices.get(&card.id)?;
        Some(GiftView { gift: card.id, name: card.name, image_url: card.image_url, asset: COIN, price_milli })
    });
    Ok(Json(Gifts { items: items.collect() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SendGift {
    host: Uuid,
    /// The running call of sender and host that it is sent in, if any.
    call: Option<Uuid>,
    /// The price that the sender was shown: another one is refused.
    price_seen_milli: i64,
}

#[derive(Serialize, ToSchema)]
pub struct GiftSent {
    #[serde(flatten)]
    pub recorded: Recorded,
    /// The id of this sending.
    pub sending: Uuid,
    #[schema(example = "COIN/3")]
    pub asset: &'static str,
    pub price_milli: i64,
}

/// Send a gift to a host
///
/// The price is charged at once: bonus coins first, then bought ones. When the gift costs another amount by now than the
/// sender was shown, nothing is charged (`gift_price_changed`).
#[utoipa::path(post, path = "/v1/gifts/{gift}/send", tag = "gifts", security(("bearer" = ["user"])),
    params(("gift" = Uuid, Path), IdempotencyKey),
    responses((status = 201, body = GiftSent)))]
async fn send_gift(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(gift): Path<Uuid>,
    Json(asked): Json<SendGift>,
) -> Result<Answered<GiftSent>, Error> {
    let price_milli = asked.price_seen_milli;
    let asked = Sending {
        host: PersonId(asked.host),
        gift: GiftId(gift),
        call: asked.call.map(CallId),
        price_seen_milli: price_milli,
    };
    let (sending, receipt) = api.app.gifts.send(user.person(), key, asked).await?;
    let answer = GiftSent { recorded: receipt.into(), sending: sending.0, asset: COIN, price_milli };
    Ok(Answered::created(&receipt, answer))
}

list_query! { ReceivedGiftsQuery {} }

#[derive(Serialize, ToSchema)]
struct ReceivedGifts {
    /// All gifts that the host ever received.
    totals: InCoins<HostGiftTotals>,
    #[serde(flatten)]
    page: Page<WithOther<InCoins<GiftRow>>>,
}

/// List the gifts that you received
///
/// Returns the gifts that the caller received as a host, the newest first, with their totals.
#[utoipa::path(get, path = "/v1/gifts/received", tag = "gifts", security(("bearer" = ["host"])),
    params(ReceivedGiftsQuery), responses((status = 200, body = ReceivedGifts)))]
async fn list_received_gifts(
    State(api): State<Api>,
    host: HostCaller,
    Query(query): Query<ReceivedGiftsQuery>,
) -> Result<Json<ReceivedGifts>, Error> {
    let limit = query.ready(Format::Json, &api).await?;
    let person = host.person();
    let page = Page::from(api.read.gifts_received(person, query.cursor.as_deref(), limit).await?);
    let totals = api.read.gift_totals(person).await?.into();
    let page = page.map(InCoins::from).with_others(&api, |gift| Some(gift.row.sender)).await?;
    Ok(Json(ReceivedGifts { totals, page }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetGift {
    /// 1 to 60 characters.
    name: String,
    /// An https address or a path.
    image_url: String,
    /// Its place in the catalogue, the lowest first.
    position: i32,
    /// Thousandths of a coin; null to withdraw it from the catalogue.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    price_milli: Option<i64>,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Create or change a gift
///
/// Puts a gift into the catalogue, or changes it. Name, picture, place and price are set together; without a price the
/// gift is withdrawn from the catalogue. Of several admins at once the last one recorded has the last word on all of
/// it. Setting what is set already changes nothing.
#[utoipa::path(put, path = "/v1/admin/gifts/{gift}", tag = "admin: catalogue",
    security(("bearer" = ["admin"])), params(("gift" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn set_gift(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(gift): Path<Uuid>,
    Json(asked): Json<SetGift>,
) -> Result<Answered<Recorded>, Error> {
    let SetGift { name, image_url, position, price_milli, reason, note } = asked;
    let author = admin.because(reason.as_deref(), note.as_deref())?;
    let card = GiftCard::new(GiftId(gift), &name, &image_url, position)?;
    Ok(Answered::done(api.app.gifts.set(&author, key, &card, price_milli, api.now()).await?))
}
