//! A bounded piece of what `muneem simulate` does, and how a failing story is made short.

use simulation::{STEPS, Story, Tally, play, shrink};
use std::thread;

const SEEDS: u64 = 40;

#[test]
fn whatever_fails_each_accepted_command_is_recorded_once_and_the_books_balance() {
    // Beside one another, as they mostly wait for a store that does not answer.
    let runs: Vec<_> =
        (0..SEEDS).map(|seed| (seed, thread::spawn(move || play(&Story::new(seed, STEPS))))).collect();
    let mut all = Tally::default();
    for (seed, run) in runs {
        match run.join().expect("a failure is told, not thrown") {
            Ok(tally) => all += tally,
            Err(failure) => panic!("muneem simulate --from {seed} --seeds 1 shows it: {}", failure.what),
        }
    }
    let Tally { accepted, refused, crashes, torn, without_room, clock_leaps, not_stored } = all;
    let each = [accepted, refused, crashes, torn, without_room, clock_leaps, not_stored];
    assert!(each.iter().all(|count| *count > 0), "something never came: {all:?}");
}

#[test]
fn a_story_that_fails_is_made_as_short_as_its_cause() {
    let story = Story::new(7, 200);
    // It takes three certain steps, in any company.
    let fails = |story: &Story| [17, 90, 180].iter().all(|step| story.steps.contains(step));
    let mut tries = 0;
    let short = shrink(&story, fails, |_| tries += 1);
    assert_eq!(short, Story { seed: 7, steps: vec![17, 90, 180] });
    assert!(tries < 200, "{tries} tries are many for 200 steps");
}
