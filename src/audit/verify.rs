//! Whether a stream is whole: no line changed, moved, taken out or put in, and where it is not.
//!
//! Lines of several chains may stand mixed, as a collector of several replicas has them. What cannot be told from the lines alone is that
//! some were taken away at the end: of each chain it is said how it ends, and what it follows that is not here.

use super::chain::{BEGIN, END, Follows, Line, NOTHING};
use crate::roots::{AuditKey, Hidden};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_domain::id::KeyId;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// Where a stream is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The file, where several are read.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: u64,
    /// What is wrong, in words.
    pub problem: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file}:{}: {}", self.line, self.problem),
            None => write!(f, "line {}: {}", self.line, self.problem),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many lines were read.
    pub lines: u64,
    /// How many of them are under no key of the ring.
    pub unverified: u64,
    /// How many the stream itself says were lost.
    pub lost: u64,
    /// The chains, in words, in the order of their first lines.
    pub chains: Vec<String>,
    /// Where it is broken; nowhere: it is whole.
    pub breaks: Vec<Break>,
}

impl Verified {
    /// Whether something was read, and nothing of it is broken.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.lines > 0 && self.breaks.is_empty()
    }
}

/// One chain, as far as it was read.
struct Chain {
    id: String,
    from: String,
    to: String,
    first: u64,
    seq: u64,
    mac: Option<[u8; 32]>,
    last: Follows,
    /// The key that proves it, once that is known.
    key: Option<usize>,
    /// Whether it was said that no key proves it.
    is_called_unproved: bool,
    follows: Option<String>,
    has_ended: bool,
    followed_by: Option<String>,
}

/// Reads a stream, line by line.
pub struct Verifier<'k> {
    keys: &'k [AuditKey],
    chains: Vec<Chain>,
    places: HashMap<String, usize>,
    /// The chains that others say they follow.
    followed: HashSet<String>,
    /// The line before, where it was none of ours: its number, and its bytes.
    strange: Option<(u64, usize)>,
    /// The files by their names, each after so many lines.
    files: Vec<(u64, String)>,
    lines: u64,
    unverified: u64,
    lost: u64,
    breaks: Vec<Break>,
}

impl<'k> Verifier<'k> {
    /// By the keys of the ring, old ones too.
    #[must_use]
    pub fn new(keys: &'k [AuditKey]) -> Self {
        let (chains, places, followed, files, breaks) = (Vec::new(), HashMap::new(), HashSet::new(), Vec::new(), Vec::new());
        Self { keys, chains, places, followed, strange: None, files, lines: 0, unverified: 0, lost: 0, breaks }
    }

    /// How a token, subject or session stands in the stream, under each key.
    #[must_use]
    pub fn hashes(keys: &[AuditKey], of: Hidden, text: &str) -> Vec<String> {
        keys.iter().map(|key| URL_SAFE_NO_PAD.encode(key.hash(of, text))).collect()
    }

    /// When a line was begun, as it says itself: later ones are larger. None: it is no line of ours.
    #[must_use]
    pub fn time_of(line: &[u8]) -> Option<String> {
        Line::read(line).map(|line| line.time)
    }

    /// The next line is the first of this file.
    pub fn file(&mut self, name: String) {
        self.files.push((self.lines, name));
    }

    /// Takes the next line, without its end.
    pub fn line(&mut self, text: &[u8]) {
        self.lines = self.lines.saturating_add(1);
        let strange = self.strange.take();
        let read = Line::read(text);
        let begins = read.as_ref().is_some_and(|line| line.action == BEGIN && line.seq == 1);
        if let Some((number, bytes)) = strange {
            let is_told = begins && bytes > 0 && read.as_ref().is_some_and(|line| line.torn_bytes == bytes);
            if !is_told {
                self.broken_at(number, "is no line of an audit stream");
            }
        }
        let Some(line) = read else {
            self.strange = Some((self.lines, text.len()));
            return;
        };
        let Some((mac, proved)) = line.proof(text) else { return self.broken("is no line of an audit stream") };
        if begins {
            self.begin(&line, mac, proved);
        } else {
            self.go_on(&line, mac, proved);
        }
    }

    fn begin(&mut self, line: &Line, mac: [u8; 32], proved: &[u8]) {
        if self.places.contains_key(&line.chain) {
            return self.broken("begins a chain that is there already");
        }
        if self.followed.contains(&line.chain) {
            self.broken("begins a chain after the one that follows it: are the files in their order?");
        }
        let root_key = line.root_key.as_deref().and_then(KeyId::parse);
        let key = self.keys.iter().position(|key| Some(key.id()) == root_key);
        match key.and_then(|at| self.keys.get(at)) {
            None => {
                self.unverified = self.unverified.saturating_add(1);
                self.broken(&format!(
                    "is under root key {}, which is not in the ring: its chain cannot be verified",
                    line.root_key.as_deref().unwrap_or("(none)")
                ));
            }
            Some(key) if key.proof(&NOTHING, proved) != mac => self.broken("was changed"),
            Some(_) => self.follow_on(line),
        }
        self.adopt(line, mac, key);
    }

    /// A chain that follows another follows its last line.
    fn follow_on(&mut self, line: &Line) {
        let Some(follows) = &line.follows else { return };
        let before = self.places.get(&follows.chain).and_then(|at| self.chains.get_mut(*at));
        let problem = match before {
            Some(before) if before.last == *follows => {
                before.followed_by = Some(line.chain.clone());
                return;
            }
            Some(before) => format!(
                "follows line {} of chain {}, and the last of it that is here is line {}",
                follows.seq, follows.chain, before.seq
            ),
            // A file that was rotated begins so.
            None if self.lines == 1 => return,
            None => format!("follows line {} of chain {}, of which nothing is here", follows.seq, follows.chain),
        };
        self.broken(&problem);
    }

    fn go_on(&mut self, line: &Line, mac: [u8; 32], proved: &[u8]) {
        let Some(at) = self.places.get(&line.chain).copied() else {
            self.broken(&format!("is line {} of chain {}, whose beginning is not here", line.seq, line.chain));
            return self.adopt(line, mac, None);
        };
        let keys = self.keys;
        let Some(chain) = self.chains.get_mut(at) else { return };
        let problem = if line.seq <= chain.seq {
            Some(format!("is line {} of chain {}, and stands after line {}", line.seq, line.chain, chain.seq))
        } else if chain.has_ended {
            Some(format!("stands after the end of chain {}", line.chain))
        } else if line.seq > chain.seq.saturating_add(1) {
            let (first, last) = (chain.seq.saturating_add(1), line.seq.saturating_sub(1));
            Some(format!("comes after line {} of chain {}: lines {first} to {last} are missing", chain.seq, line.chain))
        } else {
            let is_proved = |key: &AuditKey| chain.mac.is_some_and(|before| key.proof(&before, proved) == mac);
            let key = match chain.key {
                Some(key) => keys.get(key).is_some_and(is_proved).then_some(key),
                None => keys.iter().position(is_proved),
            };
            let is_proved_by_none = chain.key.is_none() && key.is_none();
            chain.key = chain.key.or(key);
            if is_proved_by_none {
                self.unverified = self.unverified.saturating_add(1);
                let is_news = !std::mem::replace(&mut chain.is_called_unproved, true);
                is_news.then(|| "is under no root key of the ring, or was changed: its chain cannot be verified".to_owned())
            } else {
                key.is_none().then(|| "was changed".to_owned())
            }
        };
        if line.seq > chain.seq {
            self.lost = self.lost.saturating_add(line.lines);
            (chain.seq, chain.mac, chain.last) = (line.seq, Some(mac), line.as_last());
            chain.to.clone_from(&line.time);
            chain.has_ended = line.action == END;
        }
        if let Some(problem) = problem {
            self.broken(&problem);
        }
    }

    /// What comes after is judged by this line, whatever was wrong with it.
    fn adopt(&mut self, line: &Line, mac: [u8; 32], key: Option<usize>) {
        self.places.insert(line.chain.clone(), self.chains.len());
        self.followed.extend(line.follows.iter().map(|follows| follows.chain.clone()));
        self.chains.push(Chain {
            id: line.chain.clone(),
            from: line.time.clone(),
            to: line.time.clone(),
            first: line.seq,
            seq: line.seq,
            mac: Some(mac),
            last: line.as_last(),
            key,
            is_called_unproved: line.action == BEGIN && key.is_none(),
            follows: line.follows.as_ref().map(|follows| follows.chain.clone()),
            has_ended: false,
            followed_by: None,
        });
    }

    fn broken(&mut self, problem: &str) {
        self.broken_at(self.lines, problem);
    }

    fn broken_at(&mut self, line: u64, problem: &str) {
        let (before, file) = self.files.iter().rfind(|(before, _)| *before < line).cloned().unzip();
        let line = line.saturating_sub(before.unwrap_or_default());
        self.breaks.push(Break { file, line, problem: problem.to_owned() });
    }

    /// All that was found.
    #[must_use]
    pub fn done(mut self) -> Verified {
        if let Some((number, _)) = self.strange.take() {
            self.broken_at(number, "is no line of an audit stream; where a process is writing it, look again");
        }
        let chains = self.chains.iter().map(|chain| self.told(chain)).collect();
        Verified { lines: self.lines, unverified: self.unverified, lost: self.lost, chains, breaks: self.breaks }
    }

    fn told(&self, chain: &Chain) -> String {
        let is_here = |before: &String| self.places.contains_key(before);
        let follows = match &chain.follows {
            None if chain.first == 1 => "a new one".to_owned(),
            None => "without its beginning".to_owned(),
            Some(before) if is_here(before) => format!("follows {before}"),
            Some(before) => format!("follows {before}, of which nothing is here"),
        };
        format!("chain {}: {follows}; {}", chain.id, extent(chain))
    }
}

fn extent(chain: &Chain) -> String {
    let end = match (&chain.followed_by, chain.has_ended) {
        (Some(next), true) => format!("followed by {next}"),
        (Some(next), false) => {
            format!("followed by {next}, without its end: its process was killed, or its last lines were taken away")
        }
        (None, true) => "ended".to_owned(),
        (None, false) => "open: its process runs, was killed, or its last lines were taken away".to_owned(),
    };
    let Chain { first, seq, from, to, .. } = chain;
    let unproved = if chain.key.is_none() { "; not verified" } else { "" };
    format!("lines {first} to {seq}, {from} to {to}; {end}{unproved}")
}

#[cfg(test)]
mod tests {
    use super::super::chain;
    use super::*;
    use jeton_domain::secret::Secret;
    use std::sync::Arc;

    fn key(byte: u8) -> AuditKey {
        AuditKey::derive(&Secret::new([byte; 32])).unwrap()
    }

    /// Two chains, the second after the first, of five lines each; the first has its end.
    fn stream() -> Vec<String> {
        let key = Arc::new(key(1));
        let time = "2026-11-26T23:30:00.000Z";
        let (mut first, begin) = chain::Chain::begin(Arc::clone(&key), time, None, 0).unwrap();
        let mut lines = vec![begin];
        let said = |n: usize| format!("\"time\":\"{time}\",\"action\":\"revoke\",\"n\":{n}");
        lines.extend((0..3).map(|n| first.seal(&said(n))));
        lines.push(first.seal(&format!("\"time\":\"{time}\",\"action\":\"end\"")));
        let (mut second, begin) = chain::Chain::begin(key, time, Some(&first.last()), 0).unwrap();
        lines.push(begin);
        lines.extend((0..4).map(|n| second.seal(&said(n))));
        lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
    }

    fn verified(lines: &[String], keys: &[AuditKey]) -> Verified {
        let mut verifier = Verifier::new(keys);
        lines.iter().for_each(|line| verifier.line(line.as_bytes()));
        verifier.done()
    }

    fn broken(lines: &[String]) -> Vec<u64> {
        verified(lines, &[key(2), key(1)]).breaks.iter().map(|at| at.line).collect()
    }

    #[test]
    fn a_stream_that_nobody_touched_is_whole() {
        let found = verified(&stream(), &[key(2), key(1)]);
        assert_eq!((found.breaks, found.lines), (vec![], 10));
        assert!(found.chains[0].contains("followed by") && found.chains[1].contains("open"), "{:?}", found.chains);
        // What was rotated away is not missed.
        assert_eq!(broken(&stream()[5..]), Vec::<u64>::new());
    }

    #[test]
    fn what_is_told_has_nothing_in_it_that_acts_on_a_terminal() {
        let member = |name: &str, value: &str| format!("\"{name}\":\"{value}\"");
        for acts in ["\\u001b[2J", "\\nwhole: 9 lines", "\\u009b", "\\u202e"] {
            for told in ["chain", "time", "root_key", "follows"] {
                let text = |name| member(name, if told == name { acts } else { "c" });
                let follows = format!(
                    "\"follows\":{{{},\"seq\":1,\"mac\":\"\"}}",
                    member("chain", if told == "follows" { acts } else { "b" })
                );
                let line = format!(
                    "{{{},\"seq\":1,{},{},{},{follows},{}}}",
                    text("chain"),
                    text("time"),
                    member("action", "begin"),
                    text("root_key"),
                    member("mac", &"A".repeat(43))
                );
                let found = verified(std::slice::from_ref(&line), &[key(1)]);
                assert_eq!((found.chains.len(), found.breaks.len()), (0, 1), "{line}");
                assert_eq!(verified(&[line.replace(acts, "d")], &[key(1)]).chains.len(), 1, "{line}");
            }
        }
    }

    #[test]
    fn whatever_is_done_to_a_line_is_found_at_its_place() {
        let whole = stream();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] = changed[at].replacen("23:30", "23:31", 1);
            assert_eq!(broken(&changed)[0], at as u64 + 1, "line {at} changed");

            let mut cut = whole.clone();
            cut.remove(at);
            // The last line of a chain that nothing follows leaves no trace.
            assert_eq!(broken(&cut).is_empty(), at == 9, "line {at} cut");

            let mut doubled = whole.clone();
            doubled.insert(at, whole[at].clone());
            assert_eq!(broken(&doubled), [at as u64 + 2], "line {at} twice");

            if at > 0 {
                let mut swapped = whole.clone();
                swapped.swap(at - 1, at);
                assert!(!broken(&swapped).is_empty(), "lines {} and {at} swapped", at - 1);
            }
            for strange in ["", "{}", "garbage"] {
                let mut more = whole.clone();
                more.insert(at, strange.into());
                assert_eq!(broken(&more), [at as u64 + 1], "{strange:?} put before line {at}");
            }
        }
        let mut tail = whole.clone();
        tail.drain(3..5);
        assert_eq!(broken(&tail), [4], "the end of a chain that another follows");
    }

    #[test]
    fn who_has_no_key_neither_proves_nor_forges() {
        let strange = verified(&stream(), &[key(2)]);
        assert_eq!(strange.unverified, 10);
        let problems: Vec<&str> = strange.breaks.iter().map(|at| at.problem.as_str()).collect();
        assert!(problems.len() == 2 && problems.iter().all(|problem| problem.contains("not in the ring")), "{problems:?}");
        // Not even its beginning.
        let strange = verified(&stream()[1..5], &[key(2)]);
        let problems: Vec<&str> = strange.breaks.iter().map(|at| at.problem.as_str()).collect();
        assert!(problems.len() == 2 && problems[1].contains("under no root key"), "{problems:?}");
        // A line made under another key.
        let mut forged = stream();
        let (_, begin) = chain::Chain::begin(Arc::new(key(3)), "2026-11-26T23:30:00.000Z", None, 0).unwrap();
        forged.push(begin.trim_end().replace(&key(3).id().to_string(), &key(1).id().to_string()));
        assert_eq!(broken(&forged), [11]);
    }

    #[test]
    fn the_format_never_changes() {
        let key = AuditKey::derive(&Secret::new([7; 32])).unwrap();
        let proof = URL_SAFE_NO_PAD.encode(key.proof(&NOTHING, b"{\"chain\":\"c\",\"seq\":1"));
        let hashes = [Hidden::Token, Hidden::Subject, Hidden::Session].map(|of| URL_SAFE_NO_PAD.encode(key.hash(of, "alice")));
        assert_eq!(
            (proof.as_str(), hashes.each_ref().map(String::as_str)),
            (
                "ZyCI7o3Grsqf7eVsJ3zNZfuxajLnjbzk9OO_vQJRuiU",
                ["rxZoKHURNZSOgTGulfglbw", "pRKBPGNCbTGzn_-LerMffw", "qzWMJM1s2fvrlTblKTbXdA"]
            )
        );
    }
}
