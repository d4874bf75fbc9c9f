//! Room for sockets on this node: in all, for one address, and for one address before it has signed in.
//!
//! [`platform::socket_leases`] holds addresses and people to the same bounds over all nodes; the bounds here cost
//! nothing, and are what is left while Redis is away. How many sockets one person has here is the registry's to know.

use crate::line::Closer;
use crate::protocol::Close;
use platform::socket_leases::{Counted, SignedIn};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

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

/// A socket that has closed, as it was counted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone(pub Counted);

pub(crate) struct Places {
    bounds: Bounds,
    node: Arc<Semaphore>,
    sockets: Mutex<Sockets>,
    gone: mpsc::Sender<Gone>,
}

#[derive(Default)]
struct Sockets {
    addresses: HashMap<String, Open>,
    /// By number.
    held: HashMap<u64, Held>,
    next: u64,
}

/// How many sockets an address has.
#[derive(Default)]
struct Open {
    all: u32,
    before_sign_in: u32,
}

struct Held {
    counted: Counted,
    /// There once it has signed in.
    closer: Option<Closer>,
}

/// A socket's room, for as long as it is held.
pub(crate) struct Place {
    places: Arc<Places>,
    socket: u64,
    address: String,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// `gone` hears of each socket that has closed.
    pub fn new(bounds: Bounds, gone: mpsc::Sender<Gone>) -> Arc<Places> {
        let node = Arc::new(Semaphore::new(bounds.node as usize));
        Arc::new(Places { bounds, node, sockets: Mutex::default(), gone })
    }

    /// Room for a socket of somebody who has not signed in yet.
    pub fn take(self: &Arc<Self>, address: String) -> Result<Place, NoRoom> {
        let permit = self.node.clone().try_acquire_owned().map_err(|_| NoRoom::Node)?;
        let mut sockets = self.lock();
        let open = sockets.addresses.entry(address.clone()).or_default();
        if open.all >= self.bounds.address || open.before_sign_in >= self.bounds.address_before_sign_in {
            // An entry stands only for sockets that are open.
            if open.all == 0 {
                sockets.addresses.remove(&address);
            }
            return Err(NoRoom::Address);
        }
        open.all += 1;
        open.before_sign_in += 1;
        let socket = sockets.next;
        sockets.next += 1;
        let counted = Counted { socket, address: address.clone(), person: None };
        sockets.held.insert(socket, Held { counted, closer: None });
        drop(sockets);
        Ok(Place { places: self.clone(), socket, address, _permit: permit })
    }

    /// Every socket that is open.
    pub fn open(&self) -> Vec<Counted> {
        self.lock().held.values().map(|held| held.counted.clone()).collect()
    }

    /// Closes these sockets: newer ones of the same people, on whichever node, take their room.
    pub fn make_room(&self, for_newer: &[u64]) {
        let sockets = self.lock();
        for held in for_newer.iter().filter_map(|socket| sockets.held.get(socket)) {
            if let Some(closer) = &held.closer {
                closer.close(Close::TOO_MANY_SOCKETS);
            }
        }
    }

    /// Returns once every place is free.
    pub async fn all_free(&self) {
        let _ = self.node.acquire_many(self.bounds.node).await;
    }

    fn lock(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// As what the socket is counted while it has not signed in.
    pub fn counted(&self) -> Counted {
        Counted { socket: self.socket, address: self.address.clone(), person: None }
    }

    /// The socket counts among those that have signed in from now on. Answers as what it counted before.
    pub fn signed_in(&mut self, by: SignedIn, closer: Closer) -> Counted {
        let mut sockets = self.places.lock();
        let Sockets { addresses, held, .. } = &mut *sockets;
        if let Some(held) = held.get_mut(&self.socket)
            && held.counted.person.replace(by).is_none()
            && let Some(open) = addresses.get_mut(&self.address)
        {
            open.before_sign_in = open.before_sign_in.saturating_sub(1);
        }
        if let Some(held) = held.get_mut(&self.socket) {
            held.closer = Some(closer);
        }
        drop(sockets);
        self.counted()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sockets = self.places.lock();
        let Some(Held { counted, .. }) = sockets.held.remove(&self.socket) else { return };
        if let Some(open) = sockets.addresses.get_mut(&self.address) {
            open.all = open.all.saturating_sub(1);
            if counted.person.is_none() {
                open.before_sign_in = open.before_sign_in.saturating_sub(1);
            }
            if open.all == 0 {
                sockets.addresses.remove(&self.address);
            }
        }
        drop(sockets);
        // A full queue means that Redis is slow. The lease lapses then.
        let _ = self.places.gone.try_send(Gone(counted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use ledger_core::PersonId;
    use uuid::Uuid;

    fn somebody() -> SignedIn {
        SignedIn { person: PersonId(Uuid::from_u128(1)), at: DateTime::UNIX_EPOCH }
    }

    fn closer() -> Closer {
        crate::line::Line::new(1).0.closer
    }

    #[test]
    fn an_address_has_bounds_of_its_own_before_and_after_sign_in() {
        let (gone_in, mut gone) = mpsc::channel(8);
        let places = Places::new(Bounds { node: 5, address: 3, address_before_sign_in: 2 }, gone_in);
        let take = |address: &str| places.take(address.to_owned());
        let (mut first, second) = (take("a").expect("room"), take("a").expect("room"));
        assert_eq!(take("a").err(), Some(NoRoom::Address), "two have not signed in");
        first.signed_in(somebody(), closer());
        first.signed_in(somebody(), closer());
        let mut third = take("a").expect("one has signed in");
        third.signed_in(somebody(), closer());
        assert_eq!(take("a").err(), Some(NoRoom::Address), "three in all");
        let others = [take("b").expect("another address"), take("b").expect("another address")];
        assert_eq!(take("c").err(), Some(NoRoom::Node));
        assert_eq!(places.open().len(), 5);
        drop((first, second, third, others));
        assert!(places.lock().addresses.is_empty(), "nothing is kept of addresses without sockets");
        assert_eq!((places.open(), places.node.available_permits()), (Vec::new(), 5));
        let heard = std::iter::from_fn(|| gone.try_recv().ok());
        let signed_in: Vec<bool> = heard.map(|Gone(socket)| socket.person.is_some()).collect();
        assert_eq!(signed_in, [true, false, true, false, false], "each that closed is told of");
    }

    #[test]
    fn a_socket_that_makes_room_is_closed_and_no_other() {
        let (gone_in, _gone) = mpsc::channel(8);
        let places = Places::new(Bounds { node: 5, address: 5, address_before_sign_in: 5 }, gone_in);
        let mut sockets = [(); 3].map(|()| places.take("a".to_owned()).expect("room"));
        let closers = [(); 2].map(|()| closer());
        for (socket, closer) in sockets.iter_mut().zip(&closers) {
            socket.signed_in(somebody(), closer.clone());
        }
        places.make_room(&[1, 2, 99]);
        let decided: Vec<Option<Close>> = closers.iter().map(|it| it.reason()).collect();
        assert_eq!(decided, [None, Some(Close::TOO_MANY_SOCKETS)]);
    }
}
