//! Which descriptors a queue has attached, and for whom: the kernel would let a second registration take over the first.

use crate::{sys::Raw, token::Token};

/// The token of each attached descriptor, by its number. Eight bytes a number up to the highest one that was ever attached,
/// kept for as long as the Notifier lives: a million descriptors cost each Notifier that had one of the last of them 8 MB. The
/// kernel's own tables of open files and of a queue's knotes are by number too, at more bytes each, and do not shrink either.
/// A hash map would follow the number attached instead of the highest number, at twice the bytes each, and a rehash now and
/// then where nothing may allocate.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Token>);

/// No source's: in the place of a number that is not attached.
const NOBODY: Token = Token::internal(14);

impl Table {
    /// Whom a number is attached for.
    pub(super) fn holder(&self, descriptor: Raw) -> Option<Token> {
        let index = usize::try_from(descriptor).ok()?;
        self.0.get(index).copied().filter(|&token| token != NOBODY)
    }

    /// Makes room for a number, so that inserting it cannot fail.
    pub(super) fn reserve(&mut self, descriptor: Raw) {
        let Ok(index) = usize::try_from(descriptor) else { return };
        if index >= self.0.len() {
            self.0.resize(index + 1, NOBODY);
        }
    }

    /// For a number that `reserve` was called for. What stood there is replaced.
    pub(super) fn insert(&mut self, descriptor: Raw, token: Token) {
        self.0[descriptor as usize] = token;
    }

    /// False, and nothing is changed, if the number is not attached for `token`.
    pub(super) fn remove(&mut self, descriptor: Raw, token: Token) -> bool {
        let is_its = self.holder(descriptor) == Some(token);
        if is_its {
            self.0[descriptor as usize] = NOBODY;
        }
        is_its
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_attached_for_one_until_that_one_leaves() {
        let (mut table, one, other) = (Table::default(), Token::new(3, 0), Token::new(3, 1));
        assert_eq!(table.holder(7), None);
        table.reserve(7);
        assert_eq!(table.holder(7), None);
        table.insert(7, one);
        assert_eq!((table.holder(7), table.holder(6), table.holder(8)), (Some(one), None, None));
        assert!(!table.remove(7, other), "an earlier use of the slot");
        assert!(!table.remove(8, one) && !table.remove(-1, one));
        assert!(table.remove(7, one));
        assert!(!table.remove(7, one));
        assert_eq!((table.holder(7), table.holder(-1)), (None, None));
    }
}
