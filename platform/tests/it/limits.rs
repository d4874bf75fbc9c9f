use crate::{at, shared};
use platform::rate_limit::{Limit, RateLimited, RateLimiter};

async fn limiter() -> RateLimiter {
    RateLimiter::new(shared().await)
}

fn wait(result: Result<(), RateLimited>) -> Option<u32> {
    result.err().map(|limited| limited.retry_after_seconds)
}

#[tokio::test]
async fn a_window_begins_at_the_first_hit_and_says_when_it_ends() {
    let limiter = limiter().await;
    for seconds in [7, 8, 66] {
        assert_eq!(wait(limiter.check("b", "k", 3, 60, at(seconds)).await), None);
    }
    assert_eq!(wait(limiter.check("b", "k", 3, 60, at(66)).await), Some(1));
    assert_eq!(wait(limiter.check("b", "k", 3, 60, at(67)).await), None, "a new window");
    assert_eq!(wait(limiter.check("b", "other", 1, 60, at(66)).await), None);
    assert_eq!(wait(limiter.check("other", "k", 1, 60, at(66)).await), None);
}

#[tokio::test]
async fn hits_at_once_never_pass_the_limit() {
    let limiter = limiter().await;
    let tries: Vec<_> = (0..40)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { wait(limiter.check("b", "k", 10, 60, at(0)).await).is_none() })
        })
        .collect();
    let mut passed = 0;
    for result in tries {
        passed += usize::from(result.await.unwrap());
    }
    assert_eq!(passed, 10);
}

#[tokio::test]
async fn a_hit_that_one_limit_refuses_counts_against_none() {
    let limiter = limiter().await;
    let tight = Limit { bucket: "tight", key: "k", limit: 1, window_seconds: 10 };
    let wide = Limit { bucket: "wide", key: "k", limit: 2, window_seconds: 100 };
    assert_eq!(wait(limiter.check_all(&[wide, tight], at(0)).await), None);
    assert_eq!(wait(limiter.check_all(&[wide, tight], at(1)).await), Some(9));
    assert_eq!(wait(limiter.check_all(&[wide, tight], at(10)).await), None);
    assert_eq!(wait(limiter.check_all(&[wide, tight], at(11)).await), Some(89), "the longest wait");
}

#[tokio::test]
async fn a_node_whose_clock_is_behind_is_limited_too() {
    let limiter = limiter().await;
    assert_eq!(wait(limiter.check("b", "k", 1, 60, at(10)).await), None);
    assert_eq!(wait(limiter.check("b", "k", 1, 60, at(8)).await), Some(62));
}

#[tokio::test]
async fn requests_are_counted_here_at_once_and_everywhere_after_an_exchange() {
    let shared = shared().await;
    let [one, other] = [RateLimiter::new(shared.clone()), RateLimiter::new(shared)];
    let hit = |node: &RateLimiter, address: &str, seconds| {
        wait(node.count_requests(address, 1, 5, at(seconds)).map(drop))
    };
    for _ in 0..3 {
        assert_eq!(hit(&one, "10.0.0.1", 0), None);
    }
    assert_eq!(hit(&other, "10.0.0.1", 0), None);
    // Both tell, and the first one hears of the other's hit with its next news.
    one.exchange().await;
    other.exchange().await;
    assert_eq!(hit(&other, "10.0.0.1", 1), None, "three there and one here leave one");
    assert_eq!(hit(&other, "10.0.0.1", 1), Some(59));
    assert_eq!(hit(&one, "10.0.0.1", 1), None, "nothing new was told to the first node");
    one.exchange().await;
    other.exchange().await;
    assert_eq!(hit(&one, "10.0.0.1", 1), Some(59));
    assert_eq!(hit(&other, "10.0.0.2", 1), None, "others are counted apart");
    // An exchange without news changes nothing.
    other.exchange().await;
    other.exchange().await;
    assert_eq!(hit(&other, "10.0.0.1", 59), Some(1));
    assert_eq!(hit(&other, "10.0.0.1", 60), None);
}
