//! A payment that its payer's bank takes back, as a story.

use super::books;
use super::client::{Client, Socket, number, text};
use super::report::{Report, coins};
use super::stage::{Stage, key};
use anyhow::Context;
use serde_json::{Value, json};

/// Twelve coins for twelve rupees, two of them as a bonus.
const BOUGHT_MILLI: i64 = 10_000;
const BONUS_MILLI: i64 = 2_000;
const ALL_MILLI: i64 = BOUGHT_MILLI + BONUS_MILLI;
const PAID_MINOR: i64 = 1_200;
const GIFT_MILLI: i64 = 5_000;
/// What the gift leaves of the first purchase.
const UNSPENT_MILLI: i64 = ALL_MILLI - GIFT_MILLI;

struct Cast<'a> {
    stage: &'a Stage,
    user: Client,
    socket: Socket,
    host_id: String,
    plan: String,
    gift: String,
}

/// # Errors
/// When the server refuses a step that should succeed.
pub async fn tell(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    report.intro(
        "Ravi buys coins, spends some, and has his bank take the payment back. Nothing is lost from the books: what he did\n\
         not spend is taken back, what he spent he owes, and his next purchase pays for it. Each line with \"ok\" compares a\n\
         figure of the server's with the story's own arithmetic.",
    );
    let mut cast = arrive(stage, report).await?;
    let told = play(&mut cast, report).await;
    // What was for sale was the story's.
    let withdrawn = cast.offer(false).await.and(cast.price(None).await);
    told.and(withdrawn.context("the story's plan and gift are still on offer"))
}

async fn play(cast: &mut Cast<'_>, report: &mut Report) -> anyhow::Result<()> {
    report.chapter("1. Ravi buys and spends");
    let first = cast.buy().await?;
    let wallet = cast.wallet_where("spendable_milli", ALL_MILLI).await?;
    report.coins("coins that can be spent", ALL_MILLI, number(&wallet, "spendable_milli")?);
    let gift =
        json!({ "host": cast.host_id, "gift": cast.gift, "price_seen_milli": GIFT_MILLI, "key": key() });
    cast.socket.request("gift:send", gift).await?;
    report.step(format!("He sends a gift for {}: the bonus goes first.", coins(GIFT_MILLI)));
    cast.wallet_where("spendable_milli", UNSPENT_MILLI).await?;

    report.chapter("2. His bank disputes the payment");
    cast.bank(&first, "created").await?;
    let wallet = cast.wallet_where("frozen_milli", UNSPENT_MILLI).await?;
    report.step("Razorpay tells of it (payment.dispute.created): what is unspent of the payment is frozen.");
    report.coins("frozen", UNSPENT_MILLI, number(&wallet, "frozen_milli")?);
    report.coins("left to spend", 0, number(&wallet, "spendable_milli")?);

    report.chapter("3. The dispute is lost");
    cast.bank(&first, "lost").await?;
    let wallet = cast.wallet_where("owed_milli", GIFT_MILLI).await?;
    report.step("Razorpay takes the 12 rupees. The frozen coins are taken back; for those that he spent he owes as many.");
    report.coins("frozen", 0, number(&wallet, "frozen_milli")?);
    report.coins("owed", GIFT_MILLI, number(&wallet, "owed_milli")?);
    let gift =
        json!({ "host": cast.host_id, "gift": cast.gift, "price_seen_milli": GIFT_MILLI, "key": key() });
    let refused = cast.socket.request("gift:send", gift).await.err().map(|fault| fault.to_string());
    let refused = refused.is_some_and(|fault| fault.contains("receivable_open"));
    report.figure("another gift is refused (receivable_open)", "true".to_owned(), refused.to_string());

    report.chapter("4. He buys again");
    cast.buy().await?;
    let wallet = cast.wallet_where("owed_milli", 0).await?;
    report.step("The purchase pays what he owes, in the same unit of the journal.");
    report.coins("left of 12 coins", ALL_MILLI - GIFT_MILLI, number(&wallet, "spendable_milli")?);

    report.chapter("5. The bank decides anew");
    let dispute = cast.bank(&first, "won").await?;
    let back = ALL_MILLI - GIFT_MILLI + ALL_MILLI;
    let wallet = cast.wallet_where("spendable_milli", back).await?;
    report.step("The 12 rupees are back, and so is all that was taken for them, what he has paid since too.");
    report.coins("coins that can be spent", back, number(&wallet, "spendable_milli")?);

    report.chapter("6. The books");
    let revision = number(&cast.user.get("/v1/wallet").await?, "as_of_revision")?;
    let row = cast.stage.admin.get(&format!("/v1/admin/disputes/{dispute}?min_revision={revision}")).await?;
    report.figure("its status", "won".to_owned(), text(&row, "status")?);
    let deferred =
        cast.stage.admin.get(&format!("/v1/admin/deferred-revenue?min_revision={revision}")).await?;
    for row in deferred["items"].as_array().into_iter().flatten() {
        let asset = row["asset"].as_str().unwrap_or_default();
        let difference = number(row, "difference_minor")?;
        report.figure(
            &format!("deferred and recognised revenue are what the accounts hold in {asset}"),
            "0".to_owned(),
            difference.to_string(),
        );
    }
    books::verify(&cast.stage.config, "7. The proof", revision, report).await
}

async fn arrive<'a>(stage: &'a Stage, report: &mut Report) -> anyhow::Result<Cast<'a>> {
    let (user, _) = stage.newcomer().await?;
    let (_, host_id) = stage.new_host("Meera").await?;
    let [plan, gift] = [(); 2].map(|()| platform::entropy::uuid_v7().to_string());
    let socket = user.connect().await?;
    let cast = Cast { stage, user, socket, host_id, plan, gift };
    cast.offer(true).await?;
    cast.price(Some(GIFT_MILLI)).await?;
    report.step("Ravi is a user, Meera a host. Twelve coins cost twelve rupees; two of them are a bonus.");
    Ok(cast)
}

impl Cast<'_> {
    async fn offer(&self, active: bool) -> anyhow::Result<()> {
        let plan = json!({
            "coins_milli": BOUGHT_MILLI, "bonus_milli": BONUS_MILLI, "price_minor": PAID_MINOR, "price_asset": "INR/2",
            "active": active,
        });
        self.stage.admin.put(&format!("/v1/admin/coin-plans/{}", self.plan), plan).await.map(drop)
    }

    async fn price(&self, price_milli: Option<i64>) -> anyhow::Result<()> {
        let card = json!({ "name": "Lotus", "image_url": "/gifts/lotus.webp", "position": 101, "price_milli": price_milli });
        self.stage.admin.put(&format!("/v1/admin/gifts/{}", self.gift), card).await.map(drop)
    }

    /// Buys the plan; answers the gateway's name of the payment.
    async fn buy(&self) -> anyhow::Result<String> {
        let checkout = self.user.post("/v1/purchases", json!({ "plan": self.plan })).await?;
        let order = text(&checkout, "order_id")?;
        let paid = self.user.post("/dev/razorpay/pay", json!({ "order_id": order })).await?;
        text(&paid, "payment_id")
    }

    /// The bank tells of the dispute of a payment; answers the gateway's name of the dispute.
    async fn bank(&self, payment: &str, stage: &str) -> anyhow::Result<String> {
        let news = json!({ "payment_id": payment, "stage": stage });
        text(&self.user.post("/dev/razorpay/dispute", news).await?, "dispute_id")
    }

    /// Waits until the wallet has this value in a field.
    async fn wallet_where(&mut self, field: &str, value: i64) -> anyhow::Result<Value> {
        loop {
            let wallet = self
                .socket
                .push("wallet:updated")
                .await
                .with_context(|| format!("{field} did not become {value}"))?;
            if number(&wallet, field)? == value {
                return Ok(wallet);
            }
        }
    }
}
