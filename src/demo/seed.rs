//! A small generator of numbers that follow from a seed.
//!
//! Owns the dice of the simulated company: the same seed makes the same people, the same accounts
//! and the same lies on every machine and with every release of the libraries. Not for secrets.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(super) struct Seed(u64);

impl Seed {
    /// A generator of its own for each purpose, so that one more draw here changes nothing there.
    pub(super) fn new(seed: u64, purpose: &str) -> Self {
        let salt = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self(seed ^ salt)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % (bound as u64)) as usize
    }

    /// True in `percent` of 100 draws.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which must not be empty.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A made-up id in the form of a random UUID (RFC 9562 §5.4).
    pub(super) fn uuid(&mut self) -> String {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes())
            .into_uuid()
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_draws_and_purposes_do_not_disturb_each_other() {
        let draws = |purpose| {
            let mut seed = Seed::new(7, purpose);
            (0..5).map(|_| seed.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draws("people"), draws("people"));
        assert_ne!(draws("people"), draws("events"));
        assert_eq!(Seed::new(7, "ids").uuid().len(), 36);
    }
}
