//! Metered calls.

mod call;
mod end;
mod pause;
mod returned;
mod start;
mod tick;

pub use call::{Call, GRACES_PER_CALL, Phase, UNSEEN_LIMIT_MS, total_milli};
pub use end::{CallEnded, EndCall, EndReason, Ending};
pub use pause::{CallPaused, CallResumed, PauseCall, PauseCause, ResumeCall};
pub(crate) use returned::Returnable;
pub use returned::{CallChargeReturned, ReturnedDraw};
pub use start::{CallStarted, StartCall};
pub use tick::{CallTicked, TickCall};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        calls
        commands { StartCall TickCall PauseCall ResumeCall EndCall }
        events { CallStarted CallTicked CallPaused CallChargeReturned CallResumed CallEnded }
        tables {
            calls: Lookup<CallId, calls::Call>;
            // Who is in which call, as payer or as host.
            engaged: Table<PersonId, CallId>;
            // What was used of free seconds on a day (UTC, counted from 1970), by day, payer and host.
            free_used: Table<(i64, PersonId, PersonId), u32>;
            // When which call has ended.
            ended_calls: Table<(Timestamp, CallId), ()>;
        }
        rejections {
            CallPriceChanged { price_milli_per_minute: i64 } = "call_price_changed", "the host's price is now {price_milli_per_minute} thousandths of a coin a minute";
            PayerBusy = "payer_busy", "the payer is in another call";
            HostBusy = "host_busy", "the host is in another call";
            CallKnown = "call_already_started", "this call has been started already";
            UnknownCall = "unknown_call", "there is no such call";
            CallEnded = "call_ended", "the call has ended";
            NotInCall = "not_in_call", "only those in the call can do this";
            CallNotRunning = "call_not_running", "the call is paused";
            CallNotPaused = "call_not_paused", "the call is not paused";
            TickNotDue { due: Timestamp } = "tick_not_due", "the next increment begins at {due}";
            TickOutOfOrder { next: u32 } = "tick_out_of_order", "the next increment is number {next}";
            GraceNotOver { lost_at: Timestamp } = "grace_not_over", "the call is lost from {lost_at} on";
            TermsInvalid { field: &'static str } = "terms_invalid", "the setting {field} cannot be used to meter a call";
        }
    } } };
}
pub(crate) use noun;
