//! What the model knows and the record does not: which generation truly came from which, and which of them a holder has
//! shown to hold. A record moves together with its ghost, so a rollback forgets both.

/// The most generations a walk hands out.
pub const GENERATIONS: u8 = 10;

/// The true descent of the generations of one record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ghost {
    /// The generation that was presented for this one.
    from: [u8; GENERATIONS as usize],
    /// Bit i: generation i was presented outside the overlap, or an access token of it was seen.
    confirmed: u16,
}

impl Ghost {
    pub const fn new() -> Self {
        Self { from: [0; GENERATIONS as usize], confirmed: 0 }
    }

    /// Whether `a` is `b` or one that `b` came from.
    pub fn leads_to(&self, a: u8, b: u8) -> bool {
        let mut at = b;
        while at > a {
            at = self.from[usize::from(at)];
        }
        at == a
    }

    /// Whether every confirmed generation leads to `to`: a hand-out for it makes no second line.
    pub fn all_lead_to(&self, to: u8) -> bool {
        self.each_confirmed().all(|c| self.leads_to(c, to))
    }

    /// Whether no confirmed generation is on another line than `of`.
    pub fn one_line_with(&self, of: u8) -> bool {
        self.each_confirmed().all(|c| self.leads_to(c, of) || self.leads_to(of, c))
    }

    /// Whether nobody has shown to hold anything between `a` and `b`, and `a` leads to `b`.
    pub fn next_to(&self, a: u8, b: u8) -> bool {
        let between = |c: &u8| *c != a && *c != b && self.leads_to(a, *c) && self.leads_to(*c, b);
        self.leads_to(a, b) && !self.each_confirmed().any(|c| between(&c))
    }

    pub const fn confirm(&mut self, generation: u8) {
        self.confirmed |= 1 << generation;
    }

    pub fn origin(&self, of: u8) -> u8 {
        self.from[usize::from(of)]
    }

    pub fn descend(&mut self, child: u8, from: u8) {
        self.from[usize::from(child)] = from;
    }

    fn each_confirmed(&self) -> impl Iterator<Item = u8> {
        each(self.confirmed)
    }
}

/// The generations in a set.
pub fn each(set: u16) -> impl Iterator<Item = u8> {
    (0..16).filter(move |bit| set >> bit & 1 == 1)
}
