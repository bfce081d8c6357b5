//! Numbers as people read them: with thousands apart, and times with the unit that suits their size.

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same, rounded.
pub(crate) fn rounded(number: f64) -> String {
    grouped(number.round().max(0.0) as u64)
}

/// `1234` as `1.23 ms`.
pub(crate) fn microseconds(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", three_digits(us as f64 / 1e3)),
        _ => format!("{} s", three_digits(us as f64 / 1e6)),
    }
}

/// `90000.0` as `90k`, for axes.
pub(crate) fn short(number: f64) -> String {
    match number {
        number if number >= 1e6 => format!("{}M", trimmed(number / 1e6)),
        number if number >= 1e3 => format!("{}k", trimmed(number / 1e3)),
        number => trimmed(number),
    }
}

fn three_digits(number: f64) -> String {
    match number {
        number if number < 10.0 => format!("{number:.2}"),
        number if number < 100.0 => format!("{number:.1}"),
        number => format!("{number:.0}"),
    }
}

fn trimmed(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(rounded(1_999.6), "2,000");
        assert_eq!(
            [0, 999, 1_234, 56_789, 999_400, 2_500_000].map(microseconds),
            ["0 µs", "999 µs", "1.23 ms", "56.8 ms", "999 ms", "2.50 s"]
        );
        assert_eq!([0.0, 250.0, 1_500.0, 90_000.0, 2e6].map(short), ["0", "250", "1.5k", "90k", "2M"]);
    }
}
