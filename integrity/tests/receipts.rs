//! Heads and receipts: what is believed, and what is not.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use event_store::RecordedEvent;
use integrity::{
    BadKey, Check, Found, Head, HeadError, KeptHead, Leaves, Receipt, ReceiptError, Report, SigningKeys,
    Tiles, Tree, VerifierKeys, inclusion, origin,
};
use ledger_core::JournalId;
use uuid::Uuid;

const JOURNAL: JournalId = JournalId(Uuid::from_u128(0x198));

fn keys(digit: char) -> SigningKeys {
    SigningKeys::parse(&digit.to_string().repeat(64)).expect("a key")
}

fn name() -> String {
    origin(JOURNAL, 0)
}

fn trusting(keys: &SigningKeys) -> VerifierKeys {
    VerifierKeys::parse(keys.verifier_keys(&name())).expect("verifier keys")
}

/// An event that is a unit of its own.
fn event(revision: u64, says: u64) -> RecordedEvent {
    RecordedEvent {
        revision,
        id: Uuid::from_u128(u128::from(says) + 1),
        kind: "GiftSent".to_owned(),
        data: [&[1][..], &says.to_be_bytes()].concat(),
        metadata: vec![1, 0, 1, 9],
    }
}

fn journal(count: u64) -> Vec<RecordedEvent> {
    (0..count).map(|revision| event(revision, revision)).collect()
}

/// As a store would hold them in this order.
fn numbered(events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
    (0..).zip(events).map(|(revision, event)| RecordedEvent { revision, ..event }).collect()
}

fn tree_of(events: &[RecordedEvent]) -> Tree {
    let (mut tree, mut leaves) = (Tree::default(), Leaves::default());
    events.iter().for_each(|event| tree.push(leaves.hash(event).expect("a leaf")));
    tree
}

fn head(events: &[RecordedEvent], keys: &SigningKeys) -> Head {
    let tree = tree_of(events);
    Head::sign(&name(), tree.size(), tree.root(), keys).expect("is signed")
}

fn kept(head: &Head) -> KeptHead {
    KeptHead { place: format!("the head of {}", head.size), note: head.note.clone() }
}

/// Checks `now` against what was stored and signed of `then`.
fn check(now: &[RecordedEvent], then: &[RecordedEvent], heads: &[Head]) -> Report {
    let mut leaves = Leaves::default();
    let stored: Vec<_> = then.iter().map(|event| leaves.hash(event).expect("a leaf")).collect();
    let mut check = Check::new(&name(), &[], &trusting(&keys('a')), heads.iter().map(kept));
    now.iter().for_each(|event| check.event(event, stored.get(event.revision as usize).copied()));
    stored.iter().skip(now.len()).for_each(|leaf| check.stored_beyond(*leaf));
    check.end()
}

#[track_caller]
fn found(report: &Report) -> (Found, u64, bool) {
    let difference = report.difference.as_ref().unwrap_or_else(|| panic!("no difference: {report:?}"));
    assert!(!report.ok);
    (difference.found, difference.revision, difference.signed)
}

#[test]
fn a_verifier_key_and_a_head_have_the_forms_that_other_tools_read() {
    // The key of the example in c2sp.org/signed-note.
    VerifierKeys::parse(["example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"])
        .expect("a key");
    let signed = head(&journal(3), &keys('a'));
    let mut lines = signed.note.lines();
    assert_eq!(lines.next(), Some("muneem/00000000-0000-0000-0000-000000000198"));
    assert_eq!(lines.next(), Some("3"));
    assert_eq!(lines.next(), Some(tree_of(&journal(3)).root().to_string().as_str()));
    assert_eq!(lines.next(), Some(""));
    assert!(
        lines.next().is_some_and(|line| line.starts_with("— muneem/00000000-0000-0000-0000-000000000198 "))
    );
    assert_eq!(lines.next(), None);
}

#[test]
fn a_head_is_believed_if_a_trusted_key_has_signed_it_as_it_is() {
    let signed = head(&journal(3), &keys('a'));
    assert_eq!(Head::open(&signed.note, &trusting(&keys('a'))).expect("believed"), signed);
    assert!(matches!(Head::open(&signed.note, &trusting(&keys('b'))), Err(HeadError::Unsigned)));
    assert!(matches!(Head::open(&signed.note, &VerifierKeys::default()), Err(HeadError::Unsigned)));
    let larger = signed.note.replacen("\n3\n", "\n4\n", 1);
    assert!(matches!(Head::open(&larger, &trusting(&keys('a'))), Err(HeadError::FalseSignature)));
    // The key of one log signs nothing in the name of another.
    let other = Head::sign("muneem/other", 3, signed.root, &keys('a')).expect("is signed");
    assert!(matches!(Head::open(&other.note, &trusting(&keys('a'))), Err(HeadError::Unsigned)));
}

#[test]
fn while_a_key_is_changed_both_sign_and_either_is_enough() {
    let both =
        SigningKeys::parse(&format!("# new\n{}\n\n{}\n", "b".repeat(64), "a".repeat(64))).expect("keys");
    let signed = head(&journal(3), &both);
    for one in ['a', 'b'] {
        Head::open(&signed.note, &trusting(&keys(one))).expect("believed");
    }
    assert!(Head::open(&signed.note, &trusting(&keys('c'))).is_err());
}

#[test]
fn what_is_no_key_is_refused_without_being_quoted() {
    for text in [
        "",
        "# only words",
        "abad1dea",
        &"g".repeat(64),
        &format!("{}\nabad1dea", "a".repeat(64)),
        &"é".repeat(32),
    ] {
        let refused = SigningKeys::parse(text).expect_err(text).to_string();
        assert!(!refused.contains("abad1dea"), "{refused}");
    }
    assert!(!format!("{:?}", keys('a')).contains("aaaa"));
    for text in
        ["", "a", "a+b", "a+00000000+AQ==", "muneem/x+00000000+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"]
    {
        assert!(VerifierKeys::parse([text]).is_err(), "{text}");
    }
}

/// The points of small order: a signature of zeros fits anything under some of them.
#[test]
fn a_key_for_which_anybody_can_sign_is_refused() {
    let zeros = "0".repeat(62);
    for point in [
        format!("00{zeros}"),
        format!("01{zeros}"),
        format!("00{}80", "0".repeat(60)),
        format!("ec{}7f", "f".repeat(60)),
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05".to_owned(),
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a".to_owned(),
    ] {
        let public = [vec![1], hex::decode(&point).expect("digits")].concat();
        let (id, text) = (signed_note::key_id(&name(), &public), BASE64_STANDARD.encode(&public));
        let key = format!("{}+{id:08x}+{text}", name());
        assert_eq!(VerifierKeys::parse([&key]).err(), Some(BadKey::Weak), "{point}");
    }
}

fn receipt(events: &[RecordedEvent], revision: u64) -> Receipt {
    let mut tree = tree_of(events);
    let tiles: Tiles = tree.take_changed().into_iter().collect();
    let proof = inclusion::prove(tree.size(), revision, &tiles).expect("proven");
    let leaf = Leaves::default().bytes(&events[revision as usize]).expect("a leaf").to_vec();
    Receipt { revision, leaf, proof, note: head(events, &keys('a')).note }
}

/// Whether the event is shown to be in the history; whether this program can read it is another matter.
fn is_proven(receipt: &Receipt, keys: &VerifierKeys) -> bool {
    match receipt.check(keys) {
        Ok(_) | Err(ReceiptError::Unreadable(_)) => true,
        Err(_) => false,
    }
}

#[test]
fn a_receipt_is_read_as_it_was_written_and_proves_its_event() {
    for size in [1, 2, 255, 300] {
        let events = journal(size);
        for revision in [0, size / 2, size - 1] {
            let receipt = receipt(&events, revision);
            let read = Receipt::parse(&receipt.to_string()).expect("a receipt");
            assert_eq!(read, receipt);
            assert!(is_proven(&read, &trusting(&keys('a'))), "{revision} of {size}");
            assert!(!is_proven(&read, &trusting(&keys('b'))));
        }
    }
}

#[test]
fn a_receipt_of_another_event_or_place_or_head_proves_nothing() {
    let (events, trusted) = (journal(300), trusting(&keys('a')));
    let good = receipt(&events, 41);
    let other = receipt(&events, 42);
    let mut shorter = good.clone();
    shorter.proof.pop();
    for (why, forged) in [
        ("another event", Receipt { leaf: other.leaf.clone(), ..good.clone() }),
        ("another place", Receipt { revision: 42, ..good.clone() }),
        ("beyond the end", Receipt { revision: 300, ..good.clone() }),
        ("as far as it goes", Receipt { revision: u64::MAX, ..good.clone() }),
        ("another proof", Receipt { proof: other.proof, ..good.clone() }),
        ("a shorter proof", shorter),
        ("another head", Receipt { note: head(&events[..299], &keys('a')).note, ..good.clone() }),
        ("a head of nobody", Receipt { note: head(&events, &keys('b')).note, ..good.clone() }),
    ] {
        assert!(!is_proven(&forged, &trusted), "{why}");
    }
}

#[test]
fn every_flipped_bit_of_a_receipt_is_refused_and_none_panics() {
    let trusted = trusting(&keys('a'));
    let good = receipt(&journal(5), 3);
    let text = good.to_string().into_bytes();
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Ok(flipped) = String::from_utf8(flipped) else { continue };
        let read = Receipt::parse(&flipped);
        // Base64 has bits that mean nothing at its end; what is proven then is the same.
        let proven = read.as_ref().is_ok_and(|read| is_proven(read, &trusted));
        assert!(!proven || read.is_ok_and(|read| read.leaf == good.leaf && read.revision == 3), "bit {bit}");
    }
    for end in 0..text.len() {
        let cut = String::from_utf8_lossy(&text[..end]).into_owned();
        let proven = Receipt::parse(&cut).is_ok_and(|read| is_proven(&read, &trusted));
        assert!(!proven, "cut at {end}");
    }
}

#[test]
fn an_untouched_journal_is_what_was_signed_while_it_grows() {
    let then = journal(20);
    let heads = [1, 7, 20].map(|size| head(&then[..size], &keys('a')));
    let report = check(&then, &then, &heads);
    assert!(report.ok, "{report:?}");
    assert_eq!((report.events, report.stored_leaves, report.heads, report.signed_events), (20, 20, 3, 20));
    let report = check(&journal(30), &then, &heads);
    assert!(report.ok, "the tree is behind: {report:?}");
}

#[test]
fn the_first_event_that_differs_is_named() {
    let then = journal(20);
    let heads = [head(&then[..10], &keys('a')), head(&then, &keys('a'))];
    let changed = |at: usize| {
        let mut now = journal(20);
        now[at].data[5] ^= 1;
        now
    };
    let without = |at: usize| numbered([&then[..at], &then[at + 1..]].concat());
    let with = |at: usize| numbered([&then[..at], &[event(0, 999)], &then[at..]].concat());
    let moved = |from: usize, to: usize| {
        let mut now = journal(20);
        let event = now.remove(from);
        now.insert(to, event);
        numbered(now)
    };
    let renamed = {
        let mut now = journal(20);
        now[4].kind = "GiftGiven".to_owned();
        now[5].id = Uuid::nil();
        now
    };
    for (what, now, expected) in [
        ("data", changed(12), (Found::Changed, 12)),
        ("the first of all", changed(0), (Found::Changed, 0)),
        ("the last", changed(19), (Found::Changed, 19)),
        ("kind", renamed, (Found::Changed, 4)),
        ("removed", without(6), (Found::Removed, 6)),
        ("the last removed", without(19), (Found::Cut, 19)),
        ("inserted", with(9), (Found::Inserted, 9)),
        ("inserted before all", with(0), (Found::Inserted, 0)),
        ("moved ahead", moved(15, 3), (Found::Moved, 3)),
        ("moved back", moved(3, 15), (Found::Moved, 3)),
        ("neighbours", moved(8, 9), (Found::Moved, 8)),
        ("many removed", numbered([&then[..5], &then[9..]].concat()), (Found::Removed, 5)),
        ("cut", then[..14].to_vec(), (Found::Cut, 14)),
    ] {
        let (found, revision, signed) = found(&check(&now, &then, &heads));
        assert_eq!((found, revision), expected, "{what}");
        assert!(signed, "{what}");
    }
}

#[test]
fn without_stored_leaves_the_heads_tell_between_which_of_them_something_differs() {
    let then = journal(20);
    let heads = [head(&then[..10], &keys('a')), head(&then, &keys('a'))];
    let mut now = journal(20);
    now[12].data[5] ^= 1;
    // The forger has built the stored tree again, and cannot sign.
    assert_eq!(found(&check(&now, &now, &heads)), (Found::History, 10, true));
}

#[test]
fn events_that_no_head_has_yet_are_held_against_the_stored_leaves() {
    let then = journal(20);
    let heads = [head(&then[..10], &keys('a'))];
    let mut now = journal(20);
    now[12].data[5] ^= 1;
    assert_eq!(found(&check(&now, &then, &heads)), (Found::Changed, 12, false));
    assert_eq!(found(&check(&then[..15], &then, &heads)), (Found::Cut, 15, false));
}

#[test]
fn a_stored_leaf_that_was_changed_is_not_the_journals_fault() {
    let now = journal(20);
    let mut then = journal(20);
    then[6].data[5] ^= 1;
    let heads = [head(&now, &keys('a'))];
    assert_eq!(found(&check(&now, &then, &heads)), (Found::StoredTree, 6, true));
}

#[test]
fn a_cut_is_shown_by_a_head_that_is_kept_elsewhere_alone() {
    let all = journal(20);
    let left = &all[..14];
    let here = [head(&left[..10], &keys('a'))];
    assert!(check(left, left, &here).ok, "the forger has cut the database too");
    let elsewhere = [here[0].clone(), head(&all, &keys('a'))];
    assert_eq!(found(&check(left, left, &elsewhere)), (Found::Cut, 14, true));
}

#[test]
fn heads_that_are_not_believed_are_told_of_and_compared_with_nothing() {
    let then = journal(20);
    let heads = [head(&then, &keys('a')), head(&journal(30), &keys('b'))];
    let report = check(&then, &then, &heads);
    assert!(!report.ok && report.difference.is_none());
    assert_eq!((report.heads, report.refused.len()), (1, 1));
    assert_eq!(report.refused[0].place, "the head of 30");
}
