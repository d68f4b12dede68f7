//! The functions that Hugging Face gives to chat templates.

use std::{
    error, fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use minijinja::{Error, ErrorKind, Value};

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What a template said with `raise_exception`.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Raised {}

/// `raise_exception(message)`: ends the rendering with the template's own words.
pub(super) fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Raised(message)))
}

/// The words of `raise_exception`, if that is what ended the rendering, however deep.
pub(super) fn raised(error: &Error) -> Option<&str> {
    let mut cause: Option<&(dyn error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Raised(message)) = error.downcast_ref() {
            return Some(message);
        }
        cause = error.source();
    }
    None
}

/// `strftime_now(format)`: the date and time in UTC, as C's `strftime` writes it in English.
pub(super) fn strftime_now(now: SystemTime) -> Value {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Value::from_function(move |format: &str| strftime(format, seconds))
}

/// Seconds since 1970 in the format; directives that are not known stay as they are.
fn strftime(format: &str, seconds: u64) -> String {
    let days = seconds / 86_400;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let (year, month, day) = civil_from_days(days);
    let weekday = DAYS[((days + 4) % 7) as usize];
    let month_name = MONTHS[month as usize - 1];
    let hour12 = (hour + 11) % 12 + 1;
    let mut out = String::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let bare = letters.next_if_eq(&'-').is_some();
        let number =
            |value: u64, width: usize| if bare { value.to_string() } else { format!("{value:0width$}") };
        out += &match letters.next() {
            Some('a') => weekday[..3].to_owned(),
            Some('A') => weekday.to_owned(),
            Some('b' | 'h') => month_name[..3].to_owned(),
            Some('B') => month_name.to_owned(),
            Some('d') => number(day, 2),
            Some('e') => {
                if bare {
                    day.to_string()
                } else {
                    format!("{day:2}")
                }
            }
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('H') => number(hour, 2),
            Some('I') => number(hour12, 2),
            Some('j') => number(days - days_from_civil_year(year) + 1, 3),
            Some('m') => number(month, 2),
            Some('M') => number(minute, 2),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('S') => number(second, 2),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('y') => number(year % 100, 2),
            Some('Y') => year.to_string(),
            Some('%') => "%".to_owned(),
            Some(other) => format!("%{}{other}", if bare { "-" } else { "" }),
            None => "%".to_owned(),
        };
    }
    out
}

/// Year, month and day of a day since 1970, in the Gregorian calendar: whole years are skipped, then
/// whole months.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // 400 years are always 146,097 days; after that a first guess of the year is at most one too high.
    let mut year = 1970 + days / 146_097 * 400 + days % 146_097 / 365;
    while days_from_civil_year(year) > days {
        year -= 1;
    }
    let mut day = days - days_from_civil_year(year);
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in (1..).zip(lengths) {
        if day < length {
            return (year, month, day + 1);
        }
        day -= length;
    }
    (year + 1, 1, 1)
}

/// Days from 1970 to the first of January of a year.
fn days_from_civil_year(year: u64) -> u64 {
    let leap_years = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    (year - 1970) * 365 + leap_years(year) - leap_years(1970)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strftime_writes_dates_as_c_does() {
        // 2024-02-29 13:05:09 UTC, a Thursday and the 60th day of its year.
        let leap_day = 1_709_211_909;
        let cases = [
            ("%d %b %Y", "29 Feb 2024"),
            ("%A, %B %-d, %Y", "Thursday, February 29, 2024"),
            ("%Y-%m-%d %H:%M:%S", "2024-02-29 13:05:09"),
            ("%F %T", "2024-02-29 13:05:09"),
            ("%I:%M %p, day %j, %a, %y, %e, %-M", "01:05 PM, day 060, Thu, 24, 29, 5"),
            ("100%% %Q %-Q %", "100% %Q %-Q %"),
        ];
        for (format, expected) in cases {
            assert_eq!(strftime(format, leap_day), expected);
        }
        assert_eq!(strftime("%F %A %I%p", 0), "1970-01-01 Thursday 12AM");
        assert_eq!(strftime("%F %j", 951_782_400), "2000-02-29 060");
        assert_eq!(strftime("%F %j", 1_735_603_200), "2024-12-31 366");
        assert_eq!(strftime("%F", 4_107_542_400), "2100-03-01");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut previous = (1969, 12, 31);
        for day in 0..200_000 {
            let (year, month, date) = civil_from_days(day);
            let follows = (year, month, date) == (previous.0, previous.1, previous.2 + 1)
                || date == 1 && (year, month) == (previous.0, previous.1 + 1) && previous.2 >= 28
                || (year, month, date) == (previous.0 + 1, 1, 1) && (previous.1, previous.2) == (12, 31);
            assert!(follows, "{previous:?} then {:?}", (year, month, date));
            previous = (year, month, date);
        }
    }
}
