//! The settings of a `sample` stage that concern its teacher, as they stand in the pipeline file.

mod form;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{SecretRef, SettingProblem, address::Policy};

/// How completions are drawn. Every number is sent with every request, because servers otherwise apply defaults of
/// their own (`generation_config.json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Completions per prompt.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub n: u32,
    /// Divides the logits; 0 is greedy.
    #[serde(default = "one_float")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: f64,
    /// Keeps the most probable tokens whose probabilities sum to this; 1 keeps all.
    #[serde(default = "one_float")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: f64,
    /// Keeps this many most probable tokens; sent only when given.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub top_k: Option<u32>,
    /// Keeps tokens at least this probable relative to the most probable one; sent only when given.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: Option<f64>,
    /// The longest completion in tokens, reasoning included. A completion that reaches it is truncated, which is kept
    /// as its `finish_reason` and never retried.
    #[schemars(range(min = 1))]
    pub max_tokens: u32,
    /// Texts that end a completion.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Variables of the model's chat template, such as `enable_thinking: false`; sent only when given.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub chat_template_kwargs: serde_json::Map<String, serde_json::Value>,
}

fn one() -> u32 {
    1
}

fn one_float() -> f64 {
    1.0
}

impl Sampling {
    /// Every value that is out of range.
    pub fn problems(&self) -> Vec<SettingProblem> {
        let mut found = Vec::new();
        let mut need = |key, holds: bool, message: String| {
            if !holds {
                found.push(SettingProblem::new(key, message));
            }
        };
        need("n", self.n >= 1, format!("is `{}`; allowed: 1 or more", self.n));
        let temperature = self.temperature;
        need("temperature", (0.0..=2.0).contains(&temperature), format!("is `{temperature}`; allowed: 0 to 2"));
        let top_p = self.top_p;
        need("top_p", top_p > 0.0 && top_p <= 1.0, format!("is `{top_p}`; allowed: above 0, up to 1"));
        need("top_k", self.top_k != Some(0), "is `0`; allowed: 1 or more, or leave it out".into());
        if let Some(min_p) = self.min_p {
            need("min_p", (0.0..=1.0).contains(&min_p), format!("is `{min_p}`; allowed: 0 to 1"));
        }
        need("max_tokens", self.max_tokens >= 1, "is `0`; allowed: 1 or more".into());
        need("stop", self.stop.iter().all(|text| !text.is_empty()), "holds an empty text".into());
        need(
            "n",
            self.temperature != 0.0 || self.n <= 1,
            format!("is `{}` with temperature `0`: greedy samples are all alike; allowed: 1", self.n),
        );
        found
    }
}

/// Price of a teacher, in one currency throughout.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Price of a million prompt tokens.
    #[schemars(range(min = 0.0))]
    pub input_per_million: f64,
    /// Price of a million completion tokens, reasoning included.
    #[schemars(range(min = 0.0))]
    pub output_per_million: f64,
}

impl Price {
    /// What so many tokens cost.
    pub fn of(self, prompt_tokens: u64, completion_tokens: u64) -> f64 {
        (prompt_tokens as f64).mul_add(self.input_per_million, completion_tokens as f64 * self.output_per_million) / 1e6
    }
}

/// A server that speaks the OpenAI chat-completions format: vLLM, SGLang, llama.cpp, a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointSettings {
    /// Base URL, such as `http://127.0.0.1:8000/v1`; `/chat/completions` is added to it.
    #[schemars(extend("pattern" = "^https?://"))]
    pub endpoint: String,
    /// The model, as the server calls it.
    #[schemars(length(min = 1))]
    pub model: String,
    /// Where the key is found: `env:NAME` or `file:PATH`. Leave it out when the server wants none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretRef>,
    /// Requests in flight at once.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 4096))]
    pub concurrency: usize,
    /// Seconds without a byte, once the answer has begun, after which a request is given up and retried.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1))]
    pub timeout_seconds: u64,
    /// Seconds to wait for an answer to begin: time in the server's queue counts. Without streaming, the whole answer
    /// must arrive in this time.
    #[serde(default = "default_queue_timeout")]
    #[schemars(range(min = 1))]
    pub queue_timeout_seconds: u64,
    /// How often a request is sent again after a transient failure.
    #[serde(default = "default_retries")]
    #[schemars(range(max = 100))]
    pub max_retries: u32,
    /// Most requests begun in any minute; they are spread evenly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u32>,
    /// Price per million tokens; needed for costs and for `max_cost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// The stage never spends more than this: a request is sent only when it would fit even at full length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub max_cost: Option<f64>,
    /// The stage never uses more tokens than this, prompts and completions together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub budget_tokens: Option<u64>,
    /// Whether to ask for a stream of tokens. A stream shows at once that a server has died; a server may still answer
    /// in one piece.
    #[serde(default = "default_stream")]
    pub stream: bool,
    /// Further fields of the request body, such as `chat_template_kwargs`. `null` removes a field that would be sent,
    /// for servers that refuse it: `{ seed: null }`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra_body: Map<String, Value>,
    /// Allows http to public addresses: prompts and key then travel in the clear.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}

fn default_concurrency() -> usize {
    16
}

fn default_timeout() -> u64 {
    120
}

fn default_queue_timeout() -> u64 {
    600
}

fn default_retries() -> u32 {
    5
}

fn default_stream() -> bool {
    true
}

/// Fields of the request body that have a setting of their own.
const OWN_FIELDS: [&str; 13] = [
    "model",
    "messages",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "max_tokens",
    "seed",
    "stop",
    "n",
    "stream",
    "stream_options",
    "authorization",
];

impl EndpointSettings {
    /// An endpoint with the defaults of everything but its address and model.
    pub fn new(endpoint: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            model: model.into(),
            api_key: None,
            concurrency: default_concurrency(),
            timeout_seconds: default_timeout(),
            queue_timeout_seconds: default_queue_timeout(),
            max_retries: default_retries(),
            requests_per_minute: None,
            price: None,
            max_cost: None,
            budget_tokens: None,
            stream: default_stream(),
            extra_body: Map::new(),
            insecure: false,
        }
    }

    /// Everything that is wrong with the settings, without asking the network.
    pub fn problems(&self) -> Vec<SettingProblem> {
        let mut found: Vec<SettingProblem> = self.url().err().into_iter().collect();
        let mut need = |key, holds: bool, message: String| {
            if !holds {
                found.push(SettingProblem::new(key, message));
            }
        };
        need("model", !self.model.trim().is_empty(), "is empty; allowed: the server's name of a model".into());
        need(
            "concurrency",
            (1..=4096).contains(&self.concurrency),
            format!("is `{}`; allowed: 1 to 4096", self.concurrency),
        );
        need("timeout_seconds", self.timeout_seconds >= 1, "is `0`; allowed: 1 or more".into());
        need("queue_timeout_seconds", self.queue_timeout_seconds >= 1, "is `0`; allowed: 1 or more".into());
        need("max_retries", self.max_retries <= 100, format!("is `{}`; allowed: 0 to 100", self.max_retries));
        need("requests_per_minute", self.requests_per_minute != Some(0), "is `0`; allowed: 1 or more".into());
        if let Some(Price { input_per_million, output_per_million }) = self.price {
            for value in [input_per_million, output_per_million] {
                need("price", value.is_finite() && value >= 0.0, format!("is `{value}`; allowed: 0 or more"));
            }
        }
        if let Some(cost) = self.max_cost {
            need("max_cost", cost.is_finite() && cost >= 0.0, format!("is `{cost}`; allowed: 0 or more"));
            need("max_cost", self.price.is_some(), "needs `price`".into());
        }
        need("budget_tokens", self.budget_tokens != Some(0), "is `0`; allowed: 1 or more".into());
        for (name, value) in &self.extra_body {
            let own = OWN_FIELDS.contains(&name.to_ascii_lowercase().as_str());
            let removable = !matches!(name.as_str(), "model" | "messages" | "stream" | "n");
            need(
                "extra_body",
                !own || (value.is_null() && removable),
                format!("sets `{name}`, which is set elsewhere{}", if removable { "; `null` removes it" } else { "" }),
            );
        }
        found
    }

    /// The URL that requests go to.
    pub(crate) fn url(&self) -> Result<reqwest::Url, SettingProblem> {
        let problem = |message: String| SettingProblem::new("endpoint", message);
        // The text is not repeated in errors before it is known to hold no password.
        let mut url = reqwest::Url::parse(&self.endpoint).map_err(|error| {
            problem(format!("is not a URL ({error}); allowed: `http://HOST:PORT/v1` or `https://HOST/v1`"))
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(problem("holds a user name or password; write `api_key: env:NAME` instead".into()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(problem("holds a `?` or `#` part; allowed: a plain base URL".into()));
        }
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(problem(format!("is `{}`; allowed: an http or https URL", self.endpoint)));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if path.ends_with("/chat/completions") {
            return Err(problem(format!(
                "is `{}`; allowed: the base URL, `/chat/completions` is added to it",
                self.endpoint
            )));
        }
        let host = url.host_str().unwrap_or_default();
        if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            self.policy(&url).check(ip).map_err(|forbidden| problem(format!("is not allowed: {forbidden}")))?;
        }
        url.set_path(&format!("{path}/chat/completions"));
        Ok(url)
    }

    /// Which addresses `url` may lead to.
    pub(crate) fn policy(&self, url: &reqwest::Url) -> Policy {
        Policy { public: self.insecure || url.scheme() == "https" }
    }

    /// What of these settings can change what the teacher says: the part that belongs into a cache key. Where the
    /// server stands, the key, timeouts, limits and prices do not.
    pub fn identity(&self) -> Value {
        serde_json::json!({ "model": self.model, "extra_body": self.extra_body })
    }

    /// The most that `requests` samples over prompts of `prompt_tokens` tokens in all can use.
    ///
    /// `prompt_tokens` counts each prompt once for every sample of it.
    pub fn forecast(&self, requests: u64, prompt_tokens: u64, sampling: &Sampling) -> Forecast {
        let completion_tokens = requests.saturating_mul(u64::from(sampling.max_tokens));
        Forecast {
            requests,
            prompt_tokens,
            max_completion_tokens: completion_tokens,
            max_cost: self.price.map(|price| price.of(prompt_tokens, completion_tokens)),
        }
    }
}

/// The most that a sampling stage can use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Forecast {
    /// Samples to be drawn.
    pub requests: u64,
    /// Tokens of all prompts, each counted once for every sample of it.
    pub prompt_tokens: u64,
    /// Tokens of all completions if every one reached `max_tokens`.
    pub max_completion_tokens: u64,
    /// Their price, when the teacher has one.
    pub max_cost: Option<f64>,
}

/// Recorded answers instead of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaySettings {
    /// JSONL file of recorded answers: one object a line with `prompt` (or `prompt_id`), and `completion` or `reasoning` and
    /// `answer`; optionally `sample_index`, `model`, `finish_reason`, `prompt_tokens`, `completion_tokens`.
    pub replay: PathBuf,
    /// The model whose answers to replay: lines that name another model are skipped.
    #[schemars(length(min = 1))]
    pub model: String,
}

impl ReplaySettings {
    /// Everything that is wrong with the settings, without opening the file.
    pub fn problems(&self) -> Vec<SettingProblem> {
        let mut found = Vec::new();
        if self.replay.as_os_str().is_empty() {
            found.push(SettingProblem::new("replay", "is empty; allowed: a JSONL file"));
        }
        if self.model.trim().is_empty() {
            found.push(SettingProblem::new("model", "is empty; allowed: the name of the recorded model"));
        }
        found
    }

    /// What can change what the teacher says, apart from the file's content, which the caller fingerprints.
    pub fn identity(&self) -> Value {
        serde_json::json!({ "model": self.model })
    }
}

/// Who is asked: an endpoint, a recording, or a checkpoint by its stage's name or its path.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum TeacherSettings {
    /// A server.
    Endpoint(EndpointSettings),
    /// A file of recorded answers.
    Replay(ReplaySettings),
    /// A checkpoint that runs inside this program: the name of a stage or a path.
    Checkpoint(String),
}

impl TeacherSettings {
    /// Everything that is wrong with the settings as far as this crate can tell.
    pub fn problems(&self) -> Vec<SettingProblem> {
        match self {
            Self::Endpoint(settings) => settings.problems(),
            Self::Replay(settings) => settings.problems(),
            Self::Checkpoint(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling() -> Sampling {
        serde_json::from_str(r#"{ "max_tokens": 8 }"#).unwrap()
    }

    #[test]
    fn sampling_has_the_documented_defaults_and_ranges() {
        let given = sampling();
        assert_eq!((given.n, given.temperature, given.top_p, given.top_k, given.min_p), (1, 1.0, 1.0, None, None));
        assert_eq!(given.problems(), []);
        let wrong = Sampling {
            n: 0,
            temperature: 2.5,
            top_p: 0.0,
            top_k: Some(0),
            min_p: Some(-0.1),
            max_tokens: 0,
            stop: vec![String::new()],
            chat_template_kwargs: serde_json::Map::new(),
        };
        let pointers: Vec<_> = wrong.problems().into_iter().map(|problem| problem.pointer).collect();
        assert_eq!(pointers, ["/n", "/temperature", "/top_p", "/top_k", "/min_p", "/max_tokens", "/stop"]);
        let nan = Sampling { temperature: f64::NAN, top_p: f64::NAN, ..given.clone() };
        assert_eq!(nan.problems().len(), 2);
        assert_eq!(Sampling { n: 4, temperature: 0.0, ..given }.problems().len(), 1);
        assert!(serde_json::from_str::<Sampling>("{}").unwrap_err().to_string().contains("max_tokens"));
        assert!(serde_json::from_str::<Sampling>(r#"{"max_tokens":1,"temprature":1}"#).is_err());
    }

    #[test]
    fn endpoints_are_checked_without_the_network() {
        let of = |endpoint: &str| EndpointSettings::new(endpoint, "m").problems();
        for fine in
            ["http://127.0.0.1:8000/v1", "http://localhost/v1/", "https://example.com/api/v1", "http://[::1]:1/v1"]
        {
            assert_eq!(of(fine), [], "{fine}");
        }
        for (wrong, says) in [
            ("127.0.0.1:8000", "URL"),
            ("localhost:8000/v1", "http or https"),
            ("ftp://host/v1", "http or https"),
            ("http://user:canary@127.0.0.1/v1", "password"),
            ("https://example.com/v1?key=canary", "`?`"),
            ("http://127.0.0.1/v1/chat/completions", "base URL"),
            ("http://8.8.8.8/v1", "public"),
            ("http://169.254.169.254/v1", "metadata"),
            ("https://169.254.169.254/v1", "metadata"),
            ("https://2852039166/v1", "metadata"),
            ("https://[fd00:ec2::254]/v1", "metadata"),
        ] {
            let problems = of(wrong);
            assert_eq!(problems.len(), 1, "{wrong}");
            assert!(problems[0].message.contains(says), "{wrong}: {}", problems[0]);
            assert!(!problems[0].message.contains("canary"), "{}", problems[0]);
        }
        let open = EndpointSettings { insecure: true, ..EndpointSettings::new("http://8.8.8.8/v1", "m") };
        assert_eq!(open.problems(), []);
        assert_eq!(open.url().unwrap().as_str(), "http://8.8.8.8/v1/chat/completions");
    }

    #[test]
    fn extra_body_may_remove_but_not_set_what_has_a_setting() {
        let mut settings = EndpointSettings::new("http://127.0.0.1/v1", "m");
        settings.extra_body.insert("seed".into(), Value::Null);
        settings.extra_body.insert("chat_template_kwargs".into(), serde_json::json!({ "enable_thinking": true }));
        assert_eq!(settings.problems(), []);
        settings.extra_body.insert("temperature".into(), 0.5.into());
        settings.extra_body.insert("messages".into(), Value::Null);
        assert_eq!(settings.problems().len(), 2);
    }

    #[test]
    fn a_cost_limit_needs_a_price() {
        let mut settings = EndpointSettings::new("http://127.0.0.1/v1", "m");
        settings.max_cost = Some(1.0);
        assert_eq!(settings.problems()[0].to_string(), "`max_cost` needs `price`");
        settings.price = Some(Price { input_per_million: 1.0, output_per_million: 2.0 });
        assert_eq!(settings.problems(), []);
        let forecast = settings.forecast(1000, 50_000, &sampling());
        assert_eq!((forecast.max_completion_tokens, forecast.max_cost), (8000, Some(0.066)));
    }

    #[test]
    fn the_identity_leaves_out_what_cannot_change_the_text() {
        let settings = EndpointSettings::new("http://127.0.0.1/v1", "m");
        let elsewhere = EndpointSettings {
            api_key: Some(SecretRef::new("env:KEY").unwrap()),
            concurrency: 99,
            ..EndpointSettings::new("https://example.com/v1", "m")
        };
        assert_eq!(settings.identity(), elsewhere.identity());
    }
}
