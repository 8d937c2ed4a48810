//! A terminal's screen, as far as the binary uses it.

/// What is written where, and how wide lines were at most while they stood there.
pub struct Screen {
    width: usize,
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// Lines that ran over the edge.
    pub wrapped: Vec<String>,
    /// Every line that a later one took the place of.
    pub replaced: Vec<String>,
}

impl Screen {
    /// The screen after `written`.
    pub fn after(width: usize, written: &str) -> Self {
        let mut screen =
            Self { width, lines: vec![Vec::new()], row: 0, column: 0, wrapped: Vec::new(), replaced: Vec::new() };
        let mut rest = written;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '\r' => screen.column = 0,
                '\n' => screen.go_to(screen.row + 1),
                '\u{1b}' => rest = screen.obey(rest),
                c if c.is_control() => {}
                c => screen.put(c),
            }
        }
        screen
    }

    /// What a reader sees in the end.
    pub fn text(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(|line| line.iter().collect::<String>()).collect();
        lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
    }

    fn go_to(&mut self, row: usize) {
        self.row = row;
        while self.lines.len() <= row {
            self.lines.push(Vec::new());
        }
    }

    fn put(&mut self, c: char) {
        if self.column == self.width {
            self.wrapped.push(self.lines[self.row].iter().collect());
            self.go_to(self.row + 1);
            self.column = 0;
        }
        let line = &mut self.lines[self.row];
        line.resize(line.len().max(self.column + 1), ' ');
        line[self.column] = c;
        self.column += 1;
    }

    /// Does what an escape sequence says, and gives what comes after it.
    fn obey<'a>(&mut self, rest: &'a str) -> &'a str {
        let Some(sequence) = rest.strip_prefix('[') else { return rest };
        let end = sequence.find(|c: char| c.is_ascii_alphabetic()).expect("a sequence ends");
        let number = sequence[..end].parse::<usize>().ok();
        match &sequence[end..=end] {
            "A" => self.row = self.row.saturating_sub(number.unwrap_or(1)),
            "B" => self.go_to(self.row + number.unwrap_or(1)),
            "K" => {
                let line = &mut self.lines[self.row];
                self.replaced.push(line.iter().collect());
                line.truncate(if number == Some(2) { 0 } else { self.column });
            }
            // Colours, and whether the cursor is seen.
            "m" | "h" | "l" => {}
            other => panic!("the screen does not know `{other}` in `{}`", sequence.escape_debug()),
        }
        &sequence[end + 1..]
    }
}
