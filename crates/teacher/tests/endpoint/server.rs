//! A small chat-completions server over a real socket, for tests.
//!
//! One file, standard library only, so that any integration test may take it in with `#[path]`. A closure decides what
//! happens to each request; the server records every request and how many it served at once.
#![allow(dead_code, reason = "each test takes the parts it needs")]

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its number, from 0, in the order of arrival.
    pub number: usize,
    /// Method and path, such as `POST /v1/chat/completions`.
    pub line: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// When it arrived.
    pub at: Instant,
}

impl Seen {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status 200 and a stream of events, each after `pause`, then `[DONE]`.
    Stream { events: Vec<String>, pause: Duration },
    /// A status with headers and a body in one piece.
    Whole { status: u16, headers: Vec<(String, String)>, body: String },
    /// Status 200, these events, and then the connection closes without an end.
    Cut { events: Vec<String> },
    /// Status 200, these events, and then nothing for as long as the client stays.
    Stall { events: Vec<String> },
    /// Nothing at all for as long as the client stays.
    Hang,
    /// The connection closes without a word.
    Close,
    /// First waits, then does as told.
    After(Duration, Box<Answer>),
}

impl Answer {
    /// A completion as a stream: the reasoning in the field `reasoning_field` in two parts, then the content in two
    /// parts, then the finish reason, then the counts.
    pub fn stream(reasoning_field: &str, reasoning: &str, content: &str, finish: &str, usage: (u32, u32)) -> Self {
        let mut events = vec![delta("\"role\":\"assistant\",\"content\":null")];
        for (field, text) in [(reasoning_field, reasoning), ("content", content)] {
            let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            for part in [&text[..middle], &text[middle..]] {
                if !part.is_empty() {
                    events.push(delta(&format!("{}:{}", quoted(field), quoted(part))));
                }
            }
        }
        events.push(format!(
            "{{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":{}}}]}}",
            quoted(finish)
        ));
        events.push(format!("{{\"choices\":[],\"usage\":{}}}", counts(usage)));
        Self::Stream { events, pause: Duration::ZERO }
    }

    /// A completion in one piece.
    pub fn json(reasoning: Option<&str>, content: &str, finish: &str, usage: (u32, u32)) -> Self {
        let reasoning = reasoning.map(|text| format!(",\"reasoning_content\":{}", quoted(text))).unwrap_or_default();
        Self::status(
            200,
            &format!(
                "{{\"object\":\"chat.completion\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\
                 \"content\":{}{reasoning}}},\"finish_reason\":{}}}],\"usage\":{}}}",
                quoted(content),
                quoted(finish),
                counts(usage)
            ),
        )
    }

    /// A status with a body.
    pub fn status(status: u16, body: &str) -> Self {
        Self::Whole { status, headers: Vec::new(), body: body.to_owned() }
    }

    /// A status with an error message, as OpenAI writes it.
    pub fn error(status: u16, message: &str) -> Self {
        Self::status(status, &format!("{{\"error\":{{\"message\":{},\"type\":\"test\"}}}}", quoted(message)))
    }

    /// The same answer with a further header.
    pub fn with_header(self, name: &str, value: &str) -> Self {
        match self {
            Self::Whole { status, mut headers, body } => {
                headers.push((name.to_owned(), value.to_owned()));
                Self::Whole { status, headers, body }
            }
            other => other,
        }
    }

    /// The same answer, later.
    pub fn after(self, pause: Duration) -> Self {
        Self::After(pause, Box::new(self))
    }
}

/// An event with a part of a message.
pub fn delta(fields: &str) -> String {
    format!(
        "{{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{{{fields}}},\"finish_reason\":null}}]}}"
    )
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn counts((prompt, completion): (u32, u32)) -> String {
    format!(
        "{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{}}}",
        prompt + completion
    )
}

type Handler = dyn Fn(&Seen) -> Answer + Send + Sync;

struct State {
    handler: Box<Handler>,
    seen: Mutex<Vec<Seen>>,
    closing: AtomicBool,
}

/// A running server. Dropping it ends it.
pub struct Server {
    /// Base URL, ending in `/v1`.
    pub url: String,
    address: std::net::SocketAddr,
    state: Arc<State>,
}

impl Server {
    /// Starts a server on a free port of the loopback interface.
    pub fn start(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the listener's address");
        let state =
            Arc::new(State { handler: Box::new(handler), seen: Mutex::default(), closing: AtomicBool::new(false) });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.closing.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    // The client may leave at any time; that is part of the tests.
                    let _ = serve(&state, &stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { url: format!("http://{address}/v1"), address, state }
    }

    /// Every request so far, in the order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("no handler panicked").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.closing.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// Serves the requests of one connection, one after the other.
fn serve(state: &State, stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        let seen = {
            let mut all = state.seen.lock().expect("no handler panicked");
            let seen = Seen { number: all.len(), ..request };
            all.push(seen.clone());
            seen
        };
        if !answer(stream, (state.handler)(&seen))? {
            return Ok(());
        }
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Seen>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let at = Instant::now();
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, v)| v.parse().unwrap_or(0));
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Seen { number: 0, line, headers, body: String::from_utf8_lossy(&body).into_owned(), at }))
}

/// Does what the handler decided; `true` when the connection stays open.
fn answer(mut stream: &TcpStream, answer: Answer) -> std::io::Result<bool> {
    const HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk =
        |mut stream: &TcpStream, text: &str| stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes());
    match answer {
        Answer::Stream { events, pause } => {
            stream.write_all(HEAD)?;
            for event in &events {
                if !pause.is_zero() {
                    thread::sleep(pause);
                }
                chunk(stream, &format!("data: {event}\n\n"))?;
            }
            chunk(stream, "data: [DONE]\n\n")?;
            stream.write_all(b"0\r\n\r\n")?;
            Ok(true)
        }
        Answer::Whole { status, headers, body } => {
            let kind = if body.starts_with('{') { "application/json" } else { "text/html" };
            let mut head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                let _ = write!(head, "{name}: {value}\r\n");
            }
            stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
            Ok(true)
        }
        Answer::Cut { events } => {
            stream.write_all(HEAD)?;
            for event in &events {
                chunk(stream, &format!("data: {event}\n\n"))?;
            }
            Ok(false)
        }
        Answer::Stall { events } => {
            stream.write_all(HEAD)?;
            for event in &events {
                chunk(stream, &format!("data: {event}\n\n"))?;
            }
            wait_for_leave(stream)
        }
        Answer::Hang => wait_for_leave(stream),
        Answer::Close => Ok(false),
        Answer::After(pause, then) => {
            thread::sleep(pause);
            self::answer(stream, *then)
        }
    }
}

fn wait_for_leave(mut stream: &TcpStream) -> std::io::Result<bool> {
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let _ = stream.read(&mut [0]);
    Ok(false)
}
