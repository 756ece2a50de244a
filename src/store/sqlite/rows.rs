//! Many rows in one statement.
//!
//! Owns the cutting of a batch into chunks whose sizes are powers of two: so each statement exists
//! in a handful of lengths only, and all of them stay prepared.

use std::fmt::Write;

/// The most rows in one statement; 256 rows of 20 columns stay well below SQLite's 32,766 values.
const AT_MOST: usize = 256;

/// Cuts `rows` into chunks of 256, 128, …, 1.
pub(super) fn chunks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let size = (1 << rest.len().ilog2()).min(AT_MOST);
        let (chunk, later) = rest.split_at(size);
        rest = later;
        Some(chunk)
    })
}

/// `(?,?),(?,?)` for `rows` rows of `width` columns.
pub(super) fn tuples(width: usize, rows: usize) -> String {
    let mut text = String::with_capacity(rows * (width * 2 + 2));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..width {
            text.push_str(if column == 0 { "?" } else { ",?" });
        }
        text.push(')');
    }
    text
}

/// `(?3),(?4)`: one numbered column, where the statement also names earlier values by number.
pub(super) fn numbered(first: usize, width: usize, rows: usize) -> String {
    let mut text = String::new();
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..width {
            let comma = if column == 0 { "" } else { "," };
            let _ = write!(text, "{comma}?{}", first + row * width + column);
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_powers_of_two_and_lose_nothing() {
        let rows: Vec<u32> = (0..700).collect();
        let sizes: Vec<usize> = chunks(&rows).map(<[u32]>::len).collect();
        assert_eq!(sizes, [256, 256, 128, 32, 16, 8, 4]);
        let all: Vec<u32> = chunks(&rows).flatten().copied().collect();
        assert_eq!(all, rows);
    }

    #[test]
    fn tuples_have_their_width() {
        assert_eq!(tuples(2, 2), "(?,?),(?,?)");
        assert_eq!(numbered(3, 2, 2), "(?3,?4),(?5,?6)");
    }
}
