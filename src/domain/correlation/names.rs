//! When two ways to write a name are one name.
//!
//! Owns the folding by which names are compared: case in any script, the composition of letters and
//! blanks around make no other name. Whether an account is somebody's is not decided here.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization as _;

/// True for two ways to write one name: case, in any script, the composition of letters, and blanks
/// around it make no other.
pub fn same_name(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim(), other.trim());
    one.eq_ignore_ascii_case(other)
        || (!(one.is_ascii() && other.is_ascii()) && folded(one) == folded(other))
}

/// True for names that differ in case, composition and blanks around them alone.
pub(super) fn is_plainly(one: &str, other: &str) -> bool {
    let plain = |name: &str| -> String {
        let small = name.trim().nfc().flat_map(char::to_lowercase);
        small.nfc().collect()
    };
    plain(one) == plain(other)
}

/// A name as it is compared: in compatibility composition (NFKC, UAX 15) and with full case folding
/// (Unicode section 3.13), so that `ß` is `ss` and every sigma one letter.
pub fn folded(name: &str) -> String {
    if name.is_ascii() {
        // Composed as it is, and every letter folds to its small one.
        return name.trim().to_ascii_lowercase();
    }
    let plain: String = name.nfkc().collect();
    let letters = plain.trim().chars().flat_map(char::to_lowercase);
    letters.flat_map(case_folded).nfkc().collect()
}

/// The folding of a small letter is its capital in small letters again; but for one, which is a
/// letter of its own and shares its capital with another.
fn case_folded(letter: char) -> impl Iterator<Item = char> {
    let own = (letter == '\u{131}').then_some(letter);
    let capital = own.is_none().then(|| letter.to_uppercase());
    own.into_iter()
        .chain(capital.into_iter().flatten().flat_map(char::to_lowercase))
}

/// A name as it is compared, and as it was when older versions kept it: first with ASCII letters
/// small, then with all of them, and never composed.
pub(in crate::domain) fn ever_folded(name: &str) -> BTreeSet<String> {
    let spellings = [name.to_owned(), name.nfc().collect(), name.nfd().collect()];
    let older = spellings.iter().flat_map(|spelling: &String| {
        [
            spelling.to_ascii_lowercase(),
            spelling.trim().to_lowercase(),
        ]
    });
    older.chain([folded(name)]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a5_a_name_is_one_however_its_letters_are_written() {
        for (one, other, same) in [
            ("ada", "ADA", true),
            ("J\u{fc}rgen", "J\u{dc}RGEN", true),
            (" ada", "ada", true),
            ("ada", "adam", false),
            ("J\u{fc}rgen", "Jurgen", false),
            // Composed, and with the mark behind its letter.
            ("j\u{fc}rgen", "ju\u{308}rgen", true),
            ("J\u{dc}RGEN", "ju\u{308}rgen", true),
            ("stra\u{df}e", "STRASSE", true),
            ("stra\u{df}e", "STRA\u{1e9e}E", true),
            (
                "\u{3bf}\u{3b4}\u{3bf}\u{3c2}",
                "\u{39f}\u{394}\u{39f}\u{3a3}",
                true,
            ),
            ("\u{ff41}da", "ada", true),
            ("ada\u{a0}", "ada", true),
            // Two letters in Turkish, and of two people.
            ("kad\u{131}r", "kadir", false),
            ("kadir", "KADIR", true),
        ] {
            assert_eq!(same_name(one, other), same, "{one} {other}");
            assert_eq!(folded(one) == folded(other), same, "{one} {other}");
            let twice = folded(&folded(one));
            assert_eq!(twice, folded(one), "folded once is folded");
        }
    }

    proptest! {
        #[test]
        fn a5_names_that_are_one_fold_alike(
            one in "[ aAiIkKsS\u{df}\u{130}\u{131}\u{17f}\u{212a}\u{307}\u{301}\u{3a3}\u{3c2}\u{fb01}\u{a0}]{0,6}",
            flips in prop::collection::vec(any::<bool>(), 6),
        ) {
            let flipped: String = one
                .chars()
                .zip(flips.iter().cycle())
                .map(|(letter, flip)| match (flip, letter.is_ascii_lowercase()) {
                    (true, true) => letter.to_ascii_uppercase(),
                    (true, false) => letter.to_ascii_lowercase(),
                    (false, _) => letter,
                })
                .collect();
            prop_assert!(same_name(&one, &flipped));
            prop_assert_eq!(folded(&one), folded(&flipped));
            prop_assert_eq!(folded(&one), folded(&format!(" {one}")));
        }
    }
}
