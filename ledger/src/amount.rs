//! The bound on amounts. Amounts are integers in the asset's smallest unit; there are no floats near money.

/// The largest amount, limit or counter: 2^127 − 1.
///
/// One bit below `u128`, so that the sum of two of them cannot overflow and a balance (the difference of
/// two counters) always fits `i128`.
pub const AMOUNT_MAX: u128 = u128::MAX >> 1;

/// `credits − debits`, exact because both are at most [`AMOUNT_MAX`].
pub(crate) fn difference(credits: u128, debits: u128) -> i128 {
    let signed = |amount: u128| i128::try_from(amount).expect("a counter never exceeds 2^127 - 1");
    signed(credits).checked_sub(signed(debits)).expect("the difference of two 127-bit counters fits")
}
