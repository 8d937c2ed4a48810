//! A teacher behind an OpenAI-compatible server.

use std::{
    error::Error,
    ops::Deref,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, USER_AGENT},
};
use retort_records::{BeyondText, MEDIA, Telemetry};
use tokio::time::timeout;

use crate::{
    Asking, Attempt, EndpointSettings, Failure, FailureKind, Reply, Request, Sampling, Spend, Teacher, TeacherError,
    address::forbidden,
    budget::{Budget, Reservation},
    pace::{self, LONGEST_REST, Pace},
    secret::{Secret, clean},
    wire::{self, Assembly, Broken, Events},
};

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The most that is read of an error's body, in bytes.
const ERROR_BODY_LIMIT: usize = 64 << 10;
/// The largest event of a stream, in bytes.
const EVENT_LIMIT: usize = 16 << 20;
/// Tokens that a chat template may add around the messages: a bound for the budget, not a count.
const TEMPLATE_TOKENS: u64 = 256;

/// An OpenAI-compatible server, with its retries, its pace and its budget.
#[derive(Debug)]
pub struct Endpoint {
    settings: EndpointSettings,
    url: Url,
    secret: Option<Secret>,
    client: Client,
    budget: Budget,
    pace: Pace,
    /// Replies so far. Until the first, nobody knows whether a refused request or the whole set-up is at fault.
    replies: AtomicU64,
}

/// Why one attempt failed.
enum Failed {
    /// It may succeed when asked again.
    Transient {
        message: String,
        /// How long the server asks to be left alone.
        rest: Option<Duration>,
        /// The server is alive but has no room just now.
        crowded: bool,
        /// No connection could be made.
        unconnected: bool,
    },
    /// It will not.
    Permanent(Failure),
}

impl Failed {
    fn transient(message: impl Into<String>) -> Self {
        Self::Transient { message: message.into(), rest: None, crowded: false, unconnected: false }
    }
}

fn failure(kind: FailureKind, drop_reason: impl Into<String>, message: impl Into<String>) -> Failure {
    Failure { kind, drop_reason: drop_reason.into(), message: message.into() }
}

impl Endpoint {
    /// Prepares to ask the server; nothing is sent yet. `root` is where a relative `file:` path of the key starts;
    /// `spent` is what earlier runs of the same stage have used of its budget.
    pub fn open(settings: &EndpointSettings, root: &Path, spent: Spend) -> Result<Self, TeacherError> {
        if let Some(problem) = settings.problems().into_iter().next() {
            return Err(problem.into());
        }
        let url = settings.url()?;
        let secret = settings.api_key.as_ref().map(|reference| reference.resolve(root)).transpose()?;
        Ok(Self {
            client: client(settings, &url, secret.as_ref())?,
            settings: settings.clone(),
            url,
            secret,
            budget: Budget::new(settings.budget_tokens, settings.max_cost, spent),
            pace: Pace::new(settings.requests_per_minute),
            replies: AtomicU64::new(0),
        })
    }

    /// What has been charged to the budget, earlier runs and given-up requests included. A request that broke off
    /// after the server had accepted it is charged as if it had reached `max_tokens`, because it may be billed so.
    pub fn spent(&self) -> Spend {
        self.budget.spent()
    }

    /// Server text, made fit to be shown.
    fn clean(&self, text: &str) -> String {
        clean(text, self.secret.as_ref())
    }

    /// The most that one attempt can use. A token is at least one byte of text.
    fn most(&self, request: &Request, sampling: &Sampling) -> Spend {
        let texts: usize = request.messages.iter().map(|m| m.content.len() + m.role.len() + 16).sum();
        let bytes = texts + request.beyond_text.as_deref().map_or(0, str::len);
        self.charge(bytes as u64 + TEMPLATE_TOKENS, u64::from(sampling.max_tokens))
    }

    fn charge(&self, prompt_tokens: u64, completion_tokens: u64) -> Spend {
        let cost = self.settings.price.map_or(0.0, |price| price.of(prompt_tokens, completion_tokens));
        Spend { tokens: prompt_tokens + completion_tokens, cost }
    }

    /// What `reply` used. What the server did not count is bounded by its bytes.
    fn used(&self, reply: &Reply, most: Spend) -> Spend {
        match (reply.prompt_tokens, reply.completion_tokens) {
            (Some(prompt), Some(completion)) => self.charge(prompt.into(), completion.into()),
            _ => most,
        }
    }

    /// Asks until there is a reply, a permanent failure or no retry left.
    async fn ask_with_retries(&self, request: &Request, sampling: &Sampling) -> Attempt {
        let most = self.most(request, sampling);
        let mut telemetry = Telemetry {
            rollout_id: request.rollout_id.clone(),
            prompt_id: request.prompt_id.clone(),
            endpoint: self.settings.endpoint.clone(),
            attempts: 0,
            started_ms: 0,
            latency_ms: 0,
            cost: None,
        };
        let beyond = request.beyond_text.as_deref().and_then(BeyondText::read).unwrap_or_default();
        if let Some(failure) = refused(&beyond) {
            return Attempt { result: Err(failure), telemetry };
        }
        let body = wire::body(&self.settings, request, beyond, sampling).to_string();
        // Two kinds of patience: with a server that fails, and with one that has no room while it answers nobody.
        let (mut failures, mut crowded_out) = (0, 0);
        let mut replies_before = self.replies.load(Ordering::Relaxed);
        loop {
            let Ok(reservation) = self.budget.reserve(most).await else {
                let spent = self.budget.spent();
                let message = format!(
                    "{} tokens at a cost of {:.4} are used; one more could pass the limit",
                    spent.tokens, spent.cost
                );
                return Attempt { result: Err(failure(FailureKind::Budget, "budget", message)), telemetry };
            };
            self.pace.turn().await;
            let started = Instant::now();
            telemetry.attempts += 1;
            telemetry.started_ms =
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
            let outcome = self.attempt(body.clone(), reservation, most).await;
            telemetry.latency_ms = started.elapsed().as_millis() as u64;
            match outcome {
                Ok(reply) => {
                    self.replies.fetch_add(1, Ordering::Relaxed);
                    if let (Some(price), Some(prompt), Some(completion)) =
                        (self.settings.price, reply.prompt_tokens, reply.completion_tokens)
                    {
                        telemetry.cost = Some(price.of(prompt.into(), completion.into()));
                    }
                    return Attempt { result: Ok(reply), telemetry };
                }
                Err(Failed::Permanent(failure)) => return Attempt { result: Err(failure), telemetry },
                Err(Failed::Transient { message, rest, crowded, unconnected }) => {
                    let replies = self.replies.load(Ordering::Relaxed);
                    if crowded {
                        // A crowded server that meanwhile answers others is doing its work.
                        crowded_out = if replies > replies_before { 1 } else { crowded_out + 1 };
                        replies_before = replies;
                    } else {
                        failures += 1;
                    }
                    let too_long = rest.filter(|rest| *rest > LONGEST_REST);
                    if failures.max(crowded_out) > self.settings.max_retries || too_long.is_some() {
                        let reason = if unconnected { "unreachable" } else { "retries_exhausted" };
                        let message = match too_long {
                            Some(rest) => format!("the server asks to wait {} s: {message}", rest.as_secs()),
                            None => message,
                        };
                        return Attempt { result: Err(failure(FailureKind::Server, reason, message)), telemetry };
                    }
                    let window = failures + crowded_out - 1;
                    let mut wait = pace::backoff(request.seed.wrapping_add(telemetry.attempts.into()), window);
                    if let Some(rest) = rest {
                        self.pace.rest(rest);
                        // The server knows best; a little spread keeps the waiting from coming back all at once.
                        wait = wait.min(rest / 4);
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Sends one request and reads the reply.
    async fn attempt(&self, body: String, reservation: Reservation<'_>, most: Spend) -> Result<Reply, Failed> {
        let queue = Duration::from_secs(self.settings.queue_timeout_seconds);
        let sent = timeout(queue, self.client.post(self.url.clone()).body(body).send()).await;
        let response = match sent {
            Err(_) => return Err(Failed::transient(format!("no answer within {} s", queue.as_secs()))),
            Ok(Err(error)) => {
                if error.is_connect() {
                    reservation.settle(Spend::default());
                }
                return Err(self.unsent(&error));
            }
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        if status != StatusCode::OK {
            reservation.settle(Spend::default());
            return Err(self.refusal(status, response).await);
        }
        let read = self.read(response, queue).await;
        match read {
            Ok(reply) => {
                reservation.settle(self.used(&reply, most));
                Ok(reply)
            }
            Err(broken) => Err(self.broken(broken)),
        }
    }

    /// Reads a reply with status 200: a stream of events, or one piece.
    async fn read(&self, mut response: Response, queue: Duration) -> Result<Reply, Broken> {
        let idle = Duration::from_secs(self.settings.timeout_seconds);
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let streamed = kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream");
        let mut wait = queue;
        if !streamed {
            let mut whole = Vec::new();
            while let Some(piece) = next_piece(&mut response, wait).await? {
                whole.extend_from_slice(&piece);
                if whole.len() > wire::REPLY_LIMIT {
                    return Err(Broken::TooLong);
                }
            }
            return wire::whole(&whole);
        }
        let mut events = Events::default();
        let mut assembly = Assembly::default();
        while let Some(piece) = next_piece(&mut response, wait).await? {
            events.push(&piece);
            while let Some(event) = events.next() {
                // Before the first event the request may still be queued, even if keep-alives arrive.
                wait = idle;
                assembly.take(&event)?;
            }
            if assembly.is_over() {
                break;
            }
            if events.held() > EVENT_LIMIT {
                return Err(Broken::TooLong);
            }
        }
        if let Some(event) = events.last() {
            assembly.take(&event)?;
        }
        assembly.end_of_stream()
    }

    /// What an error of the HTTP client means.
    fn unsent(&self, error: &reqwest::Error) -> Failed {
        if let Some(forbidden) = forbidden(error) {
            return Failed::Permanent(failure(FailureKind::Fatal, "refused", forbidden.to_string()));
        }
        Failed::Transient {
            message: self.clean(&chain(error)),
            rest: None,
            crowded: false,
            unconnected: error.is_connect(),
        }
    }

    /// What a status other than 200 means.
    async fn refusal(&self, status: StatusCode, mut response: Response) -> Failed {
        let rest = pace::retry_after(response.headers(), SystemTime::now());
        let target = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default().to_owned();
        let mut body = Vec::new();
        // The message is a courtesy: whatever arrives in time will do.
        let within = Duration::from_secs(self.settings.timeout_seconds.min(10));
        let _ = timeout(within, async {
            while let Ok(Some(piece)) = response.chunk().await {
                let room = ERROR_BODY_LIMIT - body.len();
                body.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.len() >= room {
                    break;
                }
            }
        })
        .await;
        let code = wire::error_code(&body);
        let message = match self.clean(&wire::error_message(&body)) {
            empty if empty.is_empty() => format!("status {status}"),
            message => format!("status {}: {message}", status.as_u16()),
        };
        if status.is_redirection() {
            let to = self.clean(&target);
            let message = format!("{message}; it redirects to `{to}`, and redirects are not followed");
            return Failed::Permanent(failure(FailureKind::Fatal, "refused", message));
        }
        if status.is_success() {
            let kind = self.blame();
            return Failed::Permanent(failure(kind, "unreadable_reply", format!("{message} instead of a reply")));
        }
        self.meaning(status.as_u16(), code.as_deref(), message, rest)
    }

    /// What an error status means, in the reply's head or inside its body.
    fn meaning(&self, status: u16, code: Option<&str>, message: String, rest: Option<Duration>) -> Failed {
        match (status, code) {
            (_, Some("insufficient_quota")) | (401 | 402 | 404 | 405 | 407 | 410, _) => {
                Failed::Permanent(failure(FailureKind::Fatal, "refused", message))
            }
            (408 | 409 | 429 | 500.., _) => {
                Failed::Transient { message, rest, crowded: matches!(status, 429 | 503), unconnected: false }
            }
            (400, Some("content_filter")) => {
                Failed::Permanent(failure(FailureKind::Request, "content_filter", message))
            }
            _ => Failed::Permanent(failure(self.blame(), format!("http_{status}"), message)),
        }
    }

    /// Whose fault a refused request is: after a first reply it is the request's own.
    fn blame(&self) -> FailureKind {
        if self.replies.load(Ordering::Relaxed) == 0 { FailureKind::Server } else { FailureKind::Request }
    }

    /// What a reply that is none means.
    fn broken(&self, broken: Broken) -> Failed {
        match broken {
            Broken::Error { status: Some(status), message } if status >= 400 => {
                self.meaning(status, None, self.clean(&format!("error {status} within the reply: {message}")), None)
            }
            Broken::Error { message, .. } => {
                Failed::transient(self.clean(&format!("error within the reply: {message}")))
            }
            Broken::Interrupted(message) => Failed::transient(self.clean(&message)),
            Broken::Unreadable(message) => {
                Failed::Permanent(failure(self.blame(), "unreadable_reply", self.clean(&message)))
            }
            Broken::TooLong => Failed::Permanent(failure(
                FailureKind::Request,
                "reply_too_long",
                format!("the reply is longer than {} MiB", wire::REPLY_LIMIT >> 20),
            )),
        }
    }
}

impl Teacher for Endpoint {
    fn name(&self) -> &str {
        &self.settings.model
    }

    fn ask<'a>(&'a self, request: &'a Request, sampling: &'a Sampling) -> Asking<'a> {
        Box::pin(self.ask_with_retries(request, sampling))
    }
}

/// Why a prompt is not asked at all: what its row holds beyond messages has no place in a request, or a reply to it none in
/// a rollout.
fn refused(beyond: &BeyondText) -> Option<Failure> {
    let key = beyond.row.keys().next()?;
    let (reason, message) = if MEDIA.contains(&key.as_str()) {
        (
            "media_not_supported",
            format!("the prompt's `{key}` stand beside its messages; put them into parts of a content"),
        )
    } else {
        ("tool_calls_not_supported", format!("the prompt declares `{key}`, and a reply that calls one cannot be kept"))
    };
    Some(failure(FailureKind::Request, reason, message))
}

/// The next bytes of a reply, if they come within `wait`.
async fn next_piece(
    response: &mut Response,
    wait: Duration,
) -> Result<Option<impl Deref<Target = [u8]> + use<>>, Broken> {
    match timeout(wait, response.chunk()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(error)) => Err(Broken::Interrupted(format!("the reply broke off: {}", chain(&error)))),
        Err(_) => Err(Broken::Interrupted(format!("no byte for {} s", wait.as_secs()))),
    }
}

/// An error with its causes. The URL is left out: the telemetry has it.
fn chain(error: &reqwest::Error) -> String {
    let mut text = match error {
        _ if error.is_connect() => "cannot connect".to_owned(),
        _ if error.is_timeout() => "timed out".to_owned(),
        _ => "the request failed".to_owned(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The HTTP client of one endpoint.
fn client(settings: &EndpointSettings, url: &Url, secret: Option<&Secret>) -> Result<Client, TeacherError> {
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("retort/", env!("CARGO_PKG_VERSION"))));
    if let Some(secret) = secret {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.expose()))
            .map_err(|_| TeacherError::Runtime("the key cannot stand in a header".into()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let policy = settings.policy(url);
    let mut builder = Client::builder()
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(policy)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .pool_max_idle_per_host(settings.concurrency);
    if !policy.public {
        // A proxy would stand between this machine and its own neighbours, and would resolve names unchecked.
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        // Without TLS no certificates are needed: a bare container may have none, which would be an error.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| TeacherError::Runtime(chain(&error)))
}
