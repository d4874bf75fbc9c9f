//! The book of a gateway's account brought to what the gateway says: its fees, and what only it knows of.

use super::check_unsettled;
use crate::account::legs;
use crate::mechanism::decide::{Context, Decide, check_amount, check_reason};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{
    Account, AdjustmentId, Asset, DifferenceId, Event, Gateway, NoteId, PersonId, Posting, Rejection,
};

commands! {
    AdjustGateway = "AdjustGateway" {
        gateway: Gateway,
        /// What the gateway holds more (positive) or less (negative) than the books say.
        amount_minor: i64,
        asset: Asset,
        reason: String,
        note: Option<NoteId>,
        settles: Option<DifferenceId>,
    }
}

events! {
    /// A person of the platform corrected a gateway's account; what it loses is a loss of the platform.
    GatewayAdjusted = "GatewayAdjusted" {
        adjustment: AdjustmentId,
        gateway: Gateway,
        amount_minor: i64,
        asset: Asset,
        reason: String,
        note: Option<NoteId>,
        settles: Option<DifferenceId>,
        postings: Vec<Posting>,
    }
}

impl Decide for AdjustGateway {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &AdjustGateway { gateway, amount_minor, asset, ref reason, note, settles } = self;
        let field = "amount_minor";
        let size = amount_minor.checked_abs().ok_or(Rejection::AmountTooLarge { field })?;
        check_amount(field, size)?;
        let reason = check_reason("reason", reason)?;
        if asset == Asset::COIN {
            return Err(Rejection::GatewayHoldsMoney);
        }
        context.check_declared(asset)?;
        check_unsettled(context, settles)?;
        let (book, other) = (Account::Gateway(gateway), Account::PlatformLosses);
        let postings =
            if amount_minor > 0 { legs(asset, book, other, size) } else { legs(asset, other, book, size) };
        let adjusted = GatewayAdjusted {
            adjustment: context.command_id.derive("adjustment"),
            gateway,
            amount_minor,
            asset,
            reason,
            note,
            settles,
            postings,
        };
        Ok(vec![adjusted.into()])
    }
}

impl Happened for GatewayAdjusted {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn people(&self) -> Vec<PersonId> {
        Vec::new()
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.adjustment.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.settle(self.settles);
    }
}
