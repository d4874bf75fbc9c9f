//! Frames as they are sent, told as sequences: what the AsyncAPI document and its page show. They are made of the types
//! that the gateway reads and writes, so they are what it reads and writes. A test over real sockets
//! (`tests/it/sequences.rs`) holds that a call is told in this order.

use crate::protocol::*;
use crate::push::*;
use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use ledger_core::event::PauseCause;
use ledger_core::{
    AgencyId, Asset, CallId, CommandId, GiftId, GiftSendingId, JournalId, Medium, PersonId, PurchaseId,
    WithdrawalId,
};
use platform::identity::PersonCard;
use platform::presence::PresenceStatus;
use platform::problem::Problem;
use platform::receipt::Receipt;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Who sends and who gets a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    User,
    Host,
    Server,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::User => "user",
            Side::Host => "host",
            Side::Server => "server",
        }
    }
}

/// A sequence as it is told, step by step.
#[derive(Default)]
struct Teller {
    steps: Vec<Value>,
    /// The ids of the requests of either side, in their order.
    asked: [i64; 2],
}

impl Teller {
    /// A heading.
    fn part(&mut self, title: &str) {
        self.steps.push(json!({ "part": title }));
    }

    /// Something that no frame tells: in a few words, and in whole sentences.
    fn happens(&mut self, what: &str, note: &str) {
        self.steps.push(json!({ "happens": what, "note": note }));
    }

    fn asks(&mut self, who: Side, request: impl Into<Request>, note: &str) {
        let asked = &mut self.asked[usize::from(who == Side::Host)];
        *asked += 1;
        let frame = asked_frame(*asked, &request.into());
        self.step(who, Side::Server, &frame, note);
    }

    /// The reply to the side's last request.
    fn answered(&mut self, who: Side, answer: &impl Answer, note: &str) {
        let asked = self.asked[usize::from(who == Side::Host)];
        self.step(Side::Server, who, &done(&Id::Number(asked), answer), note);
    }

    fn refused(&mut self, who: Side, problem: &Problem, note: &str) {
        let asked = self.asked[usize::from(who == Side::Host)];
        self.step(Side::Server, who, &refused(Some(&Id::Number(asked)), problem), note);
    }

    fn told(&mut self, who: Side, offset: Option<u64>, push: &Push, note: &str) {
        self.step(Side::Server, who, &push.frame(offset), note);
    }

    fn both_told(&mut self, offset: Option<u64>, push: &Push, note: &str) {
        self.told(Side::User, offset, push, note);
        self.told(Side::Host, offset, push, note);
    }

    fn step(&mut self, from: Side, to: Side, frame: &Utf8Bytes, note: &str) {
        let frame: Value = serde_json::from_str(frame).unwrap_or_default();
        self.steps.push(json!({ "from": from.name(), "to": to.name(), "frame": frame, "note": note }));
    }

    fn sequence(self, name: &str, title: &str, description: &str) -> Value {
        json!({ "name": name, "title": title, "description": description, "steps": self.steps })
    }
}

fn asked_frame(id: i64, request: &Request) -> Utf8Bytes {
    asked(&Id::Number(id), request)
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x019a_be7c_c200_7000_8000_0000_0000_0000 + n)
}

fn user() -> PersonId {
    PersonId(id(0xa1))
}

fn host() -> PersonId {
    PersonId(id(0xb2))
}

fn call() -> CallId {
    CallId(id(0xca11))
}

fn gift() -> GiftId {
    GiftId(id(0x91f7))
}

fn key(n: u128) -> String {
    id(0x1000 + n).to_string()
}

/// So many milliseconds after the call has begun.
fn at(ms: i64) -> DateTime<Utc> {
    // 2026-11-26 12:00:00.
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_795_694_400) + TimeDelta::milliseconds(ms)
}

fn card_of(person: PersonId) -> PersonCard {
    let (name, picture) = if person == user() { ("Asha", "asha") } else { ("Meera", "meera") };
    let avatar_url = Some(format!("https://img.example/{picture}.webp"));
    PersonCard { person: person.0, name: Some(name.to_owned()), avatar_url }
}

fn other_of(side: Side) -> PersonCard {
    card_of(if side == Side::User { host() } else { user() })
}

const PRICE: i64 = 60_000;
const INCREMENT: i64 = 10_000;

fn receipt(revision: u64) -> Receipt {
    let command_id = CommandId(id(0xc0_0000 + u128::from(revision)));
    Receipt { journal: JournalId(id(1)), command_id, revision, duplicate: false }
}

fn auth() -> Auth {
    Auth { token: "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMTlhIn0.c2lnbmF0dXJl".to_owned() }
}

fn welcome(person: PersonId, offset: u64, active_call: Option<Standing>, now: DateTime<Utc>) -> Welcome {
    let roles = if person == host() { vec!["user", "host"] } else { vec!["user"] };
    Welcome {
        person,
        roles: roles.into_iter().map(str::to_owned).collect(),
        offset,
        token_expires_at: now + TimeDelta::minutes(15),
        active_call,
        rings: Vec::new(),
    }
}

fn invite() -> CallInvite {
    CallInvite { host: host(), medium: Medium::Video, price_seen_milli_per_minute: PRICE, key: key(1) }
}

fn ringing() -> Ringing {
    Ringing {
        call: call(),
        host: host(),
        medium: "video".to_owned(),
        price_milli_per_minute: PRICE,
        status: "ringing".to_owned(),
        expires_at: at(25_000),
    }
}

fn ring() -> RingPush {
    RingPush {
        call: call(),
        payer: user(),
        host: host(),
        medium: "video".to_owned(),
        price_milli_per_minute: PRICE,
        expires_at: at(25_000),
        other: other_of(Side::Host),
    }
}

fn started(side: Side) -> Push {
    Push::CallStarted(StartedPush {
        call: call(),
        payer: user(),
        host: host(),
        medium: Medium::Video,
        asset: Asset::COIN,
        price_milli_per_minute: PRICE,
        increment_seconds: 10,
        free_seconds: 0,
        grace_seconds: 30,
        started_at: at(0),
        other: other_of(side),
    })
}

/// The push of an increment to one side, of whose coins so many are left.
fn ticked(side: Side, number: u32, spendable_milli: i64, seconds_left: i64) -> Push {
    let is_user = side == Side::User;
    Push::CallTicked(TickedPush {
        call: call(),
        number,
        asset: Asset::COIN,
        charge_milli: INCREMENT,
        charged_total_milli: i64::from(number) * INCREMENT,
        seconds_paid: Some(i64::from(number) * 10),
        earned_milli: (!is_user).then_some(INCREMENT / 2),
        spendable_left_milli: is_user.then_some(spendable_milli),
        seconds_left: is_user.then_some(seconds_left),
    })
}

fn wallet_of_user(spendable_milli: i64) -> Push {
    let bonus_milli = 5_000.min(spendable_milli);
    wallet(spendable_milli - bonus_milli, bonus_milli, 0)
}

fn wallet_of_host(earnings_milli: i64) -> Push {
    wallet(0, 0, earnings_milli)
}

fn wallet(purchased_milli: i64, bonus_milli: i64, earnings_milli: i64) -> Push {
    Push::WalletUpdated(WalletPush {
        asset: Asset::COIN,
        purchased_milli,
        bonus_milli,
        spendable_milli: purchased_milli + bonus_milli,
        earnings_milli,
        withdrawable_milli: earnings_milli,
        frozen_milli: 0,
        owed_milli: 0,
    })
}

fn gift_sent(side: Side) -> Push {
    Push::GiftSent(GiftPush {
        sending: GiftSendingId(id(0x5e)),
        gift: gift(),
        sender: user(),
        host: host(),
        call: Some(call()),
        asset: Asset::COIN,
        price_milli: 5_000,
        earned_milli: (side == Side::Host).then_some(2_500),
        other: other_of(side),
    })
}

fn ended(reason: &str, ended_by: Option<PersonId>, of_call: Option<(i64, i64)>) -> Push {
    Push::CallEnded(EndedPush {
        call: call(),
        reason: reason.to_owned(),
        ended_by,
        connected_ms: of_call.map(|(connected_ms, _)| connected_ms),
        asset: of_call.map(|_| Asset::COIN),
        charged_total_milli: of_call.map(|(_, charged_milli)| charged_milli),
    })
}

fn seen(person: PersonId, status: PresenceStatus) -> Push {
    Push::PresenceUpdated(PresencePush { person, status })
}

/// The sequences, each with its steps: `{part}` is a heading, `{happens, note}` something that no frame tells, and
/// `{from, to, frame, note}` a frame.
pub(crate) fn sequences() -> Vec<Value> {
    vec![a_call(), a_ring(), a_token(), others()]
}

fn a_call() -> Value {
    use Side::{Host, User};
    let mut it = Teller::default();
    it.part("Sign in");
    it.asks(Host, auth(), "The first frame of a socket. The host's app stays connected to be reachable.");
    it.answered(Host, &welcome(host(), 100, None, at(-60_000)), "No call, no ring.");
    it.asks(User, auth(), "");
    it.answered(
        User,
        &welcome(user(), 100, None, at(-50_000)),
        "Pushes with an offset above 100 are news. Read the rest over HTTP with `min_revision=100`.",
    );

    it.part("Ring");
    it.asks(User, invite(), "With the price that the user saw. Nothing is charged yet.");
    it.told(Host, None, &Push::CallInvited(ring()), "`other` says who rings.");
    it.answered(User, &ringing(), "The host's devices ring.");

    it.part("Accept");
    it.asks(Host, CallAnswer { call: call(), accept: true }, "");
    it.told(User, Some(101), &started(User), "The call runs.");
    it.told(Host, Some(101), &started(Host), "");
    it.told(User, Some(102), &ticked(User, 1, 85_000, 90), "The first increment is charged at once.");
    it.told(Host, Some(102), &ticked(Host, 1, 0, 0), "The host sees what was earned.");
    it.told(User, Some(103), &wallet_of_user(85_000), "All balances after it.");
    it.told(Host, Some(103), &wallet_of_host(5_000), "");
    let accepted = Answered { call: call(), accepted: true, receipt: Some(receipt(103)) };
    it.answered(Host, &accepted, "A reply and the pushes of the same event can come in either order.");
    let answered = Push::CallAnswered(AnsweredPush { call: call(), accepted: true });
    it.told(User, None, &answered, "Stop the ringing tone.");
    it.told(Host, None, &answered, "The host's other devices stop ringing.");
    it.told(User, None, &seen(host(), PresenceStatus::Busy), "");
    it.told(Host, None, &seen(user(), PresenceStatus::Busy), "");

    it.part("Talk");
    it.told(User, Some(104), &ticked(User, 2, 75_000, 80), "10 seconds later, the next increment.");
    it.told(Host, Some(104), &ticked(Host, 2, 0, 0), "");
    it.told(User, Some(105), &wallet_of_user(75_000), "");
    it.told(Host, Some(105), &wallet_of_host(10_000), "");
    let sent =
        GiftSend { host: host(), gift: gift(), call: Some(call()), price_seen_milli: 5_000, key: key(2) };
    it.asks(User, sent, "A gift within the call.");
    let sending = GiftSendingId(id(0x5e));
    it.answered(User, &GiftReceipt { sending, receipt: receipt(107) }, "");
    it.told(User, Some(106), &gift_sent(User), "On all devices of the user.");
    it.told(Host, Some(106), &gift_sent(Host), "Show it in the call.");
    it.told(User, Some(107), &wallet_of_user(70_000), "");
    it.told(Host, Some(107), &wallet_of_host(12_500), "");

    it.part("Heartbeat");
    it.happens(
        "ping and pong of the WebSocket, every 4 seconds",
        "Every 4 seconds the server sends a WebSocket ping on each socket, and the library answers with a pong.",
    );
    it.asks(User, Ping {}, "A browser cannot see pings. When it has heard nothing for a while, it asks.");
    it.answered(User, &Pong { at: at(12_600) }, "No answer within seconds: connect again.");

    it.part("The connection breaks");
    it.happens(
        "the user's network is gone",
        "The user's network is gone. After 8 seconds without a word, or at once when the socket closes:",
    );
    let paused = PausedPush {
        call: call(),
        cause: PauseCause::Disconnected,
        connected_ms: 13_400,
        returned_milli: 0,
        lost_at: at(43_400),
    };
    it.told(Host, Some(108), &Push::CallPaused(paused), "No time runs, nothing is charged.");
    it.told(Host, None, &seen(user(), PresenceStatus::Offline), "");

    it.part("Reconnect and resume");
    it.asks(User, auth(), "On a new socket, within the grace of 30 seconds.");
    let standing = Standing {
        call: call(),
        payer: user(),
        host: host(),
        medium: Medium::Video,
        asset: Asset::COIN,
        price_milli_per_minute: PRICE,
        increment_seconds: 10,
        free_seconds: 0,
        grace_seconds: 30,
        started_at: at(0),
        ticks: 2,
        charged_total_milli: 20_000,
        seconds_paid: 20,
        connected_ms: 13_400,
        paused: true,
        lost_at: Some(at(43_400)),
        spendable_left_milli: Some(70_000),
        seconds_left: Some(77),
        other: other_of(User),
    };
    it.answered(
        User,
        &welcome(user(), 108, Some(standing), at(19_000)),
        "`active_call` is all that is needed to show the call again. Where time runs again by now, `paused` is false and \
         `offset` is that of `call:resumed`.",
    );
    it.told(Host, None, &seen(user(), PresenceStatus::Busy), "");
    let resumed = Push::CallResumed(ResumedPush { call: call(), resumed_at: at(19_100) });
    it.both_told(Some(109), &resumed, "Time runs again from 13.4 seconds.");
    it.told(User, Some(110), &ticked(User, 3, 60_000, 70), "At 20 seconds of connected time.");
    it.told(Host, Some(110), &ticked(Host, 3, 0, 0), "");
    it.told(User, Some(111), &wallet_of_user(60_000), "");
    it.told(Host, Some(111), &wallet_of_host(17_500), "");

    it.part("Coins run low");
    it.told(User, Some(112), &ticked(User, 4, 50_000, 60), "");
    it.told(Host, Some(112), &ticked(Host, 4, 0, 0), "");
    it.told(User, Some(113), &wallet_of_user(50_000), "");
    it.told(Host, Some(113), &wallet_of_host(22_500), "");
    let warned = Push::CallWarned(WarnedPush { call: call(), seconds_left: 60 });
    it.told(User, Some(113), &warned, "Offer to buy coins. At 0 the server ends the call as `exhausted`.");

    it.part("Hang up");
    it.asks(User, CallEnd { call: call(), key: key(3) }, "Either side can.");
    it.answered(User, &HungUp { call: call(), receipt: Some(receipt(114)) }, "");
    it.both_told(
        Some(114),
        &ended("hung_up", Some(user()), Some((34_100, 40_000))),
        "4 increments were charged.",
    );
    it.told(User, None, &seen(host(), PresenceStatus::Online), "");
    it.told(Host, None, &seen(user(), PresenceStatus::Online), "");
    it.sequence(
        "call",
        "A call",
        "From sign-in to the end, with a gift and a lost connection. Asha calls Meera, at 60 coins a minute in increments \
         of 10 seconds; she has 95 coins.",
    )
}

fn a_ring() -> Value {
    use Side::{Host, User};
    let mut it = Teller::default();
    it.asks(User, invite(), "");
    it.answered(User, &ringing(), "");
    it.told(Host, None, &Push::CallInvited(ring()), "");
    it.asks(User, CallCancel { call: call() }, "The user does not want to wait.");
    it.answered(User, &Cancelled { call: call() }, "");
    it.both_told(None, &ended("cancelled", None, None), "A ring costs nothing, so no charge is told.");
    it.asks(Host, CallAnswer { call: call(), accept: true }, "Too late.");
    let over = Problem::new(409, "ring_over", "the ring is over");
    it.refused(Host, &over, "Decide by `code`; each code has a page under `/problems`.");
    it.sequence("ring", "A ring that becomes no call", "The user cancels before the host has answered.")
}

fn a_token() -> Value {
    use Side::User;
    let mut it = Teller::default();
    it.happens(
        "the token expires",
        "Refresh the access token over HTTP a while before `token_expires_at` of the welcome, and send it. If you do not:",
    );
    it.told(User, None, &Push::AuthExpired(ExpiredPush { closes_at: at(910_000) }), "60 seconds are left.");
    it.asks(User, auth(), "The fresh token, on the same socket.");
    it.answered(
        User,
        &welcome(user(), 131, None, at(860_000)),
        "The socket stays open, and nothing was missed.",
    );
    it.sequence("token", "A token that expires", "A socket outlives the token that it was opened with.")
}

fn others() -> Value {
    use Side::{Host, User};
    let mut it = Teller::default();
    it.asks(Host, PresenceUpdate { status: ChosenStatus::Offline }, "Connected, but not to be rung.");
    it.told(Host, None, &seen(host(), PresenceStatus::Offline), "On all devices of the host.");
    it.answered(Host, &PresenceChosen { status: ChosenStatus::Offline }, "");
    let bought = PurchasePush {
        purchase: PurchaseId(id(0x9a)),
        status: "captured".to_owned(),
        asset: Asset::COIN,
        coins_milli: 100_000,
    };
    it.told(User, Some(140), &Push::PurchaseUpdated(bought), "The payment has arrived.");
    it.told(User, Some(140), &wallet(145_000, 5_000, 0), "");
    let withdrawal = WithdrawalPush {
        withdrawal: WithdrawalId(id(0xdd)),
        agency: None,
        status: "paid".to_owned(),
        reason: None,
    };
    it.told(Host, Some(151), &Push::WithdrawalUpdated(withdrawal), "The money is on its way to the bank.");
    let of_agency = WithdrawalPush {
        withdrawal: WithdrawalId(id(0xde)),
        agency: Some(AgencyId(id(0xa9))),
        status: "failed".to_owned(),
        reason: Some("account_closed".to_owned()),
    };
    it.told(Host, Some(152), &Push::WithdrawalUpdated(of_agency), "To the owner of an agency.");
    it.sequence("others", "Outside of calls", "Presence, purchases and withdrawals.")
}

/// The frames of this `type` in the sequences, each with what is said of it; alike ones once.
pub(crate) fn of_type(sequences: &[Value], name: &str) -> Vec<Value> {
    let steps = sequences.iter().flat_map(|it| it["steps"].as_array().into_iter().flatten());
    let mut examples: Vec<Value> = Vec::new();
    for step in steps.filter(|step| step["frame"]["type"] == name) {
        let frame = &step["frame"];
        // One for each set of fields shows all that can be absent.
        let form = |frame: &Value| -> Vec<String> {
            let data = frame["data"].as_object();
            data.into_iter().flat_map(Map::keys).cloned().collect()
        };
        if examples.iter().any(|it| form(&it["payload"]) == form(frame)) {
            continue;
        }
        let side = if step["from"] == "server" { &step["to"] } else { &step["from"] };
        let number = examples.len() + 1;
        let mut example =
            json!({ "name": format!("{}{number}", side.as_str().unwrap_or_default()), "payload": frame });
        if step["note"].as_str().is_some_and(|note| !note.is_empty()) {
            example["summary"] = step["note"].clone();
        }
        examples.push(example);
    }
    examples
}
