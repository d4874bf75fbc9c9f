use crate::{at, prefix, redis};
use PresenceStatus::{Busy, Offline, Online};
use ledger_core::PersonId;
use platform::{
    entropy,
    presence::{Presence, PresenceStatus},
};

async fn presence() -> Presence {
    Presence::new(redis().await, &prefix())
}

fn someone() -> PersonId {
    PersonId(entropy::uuid_v7())
}

#[tokio::test]
async fn a_heartbeat_holds_for_sixty_seconds() {
    let (presence, asha) = (presence().await, someone());
    assert_eq!(presence.get(asha, at(0)).await.unwrap(), Offline);
    assert!(presence.touch(asha, false, at(0)).await.unwrap(), "came");
    assert!(!presence.touch(asha, false, at(30)).await.unwrap(), "was there");
    assert_eq!(presence.get(asha, at(89)).await.unwrap(), Online);
    assert_eq!(presence.get(asha, at(90)).await.unwrap(), Offline);
    assert!(presence.touch(asha, false, at(90)).await.unwrap(), "came back");
    presence.clear(asha).await.unwrap();
    assert_eq!(presence.get(asha, at(91)).await.unwrap(), Offline);
}

#[tokio::test]
async fn a_call_makes_busy_and_a_call_that_died_frees_its_people() {
    let (presence, meera) = (presence().await, someone());
    presence.touch(meera, true, at(0)).await.unwrap();
    presence.set_busy(meera, at(0)).await.unwrap();
    presence.touch(meera, true, at(30)).await.unwrap();
    assert_eq!(presence.get(meera, at(59)).await.unwrap(), Busy);
    assert_eq!(presence.get(meera, at(60)).await.unwrap(), Online, "no tick for a minute");
    presence.set_busy(meera, at(60)).await.unwrap();
    presence.clear_busy(meera).await.unwrap();
    assert_eq!(presence.get(meera, at(61)).await.unwrap(), Online);
}

#[tokio::test]
async fn a_host_may_be_hidden_while_connected() {
    let (presence, meera) = (presence().await, someone());
    presence.touch(meera, true, at(0)).await.unwrap();
    presence.set_hidden(meera, true).await.unwrap();
    presence.touch(meera, true, at(10)).await.unwrap();
    assert_eq!(presence.get(meera, at(10)).await.unwrap(), Offline);
    assert!(presence.online_hosts(10, at(10)).await.unwrap().is_empty());
    presence.set_hidden(meera, false).await.unwrap();
    assert_eq!(presence.get(meera, at(10)).await.unwrap(), Online);
}

#[tokio::test]
async fn many_are_read_in_the_order_asked() {
    let presence = presence().await;
    let (online, busy, away) = (someone(), someone(), someone());
    for person in [online, busy] {
        presence.touch(person, false, at(0)).await.unwrap();
    }
    presence.set_busy(busy, at(0)).await.unwrap();
    let found = presence.get_many(&[away, busy, online], at(1)).await.unwrap();
    assert_eq!(found, [(away, Offline), (busy, Busy), (online, Online)]);
    assert!(presence.get_many(&[], at(1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_list_of_hosts_shows_those_who_are_there_and_no_users() {
    let presence = presence().await;
    let (early, late, busy, user) = (someone(), someone(), someone(), someone());
    for (person, is_host, seconds) in
        [(early, true, 0), (busy, true, 30), (late, true, 40), (user, false, 40)]
    {
        presence.touch(person, is_host, at(seconds)).await.unwrap();
    }
    presence.set_busy(busy, at(40)).await.unwrap();
    assert_eq!(
        presence.online_hosts(10, at(50)).await.unwrap(),
        [(late, Online), (busy, Busy), (early, Online)]
    );
    assert_eq!(presence.online_hosts(10, at(60)).await.unwrap(), [(late, Online), (busy, Busy)]);
    assert_eq!(presence.online_hosts(1, at(60)).await.unwrap(), [(late, Online)]);
}
