//! Ids that are sent twice: one of two at the same moment is the first, and every later answer is that of the first time.

use crate::planned_order::is_for_now;
use crate::survival::told::Told;
use client::ledger::{Outcome, RefusalDetail, Status};

/// What the order itself was answered, by an answer that may be a repetition; `replayed` tells that it is one. Then what
/// the order lacked is not told again.
pub(crate) fn original(answer: &Outcome) -> Outcome {
    let status = match (answer.status, answer.detail) {
        (Status::Exists, _) => Status::Created,
        (Status::IdAlreadyRefused, RefusalDetail::AlreadyRefused { first_status }) => first_status,
        _ => return *answer,
    };
    Outcome { status, detail: RefusalDetail::None, ..*answer }
}

/// What an order came to that was sent twice at the same moment; or what is wrong with the two answers.
pub(crate) fn of_two(answers: [&Outcome; 2]) -> Result<Outcome, String> {
    let told = answers.map(Told::from);
    let wrong = || Err(format!("was answered {:?} and {:?}", answers[0], answers[1]));
    match told.map(Told::is_on_record) {
        [true, true] => {
            let mut firsts = answers.into_iter().filter(|answer| !answer.replayed);
            match (firsts.next(), firsts.next()) {
                (Some(first), None) if told[0] == told[1] && is_first(first) => Ok(*first),
                _ => wrong(),
            }
        }
        [false, false] => match answers {
            [one, other] if is_for_now(one.status) && is_for_now(other.status) => {
                // Of the two, the one that leaves it open says more.
                Ok(if other.status == Status::Unavailable { *other } else { *one })
            }
            // Refused at once, for its shape.
            [one, other] if (one.status, one.replayed) == (other.status, other.replayed) => Ok(*one),
            _ => wrong(),
        },
        [one_is_on_record, _] => {
            let (known, other) =
                if one_is_on_record { (answers[0], answers[1]) } else { (answers[1], answers[0]) };
            // Only what is unavailable can have been done all the same, so that its repetition is told so.
            let may_be = is_for_now(other.status) && (!known.replayed || other.status == Status::Unavailable);
            if may_be { Ok(original(known)) } else { wrong() }
        }
    }
}

/// What is wrong with the answer to an order that was told this before, if anything.
pub(crate) fn of_told(told: Told, answer: &Outcome) -> Result<(), String> {
    let repeats = matches!(answer.status, Status::Exists | Status::IdAlreadyRefused);
    let is_right = repeats && answer.replayed && Told::from(answer) == told;
    if is_right || is_for_now(answer.status) {
        return Ok(());
    }
    Err(format!("was told {told:?} and is answered {answer:?}"))
}

fn is_first(answer: &Outcome) -> bool {
    !matches!(answer.status, Status::Exists | Status::IdAlreadyRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: Status, seq: u64) -> Outcome {
        let detail = match status {
            Status::IdAlreadyRefused => {
                RefusalDetail::AlreadyRefused { first_status: Status::InsufficientFunds }
            }
            Status::InsufficientFunds => RefusalDetail::InsufficientFunds { available: 0, required: 5 },
            _ => RefusalDetail::None,
        };
        let replayed = matches!(status, Status::Exists | Status::IdAlreadyRefused);
        Outcome { status, replayed, seq, timestamp_ns: seq * 10, detail }
    }

    #[test]
    fn of_two_at_the_same_moment_one_is_the_first_and_the_other_says_so() {
        use Status::{
            AmountMustNotBeZero, Contended, Created, Exists, ExistsWithDifferentAmount, IdAlreadyRefused,
            InsufficientFunds, Unavailable,
        };
        let check = |one: (Status, u64), other: (Status, u64), expected: Option<(Status, u64)>| {
            let (one, other) = (outcome(one.0, one.1), outcome(other.0, other.1));
            for answers in [[&one, &other], [&other, &one]] {
                let original = of_two(answers).ok().map(|outcome| (outcome.status, outcome.seq));
                assert_eq!(original, expected, "{answers:?}");
            }
        };
        check((Created, 5), (Exists, 5), Some((Created, 5)));
        check((InsufficientFunds, 5), (IdAlreadyRefused, 5), Some((InsufficientFunds, 5)));
        check((Created, 5), (Contended, 0), Some((Created, 5)));
        check((Created, 5), (Unavailable, 0), Some((Created, 5)));
        check((Exists, 5), (Unavailable, 0), Some((Created, 5)));
        check((Contended, 0), (Unavailable, 0), Some((Unavailable, 0)));
        check((AmountMustNotBeZero, 0), (AmountMustNotBeZero, 0), Some((AmountMustNotBeZero, 0)));
        // Done twice, told twice as the first, told twice as a repetition, or told of another.
        check((Created, 5), (Created, 6), None);
        check((Created, 5), (Created, 5), None);
        check((Exists, 5), (Exists, 5), None);
        check((Created, 5), (Exists, 6), None);
        check((Created, 5), (IdAlreadyRefused, 5), None);
        check((InsufficientFunds, 5), (Created, 6), None);
        check((InsufficientFunds, 5), (InsufficientFunds, 6), None);
        check((Exists, 5), (Contended, 0), None);
        check((Created, 5), (ExistsWithDifferentAmount, 5), None);
        check((Created, 5), (AmountMustNotBeZero, 0), None);
    }

    #[test]
    fn a_later_answer_is_that_of_the_first_time() {
        use Status::{Contended, Created, Exists, IdAlreadyRefused, InsufficientFunds};
        let check = |told, answer: Outcome, right: bool| {
            assert_eq!(of_told(told, &answer).is_ok(), right, "{told:?} {answer:?}");
        };
        let done = Told::from(&outcome(Created, 5));
        let refused = Told::from(&outcome(InsufficientFunds, 5));
        check(done, outcome(Exists, 5), true);
        check(refused, outcome(IdAlreadyRefused, 5), true);
        check(done, outcome(Contended, 0), true);
        check(done, outcome(Exists, 6), false);
        check(done, Outcome { timestamp_ns: 51, ..outcome(Exists, 5) }, false);
        check(done, Outcome { replayed: false, ..outcome(Exists, 5) }, false);
        check(done, outcome(Created, 6), false);
        check(done, outcome(Created, 5), false);
        check(done, outcome(IdAlreadyRefused, 5), false);
        check(refused, outcome(InsufficientFunds, 5), false);
        check(refused, outcome(Created, 6), false);
    }
}
