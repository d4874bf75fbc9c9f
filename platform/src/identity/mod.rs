//! Who somebody is: a phone number proved by a one-time password, a session, and the roles that go with it.

pub mod access;
pub mod agencies;
pub mod cards;
pub mod otp;
pub mod people;
pub mod phone;
pub mod restrictions;
pub mod sessions;
pub mod sweep;
pub mod tokens;

pub use access::{AccessChange, AccessChanges};
pub use agencies::{Agencies, Agency, AgencyError};
pub use cards::{Cards, PersonCard, card, cards};
pub use otp::{Otp, OtpConfig, OtpError, OtpStarted, Requester, Verified};
pub use people::{People, PeopleError, Person, Role, Wanted};
pub use phone::{Phone, PhoneInvalid, PhoneVault};
pub use restrictions::{Restriction, RestrictionKind, Restrictions, Scope};
pub use sessions::{AuthError, Caller, EndReason, OpenSession, Sessions, TokenPair};
pub use sweep::Sweep;
pub use tokens::{AccessTokens, Claims, KeyError, SessionId};
