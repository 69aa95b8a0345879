//! Values in numbered places; a number is used again when its value is gone. And what they leave is given back.

use std::{collections::HashMap, hash::Hash};

#[derive(Debug)]
pub(super) struct Places<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Places<T> {
    pub(super) fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(value);
                place
            }
            None => {
                if self.places.len() == self.places.capacity() {
                    // By half at most, and one at first: most connections have one topic, or a few.
                    self.places.reserve_exact(self.places.len() / 2 + 1);
                }
                self.places.push(Some(value));
                (self.places.len() - 1) as u32
            }
        }
    }

    pub(super) fn remove(&mut self, place: u32) -> Option<T> {
        let value = self.places.get_mut(place as usize)?.take()?;
        self.free.push(place);
        if self.free.len() == self.places.len() {
            // All are gone: their room goes with them.
            *self = Self::default();
        }
        Some(value)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(&mut self.places).filter_map(|(place, value)| Some((place, value.as_mut()?)))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

/// Gives back the memory of a map that was much larger, so that a million that have come and gone leave nothing.
pub(super) fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > CAPACITY_KEPT && map.len() < map.capacity() / 8 {
        map.shrink_to(2 * map.len());
    }
}

/// Room that a map keeps in any case.
const CAPACITY_KEPT: usize = 64;
