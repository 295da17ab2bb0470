//! Walks every state that a world can come to within its bounds, breadth first: the first fault found is one of the shortest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What a move leads to.
pub enum After<State, Fault> {
    /// It cannot be made here.
    Impossible,
    /// Nothing that follows matters.
    Over,
    /// The walk goes on from here.
    Next(State),
    /// What must not happen happened.
    Fault(Fault),
}

/// States, and the moves between them.
pub trait World {
    type State: Clone + Hash;
    type Move: Copy;
    type Fault;

    fn start(&self) -> Self::State;
    /// Every move worth trying.
    fn moves(&self, state: &Self::State) -> Vec<Self::Move>;
    fn after(&self, state: &Self::State, step: Self::Move) -> After<Self::State, Self::Fault>;
    /// The same state with its parts in a fixed order: states that differ in nothing else are one.
    fn ordered(&self, state: &Self::State) -> Self::State {
        state.clone()
    }
}

/// How far a walk came.
#[derive(Debug)]
pub struct Walked {
    pub states: usize,
    pub moves: usize,
    pub depth: usize,
}

/// What must not happen, and how it happens.
#[derive(Debug)]
pub struct Found<Fault, Move> {
    pub fault: Fault,
    pub trace: Vec<Move>,
}

/// 128 bits of a state in one pass: two lanes that multiply and fold.
struct Print(u64, u64);

impl Print {
    const fn of_nothing() -> Self {
        Self(0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03)
    }

    fn mix(&mut self, word: u64) {
        let fold = |lane: u64, by: u64| {
            let product = u128::from(lane ^ word) * u128::from(by);
            let (high, low) = (product >> 64, product & u128::from(u64::MAX));
            u64::try_from(high ^ low).unwrap()
        };
        self.0 = fold(self.0.rotate_left(23), 0xa076_1d64_78bd_642f).wrapping_add(word);
        self.1 = fold(self.1.rotate_left(29), 0xe703_7ed1_a0b4_28db).wrapping_sub(word);
    }
}

impl Hasher for Print {
    fn finish(&self) -> u64 {
        self.0 ^ self.1
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.mix(chunk.iter().fold(u64::try_from(chunk.len()).unwrap(), |word, byte| word << 8 | u64::from(*byte)));
        }
    }
    fn write_u8(&mut self, word: u8) {
        self.mix(word.into());
    }
    fn write_u16(&mut self, word: u16) {
        self.mix(word.into());
    }
    fn write_u32(&mut self, word: u32) {
        self.mix(word.into());
    }
    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }
    fn write_usize(&mut self, word: usize) {
        self.mix(u64::try_from(word).unwrap());
    }
    fn write_isize(&mut self, word: isize) {
        self.mix(u64::try_from(word).unwrap());
    }
}

/// Fingerprints are random already.
#[derive(Default)]
struct Through(u64);

impl Hasher for Through {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        panic!("only fingerprints");
    }
    fn write_u64(&mut self, half: u64) {
        self.0 ^= half;
    }
}

fn fingerprint<State: Hash>(state: &State) -> (u64, u64) {
    let mut print = Print::of_nothing();
    state.hash(&mut print);
    (print.0, print.1)
}

/// Walks until nothing is new or `depth` moves were made.
pub fn walk<W: World>(world: &W, depth: usize) -> Result<Walked, Found<W::Fault, W::Move>> {
    let mut visited: HashMap<(u64, u64), (), BuildHasherDefault<Through>> = HashMap::default();
    // Where each state came from: the place of the one before, and the move.
    let mut came: Vec<(u32, Option<W::Move>)> = vec![(0, None)];
    let start = world.start();
    visited.insert(fingerprint(&world.ordered(&start)), ());
    let mut level = vec![(start, 0)];
    let (mut moves, mut deep) = (0, 0);
    while !level.is_empty() && deep < depth {
        let mut below = Vec::new();
        for (state, from) in &level {
            for step in world.moves(state) {
                moves += 1;
                match world.after(state, step) {
                    After::Impossible | After::Over => {}
                    After::Fault(fault) => return Err(Found { fault, trace: trace(&came, *from, step) }),
                    After::Next(next) => {
                        if let Entry::Vacant(entry) = visited.entry(fingerprint(&world.ordered(&next))) {
                            entry.insert(());
                            below.push((next, u32::try_from(came.len()).unwrap()));
                            came.push((*from, Some(step)));
                        }
                    }
                }
            }
        }
        deep += 1;
        level = below;
    }
    Ok(Walked { states: came.len(), moves, depth: deep })
}

fn trace<Move: Copy>(came: &[(u32, Option<Move>)], from: u32, last: Move) -> Vec<Move> {
    let mut trace = vec![last];
    let mut at = from;
    while let (before, Some(step)) = came[usize::try_from(at).unwrap()] {
        trace.push(step);
        at = before;
    }
    trace.reverse();
    trace
}
