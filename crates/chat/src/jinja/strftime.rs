//! `strftime_now`, on a day that never changes.

use super::error::RenderError;

/// The day that `strftime_now` reports to templates which print the date. The clock is never read, because the same
/// run must give the same bytes tomorrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// Year of the Gregorian calendar.
    pub year: u16,
    /// Month, 1–12.
    pub month: u8,
    /// Day of the month, 1–31.
    pub day: u8,
}

impl Default for Date {
    /// 26 July 2024: the date that Llama 3's template prints when it is told none.
    fn default() -> Self {
        Self { year: 2024, month: 7, day: 26 }
    }
}

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
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Python's `strftime` at midnight of `date`, for the directives that templates use.
pub(crate) fn strftime(date: Date, format: &str) -> Result<String, RenderError> {
    let Date { year, month, day } = date;
    let (Some(month_name), 1..=31) = (MONTHS.get(usize::from(month).wrapping_sub(1)), day) else {
        return Err(RenderError::new(format!("`{year}-{month}-{day}` is not a date")));
    };
    let mut output = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            output.push(character);
            continue;
        }
        let mut directive = characters.next().unwrap_or('%');
        let padded = directive != '-';
        if !padded {
            directive = characters.next().unwrap_or('%');
        }
        let number = |value: u16, width: usize| {
            if padded { format!("{value:0width$}") } else { value.to_string() }
        };
        let weekday = WEEKDAYS[weekday(date)];
        let part = match directive {
            'Y' => year.to_string(),
            'y' => number(year % 100, 2),
            'm' => number(month.into(), 2),
            'd' => number(day.into(), 2),
            'B' => (*month_name).to_owned(),
            'b' | 'h' => month_name[..3].to_owned(),
            'A' => weekday.to_owned(),
            'a' => weekday[..3].to_owned(),
            'e' if padded => format!("{day:2}"),
            'e' => day.to_string(),
            'j' => number(day_of_year(date), 3),
            'H' | 'M' | 'S' => number(0, 2),
            'I' => number(12, 2),
            'p' => "AM".to_owned(),
            'F' => format!("{year}-{month:02}-{day:02}"),
            '%' => "%".to_owned(),
            other => {
                return Err(RenderError::refused(format!("the directive `%{other}` of strftime_now")));
            }
        };
        output.push_str(&part);
    }
    Ok(output)
}

/// Days after Sunday (Sakamoto's method).
fn weekday(date: Date) -> usize {
    const SHIFT: [usize; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    let month = usize::from(date.month);
    let year = usize::from(date.year) - usize::from(month < 3 && date.year > 0);
    (year + year / 4 - year / 100 + year / 400 + SHIFT[month - 1] + usize::from(date.day)) % 7
}

/// The day's number in its year, from 1.
fn day_of_year(date: Date) -> u16 {
    const BEFORE: [u16; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = date.year.is_multiple_of(4) && (!date.year.is_multiple_of(100) || date.year.is_multiple_of(400));
    BEFORE[usize::from(date.month) - 1] + u16::from(date.day) + u16::from(leap && date.month > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_fixed() {
        let text = strftime(Date::default(), "%d %b %Y|%A|%-m|%y|%H:%M|%j").expect("known directives");
        assert_eq!(text, "26 Jul 2024|Friday|7|24|00:00|208");
        assert_eq!(weekday(Date { year: 2000, month: 1, day: 1 }), 6);
        assert_eq!(weekday(Date { year: 2024, month: 2, day: 29 }), 4);
        assert!(strftime(Date::default(), "%Q").is_err());
    }
}
