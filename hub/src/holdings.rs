//! The rooms that each address has somebody in: one alone is not to have all that there may be. Many in one room count once, as they
//! are behind one address in a company, too.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::addresses::of_one_owner;

/// What addresses have, a room by its keyed hash: two that nobody can choose count as one, at worst.
#[derive(Debug)]
pub(crate) struct Holdings {
    rooms_max: usize,
    hasher: RandomState,
    /// How many connections of each address are in each room.
    of_addresses: Mutex<HashMap<IpAddr, HashMap<u64, u32>>>,
}

/// A connection's part in it; given back when this is dropped. One whose address is not known has no limit but its own.
#[derive(Debug)]
pub(crate) struct Holding {
    all: Arc<Holdings>,
    address: Option<IpAddr>,
    rooms: Vec<u64>,
}

impl Holdings {
    pub(crate) fn new(rooms_max: usize) -> Self {
        Self { rooms_max: rooms_max.max(1), hasher: RandomState::new(), of_addresses: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, HashMap<u64, u32>>> {
        self.of_addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, address: IpAddr, rooms: impl IntoIterator<Item = u64>) {
        let mut of_addresses = self.lock();
        let Some(held) = of_addresses.get_mut(&address) else { return };
        for room in rooms {
            if let Some(count) = held.get_mut(&room) {
                *count -= 1;
                if *count == 0 {
                    held.remove(&room);
                }
            }
        }
        if held.is_empty() {
            of_addresses.remove(&address);
        }
    }
}

impl Holding {
    pub(crate) fn new(all: &Arc<Holdings>, address: Option<IpAddr>) -> Self {
        Self { all: all.clone(), address: address.map(of_one_owner), rooms: Vec::new() }
    }

    /// Has a room, as it may have already; whether its address may have that many.
    pub(crate) fn take(&mut self, room: &str) -> bool {
        let Some(address) = self.address else { return true };
        let room = self.all.hasher.hash_one(room);
        if self.rooms.contains(&room) {
            return true;
        }
        let mut of_addresses = self.all.lock();
        let held = of_addresses.entry(address).or_default();
        if held.len() >= self.all.rooms_max && !held.contains_key(&room) {
            return false;
        }
        *held.entry(room).or_default() += 1;
        self.rooms.push(room);
        true
    }

    pub(crate) fn give_back(&mut self, room: &str) {
        let Some(address) = self.address else { return };
        let room = self.all.hasher.hash_one(room);
        if let Some(at) = self.rooms.iter().position(|held| *held == room) {
            self.rooms.swap_remove(at);
            self.all.give_back(address, [room]);
        }
    }

    pub(crate) fn give_all_back(&mut self) {
        let rooms = std::mem::take(&mut self.rooms);
        if let Some(address) = self.address
            && !rooms.is_empty()
        {
            self.all.give_back(address, rooms);
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.give_all_back();
    }
}
