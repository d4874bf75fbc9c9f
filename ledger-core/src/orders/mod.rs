//! Service orders: what hosts and the platform sell beside calls, paid from the wallet, at the gateway, or both.
//!
//! What an order is paid with is held for it (`order:<id>:held`) until it is completed; then it is split by the commission
//! that was in force when the order was placed. The part that the gateway is asked for buys coins, which are held for the
//! order as they come. Where they do not come in time, the order expires and what the wallet paid goes back.
//!
//! A coupon's discount is borne by the platform: the buyer pays less, and with the completion `platform:promotions` pays
//! the rest, so that a provider earns what the service costs. Each use of a coupon is counted when the order is placed,
//! and counted back when the order is cancelled or expires.
//!
//! Coins that go back go to the lots that they came from, those that were drawn last first. With `p` paid, a discount
//! of `d` and refunds of `r` in all, `floor(d x r / p)` of the discount has gone back too, and the provider earns by the
//! rest of the price. So it makes no difference whether a refund comes before or after the completion, or in how many parts.

mod cancel;
mod coupon;
mod fulfil;
mod order;
mod paid;
mod place;
mod refund;
mod service;

pub use cancel::{CancelCause, CancelOrder, DeclineOrder, ExpireOrder, OrderCancelled};
pub use coupon::{Coupon, CouponSet, CouponTerms, Discount, PercentOff, SetCoupon};
pub use fulfil::{AcceptOrder, CompleteOrder, OrderAccepted, OrderCompleted};
pub use order::{Order, OrderStatus};
pub use paid::OrderPaid;
pub use place::{OrderPlaced, PlaceOrder, Quote};
pub use refund::{OrderRefunded, RefundOrder};
pub use service::{Service, ServiceSet, SetService, gateway_minor};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        orders
        commands {
            SetService SetCoupon PlaceOrder AcceptOrder CompleteOrder CancelOrder DeclineOrder ExpireOrder RefundOrder
        }
        events {
            ServiceSet CouponSet OrderPlaced OrderPaid OrderAccepted OrderCompleted OrderCancelled OrderRefunded
        }
        tables {
            services: Table<ServiceId, orders::Service>;
            coupons: Table<CouponId, orders::Coupon>;
            // Each code belongs to one coupon for ever.
            coupon_codes: Lookup<String, CouponId>;
            // When the counters of which coupon leave.
            coupon_ends: Table<(Timestamp, CouponId), ()>;
            // How often a person uses a coupon that is not over.
            coupon_people: Table<(CouponId, PersonId), u32>;
            orders: Lookup<OrderId, orders::Order>;
            // Until when which order may be paid.
            unpaid_orders: Table<(Timestamp, OrderId), ()>;
            // When which order leaves.
            leaving_orders: Table<(Timestamp, OrderId), ()>;
        }
        rejections {
            UnknownService = "unknown_service", "there is no such service";
            ServiceInactive = "service_inactive", "this service is not sold at present";
            CouponCodeUnfit = "coupon_code_unfit", "a coupon's code is 4 to 32 capital letters and digits";
            CouponCodeTaken = "coupon_code_taken", "this code belongs to another coupon";
            CouponCodeFixed = "coupon_code_fixed", "the code of a coupon stays as it was at first";
            CouponDiscountInvalid = "coupon_discount_invalid", "a discount is 1 to 10000 basis points or an amount greater than zero";
            CouponPeriodInvalid = "coupon_period_invalid", "a coupon ends after it begins, and after now";
            CouponOver = "coupon_over", "this coupon is over; set up another one";
            UnknownCoupon = "unknown_coupon", "there is no such coupon";
            CouponNotValid = "coupon_not_valid", "this coupon cannot be used now";
            CouponPriceTooLow { least_milli: i64 } = "coupon_price_too_low", "this coupon is for services from {least_milli} thousandths of a coin on";
            CouponUsedUp = "coupon_used_up", "this coupon has been used as often as it may be";
            CouponPersonFull { most: u32 } = "coupon_person_full", "a person can use this coupon {most} times";
            OrderTotalChanged { total_milli: i64 } = "order_total_changed", "the order now costs {total_milli} thousandths of a coin";
            WalletPartUnfit { total_milli: i64 } = "wallet_part_unfit", "the wallet pays between nothing and {total_milli} thousandths of a coin";
            UnknownOrder = "unknown_order", "there is no such order that anything can still be done to";
            OrderNotPaid = "order_not_paid", "this order has not been paid yet";
            OrderAlreadyPaid = "order_already_paid", "this order has been paid";
            OrderAlreadyAccepted = "order_already_accepted", "this order has been accepted";
            OrderAlreadyCompleted = "order_already_completed", "this order has been completed";
            OrderClosed = "order_closed", "this order was cancelled, has expired or was refunded";
            OrderPaymentNotDue { due: Timestamp } = "order_payment_not_due", "this order may be paid until {due}";
            RefundExceedsOrder { refundable_milli: i64 } = "refund_exceeds_order", "{refundable_milli} thousandths of a coin of this order can still be refunded";
        }
    } } };
}
pub(crate) use noun;
