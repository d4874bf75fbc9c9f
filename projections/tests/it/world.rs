//! A journal, written by real commands.

use event_store::{EventStore, MemoryStore, NewEvent};
use ledger_core::command::*;
use ledger_core::disputes::DisputeNews;
use ledger_core::event::*;
use ledger_core::purchases::Resolution;
use ledger_core::*;
use projections::{Journal, Projector, ReadModels};
use sqlx::PgPool;
use std::sync::Arc;
use uuid::Uuid;

pub const USER: PersonId = PersonId(Uuid::from_u128(0xa1));
pub const HOST: PersonId = PersonId(Uuid::from_u128(0xa2));
pub const OTHER_HOST: PersonId = PersonId(Uuid::from_u128(0xa3));
pub const COLLECTOR: PersonId = PersonId(Uuid::from_u128(0xa5));
pub const ADMIN: PersonId = PersonId(Uuid::from_u128(0xa4));
pub const DISPUTER: PersonId = PersonId(Uuid::from_u128(0xa6));
pub const ORDERER: PersonId = PersonId(Uuid::from_u128(0xa7));
pub const AGENCY: AgencyId = AgencyId(Uuid::from_u128(0xb1));
pub const OTHER_AGENCY: AgencyId = AgencyId(Uuid::from_u128(0xb2));
pub const PLAN: PlanId = PlanId(Uuid::from_u128(0xc1));
pub const ROSE: GiftId = GiftId(Uuid::from_u128(0xd1));
pub const CAR: GiftId = GiftId(Uuid::from_u128(0xd2));

/// Ten seconds before midnight in UTC: revenue falls on two days.
const BEGINNING: Timestamp = Timestamp(1_772_409_590_000);

pub struct World {
    pub state: State,
    pub store: MemoryStore,
    pub at: Timestamp,
    commands: u64,
    events: u128,
}

impl World {
    pub async fn new(journal: u128) -> World {
        let (state, store) = (State::new(), MemoryStore::new());
        let mut world = World { state, store, at: BEGINNING, commands: 0, events: 0 };
        let journal = JournalId(Uuid::from_u128(journal));
        world.give(Command::from(OpenJournal { journal, assets: vec![Asset::COIN, Asset::INR] })).await;
        world
    }

    pub fn journal(&self) -> Journal {
        Arc::new(self.store.clone())
    }

    pub fn last(&self) -> u64 {
        self.state.revision().expect("a world begins with its journal")
    }

    pub fn pass(&mut self, seconds: u32) {
        self.at = self.at.plus_seconds(seconds);
    }

    /// Gives a command that has to be accepted, and answers what it led to.
    pub async fn give(&mut self, command: Command) -> Vec<Event> {
        self.commands += 1;
        let envelope = Envelope {
            actor: Actor::Person(ADMIN),
            key: Key::Natural(self.commands.to_string()),
            command,
            policy: Policy::default(),
        };
        let unit = match decide(&self.state, self.at, &envelope) {
            Ok(Decision::Append(unit)) => unit,
            other => panic!("{envelope:?} led to {other:?}"),
        };
        let expected = self.state.revision();
        let events = &mut self.events;
        let recorded = unit.record(self.state.next_revision(), || {
            *events += 1;
            Uuid::from_u128(0xe000_0000 + *events)
        });
        for event in &recorded {
            evolve(&mut self.state, event);
        }
        let stored: Vec<NewEvent> = recorded
            .iter()
            .map(|it| NewEvent {
                id: it.event_id,
                kind: it.event.kind().to_owned(),
                data: it.event.encode(),
                metadata: it.metadata.encode(),
            })
            .collect();
        self.store.append(expected, &stored).await.expect("nobody else writes");
        recorded.into_iter().map(|it| it.event).collect()
    }

    pub async fn purchase(&mut self) -> PurchaseId {
        let events = self
            .give(Command::from(OpenPurchase { user: USER, plan: PLAN, gateway: Gateway::Razorpay }))
            .await;
        match &events[0] {
            Event::PurchaseOpened(it) => it.purchase,
            other => panic!("{other:?}"),
        }
    }

    pub async fn capture(&mut self, purchase: Option<PurchaseId>, payment_ref: &str) -> Vec<Event> {
        self.give(Command::from(CapturePurchase {
            gateway: Gateway::Razorpay,
            purchase,
            payment_ref: payment_ref.to_owned(),
            amount_minor: 9_900,
            asset: Asset::INR,
        }))
        .await
    }

    async fn fail(&mut self, purchase: PurchaseId, payment_ref: &str) {
        let (payment_ref, reason) = (payment_ref.to_owned(), "card_declined".to_owned());
        self.give(Command::from(FailPurchase { purchase, payment_ref, reason })).await;
    }

    pub async fn gift(&mut self, gift: GiftId, price_seen_milli: i64, call: Option<CallId>) {
        self.give(Command::from(SendGift { sender: USER, host: HOST, gift, call, price_seen_milli })).await;
    }

    pub async fn withdraw(&mut self, coins_milli: i64) -> WithdrawalId {
        let events = self
            .give(Command::from(RequestWithdrawal { payee: Payee::Host { person: HOST }, coins_milli }))
            .await;
        match &events[0] {
            Event::WithdrawalRequested(it) => it.withdrawal,
            other => panic!("{other:?}"),
        }
    }

    /// Prices, rates, and a user with bought coins.
    pub async fn open_for_business(&mut self) -> PurchaseId {
        self.give(Command::from(SetCoinPlan {
            plan: PLAN,
            coins_milli: 100_000,
            bonus_milli: 10_000,
            bonus_valid_seconds: Some(86_400),
            price_minor: 9_900,
            price_asset: Asset::INR,
            active: true,
        }))
        .await;
        for (medium, price) in [
            (Medium::Video, Some(6_000)),
            (Medium::Chat, Some(1_000)),
            (Medium::Voice, Some(2_000)),
            (Medium::Voice, None),
        ] {
            self.give(Command::from(SetHostRate { host: HOST, medium, price_milli_per_minute: price })).await;
        }
        self.give(Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(2_000) })).await;
        self.give(Command::from(SetGiftPrice { gift: CAR, price_milli: Some(40_000) })).await;
        let purchase = self.purchase().await;
        self.capture(Some(purchase), "pay_1").await;
        purchase
    }

    /// Every type of event at least once.
    pub async fn with_every_event(journal: u128) -> World {
        let mut world = World::new(journal).await;
        world.give(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None })).await;
        let global = CommissionScope::Global;
        let set = |scope, host_bps, agency_bps| {
            Command::from(SetCommissionRate { scope, host_bps, agency_bps, effective_from: None })
        };
        world.give(set(global, 6_000, 1_000)).await;
        world.give(set(CommissionScope::Host(HOST), 7_001, 503)).await;
        let first = world.open_for_business().await;
        world.a_failed_then_captured_purchase(first).await;
        world.a_call().await;
        let clear =
            Command::from(ClearCommissionRate { scope: CommissionScope::Host(HOST), effective_from: None });
        world.give(clear).await;
        world.gift(CAR, 40_000, None).await;
        world.give(Command::from(SetGiftPrice { gift: CAR, price_milli: None })).await;
        world.bonus_coins().await;
        world.refunds().await;
        world.withdrawals().await;
        world.corrections().await;
        world.disputes().await;
        world.give(Command::from(LeaveAgency { host: HOST, at: None })).await;
        world
            .give(Command::from(JoinAgency { host: HOST, agency: OTHER_AGENCY, from: None, until: None }))
            .await;
        world.small_lots().await;
        world.rewards().await;
        world.subscriptions().await;
        world.orders().await;
        world.settlements().await;
        world.a_running_and_a_paused_call().await;
        world
    }

    async fn a_failed_then_captured_purchase(&mut self, captured: PurchaseId) {
        let purchase = self.purchase().await;
        self.fail(purchase, "pay_2").await;
        self.capture(Some(purchase), "pay_3").await;
        self.capture(Some(captured), "pay_4").await;
        self.capture(None, "pay_5").await;
        let open = self.purchase().await;
        self.fail(open, "pay_6").await;
        self.purchase().await;
    }

    pub async fn start(&mut self, id: u128, medium: Medium, price: i64) -> CallId {
        let call = CallId(Uuid::from_u128(id));
        self.give(Command::from(StartCall {
            call,
            payer: USER,
            host: HOST,
            medium,
            price_seen_milli_per_minute: price,
        }))
        .await;
        call
    }

    async fn a_call(&mut self) {
        let call = self.start(0xf1, Medium::Video, 6_000).await;
        for number in 2..=4 {
            self.pass(10);
            self.give(Command::from(TickCall { call, number, last_seen: Some(self.at) })).await;
        }
        self.pass(3);
        self.give(Command::from(PauseCall {
            call,
            cause: PauseCause::Disconnected,
            last_seen: Some(self.at),
        }))
        .await;
        self.pass(5);
        self.give(Command::from(ResumeCall { call })).await;
        self.gift(ROSE, 2_000, Some(call)).await;
        self.pass(7);
        self.give(Command::from(TickCall { call, number: 5, last_seen: Some(self.at) })).await;
        self.give(Command::from(EndCall { call, by: Ending::Participant(USER) })).await;
    }

    async fn a_running_and_a_paused_call(&mut self) {
        let call = self.start(0xf2, Medium::Chat, 1_000).await;
        // An increment of which nobody can say that both sides were there: it is given back.
        self.pass(10);
        self.give(Command::from(TickCall { call, number: 2, last_seen: None })).await;
        self.pass(2);
        self.give(Command::from(PauseCall { call, cause: PauseCause::Disconnected, last_seen: None })).await;
        self.pass(40);
        self.give(Command::from(EndCall { call, by: Ending::Lost })).await;
        let call = self.start(0xf3, Medium::Chat, 1_000).await;
        self.pass(10);
        self.give(Command::from(TickCall { call, number: 2, last_seen: Some(self.at) })).await;
    }

    async fn bonus_coins(&mut self) {
        let grant = |coins_milli, valid_seconds| {
            Command::from(GrantBonus {
                user: USER,
                origin: BonusOrigin::Promotion,
                coins_milli,
                valid_seconds,
            })
        };
        let granted = self.give(grant(5_000, Some(60))).await;
        let Event::BonusGranted(granted) = &granted[0] else { panic!("{granted:?}") };
        self.gift(ROSE, 2_000, None).await;
        self.pass(61);
        self.give(Command::from(ExpireBonus { lot: granted.lot })).await;
        self.give(grant(1_000, None)).await;
    }

    /// One that is won, one that is lost and paid with the next purchase, one that is written off in part and won after all,
    /// and one that comes before its payment. Adjustments stand for what the buyer spends.
    async fn disputes(&mut self) {
        let told = |dispute: &str, payment: &str, news: DisputeNews| {
            Command::from(RecordDispute {
                gateway: Gateway::Razorpay,
                dispute_ref: dispute.to_owned(),
                payment_ref: payment.to_owned(),
                amount_minor: 9_900,
                asset: Asset::INR,
                news,
            })
        };
        let lost = |fee_minor| DisputeNews::Lost { taken_minor: 9_900, fee_minor };
        let order = || OpenPurchase { user: DISPUTER, plan: PLAN, gateway: Gateway::Razorpay }.into();
        for (payment, early) in [("pay_d1", false), ("pay_d2", false), ("pay_d3", true)] {
            if early {
                self.give(told("disp_4", payment, DisputeNews::Opened)).await;
            }
            let opened = self.give(order()).await;
            let Event::PurchaseOpened(opened) = &opened[0] else { panic!("{opened:?}") };
            let purchase = opened.purchase;
            self.capture(Some(purchase), payment).await;
            let spent = |account, amount_milli| {
                let reason = "spent".to_owned();
                Command::from(PostAdjustment { account, amount_milli, reason, note: None, settles: None })
            };
            match payment {
                "pay_d1" => {
                    self.give(spent(Account::UserPurchased(DISPUTER), -2_000)).await;
                    self.give(told("disp_1", payment, DisputeNews::Opened)).await;
                    self.give(told("disp_1", payment, DisputeNews::Won)).await;
                    self.give(told("disp_2", payment, lost(500))).await;
                }
                "pay_d2" => {
                    self.give(spent(Account::UserBonus(DISPUTER), -3_000)).await;
                    self.give(told("disp_3", payment, lost(0))).await;
                    self.give(Command::from(WriteOffReceivable {
                        dispute_ref: "disp_3".to_owned(),
                        amount_milli: 1_000,
                        reason: "uncollectable".to_owned(),
                        note: None,
                    }))
                    .await;
                    self.give(told("disp_3", payment, DisputeNews::Won)).await;
                }
                _ => {}
            }
        }
    }

    /// Two lots for each of 128 moments, which is all that an account holds, and one more.
    async fn small_lots(&mut self) {
        for number in 0..257 {
            self.give(Command::from(GrantBonus {
                user: COLLECTOR,
                origin: BonusOrigin::Promotion,
                coins_milli: 10,
                valid_seconds: Some(86_400 + number / 2),
            }))
            .await;
        }
    }

    /// Up to the present and up to a cut-off; corrected; paid, of which one payment comes back; and a membership for a time.
    async fn settlements(&mut self) {
        let close = |of, to| CloseSettlement { of, from: None, to }.into();
        let payee = Payee::Host { person: OTHER_HOST };
        let made = |events: &[Event]| match events.last() {
            Some(Event::SettlementClosed(it)) => it.settlement,
            Some(Event::SettlementCorrected(it)) => it.settlement,
            other => panic!("{other:?}"),
        };
        let account = Account::HostEarnings(OTHER_HOST);
        let adjust = |amount_milli| {
            Command::from(PostAdjustment {
                account,
                amount_milli,
                reason: "goodwill".to_owned(),
                note: None,
                settles: None,
            })
        };
        self.give(adjust(2_000)).await;
        let first = made(&self.give(close(Earner::Host(OTHER_HOST), None)).await);
        for of in [Earner::Agency(AGENCY), Earner::Host(HOST)] {
            self.give(close(of, None)).await;
        }
        let correct = CorrectSettlement {
            settlement: first,
            amount_milli: -500,
            reason: "wrong_rate".to_owned(),
            note: Some(NoteId(Uuid::from_u128(0x9a))),
        };
        let second = made(&self.give(correct.into()).await);
        // Only so much is there as was earned; another settlement is small enough.
        self.give(
            CorrectSettlement {
                settlement: second,
                amount_milli: 100,
                reason: "typo".to_owned(),
                note: None,
            }
            .into(),
        )
        .await;
        self.give(adjust(3_000)).await;
        // Later than the next cut-off, with something before and something after it.
        self.pass(2 * 1_800);
        self.give(adjust(400)).await;
        let step = ledger_core::settlements::CUT_OFF_STEP_MS;
        let cut_off = Timestamp(self.at.0.div_euclid(step) * step);
        let small = made(&self.give(close(Earner::Host(OTHER_HOST), Some(cut_off))).await);
        let pay = || Command::from(PaySettlement { settlement: small, payee });
        let events = self.give(pay()).await;
        let Event::WithdrawalRequested(held) = &events[0] else { panic!("{events:?}") };
        let reason = "account_closed".to_owned();
        self.give(RejectWithdrawal { withdrawal: held.withdrawal, reason }.into()).await;
        self.give(pay()).await;
        // Members of an agency for a time, which ends earlier than it was to, or later.
        let after = |ms| Some(self.at.plus_ms(ms));
        let (from, until) = (after(90_000), after(120_000));
        let (now, then, last) = (after(60_000), after(100_000), after(130_000));
        let join = |from, until| JoinAgency { host: OTHER_HOST, agency: AGENCY, from, until };
        self.give(join(None, now).into()).await;
        self.give(join(from, until).into()).await;
        self.give(LeaveAgency { host: OTHER_HOST, at: then }.into()).await;
        self.give(join(last, None).into()).await;
        self.give(LeaveAgency { host: OTHER_HOST, at: last }.into()).await;
    }

    /// One that is renewed, waits for coins and lapses; one that is bought; one that is to end.
    async fn subscriptions(&mut self) {
        let plan = SubscriptionPlanId(Uuid::from_u128(0x50a));
        let price = Price { amount_minor: 9_900, asset: Asset::INR };
        let set = SetSubscriptionPlan {
            plan,
            price_milli: 5_000,
            price: Some(price),
            period_seconds: 60,
            grace_seconds: 20,
            entitlements: vec!["no_ads".to_owned(), "see_likes".to_owned()],
            active: true,
        };
        self.give(set.clone().into()).await;
        let [one, two] = [HOST, OTHER_HOST];
        for user in [one, two] {
            let (origin, valid_seconds) = (BonusOrigin::Promotion, Some(86_400));
            self.give(GrantBonus { user, origin, coins_milli: 11_000, valid_seconds }.into()).await;
        }
        let paid = |events: &[Event]| match events.last() {
            Some(Event::SubscriptionPaid(it)) => it.subscription,
            other => panic!("{other:?}"),
        };
        let started = self.give(StartSubscription { user: one, plan, price_seen_milli: 5_000 }.into()).await;
        let subscription = paid(&started);
        self.give(CancelSubscription { subscription, user: one }.into()).await;
        self.give(ResumeSubscription { subscription, user: one }.into()).await;
        self.pass(60);
        self.give(RenewSubscription { subscription, period: 2 }.into()).await;
        self.pass(60);
        self.give(RenewSubscription { subscription, period: 3 }.into()).await;
        self.pass(20);
        self.give(RenewSubscription { subscription, period: 3 }.into()).await;
        let buy = BuySubscription { user: two, plan, gateway: Gateway::Razorpay };
        let opened = self.give(buy.into()).await;
        let Event::PurchaseOpened(opened) = &opened[0] else { panic!("{opened:?}") };
        let bought = self.capture(Some(opened.purchase), "pay_premium").await;
        paid(&bought);
        self.give(SetSubscriptionPlan { price: None, active: false, ..set }.into()).await;
    }

    /// One that is paid by both, refunded before and after it was completed; one of the platform; one each that is
    /// cancelled, declined, never paid, and waits.
    async fn orders(&mut self) {
        let [service, report] = [0x5e1, 0x5e2].map(|id| ServiceId(Uuid::from_u128(id)));
        let price = Price { amount_minor: 11_880, asset: Asset::INR };
        let reading = SetService {
            service,
            provider: Some(OTHER_HOST),
            price_milli: 12_000,
            price: Some(price),
            active: true,
        };
        self.give(reading.clone().into()).await;
        self.give(SetService { service: report, provider: None, price: None, ..reading.clone() }.into())
            .await;
        let set = SetCoupon {
            coupon: CouponId(Uuid::from_u128(0xc01)),
            code: "TENTH10".to_owned(),
            discount: Discount::Percent(PercentOff { bps: 1_000, most_milli: Some(5_000) }),
            least_price_milli: Some(1_000),
            per_person: Some(9),
            in_all: None,
            from: self.at,
            to: self.at.plus_ms(86_400_000),
            active: true,
        };
        self.give(set.clone().into()).await;
        let amount = Discount::Amount(700);
        let other =
            SetCoupon { coupon: CouponId(Uuid::from_u128(0xc02)), code: "OTHER7".to_owned(), ..set.clone() };
        self.give(SetCoupon { discount: amount, in_all: Some(3), ..other }.into()).await;
        let (origin, valid_seconds) = (BonusOrigin::Promotion, Some(86_400));
        self.give(GrantBonus { user: ORDERER, origin, coins_milli: 30_000, valid_seconds }.into()).await;
        let ask = |service, coupon: Option<&str>, total_seen_milli, wallet_milli| PlaceOrder {
            user: ORDERER,
            service,
            coupon: coupon.map(str::to_owned),
            total_seen_milli,
            wallet_milli,
            gateway: Gateway::Razorpay,
        };
        let back = |order, amount_milli| RefundOrder { order, amount_milli, reason: "late".to_owned() };
        let (order, purchase) = self.ordered(ask(service, Some("TENTH10"), 10_800, 800)).await;
        self.capture(purchase, "pay_order").await;
        self.give(AcceptOrder { order, host: Some(OTHER_HOST) }.into()).await;
        self.give(back(order, 1_000).into()).await;
        self.give(CompleteOrder { order, host: Some(OTHER_HOST) }.into()).await;
        self.give(back(order, 3_000).into()).await;
        let (order, _) = self.ordered(ask(report, Some("OTHER7"), 11_300, 11_300)).await;
        self.give(CompleteOrder { order, host: None }.into()).await;
        self.give(back(order, 11_300).into()).await;
        let (order, _) = self.ordered(ask(service, Some("TENTH10"), 10_800, 10_800)).await;
        self.give(CancelOrder { order, user: ORDERER }.into()).await;
        let (order, _) = self.ordered(ask(service, None, 12_000, 2_000)).await;
        self.give(DeclineOrder { order, host: None, reason: "no_time".to_owned() }.into()).await;
        let (order, _) = self.ordered(ask(service, Some("TENTH10"), 10_800, 0)).await;
        self.pass(1_800);
        self.give(ExpireOrder { order }.into()).await;
        let (_, purchase) = self.ordered(ask(service, Some("TENTH10"), 10_800, 800)).await;
        self.capture(purchase, "pay_waits").await;
        self.give(SetCoupon { active: false, ..set }.into()).await;
        self.give(SetService { active: false, ..reading }.into()).await;
    }

    async fn ordered(&mut self, command: PlaceOrder) -> (OrderId, Option<PurchaseId>) {
        match self.give(command.into()).await.first() {
            Some(Event::OrderPlaced(it)) => (it.order, it.purchase),
            other => panic!("{other:?}"),
        }
    }

    /// A campaign of each kind; what each rewards; and one that is ended.
    async fn rewards(&mut self) {
        let set = |number: u128, kind: RewardKind| SetCampaign {
            campaign: CampaignId(Uuid::from_u128(0xca00 + number)),
            kind,
            coins_milli: 500,
            valid_seconds: number.is_multiple_of(2).then_some(86_400),
            per_person_day: 3,
            per_person: (number % 2 == 1).then_some(9),
            budget_milli: 50_000,
            from: self.at,
            to: self.at.plus_ms(86_400_000),
            code: (kind == RewardKind::Code).then(|| "DIWALI26".to_owned()),
        };
        let kinds = [RewardKind::Ad, RewardKind::Daily, RewardKind::Code, RewardKind::Referral];
        let sets: Vec<SetCampaign> = (0..).zip(kinds).map(|(number, kind)| set(number, kind)).collect();
        for set in sets.clone() {
            self.give(set.into()).await;
        }
        let invited = OTHER_HOST;
        for claim in [
            Claim::AdView { campaign: sets[0].campaign, view: "view_1".to_owned() },
            Claim::AdView { campaign: sets[0].campaign, view: "view_2".to_owned() },
            Claim::Daily,
            Claim::Code("DIWALI26".to_owned()),
        ] {
            self.give(EarnReward { user: invited, claim }.into()).await;
        }
        self.give(NameInviter { user: invited, inviter: USER }.into()).await;
        let opened =
            self.give(OpenPurchase { user: invited, plan: PLAN, gateway: Gateway::Razorpay }.into()).await;
        let Event::PurchaseOpened(opened) = &opened[0] else { panic!("{opened:?}") };
        self.capture(Some(opened.purchase), "pay_first").await;
        self.give(SetCampaign { budget_milli: 60_000, ..sets[0].clone() }.into()).await;
        self.give(EndCampaign { campaign: sets[0].campaign }.into()).await;
    }

    async fn refunds(&mut self) {
        let gateway = Gateway::Razorpay;
        let asset = Asset::INR;
        let purchase = self.purchase().await;
        self.capture(Some(purchase), "pay_7").await;
        let refund_ref = "rfnd_1".to_owned();
        self.give(Command::from(RefundPurchase { purchase, refund_ref, amount_minor: 3_333, asset })).await;
        let record = |payment_ref: &str, refund_ref: &str, amount_minor| {
            Command::from(RecordRefund {
                gateway,
                payment_ref: payment_ref.to_owned(),
                refund_ref: refund_ref.to_owned(),
                amount_minor,
                asset,
            })
        };
        self.give(record("pay_7", "rfnd_2", 1_000)).await;
        // Part of its coins is spent: the uncovered money goes to suspense.
        self.give(record("pay_1", "rfnd_3", 9_900)).await;
        self.give(record("pay_none", "rfnd_4", 500)).await;
        let case = self.state.revision().expect("an event");
        let reason = "written_off".to_owned();
        self.give(Command::from(ResolveSuspense { case, resolution: Resolution::Income, reason })).await;
        // One that nobody pays, one that fails and expires, and one that is paid after it has expired.
        let [unpaid, failed, late] = [self.purchase().await, self.purchase().await, self.purchase().await];
        for (purchase, payment_ref) in [(failed, "pay_f1"), (late, "pay_f2")] {
            self.fail(purchase, payment_ref).await;
        }
        for purchase in [unpaid, failed, late] {
            self.give(Command::from(ExpirePurchase { purchase })).await;
        }
        self.fail(failed, "pay_f3").await;
        self.capture(Some(late), "pay_late").await;
        // A refund before its capture: they settle each other.
        self.give(record("pay_8", "rfnd_5", 9_900)).await;
        let purchase = self.purchase().await;
        self.capture(Some(purchase), "pay_8").await;
    }

    async fn withdrawals(&mut self) {
        let (asset, effective_from) = (Asset::INR, None);
        let rate = "0.95".parse().expect("a rate");
        self.give(Command::from(SetPayoutRate { asset, rate, effective_from })).await;
        self.give(Command::from(SetTaxRate { asset, tax_bps: 100, effective_from })).await;
        let returned = self.withdraw(5_000).await;
        self.give(Command::from(ApproveWithdrawal { withdrawal: returned })).await;
        self.give(Command::from(MarkWithdrawalPaid { withdrawal: returned, payout_ref: "utr_1".into() }))
            .await;
        self.pass(1);
        self.give(Command::from(ReverseWithdrawal { withdrawal: returned, reason: "bank_refused".into() }))
            .await;
        let rejected = self.withdraw(2_000).await;
        self.give(Command::from(RejectWithdrawal { withdrawal: rejected, reason: "no_document".into() }))
            .await;
        let cancelled = self.withdraw(2_000).await;
        self.give(Command::from(CancelWithdrawal {
            withdrawal: cancelled,
            payee: Payee::Host { person: HOST },
        }))
        .await;
        let agency = Payee::Agency { agency: AGENCY, owner: USER };
        self.give(Command::from(RequestWithdrawal { payee: agency, coins_milli: 1_000 })).await;
        let failed = self.withdraw(2_000).await;
        self.give(Command::from(ApproveWithdrawal { withdrawal: failed })).await;
        self.give(Command::from(FailWithdrawal { withdrawal: failed, reason: "no_such_account".into() }))
            .await;
        let paid = self.withdraw(3_000).await;
        self.give(Command::from(ApproveWithdrawal { withdrawal: paid })).await;
        self.give(Command::from(MarkWithdrawalSent { withdrawal: paid, payout_key: "key_2".into() })).await;
        self.give(Command::from(MarkWithdrawalUnknown { withdrawal: paid, reason: "timeout".into() })).await;
        self.give(Command::from(MarkWithdrawalPaid { withdrawal: paid, payout_ref: "utr_2".into() })).await;
        self.withdraw(1_000).await;
    }

    async fn corrections(&mut self) {
        for (amount_minor, number) in [(-236, 1), (500, 2)] {
            self.give(Command::from(AdjustGateway {
                gateway: Gateway::Razorpay,
                amount_minor,
                asset: Asset::INR,
                reason: "gateway_fee".to_owned(),
                note: None,
                settles: Some(DifferenceId(uuid::Uuid::from_u128(number))),
            }))
            .await;
        }
        let amounts = [
            (Account::UserBonus(USER), 700),
            (Account::UserBonus(USER), -300),
            (Account::UserPurchased(USER), -50),
            (Account::UserPurchased(USER), 60),
            (Account::HostEarnings(OTHER_HOST), 900),
            (Account::AgencyEarnings(AGENCY), 10),
        ];
        for (account, amount_milli) in amounts {
            let reason = "lost_call".to_owned();
            self.give(Command::from(PostAdjustment {
                account,
                amount_milli,
                reason,
                note: None,
                settles: None,
            }))
            .await;
        }
    }
}

/// All rows of all read models, as text that two of them can be compared by.
pub async fn dump(pool: &sqlx::PgPool) -> Vec<(String, String)> {
    let mut tables = Vec::new();
    for table in table_names(pool).await {
        let sql =
            format!("SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM read.{table} t");
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(pool)
            .await
            .expect("a table of read models");
        tables.push((table, rows));
    }
    tables
}

pub async fn table_names(pool: &sqlx::PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'read' ORDER BY 1")
        .fetch_all(pool)
        .await
        .expect("the catalogue of Postgres")
}

/// The read models of the world, as far as its journal goes.
pub async fn models(pool: &PgPool, world: &World) -> anyhow::Result<ReadModels> {
    let models = ReadModels::open(pool.clone(), world.journal()).await?;
    Projector::new(pool.clone(), world.journal()).project_to_end(|_, _| ()).await?;
    Ok(models)
}
