//! What a program may use up, and the syntax of sizes and durations.

use std::time::Duration;

/// Limits of a sandbox. `None` means no limit beyond the runtime's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Linear memory, in bytes.
    pub memory: Option<u64>,
    /// The wasm stack, in bytes.
    pub stack: Option<u64>,
    /// Wall time from the start of the runtime's process.
    pub timeout: Option<Duration>,
    /// Processor time of the runtime's process, all its threads together.
    pub cpu_time: Option<Duration>,
    /// What may be written to standard output and standard error together, in bytes.
    pub output_size: Option<u64>,
    /// What lies in the private `/tmp`, and in whatever else is made for one run, in bytes.
    pub tmp_size: Option<u64>,
    /// File descriptors of the runtime's process, its own among them.
    pub open_files: Option<u64>,
}

/// What runtimes need for themselves and the mounts; fewer [`Limits::open_files`] are refused.
pub const FEWEST_OPEN_FILES: u64 = 64;

/// Units of [`format_size`], biggest first; binary ones first among equals.
const SIZE_UNITS: &[(&str, u128)] = &[
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
];

/// The longest duration taken. Clocks overflow on much longer ones, and runtimes take milliseconds
/// in 64 bits or fewer.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

const NANOS: u128 = 1_000_000_000;

/// Reads a size and returns it in bytes.
///
/// A number, which may have a fraction, and a unit in either case: `K`, `M`, `G` and `T` are powers
/// of 1024 and so are `KiB`, `MiB`, `GiB` and `TiB`; `KB`, `MB`, `GB` and `TB` are powers of 1000
/// (as GNU tools have it); no unit or `B` means bytes. A fraction of a byte is dropped.
///
/// # Errors
///
/// A sentence that quotes the text, says what is wrong with it and shows an example. Zero and what
/// does not fit into 64 bits are refused.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = |why: &str| {
        Err(format!(
            "`{text}` is not a size: {why}; write for example `512M` or `1.5GiB`"
        ))
    };
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return wrong("it is empty");
    }
    let (number, rest) = match Decimal::leading(trimmed) {
        Ok(split) => split,
        Err(NoDecimal::Missing) => return wrong("it must begin with a digit"),
        Err(NoDecimal::TooLong) => return wrong("the number has too many digits"),
    };
    let unit = rest.trim_start();
    let factor: u128 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" | "byte" | "bytes" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return wrong(&format!("`{unit}` is not a unit")),
    };
    match number.times(factor).map(u64::try_from) {
        Some(Ok(0)) => wrong("it must be at least one byte"),
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(_)) | None => wrong("it is too large"),
    }
}

/// Reads a number of things, at least one.
///
/// # Errors
///
/// A sentence that quotes the text and says what is wrong with it.
pub fn parse_count(text: &str) -> Result<u64, String> {
    match text.trim().parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err(format!(
            "`{text}` is not a number of at least 1; write for example `256`"
        )),
    }
}

/// Writes a size of so many bytes for people, exactly: `512 MiB`, `1.5 GiB`, `64 KB`, `1001 bytes`.
///
/// The shortest notation wins that loses nothing, and [`parse_size`] reads it back (but for zero).
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let plain = match bytes {
        1 => "1 byte".to_owned(),
        _ => format!("{bytes} bytes"),
    };
    let mut best = plain;
    for &(unit, factor) in SIZE_UNITS {
        let hundredths = u128::from(bytes) * 100;
        if u128::from(bytes) < factor || hundredths % factor != 0 {
            continue;
        }
        let candidate = format!("{} {unit}", fraction(hundredths / factor, 100));
        if candidate.len() < best.len() {
            best = candidate;
        }
    }
    best
}

/// Reads a duration.
///
/// A plain number is in seconds (`90`, `1.5`). Otherwise one or more numbers, each followed by its
/// unit (`500ms`, `1.5s`, `1h30m`, `1m 30s`): `ns`, `us` or `µs`, `ms`, `s`, `m`, `h`, `d`, and their
/// longer names (`sec`, `min`, `hours` and so on). Units are lower case. Fractions of a nanosecond
/// are dropped.
///
/// # Errors
///
/// A sentence that quotes the text, says what is wrong with it and shows an example. Zero and more
/// than a hundred years are refused.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = |why: &str| {
        Err(format!(
            "`{text}` is not a duration: {why}; write for example `90`, `500ms`, `1.5s` or `2m`"
        ))
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return wrong("it is empty");
    }
    let mut nanos: u128 = 0;
    let mut parts = 0;
    while !rest.is_empty() {
        let (number, tail) = match Decimal::leading(rest) {
            Ok(split) => split,
            Err(NoDecimal::Missing) if parts == 0 => return wrong("it must begin with a digit"),
            Err(NoDecimal::Missing) => return wrong(&format!("`{rest}` is not a number")),
            Err(NoDecimal::TooLong) => return wrong("the number has too many digits"),
        };
        let tail = tail.trim_start();
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c.is_whitespace())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let factor: u128 = match unit {
            "" if parts == 0 && tail.is_empty() => NANOS,
            "" => return wrong("a number lacks its unit"),
            "ns" => 1,
            // Both the micro sign and the Greek letter are typed.
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" | "msec" | "millis" => 1_000_000,
            "s" | "sec" | "secs" | "second" | "seconds" => NANOS,
            "m" | "min" | "mins" | "minute" | "minutes" => 60 * NANOS,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600 * NANOS,
            "d" | "day" | "days" => 86_400 * NANOS,
            _ => return wrong(&format!("`{unit}` is not a unit")),
        };
        let sum = number.times(factor).and_then(|n| nanos.checked_add(n));
        nanos = match sum {
            Some(sum) if sum <= LONGEST.as_nanos() => sum,
            _ => return wrong("it is longer than a hundred years"),
        };
        parts += 1;
        rest = tail.trim_start();
    }
    let (Ok(secs), Ok(subsec)) = (u64::try_from(nanos / NANOS), u32::try_from(nanos % NANOS))
    else {
        return wrong("it is longer than a hundred years");
    };
    match nanos {
        0 => wrong("it must be more than zero"),
        _ => Ok(Duration::new(secs, subsec)),
    }
}

/// Writes a duration for people, exactly: `500ms`, `1.5s`, `1m 30s`, `2h`.
///
/// [`parse_duration`] reads it back (but for zero and more than a hundred years).
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{nanos}ns"),
        1_000..1_000_000 => return format!("{}us", fraction(nanos, 1_000)),
        1_000_000..1_000_000_000 => return format!("{}ms", fraction(nanos, 1_000_000)),
        _ => {}
    }
    let mut words = Vec::new();
    let mut left = nanos;
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        let count = left / (size * NANOS);
        if count > 0 {
            words.push(format!("{count}{unit}"));
        }
        left %= size * NANOS;
    }
    if left > 0 {
        words.push(format!("{}s", fraction(left, NANOS)));
    }
    words.join(" ")
}

/// `count / scale` as a decimal without trailing zeros; `scale` is a power of ten.
fn fraction(count: u128, scale: u128) -> String {
    let (whole, part) = (count / scale, count % scale);
    if part == 0 {
        return whole.to_string();
    }
    let width = scale.to_string().len() - 1;
    let digits = format!("{part:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// A decimal number as typed: `digits / 10^scale`. Floating point would round large sizes.
struct Decimal {
    digits: u128,
    scale: u32,
}

enum NoDecimal {
    Missing,
    TooLong,
}

impl Decimal {
    /// Splits a number off the front of `text`.
    fn leading(text: &str) -> Result<(Decimal, &str), NoDecimal> {
        let digits_end = |s: &str| s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
        let (whole, rest) = text.split_at(digits_end(text));
        if whole.is_empty() {
            return Err(NoDecimal::Missing);
        }
        let (part, rest) = match rest.strip_prefix('.') {
            Some(tail) if digits_end(tail) > 0 => tail.split_at(digits_end(tail)),
            _ => ("", rest),
        };
        let part = part.trim_end_matches('0');
        let whole = whole.trim_start_matches('0');
        // 20 digits hold any u64 and 12 decimals a byte of a terabyte; together they fit u128.
        if whole.len() > 20 || part.len() > 12 {
            return Err(NoDecimal::TooLong);
        }
        let mut digits: u128 = 0;
        for digit in whole.bytes().chain(part.bytes()) {
            digits = digits * 10 + u128::from(digit - b'0');
        }
        let scale = u32::try_from(part.len()).unwrap_or_default();
        Ok((Decimal { digits, scale }, rest))
    }

    /// The number times `factor`, its fraction dropped; `None` on overflow.
    fn times(&self, factor: u128) -> Option<u128> {
        Some(self.digits.checked_mul(factor)? / 10u128.pow(self.scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases: &[(&str, u64)] = &[
            ("1", 1),
            ("65536", 65536),
            ("7B", 7),
            ("512M", 512 << 20),
            ("512m", 512 << 20),
            ("512MiB", 512 << 20),
            ("512mib", 512 << 20),
            ("512MB", 512_000_000),
            ("512 MB", 512_000_000),
            (" 2G ", 2 << 30),
            ("1.5G", 3 << 29),
            ("0.5K", 512),
            ("1.3K", 1331),
            ("1T", 1 << 40),
            ("1TB", 1_000_000_000_000),
            ("0000000000000000000000001K", 1024),
            ("1.0000000000000000000000000", 1),
            ("18446744073709551615", u64::MAX),
            ("16777215T", 16_777_215 << 40),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(*bytes), "{text}");
        }
    }

    #[test]
    fn not_sizes() {
        let cases = [
            ("", "it is empty"),
            ("  ", "it is empty"),
            ("M", "it must begin with a digit"),
            ("-1", "it must begin with a digit"),
            ("+1", "it must begin with a digit"),
            (".5G", "it must begin with a digit"),
            ("0", "it must be at least one byte"),
            ("0G", "it must be at least one byte"),
            ("0.1B", "it must be at least one byte"),
            ("12Q", "`Q` is not a unit"),
            ("1.", "`.` is not a unit"),
            ("1.G", "`.G` is not a unit"),
            ("1.2.3G", "`.3G` is not a unit"),
            ("1e9", "`e9` is not a unit"),
            ("1_000", "`_000` is not a unit"),
            ("1G 2M", "`G 2M` is not a unit"),
            ("٣M", "it must begin with a digit"),
            ("18446744073709551616", "it is too large"),
            ("16777216T", "it is too large"),
            ("99999999999999999999T", "it is too large"),
            ("999999999999999999999", "the number has too many digits"),
            ("1.0000000000001G", "the number has too many digits"),
        ];
        for (text, why) in cases {
            assert_eq!(
                parse_size(text),
                Err(format!(
                    "`{text}` is not a size: {why}; write for example `512M` or `1.5GiB`"
                )),
            );
        }
    }

    #[test]
    fn sizes_are_shown_exactly() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (2, "2 bytes"),
            (1000, "1 KB"),
            (1001, "1001 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (512 << 20, "512 MiB"),
            (512_000_000, "512 MB"),
            (3 << 29, "1.5 GiB"),
            (5 << 28, "1.25 GiB"),
            (1 << 32, "4 GiB"),
            (u64::MAX, "18446744073709551615 bytes"),
        ];
        for (bytes, text) in cases {
            assert_eq!(format_size(bytes), text);
        }
        let mut bytes: u64 = 1;
        for step in 0..5000 {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
            bytes = bytes
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(step)
                >> (step % 40);
            bytes = bytes.max(1);
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("90", Duration::from_secs(90)),
            ("1.5", Duration::from_millis(1500)),
            ("1.5s", Duration::from_millis(1500)),
            ("500ms", Duration::from_millis(500)),
            ("2m", Duration::from_secs(120)),
            ("1h30m", Duration::from_secs(5400)),
            ("1m 30s", Duration::from_secs(90)),
            ("1 min 30 secs", Duration::from_secs(90)),
            ("1d", Duration::from_secs(86_400)),
            ("10us", Duration::from_micros(10)),
            ("10µs", Duration::from_micros(10)),
            ("10μs", Duration::from_micros(10)),
            ("3ns", Duration::from_nanos(3)),
            ("0.25h", Duration::from_secs(900)),
            ("36500d", LONGEST),
        ];
        for (text, duration) in cases {
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
        }
    }

    #[test]
    fn not_durations() {
        let cases = [
            ("", "it is empty"),
            ("s", "it must begin with a digit"),
            ("-1s", "it must begin with a digit"),
            ("0", "it must be more than zero"),
            ("0s", "it must be more than zero"),
            ("0.1ns", "it must be more than zero"),
            ("5M", "`M` is not a unit"),
            ("5 parsecs", "`parsecs` is not a unit"),
            ("1h-30m", "`h-` is not a unit"),
            ("1h , 30m", "`, 30m` is not a number"),
            ("1m 30", "a number lacks its unit"),
            ("1 30s", "a number lacks its unit"),
            ("36501d", "it is longer than a hundred years"),
            ("99999999999999999999d", "it is longer than a hundred years"),
            ("999999999999999999999", "the number has too many digits"),
        ];
        for (text, why) in cases {
            assert_eq!(
                parse_duration(text),
                Err(format!(
                    "`{text}` is not a duration: {why}; \
                     write for example `90`, `500ms`, `1.5s` or `2m`"
                )),
            );
        }
    }

    #[test]
    fn durations_are_shown_exactly() {
        let cases = [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(7), "7ns"),
            (Duration::from_nanos(1_500), "1.5us"),
            (Duration::from_millis(500), "500ms"),
            (Duration::from_micros(1_001), "1.001ms"),
            (Duration::from_millis(1_500), "1.5s"),
            (Duration::from_nanos(1_000_000_001), "1.000000001s"),
            (Duration::from_secs(60), "1m"),
            (Duration::from_millis(90_500), "1m 30.5s"),
            (Duration::from_secs(7_200), "2h"),
            (Duration::from_secs(86_400 + 5), "1d 5s"),
        ];
        for (duration, text) in cases {
            assert_eq!(format_duration(duration), text);
            if !duration.is_zero() {
                assert_eq!(parse_duration(text), Ok(duration));
            }
        }
        // No overflow at the far end.
        assert!(format_duration(Duration::MAX).ends_with('s'));
    }
}
