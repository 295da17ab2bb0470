//! Replays a corpus and mutates it, the same way each time: what `make test` runs, on any toolchain. It is blind to what is reached;
//! libFuzzer (`make fuzz`) is not, and what it finds worth keeping is the corpus.

use crate::Target;
use std::fs;
use std::path::Path;

/// The longest input that is made, in bytes.
const MAX_BYTES: usize = 8 * 1_024;
/// The most mutations of one input.
const MUTATIONS: usize = 6;
/// Bytes that formats care for.
const SPECIAL: [u8; 24] = *b"\0\n .,:;=&%+-_/\\\"'{}[]09\xff";

/// The corpus of a target: each file of its folder, in the order of their names.
#[must_use]
pub fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path()).collect();
    files.sort();
    files.iter().filter_map(|file| fs::read(file).ok()).collect()
}

/// Reads the corpus, and then `runs` inputs made of it.
pub fn run(target: &Target, runs: usize) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "{} has a corpus", target.name);
    corpus.iter().for_each(|input| (target.read)(input));
    let mut dice = Dice(target.name.bytes().fold(0x9e37_79b9_7f4a_7c15, |seed, byte| seed.rotate_left(8) ^ u64::from(byte)));
    for _ in 0..runs {
        let mut input = dice.one_of(&corpus).cloned().unwrap_or_default();
        for _ in 0..=dice.below(MUTATIONS) {
            mutate(&mut input, &corpus, &mut dice);
        }
        input.truncate(MAX_BYTES);
        (target.read)(&input);
    }
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(input.len() + 1);
    let length = dice.below(16).min(input.len() - at);
    let piece: Vec<u8> = input.iter().skip(at).take(length).copied().collect();
    let byte = if dice.below(2) == 0 { dice.byte() } else { dice.one_of(&SPECIAL).copied().unwrap_or_default() };
    match dice.below(8) {
        0 => flip(input, at, dice),
        1 => drop(input.splice(at..at + length.min(1), [byte])),
        2 => input.insert(at, byte),
        3 => drop(input.drain(at..at + length)),
        4 => drop(input.splice(at..at, piece)),
        5 => drop(input.splice(at..at + length, vec![byte; dice.below(40)])),
        6 => digits(input, at, dice),
        _ => {
            let other = dice.one_of(corpus).cloned().unwrap_or_default();
            let from = dice.below(other.len() + 1);
            drop(input.splice(at.., other.into_iter().skip(from)));
        }
    }
}

fn flip(input: &mut [u8], at: usize, dice: &mut Dice) {
    let bit = dice.below(8);
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

/// Another number where one is.
fn digits(input: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    let Some(start) = input.iter().skip(at).position(u8::is_ascii_digit).map(|after| at + after) else { return };
    let length = input.iter().skip(start).take_while(|byte| byte.is_ascii_digit()).count();
    let numbers = ["0", "1", "-1", "00", "1.5", "1e9", "9007199254740992", "18446744073709551616", "1e999"];
    let number = dice.one_of(&numbers).copied().unwrap_or_default();
    drop(input.splice(start..start + length, number.bytes()));
}

/// Numbers that look random and are not (xorshift64*).
struct Dice(u64);

impl Dice {
    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(1);
        usize::try_from((self.next() >> 16) % end).unwrap_or_default()
    }

    const fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}
