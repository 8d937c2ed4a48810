//! Server-sent events, as the WHATWG HTML standard §9.2 has them, of which only `data` matters here.

/// Cuts a stream of bytes into the data of its events.
#[derive(Default)]
pub(crate) struct Events {
    bytes: Vec<u8>,
    /// Where the unread part of `bytes` begins.
    start: usize,
    data: Vec<u8>,
    has_data: bool,
}

impl Events {
    /// Takes in what the network brought. Pieces may end anywhere, inside a character too.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(piece);
    }

    /// The data of the next whole event.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        while let Some(length) = self.bytes[self.start..].iter().position(|byte| *byte == b'\n') {
            let line = &self.bytes[self.start..self.start + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.start += length + 1;
            if line.is_empty() {
                if let Some(event) = take(&mut self.data, &mut self.has_data) {
                    return Some(event);
                }
            } else {
                field(line, &mut self.data, &mut self.has_data);
            }
        }
        None
    }

    /// The data of an event that the end of the stream left without its blank line.
    pub(crate) fn last(&mut self) -> Option<Vec<u8>> {
        let line = self.bytes[self.start..].to_vec();
        self.start = self.bytes.len();
        field(line.strip_suffix(b"\r").unwrap_or(&line), &mut self.data, &mut self.has_data);
        take(&mut self.data, &mut self.has_data)
    }

    /// Bytes held back.
    pub(crate) fn held(&self) -> usize {
        self.bytes.len() - self.start + self.data.len()
    }
}

fn field(line: &[u8], data: &mut Vec<u8>, has_data: &mut bool) {
    // Comments (keep-alives) begin with a colon; other fields carry nothing we need.
    if let Some(value) = line.strip_prefix(b"data:") {
        if *has_data {
            data.push(b'\n');
        }
        data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        *has_data = true;
    }
}

fn take(data: &mut Vec<u8>, has_data: &mut bool) -> Option<Vec<u8>> {
    std::mem::take(has_data).then(|| std::mem::take(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_the_stream_is_cut() {
        let stream = ": keep-alive\n\ndata: {\"a\":\"ü\"}\r\n\r\nevent: x\nid: 3\ndata:one\ndata: two\n\ndata: [DONE]";
        let expected = ["{\"a\":\"ü\"}", "one\ntwo", "[DONE]"];
        for size in 1..stream.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                events.push(piece);
                while let Some(event) = events.next() {
                    found.push(String::from_utf8(event).unwrap());
                }
            }
            found.extend(events.last().map(|event| String::from_utf8(event).unwrap()));
            assert_eq!(found, expected, "in pieces of {size}");
            assert_eq!(events.held(), 0);
        }
    }
}
