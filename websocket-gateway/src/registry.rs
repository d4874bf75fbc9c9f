//! The sockets of this node, by person.

use crate::line::Line;
use crate::presence::Change;
use crate::protocol::Close;
use crate::push::Push;
use ledger_core::PersonId;
use platform::identity::{Caller, Role, SessionId};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};

struct Entry {
    id: u64,
    /// Who the socket speaks for, as last proved; the socket sees what is changed here.
    caller: watch::Sender<Caller>,
    line: Line,
}

impl Entry {
    fn session(&self) -> SessionId {
        self.caller.borrow().session
    }
}

#[derive(Default)]
struct Sockets {
    people: HashMap<PersonId, Vec<Entry>>,
    next_id: u64,
}

/// Who has which sockets here.
pub(crate) struct Registry {
    sockets: Mutex<Sockets>,
    /// Sockets that one person may have.
    max_per_person: usize,
    changes: mpsc::Sender<Change>,
}

/// A socket's place in the registry, for as long as it is held.
pub(crate) struct Seat {
    registry: Arc<Registry>,
    person: PersonId,
    id: u64,
}

impl Registry {
    /// `changes` hears who came and who left.
    pub fn new(changes: mpsc::Sender<Change>, max_per_person: u32) -> Arc<Registry> {
        let max_per_person = usize::try_from(max_per_person).unwrap_or(usize::MAX).max(1);
        Arc::new(Registry { sockets: Mutex::default(), max_per_person, changes })
    }

    /// From now on pushes to the caller go into `line` too. Where the person has as many sockets as one may
    /// have, the oldest are closed.
    pub fn open(self: &Arc<Self>, caller: watch::Sender<Caller>, line: Line) -> Seat {
        let person = caller.borrow().person;
        let mut sockets = self.lock();
        let id = sockets.next_id;
        sockets.next_id += 1;
        let lines = sockets.people.entry(person).or_default();
        lines.push(Entry { id, caller, line });
        let too_many = lines.len().saturating_sub(self.max_per_person);
        for oldest in &lines[..too_many] {
            oldest.line.closer.close(Close::TOO_MANY_SOCKETS);
        }
        if lines.len() == 1 {
            self.tell(Change::Came(person));
        }
        Seat { registry: self.clone(), person, id }
    }

    pub fn is_here(&self, person: PersonId) -> bool {
        self.lock().people.contains_key(&person)
    }

    /// Tells all sockets of `person`. The offset is there where the push tells of an event of the journal.
    pub fn push(&self, person: PersonId, offset: Option<u64>, push: &Push) {
        if !self.is_here(person) {
            return;
        }
        let frame = push.frame(offset);
        let sockets = self.lock();
        let Some(lines) = sockets.people.get(&person) else { return };
        let taken = lines.iter().filter(|entry| entry.line.send(frame.clone())).count();
        metrics::counter!("muneem_websocket_pushes_total", "push" => push.name()).increment(taken as u64);
    }

    /// Closes the sockets of a person's session.
    pub fn close_session(&self, person: PersonId, session: SessionId, close: Close) {
        let sockets = self.lock();
        let entries = sockets.people.get(&person).into_iter().flatten();
        for entry in entries.filter(|entry| entry.session() == session) {
            entry.line.closer.close(close);
        }
    }

    /// The sessions of all sockets, or of these people's.
    pub fn sessions(&self, of: Option<&BTreeSet<PersonId>>) -> Vec<SessionId> {
        let sockets = self.lock();
        let entries: Vec<&Entry> = match of {
            None => sockets.people.values().flatten().collect(),
            Some(people) => people.iter().filter_map(|it| sockets.people.get(it)).flatten().collect(),
        };
        entries.into_iter().map(Entry::session).collect()
    }

    /// Of the sessions `asked` about: closes the sockets of those that are not `alive`, and gives the others
    /// the roles of now.
    pub fn set_access(&self, asked: &[SessionId], alive: &HashMap<SessionId, Vec<Role>>) {
        let asked: HashSet<&SessionId> = asked.iter().collect();
        let sockets = self.lock();
        for entry in sockets.people.values().flatten() {
            // A socket that has signed in again meanwhile, under another session, was not asked about.
            let session = entry.session();
            match alive.get(&session) {
                Some(roles) => _ = entry.caller.send_if_modified(|caller| caller.take_roles(roles)),
                None if asked.contains(&session) => entry.line.closer.close(Close::SESSION_ENDED),
                None => {}
            }
        }
    }

    /// Hands a change to the keeper of presence. When its queue is full the change is dropped: what Redis holds of
    /// presence expires by itself.
    pub fn tell(&self, change: Change) {
        if self.changes.try_send(change).is_err() {
            metrics::counter!("muneem_websocket_presence_changes_dropped_total").increment(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut sockets = self.registry.lock();
        let Some(lines) = sockets.people.get_mut(&self.person) else { return };
        lines.retain(|entry| entry.id != self.id);
        if lines.is_empty() {
            sockets.people.remove(&self.person);
            self.registry.tell(Change::Left(self.person));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::{PresencePush, Push};
    use platform::presence::PresenceStatus;
    use uuid::Uuid;

    fn person(n: u128) -> PersonId {
        PersonId(Uuid::from_u128(n))
    }

    fn session(n: u128) -> SessionId {
        SessionId(Uuid::from_u128(n))
    }

    fn caller(of: u128, under: u128) -> watch::Sender<Caller> {
        let expires_at = chrono::DateTime::UNIX_EPOCH;
        watch::Sender::new(Caller {
            person: person(of),
            session: session(under),
            roles: vec![Role::User],
            expires_at,
        })
    }

    fn news() -> Push {
        Push::PresenceUpdated(PresencePush { person: person(9), status: PresenceStatus::Online })
    }

    fn registry() -> (Arc<Registry>, mpsc::Receiver<Change>) {
        let (changes, heard) = mpsc::channel(16);
        (Registry::new(changes, 3), heard)
    }

    #[test]
    fn every_device_of_a_person_hears_and_nobody_else() {
        let (registry, _heard) = registry();
        let (phone, mut on_phone) = Line::new(4);
        let (tablet, mut on_tablet) = Line::new(4);
        let (other, mut on_other) = Line::new(4);
        let _seats = [
            registry.open(caller(1, 1), phone),
            registry.open(caller(1, 2), tablet),
            registry.open(caller(2, 3), other),
        ];
        registry.push(person(1), Some(7), &news());
        let frame = on_phone.try_next().expect("the phone heard");
        assert_eq!(on_tablet.try_next().expect("the tablet heard"), frame);
        assert!(on_other.try_next().is_none(), "somebody else heard");
        let frame: serde_json::Value = serde_json::from_str(&frame).expect("JSON");
        assert_eq!((&frame["type"], &frame["offset"]), (&"presence:updated".into(), &7.into()));
        assert_eq!(frame["data"]["status"], "online");
    }

    #[test]
    fn a_slow_reader_is_closed_with_its_own_code_and_others_go_on() {
        let (registry, _heard) = registry();
        let (slow, _unread) = Line::new(2);
        let (quick, mut read) = Line::new(2);
        let closing = [slow.closer.clone(), quick.closer.clone()];
        let _seats = [registry.open(caller(1, 1), slow), registry.open(caller(1, 2), quick)];
        for offset in 0..5 {
            registry.push(person(1), Some(offset), &news());
            read.try_next().expect("the quick one hears all");
        }
        assert_eq!(closing[0].reason(), Some(Close::SLOW_READER));
        assert_eq!(closing[1].reason(), None);
        assert_eq!((Close::SLOW_READER.code, Close::SLOW_READER.reason), (4409, "slow_reader"));
    }

    #[test]
    fn only_the_first_to_come_and_the_last_to_leave_are_news() {
        let (registry, mut heard) = registry();
        let first = registry.open(caller(1, 1), Line::new(1).0);
        let second = registry.open(caller(1, 2), Line::new(1).0);
        drop(first);
        assert!(registry.is_here(person(1)));
        drop(second);
        assert!(!registry.is_here(person(1)));
        let mut news = Vec::new();
        while let Ok(change) = heard.try_recv() {
            news.push(change);
        }
        assert_eq!(news, [Change::Came(person(1)), Change::Left(person(1))]);
    }

    #[test]
    fn the_end_of_a_session_closes_its_sockets_alone() {
        let (registry, _heard) = registry();
        let (ended, kept) = (Line::new(1).0, Line::new(1).0);
        let closing = [ended.closer.clone(), kept.closer.clone()];
        let again = caller(1, 2);
        let _seats = [registry.open(caller(1, 1), ended), registry.open(again.clone(), kept)];
        registry.close_session(person(1), session(1), Close::SESSION_ENDED);
        assert_eq!(closing.each_ref().map(|it| it.reason()), [Some(Close::SESSION_ENDED), None]);
        // The second device signs in again under another session.
        again.send_modify(|caller| caller.session = session(3));
        registry.close_session(person(1), session(2), Close::SESSION_ENDED);
        assert_eq!(closing[1].reason(), None);
        registry.close_session(person(1), session(3), Close::SESSION_ENDED);
        assert_eq!(closing[1].reason(), Some(Close::SESSION_ENDED));
    }

    #[test]
    fn a_look_at_the_database_closes_what_has_ended_and_changes_roles_in_place() {
        let (registry, _heard) = registry();
        let (ended, kept, new) = (Line::new(1).0, Line::new(1).0, Line::new(1).0);
        let closing = [ended.closer.clone(), kept.closer.clone(), new.closer.clone()];
        let promoted = caller(1, 2);
        let mut seen = promoted.subscribe();
        let mut seats = vec![registry.open(caller(1, 1), ended), registry.open(promoted, kept)];
        let asked = registry.sessions(None);
        assert_eq!(asked.len(), 2);
        // Comes after the question: the answer says nothing of it.
        seats.push(registry.open(caller(2, 3), new));
        let alive = HashMap::from([(session(2), vec![Role::User, Role::Host])]);
        registry.set_access(&asked, &alive);
        assert_eq!(closing.map(|it| it.reason()), [Some(Close::SESSION_ENDED), None, None]);
        assert_eq!(seen.borrow_and_update().roles, [Role::User, Role::Host]);
        registry.set_access(&asked, &alive);
        assert!(!seen.has_changed().expect("held"), "nothing new is no news");
        assert_eq!(registry.sessions(Some(&BTreeSet::from([person(2)]))), [session(3)]);
    }

    #[test]
    fn a_person_s_newest_socket_closes_their_oldest_and_nobody_else_s() {
        let (registry, _heard) = registry();
        let other = Line::new(1).0;
        let mut closing = vec![other.closer.clone()];
        let mut seats = vec![registry.open(caller(2, 9), other)];
        for device in 0..5 {
            let line = Line::new(1).0;
            closing.push(line.closer.clone());
            seats.push(registry.open(caller(1, device), line));
        }
        let closed: Vec<bool> = closing.iter().map(|it| it.reason().is_some()).collect();
        assert_eq!(closed, [false, true, true, false, false, false], "three may stay");
        assert_eq!(closing[1].reason(), Some(Close::TOO_MANY_SOCKETS));
    }
}
