//! `muneem simulate`: plays random stories against the ledger on stores that fail.

use crate::progress::{Bar, say};
use clap::Args;
use serde_json::json;
use simulation::{Failure, STEPS, Story, THREAD, Tally, play, shrink};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

#[derive(Args)]
pub struct SimulateOptions {
    /// How many stories.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seeds: u64,
    /// The seed of the first one.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    from: u64,
    /// How many steps each story has.
    #[arg(long, default_value_t = STEPS, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    steps: u64,
    /// Print what was found as one JSON object.
    #[arg(long)]
    json: bool,
}

/// How often a shorter story is tried before it counts as one that does not fail: how tasks take turns may differ.
const TRIES: usize = 2;

/// # Errors
/// When what was found cannot be printed.
pub fn simulate(options: &SimulateOptions) -> anyhow::Result<ExitCode> {
    quiet_stories();
    let (all, failed) = play_all(options);
    let Some((story, failure)) = failed else {
        tell_success(options, &all);
        return Ok(ExitCode::SUCCESS);
    };
    say(&format!("the story of seed {} fails; making it shorter", story.seed));
    let bar = Bar::count("steps left");
    let total = story.steps.len() as u64;
    let mut shown = failure;
    let fails = |shorter: &Story| {
        let failure = (0..TRIES).find_map(|_| play(shorter).err());
        let found = failure.is_some();
        shown = failure.unwrap_or_else(|| shown.clone());
        found
    };
    let short = shrink(&story, fails, |left| bar.show(left as u64, total));
    bar.end();
    tell_failure(options, &short, &shown);
    Ok(ExitCode::FAILURE)
}

/// Plays the stories on all cores, and stops at the first that fails.
fn play_all(options: &SimulateOptions) -> (Tally, Option<(Story, Failure)>) {
    let end = options.from + options.seeds;
    let (next, bar) = (AtomicU64::new(options.from), Bar::count("stories"));
    let found = Mutex::new((Tally::default(), None));
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let story = Story::new(seed, options.steps);
            let ended = play(&story);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match ended {
                Ok(tally) => found.0 += tally,
                Err(failure) => {
                    next.store(end, Ordering::Relaxed);
                    found.1.get_or_insert((story, failure));
                }
            }
            bar.show(seed + 1 - options.from, options.seeds);
        }
    };
    // Stories mostly wait for stores that do not answer.
    let workers = thread::available_parallelism().map_or(4, |cores| cores.get() * 4);
    thread::scope(|scope| (0..workers).for_each(|_| _ = scope.spawn(worker)));
    bar.end();
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What panics in a story is told by its failure.
fn quiet_stories() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if thread::current().name() != Some(THREAD) {
            usual(panic);
        }
    }));
}

fn tell_success(options: &SimulateOptions, all: &Tally) {
    let Tally { accepted, refused, crashes, torn, without_room, clock_leaps, not_stored } = *all;
    if options.json {
        let told = json!({
            "ok": true, "stories": options.seeds, "from": options.from, "accepted": accepted, "refused": refused,
            "crashes": crashes, "torn_tails": torn, "without_room": without_room, "clock_leaps": clock_leaps,
            "not_stored": not_stored,
        });
        crate::out!("{told:#}");
        return;
    }
    crate::out!(
        "{} stories ended well: {accepted} commands accepted, {refused} refused; {crashes} times all nodes were killed, {torn} tails \
         were torn;\nclients were told {without_room} times that there is no room, {clock_leaps} times that the clock is wrong, \
         {not_stored} times that a batch was not stored",
        options.seeds
    );
}

fn tell_failure(options: &SimulateOptions, story: &Story, failure: &Failure) {
    if options.json {
        let told = json!({
            "ok": false, "seed": story.seed, "steps": story.steps, "what": failure.what, "story": failure.told,
        });
        crate::out!("{told:#}");
        return;
    }
    for line in &failure.told {
        crate::out!("{line}");
    }
    crate::out!("\n{}", failure.what);
    eprintln!(
        "\nmuneem: seed {} fails, with {} of its {} steps as above; run it again: muneem simulate --from {} --seeds 1 --steps {}",
        story.seed,
        story.steps.len(),
        options.steps,
        story.seed,
        options.steps
    );
}
