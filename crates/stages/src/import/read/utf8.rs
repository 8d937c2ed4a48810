//! Text in another encoding than UTF-8: an error that names the line and the byte, not every row with an accent dropped. A
//! damaged byte among ASCII, which no encoding explains, is passed on: its row is dropped with the reason.

use retort_records::json_lines::maybe_latin_1;
use std::io::{BufRead, Error, ErrorKind, Read, Result};

/// Bytes that are looked at together.
const BUFFER: usize = 1 << 18;

/// A reader of UTF-8.
pub struct Utf8<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of the buffer is read, and how much of it is UTF-8.
    at: usize,
    valid: usize,
    ended: bool,
    /// The line of the next byte, from 1, how many bytes of it are read, and the last of these.
    line: u64,
    column: u64,
    last: Option<u8>,
}

impl<R: Read> Utf8<R> {
    /// Reads `input` from its beginning.
    pub fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), at: 0, valid: 0, ended: false, line: 1, column: 0, last: None }
    }

    /// How much of the buffer can be passed on; the rest waits for more, or is in another encoding.
    fn readable(&self) -> usize {
        let mut valid = 0;
        while let Err(error) = std::str::from_utf8(&self.buffer[valid..]) {
            valid += error.valid_up_to();
            match error.error_len() {
                None if !self.ended => return valid,
                None => break,
                Some(length) if self.is_other_encoding(valid, length) => return valid,
                Some(length) => valid += length,
            }
        }
        self.buffer.len()
    }

    /// Whether the bytes at `at`, of which `length` are no UTF-8, look like a letter in another encoding.
    fn is_other_encoding(&self, at: usize, length: usize) -> bool {
        let after = self.buffer.get(at + 1).is_some_and(|byte| !byte.is_ascii());
        (length == 1 && after) || self.maybe_latin_1(at)
    }

    fn maybe_latin_1(&self, at: usize) -> bool {
        let before = if at > 0 { self.buffer.get(at - 1).copied() } else { self.last };
        let around: Vec<u8> = before.into_iter().chain(self.buffer[at..].iter().take(2).copied()).collect();
        maybe_latin_1(&around, usize::from(before.is_some()))
    }

    fn refuse(&self) -> Error {
        let (name, encoding) =
            if self.maybe_latin_1(0) { ("Latin-1", "WINDOWS-1252") } else { ("another encoding", "ITS-ENCODING") };
        let (line, byte, value) = (self.line, self.column + 1, self.buffer.first().copied().unwrap_or_default());
        let reason = format!(
            "line {line}, byte {byte}: 0x{value:02x} is not UTF-8; the file may be in {name}: convert it with \
             `iconv -f {encoding} -t UTF-8`, or mend the line if it alone is damaged"
        );
        Error::new(ErrorKind::InvalidData, reason)
    }
}

impl<R: Read> BufRead for Utf8<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.at == self.valid {
            self.buffer.drain(..self.valid);
            (self.at, self.valid) = (0, 0);
            if !self.ended {
                let read = self.input.by_ref().take(BUFFER as u64).read_to_end(&mut self.buffer)?;
                self.ended = read < BUFFER;
            }
            self.valid = self.readable();
            if self.valid == 0 && !self.buffer.is_empty() {
                return Err(self.refuse());
            }
        }
        Ok(&self.buffer[self.at..self.valid])
    }

    fn consume(&mut self, amount: usize) {
        let passed = &self.buffer[self.at..self.at + amount];
        match passed.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => {
                self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.column = (passed.len() - end - 1) as u64;
            }
            None => self.column += passed.len() as u64,
        }
        self.last = passed.last().copied().or(self.last);
        self.at += amount;
    }
}

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> std::result::Result<Vec<u8>, String> {
        let mut read = Vec::new();
        Utf8::new(bytes).read_to_end(&mut read).map(|_| read).map_err(|error| error.to_string())
    }

    #[test]
    fn characters_across_the_ends_of_buffers_are_whole() {
        for shift in 0..4 {
            let text = format!("{}{}", "a".repeat(shift), "数é\n".repeat(BUFFER / 4));
            assert!(read(text.as_bytes()) == Ok(text.into_bytes()));
        }
    }

    /// The row that holds them says so.
    #[test]
    fn damaged_bytes_are_passed_on() {
        for bytes in [b"{\"a\": \"\xff\"}\nx".as_slice(), b"a\n\xf0\x9f", &"\u{6570}".as_bytes()[..2], b"1\x802"] {
            assert_eq!(read(bytes), Ok(bytes.to_vec()));
        }
    }

    #[test]
    fn what_is_no_utf8_is_named_with_its_place() {
        let long = [b"x\n".repeat(BUFFER).as_slice(), b"ab\xe9c"].concat();
        for (bytes, place, advice) in [
            (b"one\ncaf\xe9 ol\xe9\n".as_slice(), "line 2, byte 4: 0xe9", "WINDOWS-1252"),
            (b"don\x92t", "line 1, byte 4: 0x92", "WINDOWS-1252"),
            (b"\xc4\xe3\xba\xc3", "line 1, byte 1: 0xc4", "ITS-ENCODING"),
            (&long, "line 262145, byte 3: 0xe9", "WINDOWS-1252"),
        ] {
            let error = read(bytes).expect_err("no UTF-8");
            assert!(error.starts_with(place) && error.contains(advice), "{error}");
        }
    }
}
