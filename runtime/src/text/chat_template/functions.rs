//! The functions that Hugging Face gives to chat templates.

use std::{
    error, fmt,
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use minijinja::{
    Error, ErrorKind, Value,
    value::{Kwargs, ValueKind},
};

/// How deep a value may be nested that is written as JSON.
const DEEPEST_JSON: usize = 64;

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

/// `tojson(value, indent=None)`: JSON as Python's `json.dumps(value, ensure_ascii=False)` spells it:
/// a space after commas and colons, characters as they are, nothing escaped for HTML.
pub(super) fn tojson(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<Value>>("indent")?,
    };
    let indent = match indent.filter(|indent| !indent.is_none()) {
        Some(indent) if indent.as_str().is_some() => indent.as_str().map(str::to_owned),
        Some(indent) => Some(" ".repeat(usize::try_from(indent)?.min(64))),
        None => None,
    };
    let mut json = Json {
        indent,
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sorted: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        out: String::new(),
    };
    options.assert_all_used()?;
    json.value(value, 0)?;
    Ok(Value::from(json.out))
}

/// Writes JSON in Python's manner.
struct Json {
    indent: Option<String>,
    ascii: bool,
    sorted: bool,
    out: String,
}

impl Json {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST_JSON || self.out.len() > super::MOST_OUTPUT {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "tojson: the value is too deep or too large",
            ));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => self.out.push_str(&value.to_string()),
            ValueKind::Number => self.out.push_str(&python_float(f64::try_from(value.clone())?)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.map(value, depth)?,
            kind => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("tojson: a {kind} value is not JSON"),
                ));
            }
        }
        Ok(())
    }

    fn list(&mut self, list: &Value, depth: usize) -> Result<(), Error> {
        let mut empty = true;
        self.out.push('[');
        for item in list.try_iter()? {
            self.separate(&mut empty, depth);
            self.value(&item, depth + 1)?;
        }
        self.close(']', empty, depth);
        Ok(())
    }

    fn map(&mut self, map: &Value, depth: usize) -> Result<(), Error> {
        let mut empty = true;
        let mut keys: Vec<Value> = map.try_iter()?.collect();
        if self.sorted {
            keys.sort();
        }
        self.out.push('{');
        for key in keys {
            self.separate(&mut empty, depth);
            match key.as_str() {
                Some(key) => self.string(key),
                None => self.string(&key.to_string()),
            }
            self.out.push_str(": ");
            self.value(&map.get_item(&key)?, depth + 1)?;
        }
        self.close('}', empty, depth);
        Ok(())
    }

    /// What stands before an element: a comma unless it is the first, a line of its own if indented.
    fn separate(&mut self, empty: &mut bool, depth: usize) {
        let first = std::mem::replace(empty, false);
        match &self.indent {
            Some(indent) => {
                self.out.push_str(if first { "\n" } else { ",\n" });
                (0..=depth).for_each(|_| self.out.push_str(indent));
            }
            None if first => {}
            None => self.out.push_str(", "),
        }
    }

    fn close(&mut self, bracket: char, empty: bool, depth: usize) {
        if let Some(indent) = self.indent.as_ref().filter(|_| !empty) {
            self.out.push('\n');
            (0..depth).for_each(|_| self.out.push_str(indent));
        }
        self.out.push(bracket);
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                letter if letter < ' ' || self.ascii && !letter.is_ascii() => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        // Writing to a String cannot fail.
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                letter => self.out.push(letter),
            }
        }
        self.out.push('"');
    }
}

/// A float as Python prints it: the shortest digits, `1e+16` from sixteen places on.
fn python_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-Infinity" } else { "Infinity" }.to_owned();
    }
    let digits = format!("{value:?}");
    match digits.split_once('e') {
        None => digits,
        Some((mantissa, exponent)) => {
            let (sign, places) = match exponent.strip_prefix('-') {
                Some(places) => ('-', places),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{places:0>2}")
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

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

    #[test]
    fn floats_are_spelled_as_python_does() {
        let cases =
            [(1.0, "1.0"), (0.1, "0.1"), (1e15, "1000000000000000.0"), (1e16, "1e+16"), (1.5e-7, "1.5e-07")];
        for (value, expected) in cases {
            assert_eq!(python_float(value), expected);
        }
        assert_eq!(python_float(f64::NEG_INFINITY), "-Infinity");
    }

    #[test]
    fn json_is_spelled_as_python_does() {
        let environment = {
            let mut environment = minijinja::Environment::new();
            environment.add_filter("tojson", tojson);
            environment
        };
        let cases = [
            (
                r#"{{ {"b": 1, "a": [true, none, 1.5, "é<&>"], "c": {}, "d": []} | tojson }}"#,
                r#"{"b": 1, "a": [true, null, 1.5, "é<&>"], "c": {}, "d": []}"#,
            ),
            (
                r#"{{ {"b": [1, 2], "a": {}} | tojson(indent=2) }}"#,
                "{\n  \"b\": [\n    1,\n    2\n  ],\n  \"a\": {}\n}",
            ),
            (r#"{{ [1] | tojson(4) }}"#, "[\n    1\n]"),
            (r#"{{ {"b": 1, "a": 2} | tojson(sort_keys=true) }}"#, r#"{"a": 2, "b": 1}"#),
            (r#"{{ "é😀" | tojson(ensure_ascii=true) }}"#, r#""\u00e9\ud83d\ude00""#),
            (r#"{{ "a\"\\\n\t" | tojson }}"#, r#""a\"\\\n\t""#),
            (r#"{{ (1, 2) | tojson(indent=none) }}"#, "[1, 2]"),
        ];
        for (template, expected) in cases {
            assert_eq!(environment.render_str(template, ()).unwrap(), expected, "{template}");
        }
        assert!(environment.render_str("{{ nothing | tojson }}", ()).is_err());
    }
}
