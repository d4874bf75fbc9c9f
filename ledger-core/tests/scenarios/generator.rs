//! Random commands, most of them possible where they are given.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::disputes::DisputeNews;
use ledger_core::event::{BonusOrigin, CommissionScope, Earner, PauseCause, RewardKind};
use ledger_core::purchases::Resolution;
use ledger_core::*;
use proptest::prelude::*;
use uuid::Uuid;

/// One step of a random story, as numbers: a command is made of them where the story stands.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    what: u8,
    who: u8,
    whom: u8,
    size: i64,
    wait_ms: i64,
}

/// Steps of a story in which most commands are accepted.
pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(prop_oneof![8 => 1..60_000_i64, 1 => -5..5_i64].boxed()), 1..most)
}

/// Steps whose amounts and times are often nonsense.
pub fn wild_steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let edges = [0, -1, 1, i64::MIN, i64::MAX, MAX_AMOUNT, MAX_AMOUNT + 1, -MAX_AMOUNT, MAX_AMOUNT / 2];
    let sizes = prop_oneof![2 => 1..60_000_i64, 3 => prop::sample::select(edges.to_vec())].boxed();
    prop::collection::vec(step(sizes), 1..most)
}

fn step(sizes: BoxedStrategy<i64>) -> impl Strategy<Value = Step> {
    // Mostly seconds; now and then a day, so that keys and bonus coins expire, and forty, so that what is finished leaves.
    let waits = prop_oneof![20 => 0..12_000_i64, 4 => 0..200_000_i64, 1 => Just(DAY_MS + HOUR_MS), 1 => Just(40 * DAY_MS)];
    (any::<u8>(), any::<u8>(), any::<u8>(), sizes, waits).prop_map(|(what, who, whom, size, wait_ms)| Step {
        what,
        who,
        whom,
        size,
        wait_ms,
    })
}

fn pick<T: Copy>(choices: &[T], by: u8) -> Option<T> {
    (!choices.is_empty()).then(|| choices[usize::from(by) % choices.len()])
}

impl Step {
    /// Lets time pass and says what is commanded then.
    pub fn command(&self, world: &mut World) -> Command {
        world.now = world.now.plus_ms(self.wait_ms);
        let (who, size) = (self.who, self.size);
        let people = [USER, OTHER, HOST, OTHER_HOST];
        let person = pick(&people, who).unwrap_or(USER);
        let host = pick(&[HOST, OTHER_HOST, HOST, OTHER_HOST, HOST, USER], self.whom).unwrap_or(HOST);
        let seconds = u32::try_from(size).unwrap_or(u32::MAX);
        let bps = u32::try_from(size).unwrap_or(u32::MAX) % 12_000;
        let mut purchases = vec![];
        let mut withdrawals = vec![];
        for it in &world.journal {
            match &it.event {
                Event::PurchaseOpened(it) => purchases.push((it.purchase, it.price_minor)),
                Event::WithdrawalRequested(it) => withdrawals.push((it.withdrawal, it.payee)),
                _ => {}
            }
        }
        let (purchase, price_minor) = pick(&purchases, who).unwrap_or((PurchaseId(Uuid::nil()), 10_000));
        let (withdrawal, payee) =
            pick(&withdrawals, who).unwrap_or((WithdrawalId(Uuid::nil()), AGENCY_PAYEE));
        let scope = pick(
            &[CommissionScope::Global, CommissionScope::Host(host), CommissionScope::Agency(AGENCY)],
            self.whom,
        );
        let scope = scope.unwrap_or(CommissionScope::Global);
        let reference = format!("ref_{}_{}", self.whom, who);
        match self.what % 58 {
            0 => plan(size, size % 1_000, Some(seconds).filter(|_| who % 2 == 0)),
            1..=2 => Command::from(OpenPurchase { user: person, plan: PLAN, gateway: Gateway::Razorpay }),
            3..=5 => capture(Some(purchase), &reference, price_minor),
            // The payment of a dispute that came first.
            6 => {
                let early = world.journal.iter().rev().find_map(|it| match &it.event {
                    Event::DisputeOpened(it) if it.purchase.is_none() => Some(it.payment_ref.clone()),
                    _ => None,
                });
                capture(Some(purchase), &early.unwrap_or(reference), price_minor)
            }
            7 => capture(Some(purchase).filter(|_| who % 2 == 0), &reference, size),
            8 if who % 2 == 0 => fail(purchase, &reference),
            8 => expire(purchase),
            9..=10 => refund(purchase, &reference, size % 5_000),
            // Of a payment that is known, or is not yet.
            11 if who % 3 != 0 => refund_of(&format!("ref_{}_{}", who, self.whom), &reference, size),
            11 => {
                let case = world.journal.iter().rev().map(|it| it.revision);
                let case = case.into_iter().find(|case| world.state.suspense_case(*case).is_some());
                let resolution = match who % 4 {
                    0 => Resolution::Purchase(purchase),
                    1 => Resolution::Refund(reference),
                    _ => Resolution::Income,
                };
                Command::from(ResolveSuspense {
                    case: case.unwrap_or(0),
                    resolution,
                    reason: "looked_at".to_owned(),
                })
            }
            12..=13 => Command::from(GrantBonus {
                user: person,
                origin: BonusOrigin::Promotion,
                coins_milli: size,
                valid_seconds: Some(seconds % 500).filter(|_| who % 3 != 0),
            }),
            14 => match pick(&world.state.expiring_lots(), who) {
                Some((at, lot)) => {
                    world.now = world.now.max(at);
                    Command::from(ExpireBonus { lot })
                }
                None => Command::from(ExpireBonus { lot: LotId(Uuid::nil()) }),
            },
            15 => Command::from(JoinAgency {
                host,
                agency: AGENCY,
                from: Some(world.now.plus_ms(size)).filter(|_| who % 3 == 0),
                until: Some(world.now.plus_ms(size.saturating_mul(4))).filter(|_| who % 2 == 0),
            }),
            16 => Command::from(LeaveAgency {
                host,
                at: Some(world.now.plus_ms(size)).filter(|_| who % 3 == 0),
            }),
            17 => host_rate(host, Some(size).filter(|_| who % 4 != 0)),
            18 => {
                Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(size).filter(|_| who % 4 != 0) })
            }
            19 => Command::from(SetCommissionRate {
                scope,
                host_bps: bps,
                agency_bps: u32::from(who) * 20,
                effective_from: Some(world.now.plus_ms(size)).filter(|_| who % 2 == 0),
            }),
            20 => Command::from(ClearCommissionRate { scope, effective_from: None }),
            21..=23 => {
                let call = CallId(Uuid::from_u128(0x5000 + world.journal.len() as u128));
                let price = world.state.host_rate(host, Medium::Video).unwrap_or(size);
                start_as(call, person, host, price)
            }
            24..=29 => self.in_call(world),
            30..=32 => {
                let price = world.state.gift_price(ROSE).unwrap_or(size);
                gift(person, host, world.state.engaged(person).filter(|_| who % 2 == 0), price)
            }
            33..=34 if self.whom.is_multiple_of(4) => agency_withdraws(size),
            33..=34 => withdraw(host, size),
            35..=37 => self.of_withdrawal(world, (withdrawal, payee)),
            38 if self.whom.is_multiple_of(4) => tax(seconds % 11_000),
            38 if self.whom % 4 == 1 => Command::from(SetPayoutRate {
                asset: Asset::INR,
                rate: rust_decimal::Decimal::new(size, 3),
                effective_from: Some(world.now.plus_ms(size)).filter(|_| who % 2 == 0),
            }),
            38 if self.whom % 4 == 2 => {
                let difference = DifferenceId(uuid::Uuid::from_u128(u128::from(who % 8)));
                adjust_gateway(if who % 2 == 0 { size } else { -(size % 1_000) }, Some(difference))
            }
            38 => adjust(Account::HostEarnings(host), size),
            // Of a payment that is known, or is not yet. Each has few disputes, so that they are decided.
            39..=41 => {
                let payments = world.journal.iter().filter_map(|it| match &it.event {
                    Event::PurchaseCaptured(it) => Some(it.payment_ref.clone()),
                    _ => None,
                });
                let payments: Vec<String> = payments.collect();
                let known = payments.get(usize::from(who) % payments.len().max(1)).filter(|_| who % 8 != 0);
                let payment = known.unwrap_or(&reference);
                let news = match self.whom % 7 {
                    0..=1 => DisputeNews::Opened,
                    2 => DisputeNews::Won,
                    3 => DisputeNews::Closed,
                    4 => DisputeNews::Lost { taken_minor: size, fee_minor: size % 3 },
                    _ => lost(10_000),
                };
                let amount_minor = if who % 4 == 0 { size } else { 10_000 };
                dispute_over(amount_minor, payment, &format!("disp_{}_{payment}", size % 2), news)
            }
            42 => {
                let owing = people.iter().find_map(|person| world.state.receivables_of(*person).next());
                let (dispute_ref, owed_milli) = owing.unwrap_or(("disp_0", size));
                write_off(dispute_ref, if who % 2 == 0 { owed_milli } else { size })
            }
            43..=45 => self.reward(world, person, host),
            46..=48 => self.subscription(world, person),
            50..=53 => self.order(world, person),
            54..=57 => self.settlement(world, host),
            _ => {
                let account = pick(
                    &[
                        Account::UserPurchased(person),
                        Account::UserBonus(person),
                        Account::AgencyEarnings(AGENCY),
                        Account::PlatformRevenue,
                    ],
                    self.whom,
                );
                adjust(
                    account.unwrap_or(Account::PlatformRevenue),
                    if who % 2 == 0 { size } else { size.saturating_neg() },
                )
            }
        }
    }

    /// Campaigns, and what they reward.
    fn reward(&self, world: &mut World, user: PersonId, inviter: PersonId) -> Command {
        use crate::rewards::*;
        let kinds = [
            (ADS, RewardKind::Ad),
            (DAILY, RewardKind::Daily),
            (CODES, RewardKind::Code),
            (REFERRALS, RewardKind::Referral),
        ];
        let (campaign, kind) = kinds[usize::from(self.whom) % kinds.len()];
        match self.who % 8 {
            0 => SetCampaign {
                coins_milli: self.size,
                budget_milli: self.size.saturating_mul(5),
                per_person_day: u32::from(self.whom),
                from: world.now.plus_ms(self.wait_ms - 1_000),
                to: world.now.plus_ms(self.wait_ms.saturating_mul(20) + 60_000),
                ..set(campaign, kind)
            }
            .into(),
            1 => {
                let running =
                    |it: &CampaignId| world.state.campaign(*it).is_some_and(|row| !row.is_over(world.now));
                let campaign = kinds.map(|(it, _)| it).into_iter().find(running).unwrap_or(campaign);
                EndCampaign { campaign }.into()
            }
            2..=3 => ad(user, &format!("view_{}", self.whom % 16)),
            4 => daily(user),
            5..=6 => code(user, "DIWALI26"),
            _ => brought(user, inviter),
        }
    }

    /// What happens to a withdrawal: mostly what can.
    fn of_withdrawal(&self, world: &World, (id, payee): (WithdrawalId, Payee)) -> Command {
        use ledger_core::withdrawals::WithdrawalStatus::*;
        let reference = format!("ref_{}_{}", self.whom, self.who);
        let status = world.state.withdrawal(id).map(|row| row.status);
        let choice = if self.whom.is_multiple_of(4) { u8::MAX } else { self.size.unsigned_abs() as u8 % 6 };
        match (status, choice) {
            (Some(Requested), 0) => reject(id),
            (Some(Requested), 1) => Command::from(CancelWithdrawal { withdrawal: id, payee }),
            (Some(Requested), 2..=5) => approve(id),
            (Some(Approved), 0..=3) => sent_as(id, &reference),
            (Some(Sent), 0..=2) => outcome_unknown(id),
            (Some(Paid), 0..=5) => reversed(id),
            (Some(Approved | Sent | Unknown), 4) => payout_failed(id),
            (Some(Approved | Sent | Unknown), 0..=5) => paid_as(id, &reference),
            _ => match self.size.unsigned_abs() % 8 {
                0 => approve(id),
                1 => reject(id),
                2 => Command::from(CancelWithdrawal { withdrawal: id, payee }),
                3 => sent_as(id, &reference),
                4 => outcome_unknown(id),
                5 => paid_as(id, &reference),
                6 => payout_failed(id),
                _ => reversed(id),
            },
        }
    }

    /// A plan of short periods, and what people do with it.
    fn subscription(&self, world: &mut World, user: PersonId) -> Command {
        use crate::subscriptions::*;
        let all = world.state.subscriptions();
        let any = pick(&all, self.whom).unwrap_or(SubscriptionId(Uuid::nil()));
        let own = world.state.subscription(any).map_or(user, |row| row.user);
        let renews = world.state.subscription(any).is_some_and(|row| row.renews);
        match self.who / 4 % 6 {
            0 if self.whom.is_multiple_of(8) => {
                SetSubscriptionPlan { price_milli: self.size, ..short() }.into()
            }
            1 if self.whom.is_multiple_of(4) => buy(user),
            0..=1 => {
                let price = world.state.subscription_plan(PREMIUM).map_or(self.size, |row| row.price_milli);
                StartSubscription { user, plan: PREMIUM, price_seen_milli: price }.into()
            }
            2 if renews => cancel(any, own),
            2 => resume(any, own),
            _ => match world.state.renewal_due(any, world.now) {
                Some((due, renewal)) => {
                    world.now = world.now.max(due);
                    renewal.into()
                }
                None => renew(any, 1),
            },
        }
    }

    /// Services, coupons, and orders of them: mostly what can be done next.
    fn order(&self, world: &mut World, user: PersonId) -> Command {
        use crate::orders::*;
        let size = self.size;
        let placed = world.journal.iter().filter_map(|it| match &it.event {
            Event::OrderPlaced(it) => Some((it.order, it.user, it.provider)),
            _ => None,
        });
        let placed: Vec<_> = placed.collect();
        let (id, buyer, host) = pick(&placed[placed.len().saturating_sub(8)..], self.whom).unwrap_or((
            OrderId(Uuid::nil()),
            user,
            Some(HOST),
        ));
        let host = host.filter(|_| self.who.is_multiple_of(2));
        match self.whom / 8 % 16 {
            0 => {
                SetService { price_milli: size, provider: Some(HOST).filter(|_| size % 2 == 0), ..reading() }
                    .into()
            }
            1 => {
                let discount = match size % 2 {
                    0 => Discount::Amount(size),
                    _ => Discount::Percent(PercentOff {
                        bps: u32::from(self.who) * 40,
                        most_milli: Some(size).filter(|_| self.who.is_multiple_of(3)),
                    }),
                };
                SetCoupon { discount, in_all: Some(u32::from(self.whom) + 3), per_person: None, ..tenth() }
                    .into()
            }
            2..=6 => {
                let coupon = Some(CODE.to_owned()).filter(|_| self.who.is_multiple_of(3));
                let quote = world.state.quote(user, READING, coupon.as_ref(), world.now);
                let total_milli = quote.map_or(size, |it| it.total_milli);
                let wallet_milli = match self.who % 4 {
                    0 => 0,
                    1 => size.clamp(0, total_milli.max(0)),
                    _ => total_milli,
                };
                PlaceOrder { coupon, ..order(user, total_milli, wallet_milli) }.into()
            }
            7..=8 => AcceptOrder { order: id, host }.into(),
            9..=10 => CompleteOrder { order: id, host }.into(),
            11 => CancelOrder { order: id, user: buyer }.into(),
            12 => DeclineOrder { order: id, host, reason: "fully_booked".to_owned() }.into(),
            13 => {
                let due = pick(&world.state.unpaid_orders(), self.who);
                world.now = world.now.max(due.map_or(world.now, |(due, _)| due));
                expire(due.map_or(id, |(_, id)| id))
            }
            _ => give_back(id, size % 5_000),
        }
    }

    /// A settlement is closed, corrected or paid.
    fn settlement(&self, world: &World, host: PersonId) -> Command {
        use crate::settlements::*;
        let of = if self.who.is_multiple_of(3) { Earner::Agency(AGENCY) } else { Earner::Host(host) };
        let made = world.journal.iter().rev().find_map(|it| match &it.event {
            Event::SettlementClosed(it) => Some((it.settlement, it.of)),
            Event::SettlementCorrected(it) => Some((it.settlement, it.of)),
            _ => None,
        });
        match (self.whom % 8, made) {
            (0..=1, Some((id, _))) => correct(
                id,
                if self.who.is_multiple_of(2) { self.size } else { (self.size / 2).saturating_neg() },
            ),
            (2..=4, Some((id, Earner::Agency(_)))) => pay(id, AGENCY_PAYEE),
            (2..=4, Some((id, Earner::Host(person)))) => pay(id, Payee::Host { person }),
            (5, _) => {
                let step = ledger_core::settlements::CUT_OFF_STEP_MS;
                let to = Some(Timestamp(world.now.0.div_euclid(step).saturating_mul(step)));
                CloseSettlement { of, from: None, to }.into()
            }
            (6, _) => {
                let [from, to] =
                    [self.size.saturating_neg(), self.size].map(|ms| Some(world.now.plus_ms(ms)));
                CloseSettlement { of, from, to }.into()
            }
            _ => close(of),
        }
    }

    /// What happens in a call: mostly what is due next.
    fn in_call(&self, world: &mut World) -> Command {
        let active: Vec<CallId> = world.state.active_calls().iter().map(|(id, _)| *id).collect();
        let Some(call) = pick(&active, self.who) else { return tick(1) };
        let row = world.state.call(call).expect("an active call").clone();
        match self.whom % 12 {
            0 => Command::from(PauseCall {
                call,
                cause: PauseCause::Disconnected,
                last_seen: self.seen(world),
            }),
            1 => Command::from(PauseCall { call, cause: PauseCause::Outage, last_seen: None }),
            2..=3 => Command::from(ResumeCall { call }),
            4 => Command::from(EndCall { call, by: Ending::Participant(row.host) }),
            5 => {
                let number = u32::try_from(self.size).unwrap_or(u32::MAX);
                Command::from(TickCall { call, number, last_seen: self.seen(world) })
            }
            _ => {
                let (due, command) = row.next_due(call).expect("an active call has a next step");
                world.now = world.now.max(due);
                match command {
                    Command::TickCall(it) => TickCall { last_seen: self.seen(world), ..it }.into(),
                    other => other,
                }
            }
        }
    }

    /// When both sides were last seen: now, some seconds ago, or nobody knows.
    fn seen(&self, world: &World) -> Option<Timestamp> {
        match self.who % 8 {
            0 => None,
            ago => Some(world.now.plus_ms(-1_000 * i64::from(ago - 1) * i64::from(self.whom % 8))),
        }
    }
}
