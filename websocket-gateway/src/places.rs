//! Room for sockets: on this node, for one address, and for one address before it has signed in.
//!
//! How many sockets one person may have is the registry's to know: the oldest makes room for the newest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many sockets may be open at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub node: u32,
    pub address: u32,
    pub address_before_sign_in: u32,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Node,
    Address,
}

pub(crate) struct Places {
    bounds: Bounds,
    node: Arc<Semaphore>,
    addresses: Mutex<HashMap<String, Open>>,
}

/// The sockets of one address.
#[derive(Default)]
struct Open {
    all: u32,
    before_sign_in: u32,
}

/// A socket's room, for as long as it is held.
pub(crate) struct Place {
    places: Arc<Places>,
    address: String,
    signed_in: bool,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub fn new(bounds: Bounds) -> Arc<Places> {
        let node = Arc::new(Semaphore::new(bounds.node as usize));
        Arc::new(Places { bounds, node, addresses: Mutex::default() })
    }

    /// Room for a socket of somebody who has not signed in yet.
    pub fn take(self: &Arc<Self>, address: String) -> Result<Place, NoRoom> {
        let permit = self.node.clone().try_acquire_owned().map_err(|_| NoRoom::Node)?;
        let mut addresses = self.lock();
        let open = addresses.entry(address.clone()).or_default();
        if open.all >= self.bounds.address || open.before_sign_in >= self.bounds.address_before_sign_in {
            // An entry stands only for sockets that are open.
            if open.all == 0 {
                addresses.remove(&address);
            }
            return Err(NoRoom::Address);
        }
        open.all += 1;
        open.before_sign_in += 1;
        drop(addresses);
        Ok(Place { places: self.clone(), address, signed_in: false, _permit: permit })
    }

    /// Returns once every place is free.
    pub async fn all_free(&self) {
        let _ = self.node.acquire_many(self.bounds.node).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The socket counts among those that have signed in from now on.
    pub fn signed_in(&mut self) {
        if !self.signed_in {
            self.signed_in = true;
            if let Some(open) = self.places.lock().get_mut(&self.address) {
                open.before_sign_in = open.before_sign_in.saturating_sub(1);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut addresses = self.places.lock();
        let Some(open) = addresses.get_mut(&self.address) else { return };
        open.all = open.all.saturating_sub(1);
        if !self.signed_in {
            open.before_sign_in = open.before_sign_in.saturating_sub(1);
        }
        if open.all == 0 {
            addresses.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Arc<Places> {
        Places::new(Bounds { node: 5, address: 3, address_before_sign_in: 2 })
    }

    #[test]
    fn an_address_has_bounds_of_its_own_before_and_after_sign_in() {
        let places = places();
        let take = |address: &str| places.take(address.to_owned());
        let (mut first, second) = (take("a").expect("room"), take("a").expect("room"));
        assert_eq!(take("a").err(), Some(NoRoom::Address), "two have not signed in");
        first.signed_in();
        first.signed_in();
        let mut third = take("a").expect("one has signed in");
        third.signed_in();
        assert_eq!(take("a").err(), Some(NoRoom::Address), "three in all");
        let others = [take("b").expect("another address"), take("b").expect("another address")];
        assert_eq!(take("c").err(), Some(NoRoom::Node));
        drop((first, second, third, others));
        assert!(places.lock().is_empty(), "nothing is kept of addresses without sockets");
        assert_eq!(places.node.available_permits(), 5);
    }
}
