//! How many requests one socket may make.

use tokio::time::{Duration, Instant};

/// What a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Fine,
    /// Refused, with a problem.
    TooFast,
    /// It has been refused so often in a row that the socket is closed.
    Enough,
}

/// A bucket of `burst` requests that fills again in a second.
pub(crate) struct Pacer {
    burst: u32,
    /// When the bucket would be full if nothing more came.
    full_at: Instant,
    refused: u32,
}

impl Pacer {
    /// `burst` of 1 or more.
    pub fn new(burst: u32, now: Instant) -> Pacer {
        Pacer { burst: burst.max(1), full_at: now, refused: 0 }
    }

    pub fn request(&mut self, now: Instant) -> Pace {
        let price = Duration::from_secs(1) / self.burst;
        let full_at = self.full_at.max(now) + price;
        if full_at <= now + Duration::from_secs(1) {
            self.full_at = full_at;
            self.refused = 0;
            return Pace::Fine;
        }
        self.refused += 1;
        if self.refused > 2 * self.burst { Pace::Enough } else { Pace::TooFast }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any moment does as the first")]
    fn start() -> Instant {
        std::time::Instant::now().into()
    }

    #[test]
    fn a_burst_is_fine_and_one_more_is_not() {
        let now = start();
        let mut pacer = Pacer::new(30, now);
        assert!((0..30).all(|_| pacer.request(now) == Pace::Fine));
        assert_eq!(pacer.request(now), Pace::TooFast);
    }

    #[test]
    fn the_burst_comes_back_with_time() {
        let now = start();
        let mut pacer = Pacer::new(10, now);
        while pacer.request(now) == Pace::Fine {}
        let later = now + Duration::from_millis(201);
        assert_eq!([(); 3].map(|()| pacer.request(later)), [Pace::Fine, Pace::Fine, Pace::TooFast]);
    }

    #[test]
    fn whoever_goes_on_while_refused_is_put_out() {
        let now = start();
        let mut pacer = Pacer::new(5, now);
        let met: Vec<Pace> = (0..16).map(|_| pacer.request(now)).collect();
        assert_eq!(met[4..=5], [Pace::Fine, Pace::TooFast]);
        assert_eq!(met[14..], [Pace::TooFast, Pace::Enough]);
    }
}
