//! A store without room.

use crate::rig::Rig;
use crate::world::*;
use ledger_core::*;
use ledger_runtime::{ExecuteError, Receipt, Status};

#[tokio::test]
async fn a_full_store_refuses_commands_and_takes_them_by_itself_once_it_has_room() {
    let store = memory();
    let rig = Rig::before(store.clone());
    let world = World::with_coins(rig.clone(), 5_000).await;
    let earlier = rose();
    let receipt = world.execute(earlier.clone()).await.expect("is accepted");
    let hash = world.hash().await;
    rig.has_room(false);
    let refused = rose();
    let full = Status::StorageFull("the disk is full".to_owned());
    // The status says so for a moment after each attempt.
    soon(async {
        while world.ledger.status() != full {
            assert_eq!(world.execute(refused.clone()).await, Err(ExecuteError::StorageFull));
        }
    })
    .await;
    // Reads, receipts of what is recorded, and rejections go on.
    assert_eq!(world.spendable(USER).await, 4_000);
    assert_eq!(world.execute(earlier).await, Ok(Receipt { duplicate: true, recorded: false, ..receipt }));
    let poor = world.execute(rose_of(OTHER)).await;
    assert!(matches!(poor, Err(ExecuteError::Rejected(Rejection::InsufficientFunds { .. }))), "{poor:?}");
    assert_eq!(world.hash().await, hash, "nothing of what was refused is left");
    assert_eq!(store.head().await.expect("is read"), Some(receipt.revision));

    rig.has_room(true);
    world.until_status(|status| *status == Status::Running).await;
    let accepted = world.execute(refused).await.expect("is accepted under the key that was refused");
    assert_eq!((accepted.duplicate, accepted.revision), (false, receipt.revision + 2));
    assert_eq!(world.ledger.status(), Status::Running);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_full_store_is_not_tried_for_every_command() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), 1_000 * ROSE_MILLI).await;
    rig.has_room(false);
    let came = rig.arrived();
    assert_eq!(world.execute(rose()).await, Err(ExecuteError::StorageFull));
    assert_eq!(rig.arrived(), came + 1);
    // Within the pause after an attempt nobody tries again.
    let tasks: Vec<_> = (0..200).map(|_| world.send(rose())).collect();
    for task in tasks {
        assert_eq!(soon(task).await.expect("ends"), Err(ExecuteError::StorageFull));
    }
    assert!(rig.arrived() <= came + 20, "{} attempts for 201 commands", rig.arrived() - came);
}

#[tokio::test]
async fn what_was_decided_behind_a_batch_without_room_is_undone_with_it() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), 2 * ROSE_MILLI).await;
    let hash = world.hash().await;
    let came = rig.arrived();
    rig.hold();
    let first = world.send(rose());
    soon(rig.until_arrived(came + 1)).await;
    // Decided on the gift that will not be recorded: the last one has no coin left in memory.
    let behind = [world.send(rose()), world.send(rose())];
    let query = world.asked().await;
    rig.has_room(false);
    rig.release();
    assert_eq!(soon(first).await.expect("ends"), Err(ExecuteError::StorageFull));
    for task in behind {
        assert_eq!(soon(task).await.expect("ends"), Err(ExecuteError::StorageFull), "nobody is told a lie");
    }
    let next = world.ledger.durable_revision() + 1;
    assert_eq!(soon(query).await.expect("ends"), Ok(next));
    assert_eq!(world.hash().await, hash);
}
