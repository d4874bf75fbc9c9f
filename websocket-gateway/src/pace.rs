//! How many requests one socket may make.

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;

/// What a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Fine,
    /// Refused, with a problem.
    TooFast,
    /// It has been refused so often in a row that the socket is closed.
    Enough,
}

/// So many requests at once, and as many again in each second.
pub(crate) struct Pacer<C: Clock = MonotonicClock> {
    requests: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    refused: u32,
    /// More in a row are enough.
    most_refused: u32,
}

impl Pacer {
    pub fn new(per_second: u32) -> Pacer {
        Pacer::by(MonotonicClock, per_second)
    }
}

impl<C: Clock> Pacer<C> {
    fn by(clock: C, per_second: u32) -> Pacer<C> {
        let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let requests = RateLimiter::new(Quota::per_second(per_second), InMemoryState::default(), clock);
        Pacer { requests, refused: 0, most_refused: per_second.get().saturating_mul(2) }
    }

    pub fn request(&mut self) -> Pace {
        if self.requests.check().is_ok() {
            self.refused = 0;
            return Pace::Fine;
        }
        self.refused += 1;
        if self.refused > self.most_refused { Pace::Enough } else { Pace::TooFast }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use std::time::Duration;

    #[test]
    fn a_burst_is_fine_and_one_more_is_not() {
        let mut pacer = Pacer::by(FakeRelativeClock::default(), 30);
        assert!((0..30).all(|_| pacer.request() == Pace::Fine));
        assert_eq!(pacer.request(), Pace::TooFast);
    }

    #[test]
    fn the_burst_comes_back_with_time() {
        let clock = FakeRelativeClock::default();
        let mut pacer = Pacer::by(clock.clone(), 10);
        while pacer.request() == Pace::Fine {}
        clock.advance(Duration::from_millis(201));
        assert_eq!([(); 3].map(|()| pacer.request()), [Pace::Fine, Pace::Fine, Pace::TooFast]);
    }

    #[test]
    fn whoever_goes_on_while_refused_is_put_out() {
        let mut pacer = Pacer::by(FakeRelativeClock::default(), 5);
        let met: Vec<Pace> = (0..16).map(|_| pacer.request()).collect();
        assert_eq!(met[4..=5], [Pace::Fine, Pace::TooFast]);
        assert_eq!(met[14..], [Pace::TooFast, Pace::Enough]);
    }
}
