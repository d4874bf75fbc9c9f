//! What each code means, and what to do about it.

/// A code of a problem.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub code: &'static str,
    pub status: u16,
    pub meaning: &'static str,
    pub remedy: &'static str,
}

const fn entry(code: &'static str, status: u16, meaning: &'static str, remedy: &'static str) -> Entry {
    Entry { code, status, meaning, remedy }
}

/// Codes whose request never succeeds by waiting, though their status may sound like it.
const NOT_BY_WAITING: [&str; 3] = ["otp_too_many_tries", "read_models_refused", "setting_unreadable"];

impl Entry {
    /// Whether sending the same request again helps.
    pub fn retry(&self) -> &'static str {
        match self.status {
            _ if NOT_BY_WAITING.contains(&self.code) => "No. Waiting does not help.",
            429 | 502..=504 | 507 => {
                "Yes: send the same request with the same key after `retry_after_seconds`, which is the `Retry-After` \
                 header too. It is carried out at most once."
            }
            401 if self.code == "token_expired" => "Yes, with a fresh access token and the same key.",
            500 => "Once or twice, with the same key. If it stays, tell us the request id of the answer.",
            403 | 404 | 409 => {
                "Not at once: something has to change first. Then the same key may be used again, since a refused \
                 request leaves no trace."
            }
            _ => "No: the request itself has to change.",
        }
    }
}

/// All codes, in the order of the alphabet.
#[rustfmt::skip]
pub static CATALOGUE: &[Entry] = &[
    entry("account_banned", 403, "An admin has closed this account for good.", "Tell the person whom to write to. Nothing else works with this account."),
    entry("account_not_adjustable", 422, "Only accounts of users, hosts and agencies can be adjusted by hand.", "Choose such an account. The platform's own accounts change by what happens only."),
    entry("account_suspended", 403, "An admin has closed this account for some time.", "Tell the person whom to write to. The account works again once an admin lifts it."),
    entry("adjustment_overdraws", 409, "The adjustment would take more than the account holds (`balance_milli`).", "Take at most what is there."),
    entry("agency_code_taken", 409, "Another agency has this code.", "Choose another code."),
    entry("already_in_agency", 409, "The host belongs to another agency.", "Let them leave that agency first."),
    entry("amount_not_positive", 422, "The amount in `field` must be greater than zero.", "Send a positive amount."),
    entry("amount_too_large", 422, "The amount in `field`, or the balance that it leads to, is larger than 2^53-1.", "Send a smaller amount."),
    entry("approval_closed", 409, "The proposal was decided already, or has run out.", "Look at the proposal; propose again if it has run out."),
    entry("approval_needs_another_admin", 409, "Nobody approves their own proposal.", "Let another admin approve it."),
    entry("asset_not_declared", 422, "The journal is not kept in this `asset`.", "Use an asset that the journal declares, such as INR/2."),
    entry("authenticate_first", 401, "The first frame of a socket must be `auth`.", "Send `auth` with an access token, then the rest."),
    entry("binary_frame", 400, "Requests over a socket are JSON in text frames.", "Send a text frame."),
    entry("body_cut_off", 400, "The body ended before its length.", "Send it again whole."),
    entry("body_too_large", 413, "The body is longer than `limit_bytes`.", "Send a smaller body."),
    entry("busy", 503, "The ledger has more commands waiting than it takes. Nothing was recorded.", "Wait a moment and send it again."),
    entry("call_already_started", 409, "This call has been started already.", "Go on with the call that runs."),
    entry("call_ended", 409, "The call has ended.", "Show how it ended; start another one if both want to."),
    entry("call_not_paused", 409, "The call is not paused.", "Nothing to do: it runs."),
    entry("call_not_running", 409, "The call is paused.", "Wait until both sides are back."),
    entry("call_price_changed", 409, "The host has changed the price since it was shown; it is now `price_milli_per_minute`.", "Show the new price, and ask again when the person agrees."),
    entry("clock_leap", 503, "The server's clock has leapt; commands wait until it is right. Nothing was recorded.", "Try again later. Operators have an alert."),
    entry("commission_not_set", 409, "No rate is set for this scope.", "Set one before you remove it."),
    entry("commission_too_large", 422, "Host and agency together get at most 10000 basis points.", "Lower one of the two."),
    entry("cursor_invalid", 400, "This is not a cursor that an earlier page gave.", "Start at the first page, and pass `next_cursor` on as it is."),
    entry("dispute_already_decided", 409, "The dispute has been decided already.", "Look at the dispute."),
    entry("dispute_already_recorded", 409, "The dispute is recorded already.", "Look at the dispute."),
    entry("dispute_mismatch", 409, "The dispute is recorded already, for another payment.", "Look it up at the gateway."),
    entry("earnings_not_available", 409, "Part of the earnings is still held; `available_milli` can be withdrawn.", "Ask for less, or wait until the hold is over."),
    entry("earnings_not_spendable", 409, "Earnings can be withdrawn, not spent; `spendable_milli` of `needed_milli` can be spent.", "Offer to buy coins."),
    entry("effective_from_in_past", 422, "A commission rate is never backdated; `earliest` is the earliest moment.", "Choose that moment or a later one."),
    entry("field_invalid", 422, "The value of `field` is not allowed; `detail` says why.", "Correct the field."),
    entry("forbidden_role", 403, "The caller lacks the role `needed_role`.", "Ask an admin for the role, or call another route."),
    entry("gateway_refused", 502, "The payment gateway refused. Nobody was charged.", "Try again; if it stays, look at the gateway's own dashboard."),
    entry("gateway_unavailable", 503, "The payment gateway does not answer.", "Send the request again with the same key."),
    entry("gift_outside_call", 409, "A gift in a call goes from its payer to its host while it lasts.", "Send the gift without `call`."),
    entry("gift_price_changed", 409, "The gift costs `price_milli` now.", "Show the new price, and send again when the person agrees."),
    entry("grace_not_over", 409, "The call counts as lost from `lost_at` on, not before.", "Wait until then."),
    entry("host_already_approved", 409, "This person is a host already.", "Nothing to do."),
    entry("host_already_decided", 409, "This application has been decided.", "Look at the decision."),
    entry("host_banned", 403, "An admin keeps this person from acting as a host for good.", "Their earnings stay until an admin decides about them."),
    entry("host_busy", 409, "The host is in another call.", "Offer to ring later; presence says when the host is free."),
    entry("host_offline", 409, "The host is not online.", "Choose another host, or wait until presence says `online`."),
    entry("host_suspended", 403, "An admin keeps this person from acting as a host for some time.", "Their earnings stay until an admin decides about them."),
    entry("idempotency_key_expired", 422, "The key says that it was made more than 24 hours ago.", "Look at the history for what the first request did, and only then send it under a new key."),
    entry("idempotency_key_in_future", 422, "The key says that it will be made more than five minutes from now.", "Correct the device's clock, and make a new key."),
    entry("idempotency_key_invalid", 422, "The key must have 1 to 255 printable ASCII characters.", "Send such a key; a UUID of version 7 is best."),
    entry("idempotency_key_missing", 400, "This request needs an `Idempotency-Key` header.", "Make a new key for each new request, and send the same one with each retry."),
    entry("idempotency_key_repeated", 400, "The request has several `Idempotency-Key` headers.", "Send one."),
    entry("idempotency_key_reused", 409, "The key was used for another request within 24 hours.", "If this is a new request, make a new key. If it is a retry, send exactly what was sent first."),
    entry("insufficient_earnings", 409, "Only `available_milli` can be withdrawn.", "Ask for at most that."),
    entry("insufficient_funds", 409, "This needs `needed_milli`, and `spendable_milli` can be spent.", "Offer to buy coins, then send the request again."),
    entry("internal", 500, "The server met a fault of its own.", "Tell us the request id of the answer."),
    entry("invalid_path", 400, "A part of the path cannot be read, such as an id.", "Correct the path."),
    entry("invalid_query", 400, "A parameter of the query cannot be read; `field` names it where it is known.", "Correct the query."),
    entry("journal_already_open", 409, "The journal has been opened before.", "Nothing to do."),
    entry("journal_not_open", 503, "The journal has not been opened.", "Wait for the first start to end."),
    entry("journal_refused", 409, "The journal is not the one that was signed before, so no head of it is signed.", "Tell an operator: it has to be looked at."),
    entry("journal_tree_behind", 503, "The tree of the journal is still being built.", "Ask again later."),
    entry("last_admin", 409, "The last admin cannot lose the role.", "Make somebody else an admin first."),
    entry("ledger_stopped", 503, "The ledger takes no commands at present. Nothing was recorded.", "Try again later. Operators have an alert."),
    entry("lot_not_expired", 409, "This lot of bonus coins has not expired.", "Nothing to do."),
    entry("malformed_json", 400, "The body is not JSON.", "Correct the body."),
    entry("medium_not_offered", 409, "The host does not offer this `medium`.", "Offer one of the media on the host's card."),
    entry("method_not_allowed", 405, "This path does not take this method.", "Look the route up in /docs."),
    entry("min_revision_beyond_journal", 422, "The journal has no such revision (`journal_revision` is its last).", "Pass the `revision` of a receipt of this deployment."),
    entry("missing_field", 422, "The request lacks `field`.", "Add it."),
    entry("no_head_key", 409, "This deployment has no key to sign heads of the journal with.", "An operator sets `MUNEEM_HEADS_KEY`."),
    entry("no_person", 409, "Only a person who has signed in can do this.", "Sign in as a person."),
    entry("not_connected", 409, "Both sides must be connected by WebSocket; nobody pays for a call that one side cannot hear.", "Connect to /v1/ws on both sides, then try again."),
    entry("not_found", 404, "There is no such path.", "Look the route up in /docs."),
    entry("not_in_agency", 409, "The host belongs to no agency.", "Nothing to do."),
    entry("not_in_call", 403, "Only those in the call can do this.", "Use the call's own payer or host."),
    entry("not_json", 415, "The body must be sent as `application/json`.", "Set the `Content-Type` header."),
    entry("not_storable", 500, "The event store cannot hold what this command leads to. Nothing was recorded.", "Tell us the request id of the answer."),
    entry("otp_expired", 422, "The one-time password has expired.", "Ask for a new one."),
    entry("otp_invalid", 422, "The one-time password is wrong, or was used already.", "Let the person type it again, or ask for a new one."),
    entry("otp_not_sent", 503, "The one-time password could not be sent.", "Try again in a moment, or by another channel."),
    entry("otp_too_many_tries", 429, "This one-time password was guessed at too often.", "Ask for a new one."),
    entry("outcome_unknown", 504, "It is not known yet whether the command was recorded.", "Send the same request with the same key: it is carried out once, and the answer is its receipt."),
    entry("own_money", 403, "Nobody decides on their own money.", "Let another admin do it."),
    entry("payer_busy", 409, "The payer is in another call.", "End that call first."),
    entry("payment_already_recorded", 409, "A payment with this reference is recorded already.", "Look at the purchase that has it."),
    entry("payout_ref_used", 409, "This payout reference belongs to another `withdrawal`.", "Look the reference up at the bank, and enter the right one."),
    entry("payout_rounds_to_nothing", 422, "At the payout rate these coins are worth less than the smallest unit of money.", "Withdraw more coins."),
    entry("person_is_admin", 409, "An admin cannot be suspended or banned.", "Take the role away first."),
    entry("person_restricted", 409, "The person is suspended or banned.", "Lift the restriction first."),
    entry("phone_invalid", 422, "This is not a phone number in E.164 form.", "Send it with + and the country's code, such as +919812345678."),
    entry("plan_inactive", 409, "This coin plan is no longer sold.", "Load the plans again, and show those that are."),
    entry("price_in_coins", 422, "Coins are sold for money.", "Price the plan in an asset such as INR/2."),
    entry("purchase_disputed", 409, "The payment of this purchase is disputed.", "Wait until the dispute is decided, or refund at the gateway."),
    entry("purchase_not_captured", 409, "This purchase has not been paid.", "Wait for the payment."),
    entry("purchase_not_open", 409, "This purchase has been paid already.", "Look at the purchase."),
    entry("purchased_not_withdrawable", 409, "Bought and bonus coins can be spent, not withdrawn; `available_milli` can be withdrawn.", "Ask for at most that."),
    entry("rate_limited", 429, "There were too many requests of this kind.", "Wait for `retry_after_seconds`."),
    entry("read_model_behind", 503, "The read models have not come to `min_revision` in time.", "Ask again; what was recorded is safe."),
    entry("read_models_refused", 503, "The read models do not belong to the journal.", "An operator rebuilds them, or restores the right journal."),
    entry("reason_invalid", 422, "The reason in `field` is a code of 1 to 64 small letters, digits and underscores.", "Choose a code, and put words into the note."),
    entry("receivable_open", 409, "The person owes `owed_milli` for coins whose payment was taken back.", "Offer to buy coins: a purchase settles it first."),
    entry("reference_invalid", 422, "The reference in `field` is 1 to 64 visible ASCII characters.", "Correct it."),
    entry("refund_already_recorded", 409, "A refund with this reference is recorded already.", "Look at the purchase that has it."),
    entry("refund_currency_mismatch", 422, "A refund is made in the currency of the purchase.", "Send that currency."),
    entry("refund_exceeds_captured", 409, "Only `refundable_minor` of this purchase can still be refunded.", "Refund at most that."),
    entry("refund_exceeds_unspent", 409, "Part of the coins of this purchase has been spent; `refundable_minor` can still be refunded.", "Refund at most that."),
    entry("resolution_unfit", 409, "The money of this case cannot be that.", "A purchase takes money that came in and is its price; a refund sends back money that came in; the rest is income."),
    entry("ring_over", 409, "This call no longer rings.", "Ring again if both want to."),
    entry("ring_pending", 409, "This payer is ringing already.", "Wait for the answer, or cancel that ring."),
    entry("self_payment", 422, "Nobody can pay themselves.", "Choose somebody else."),
    entry("session_ended", 401, "The session has ended: signed out, taken away by an admin, or its refresh token was used twice.", "Sign in again."),
    entry("setting_unreadable", 500, "A stored setting cannot be read.", "An operator puts it right; the log names it."),
    entry("storage_full", 507, "The disk of the journal is full. Nothing was recorded.", "Operators have an alert; commands are taken again once there is room."),
    entry("store_unavailable", 503, "The store of the journal does not answer. Nothing was recorded.", "Wait a moment and send it again with the same key."),
    entry("terms_invalid", 409, "The setting `field` cannot be used to meter a call.", "An admin corrects the metering settings."),
    entry("tick_not_due", 409, "The next increment begins at `due`.", "Wait until then."),
    entry("tick_out_of_order", 409, "The next increment is number `next`.", "Go on from that number."),
    entry("timeout", 504, "The request took too long. What it asked for may still happen.", "Send it again with the same key, and get its receipt."),
    entry("token_expired", 401, "The access token is older than 15 minutes.", "Get the next one with the refresh token, and send the request again with the same key."),
    entry("token_invalid", 401, "The token is none of this server's.", "Sign in again."),
    entry("token_missing", 401, "The request has no `Authorization: Bearer` header.", "Send an access token."),
    entry("too_many_lots", 409, "This needs coins of more than `most` purchases at once.", "Spend them in smaller parts."),
    entry("too_many_open_purchases", 409, "Too many purchases of this person wait to be paid.", "Pay one, or wait until they close by themselves."),
    entry("too_many_proposals", 409, "Too many proposals of this admin wait for another admin.", "Let them be decided first."),
    entry("unavailable", 503, "Something behind the server does not answer.", "Try again after a pause."),
    entry("unknown_agency", 404, "There is no such agency.", "Check the id."),
    entry("unknown_approval", 404, "There is no such proposal.", "Check the id."),
    entry("unknown_call", 404, "There is no such call, or the caller has no part in it.", "Check the id."),
    entry("unknown_case", 404, "There is no such open case in suspense.", "List the open cases; somebody else may have resolved it."),
    entry("unknown_dispute", 404, "There is no such dispute.", "Check the gateway's name of it."),
    entry("unknown_event", 404, "There is no such event.", "Check the revision."),
    entry("unknown_field", 422, "The request has a `field` that it may not have.", "Take it out; it may be misspelt."),
    entry("unknown_gift", 404, "There is no such gift in the catalogue, or it is no longer sold.", "Load the catalogue again."),
    entry("unknown_host", 404, "There is no such host, or they do not serve at present.", "Choose another host."),
    entry("unknown_lot", 404, "There is no such lot of bonus coins.", "Check the id."),
    entry("unknown_medium", 404, "There is no such medium.", "Use chat, voice or video."),
    entry("unknown_note", 404, "There is no such note.", "Check the id."),
    entry("unknown_person", 404, "There is no such person.", "Check the id."),
    entry("unknown_plan", 404, "There is no such coin plan.", "Load the plans again."),
    entry("unknown_purchase", 404, "There is no such purchase, or it is somebody else's.", "Check the id."),
    entry("unknown_receivable", 404, "Nothing is owed for such a dispute.", "List the receivables; somebody else may have written it off."),
    entry("unknown_type", 400, "There is no request of this type over the socket.", "Look the types up in /v1/asyncapi.json."),
    entry("unknown_webhook", 404, "There is no such delivery.", "Check the id."),
    entry("unknown_withdrawal", 404, "There is no such withdrawal that anything can still be done to.", "Look at the history: one that finished some time ago is closed for good."),
    entry("webhook_needs_nobody", 409, "This delivery does not wait for a person.", "Nothing to do."),
    entry("webhook_signature_invalid", 400, "The signature is not that of the body under the shared secret.", "Check the secret at the gateway and in the settings."),
    entry("withdrawal_already_approved", 409, "The withdrawal has been approved already.", "Nothing to do."),
    entry("withdrawal_closed", 409, "The withdrawal is cancelled, rejected, paid or failed.", "Request another one."),
    entry("withdrawal_not_approved", 409, "The withdrawal has not been approved.", "Approve it first."),
    entry("withdrawal_too_small", 422, "The smallest withdrawal is `minimum_milli`.", "Withdraw more, or wait until there is more."),
    entry("write_off_too_large", 409, "Only `owed_milli` are owed for this dispute.", "Write off at most that."),
    entry("wrong_type", 422, "The value of `field` is of another type than it must be.", "Correct it."),
];

/// The entry of a code.
pub fn find(code: &str) -> Option<&'static Entry> {
    let place = CATALOGUE.binary_search_by(|entry| entry.code.cmp(code)).ok()?;
    CATALOGUE.get(place)
}
