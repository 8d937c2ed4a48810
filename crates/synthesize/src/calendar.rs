//! Dates of the Gregorian calendar, worked out month by month.

use crate::chain::{Step, Worked};
use crate::random::Random;
use crate::settings::{CalendarKind, CalendarSettings};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A date; months and days count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

impl Date {
    pub(crate) fn month_length(self) -> i64 {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn next_month(self) -> Self {
        if self.month == 12 {
            Self { year: self.year + 1, month: 1, day: self.day }
        } else {
            Self { month: self.month + 1, ..self }
        }
    }

    fn month_name(self) -> &'static str {
        MONTHS[(self.month - 1) as usize]
    }

    /// 0 for Monday (Sakamoto's method).
    pub(crate) fn weekday(self) -> usize {
        const SHIFT: [i64; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = self.year - i64::from(self.month < 3);
        let sunday_based = year + year / 4 - year / 100 + year / 400 + SHIFT[(self.month - 1) as usize] + self.day;
        ((sunday_based + 6) % 7) as usize
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

pub(crate) fn draw(settings: &CalendarSettings, random: &mut Random) -> Option<Worked> {
    let kind = *random.pick(&settings.kinds)?;
    let year = random.between(settings.years.min.into(), settings.years.max.into());
    let first = Date { year, month: random.between(1, 12), day: 1 };
    let start = Date { day: random.between(1, first.month_length()), ..first };
    Some(ask(kind, start, random.between(1, settings.max_days.into())))
}

/// A question about `start` and the day `days` later.
pub(crate) fn ask(kind: CalendarKind, start: Date, days: i64) -> Worked {
    let (end, forward) = add_days(start, days);
    let between = days_between(start, end);
    match kind {
        CalendarKind::AddDays => Worked {
            key: format!("calendar {start}+{days}"),
            compact: format!("{start}+{days}="),
            words: format!("Which date is {days} days after {start}?"),
            answer: end.to_string(),
            domain: "logic",
            steps: forward,
        },
        CalendarKind::DaysBetween => Worked {
            key: format!("calendar {start}+{days}"),
            compact: format!("{start}>{end}="),
            words: format!("How many days is it from {start} to {end}?"),
            answer: days.to_string(),
            domain: "logic",
            steps: between,
        },
        CalendarKind::Weekday => {
            let (from, to) = (WEEKDAYS[start.weekday()], WEEKDAYS[end.weekday()]);
            let (weeks, rest) = (days / 7, days % 7);
            let mut steps = between;
            let mut division = Step::new(format!("{days}={weeks}*7+"), rest);
            division.checks = vec![format!("{weeks}*7+{rest}={days}")];
            steps.push(division);
            steps.push(Step::statement(format!("{from}+{rest} is {to}")));
            Worked {
                key: format!("calendar {start}+{days}"),
                compact: format!("{from} {start}>{end}="),
                words: format!("If {start} is a {from}, which weekday is {end}?"),
                answer: to.to_owned(),
                domain: "logic",
                steps,
            }
        }
    }
}

/// The day `days` after `start`, and the steps: the day of the month runs on, and each month takes its length off.
fn add_days(start: Date, days: i64) -> (Date, Vec<Step>) {
    let mut count = start.day + days;
    let mut first = Step::new(format!("{}+{days}=", start.day), count);
    first.checks = vec![format!("{count}-{days}={}", start.day)];
    let mut steps = vec![first];
    let mut at = start;
    while count > at.month_length() {
        let length = at.month_length();
        let rest = count - length;
        let mut step = Step::new(format!("{} {length}: {count}-{length}=", at.month_name()), rest);
        step.checks = vec![format!("{rest}+{length}={count}")];
        let wrong = wrong_length(length);
        step.asides = vec![format!("{} {wrong}: {count}-{wrong}={}", at.month_name(), count - wrong)];
        steps.push(step);
        count = rest;
        at = at.next_month();
    }
    (Date { day: count, ..at }, steps)
}

/// A month's length as somebody may misremember it.
fn wrong_length(length: i64) -> i64 {
    if length == 30 { 31 } else { 30 }
}

/// The steps to the days from `start` to `end`: the rest of the first month, the months between, the last one's days.
fn days_between(start: Date, end: Date) -> Vec<Step> {
    let same = (start.year, start.month) == (end.year, end.month);
    if same {
        let days = end.day - start.day;
        let mut step = Step::new(format!("{}-{}=", end.day, start.day), days);
        step.checks = vec![format!("{}+{days}={}", start.day, end.day)];
        return vec![step];
    }
    let length = start.month_length();
    let mut total = length - start.day;
    let mut first = Step::new(format!("{} {length}: {length}-{}=", start.month_name(), start.day), total);
    first.checks = vec![format!("{total}+{}={length}", start.day)];
    let mut steps = vec![first];
    let mut at = start.next_month();
    loop {
        let last = (at.year, at.month) == (end.year, end.month);
        let more = if last { end.day } else { at.month_length() };
        let sum = total + more;
        let mut step = Step::new(format!("{} {more}: {total}+{more}=", at.month_name()), sum);
        step.checks = vec![format!("{sum}-{more}={total}")];
        if !last {
            let wrong = wrong_length(more);
            step.asides = vec![format!("{} {wrong}: {total}+{wrong}={}", at.month_name(), total + wrong)];
        }
        steps.push(step);
        total = sum;
        if last {
            return steps;
        }
        at = at.next_month();
    }
}
