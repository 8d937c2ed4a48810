//! The endpoint teacher against a real server over a real socket.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod server;

use std::{
    fmt::Write as _,
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use retort_records::{FinishReason, Message, derive_seed, id_of};
use retort_teacher::{
    Attempted, Endpoint, EndpointSettings, FailureKind, GRACE, Price, Reply, Request, Sampling, SecretRef, Spend,
    Stopped, Summary, TeacherError, sample_all,
};
use serde_json::{Value, json};
use server::{Answer, Server, delta};

fn sampling() -> Sampling {
    serde_json::from_value(json!({ "max_tokens": 64, "temperature": 0.7, "top_p": 0.9 })).unwrap()
}

fn requests(count: u32) -> impl Iterator<Item = Request> {
    (0..count).map(|index| Request {
        rollout_id: id_of("rollout", &[&index.to_le_bytes()]),
        prompt_id: format!("p{index}"),
        sample_index: 0,
        messages: vec![Message::user(format!("{index}+{index}?"))],
        beyond_text: None,
        seed: derive_seed(7, "rollouts", &format!("p{index}"), 0),
    })
}

fn settings(server: &Server) -> EndpointSettings {
    EndpointSettings {
        max_retries: 2,
        // No test waits for it but those that set it: a busy machine must not look like a silent server.
        timeout_seconds: 60,
        queue_timeout_seconds: 1,
        ..EndpointSettings::new(&server.url, "model")
    }
}

fn open(settings: &EndpointSettings) -> Endpoint {
    Endpoint::open(settings, Path::new("."), Spend::default()).unwrap()
}

/// Samples `count` requests and gives them back in the order of their prompts.
fn run(settings: &EndpointSettings, count: u32) -> (Result<Summary, TeacherError>, Vec<Attempted>) {
    let mut all = Vec::new();
    let teacher = open(settings);
    let summary = sample_all(
        &teacher,
        requests(count),
        &sampling(),
        settings.concurrency,
        &AtomicBool::new(false),
        &mut |attempted| {
            all.push(attempted);
            ControlFlow::Continue(())
        },
    );
    all.sort_by_key(|attempted: &Attempted| attempted.request.prompt_id[1..].parse::<u32>().unwrap());
    (summary, all)
}

/// The only reply to one request.
fn one(settings: &EndpointSettings) -> (Reply, u32) {
    let (summary, mut all) = run(settings, 1);
    summary.unwrap();
    let attempted = all.pop().unwrap();
    (attempted.result.unwrap(), attempted.telemetry.attempts)
}

fn fine() -> Answer {
    Answer::stream("reasoning_content", "so it is", "two", "stop", (11, 7))
}

#[test]
fn a_request_says_everything_and_its_stream_is_counted() {
    let server = Server::start(|_| fine());
    let (summary, all) = run(&settings(&server), 1);
    let summary = summary.unwrap();
    let reply = all[0].result.clone().unwrap();
    assert_eq!(reply.completion, "<think>\nso it is\n</think>\n\ntwo");
    assert_eq!((reply.reasoning.as_deref(), reply.answer.as_deref()), (Some("so it is"), Some("two")));
    assert_eq!(reply.finish_reason, FinishReason::Stop);
    assert_eq!((reply.prompt_tokens, reply.completion_tokens), (Some(11), Some(7)));
    assert_eq!((summary.stopped, summary.replies, summary.with_reasoning), (Stopped::Finished, 1, 1));
    assert_eq!((summary.prompt_tokens, summary.completion_tokens, summary.uncounted), (11, 7, 0));
    assert_eq!(all[0].telemetry.endpoint, server.url);
    assert!(all[0].telemetry.started_ms > 1_500_000_000_000);

    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /v1/chat/completions");
    assert_eq!(seen.header("authorization"), None);
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(
        body,
        json!({ "model": "model", "messages": [{ "role": "user", "content": "0+0?" }], "temperature": 0.7,
                "top_p": 0.9, "max_tokens": 64, "seed": derive_seed(7, "rollouts", "p0", 0), "n": 1,
                "stream": true, "stream_options": { "include_usage": true } })
    );
}

#[test]
fn a_server_may_answer_in_one_piece() {
    for reasoning in [None, Some("so")] {
        let server = Server::start(move |_| Answer::json(reasoning, "two", "length", (3, 4)));
        let (reply, _) = one(&settings(&server));
        assert_eq!(reply.reasoning.as_deref(), reasoning);
        assert_eq!((reply.answer.as_deref(), reply.finish_reason), (Some("two"), FinishReason::Length));
        assert_eq!((reply.prompt_tokens, reply.completion_tokens), (Some(3), Some(4)));
    }
}

#[test]
fn every_form_of_reasoning_is_found() {
    for (field, reasoning, content, completion) in [
        ("reasoning", "a b", "c", "<think>\na b\n</think>\n\nc"),
        ("reasoning_content", "ä\n", "\n\nc", "<think>\nä\n</think>\n\nc"),
        ("", "", "<think>\na</think>\n\nc", "<think>\na</think>\n\nc"),
        ("", "", "a</think>c", "a</think>c"),
    ] {
        let server = Server::start(move |_| Answer::stream(field, reasoning, content, "stop", (1, 1)));
        let (reply, _) = one(&settings(&server));
        assert_eq!(reply.completion, completion);
        assert_eq!(reply.answer.as_deref(), Some("c"));
        assert!(reply.reasoning.is_some());
    }
    let server = Server::start(|_| Answer::stream("reasoning", "unfinished", "", "length", (1, 1)));
    assert_eq!(one(&settings(&server)).0.completion, "<think>\nunfinished");
}

#[test]
fn finish_reasons_are_kept() {
    for (sent, kept) in [
        ("stop", FinishReason::Stop),
        ("length", FinishReason::Length),
        ("content_filter", FinishReason::ContentFilter),
        ("abort", FinishReason::Abort),
        ("tool_calls", FinishReason::Unknown),
    ] {
        let server = Server::start(move |_| Answer::stream("", "", "x", sent, (1, 1)));
        assert_eq!(one(&settings(&server)).0.finish_reason, kept);
        assert_eq!(server.seen().len(), 1, "{sent} is not retried");
    }
}

#[test]
fn transient_failures_are_retried() {
    let failures: [fn() -> Answer; 8] = [
        || Answer::error(500, "boom"),
        || Answer::error(408, "slow"),
        || Answer::error(409, "busy"),
        || Answer::Close,
        || Answer::Cut { events: vec![delta("\"content\":\"half\"")] },
        || Answer::Hang,
        || Answer::Stall { events: vec![delta("\"content\":\"half\"")] },
        || Answer::Stream { events: vec!["{\"error\":{\"message\":\"boom\"}}".into()], pause: Duration::ZERO },
    ];
    for failure in failures {
        let server = Server::start(move |seen| if seen.number == 0 { failure() } else { fine() });
        let (reply, attempts) = one(&EndpointSettings { timeout_seconds: 3, ..settings(&server) });
        assert_eq!((reply.answer.as_deref(), attempts), (Some("two"), 2), "{:?}", failure());
    }
}

#[test]
fn retry_after_is_honoured_by_every_request() {
    let server = Server::start(|seen| {
        if seen.number == 0 {
            Answer::error(429, "later").with_header("retry-after", "1.2")
        } else {
            fine().after(Duration::from_millis(100))
        }
    });
    let settings = EndpointSettings { concurrency: 1, queue_timeout_seconds: 5, ..settings(&server) };
    let (summary, all) = run(&settings, 2);
    assert_eq!((all.len(), summary.unwrap().retries), (2, 1));
    let seen = server.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(1200));
}

#[test]
fn a_crowded_server_costs_no_patience_while_it_answers_others() {
    let room = std::sync::Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |_| {
        if room.fetch_add(1, Ordering::SeqCst).is_multiple_of(4) {
            fine().after(Duration::from_millis(20))
        } else {
            Answer::error(429, "crowded").with_header("retry-after-ms", "30")
        }
    });
    let settings = EndpointSettings { max_retries: 3, ..settings(&server) };
    let (summary, _) = run(&settings, 24);
    let summary = summary.unwrap();
    assert_eq!((summary.replies, summary.failures.len()), (24, 0));
}

#[test]
fn a_refused_request_is_a_dropped_row_with_the_servers_words() {
    let server = Server::start(|seen| {
        if seen.body.contains("1+1") {
            Answer::error(400, "maximum context length \u{1b}[31mis\u{1b}[0m 8")
        } else {
            fine()
        }
    });
    let (summary, all) = run(&settings(&server), 3);
    assert_eq!(summary.unwrap().failures.into_iter().collect::<Vec<_>>(), [("http_400".to_owned(), 1)]);
    let failure = all[1].result.clone().unwrap_err();
    assert_eq!(failure.message, "status 400: maximum context length is 8");
    assert_eq!((server.seen().len(), all[1].telemetry.attempts), (3, 1));
}

#[test]
fn a_filtered_prompt_is_told_apart() {
    let server = Server::start(|_| Answer::status(400, "{\"error\":{\"message\":\"no\",\"code\":\"content_filter\"}}"));
    let (_, all) = run(&settings(&server), 1);
    assert_eq!(all[0].result.clone().unwrap_err().drop_reason, "content_filter");
}

#[test]
fn a_poisoned_prompt_is_dropped_when_the_server_works_otherwise() {
    let server = Server::start(|seen| if seen.body.contains("\"1+1") { Answer::error(500, "bug") } else { fine() });
    let (summary, all) = run(&settings(&server), 4);
    assert_eq!(summary.unwrap().replies, 3);
    let failure = all[1].result.clone().unwrap_err();
    assert_eq!((failure.kind, failure.drop_reason.as_str()), (FailureKind::Server, "retries_exhausted"));
    assert_eq!(all[1].telemetry.attempts, 3);
}

#[test]
fn nothing_is_dropped_when_the_set_up_is_wrong() {
    // A wrong key, an unknown model, a redirect: the first answer says it.
    for (answer, says) in [
        (Answer::error(401, "bad key"), "bad key"),
        (Answer::error(404, "no such model"), "no such model"),
        (Answer::status(307, "").with_header("location", "http://127.0.0.1:1/v1"), "redirects are not followed"),
        (Answer::status(429, "{\"error\":{\"message\":\"pay\",\"code\":\"insufficient_quota\"}}"), "pay"),
    ] {
        let server = Server::start(move |_| answer.clone());
        let (summary, all) = run(&settings(&server), 200);
        let error = summary.unwrap_err();
        assert!(matches!(&error, TeacherError::Refused { message, .. } if message.contains(says)), "{error}");
        assert!(all.is_empty());
        assert!(server.seen().len() <= 32);
    }
    // Every request refused from the start, or unreadable: soon clear.
    for answer in [Answer::error(400, "unknown field seed"), Answer::status(200, "<html>hello</html>")] {
        let server = Server::start(move |_| answer.clone());
        let (summary, all) = run(&settings(&server), 200);
        assert!(matches!(summary.unwrap_err(), TeacherError::Unreachable { .. }));
        assert!(all.is_empty());
        assert!(server.seen().len() < 100);
    }
    // Nobody there.
    let nobody = EndpointSettings { max_retries: 0, ..EndpointSettings::new("http://127.0.0.1:9/v1", "model") };
    let (summary, all) = run(&nobody, 2);
    let error = summary.unwrap_err().to_string();
    assert!(error.contains("unreachable: cannot connect"), "{error}");
    assert!(all.is_empty());
}

#[test]
fn https_speaks_tls() {
    let server = Server::start(|_| fine());
    let secure =
        EndpointSettings { endpoint: server.url.replace("http://", "https://"), max_retries: 0, ..settings(&server) };
    let teacher = match Endpoint::open(&secure, Path::new("."), Spend::default()) {
        Ok(teacher) => teacher,
        Err(error) => {
            eprintln!("SKIPPED: this machine has no certificates: {error}");
            return;
        }
    };
    let result =
        sample_all(&teacher, requests(1), &sampling(), 1, &AtomicBool::new(false), &mut |_| ControlFlow::Continue(()));
    // The server speaks no TLS: the client must notice, and must not have sent the request.
    let error = result.unwrap_err().to_string();
    assert!(error.contains("cannot connect"), "{error}");
    assert!(server.seen().iter().all(|seen| !seen.line.contains("completions")));
}

#[test]
fn a_name_is_looked_up() {
    let server = Server::start(|_| fine());
    let by_name = EndpointSettings { endpoint: server.url.replace("127.0.0.1", "localhost"), ..settings(&server) };
    assert_eq!(one(&by_name).0.answer.as_deref(), Some("two"));
}

#[test]
fn no_more_requests_run_at_once_than_allowed_and_they_are_pulled_lazily() {
    // Counted from when a request is read to before it is answered: all of that time its sender waits for it.
    let (asking, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let four = Arc::new(Barrier::new(4));
    let server = {
        let (asking, most) = (Arc::clone(&asking), Arc::clone(&most));
        Server::start(move |seen| {
            most.fetch_max(asking.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            if seen.number < 4 {
                four.wait();
            }
            asking.fetch_sub(1, Ordering::SeqCst);
            fine()
        })
    };
    let settings = settings(&server);
    let teacher = open(&settings);
    let (pulled, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let summary = sample_all(
        &teacher,
        requests(40).inspect(|_| {
            let ahead = pulled.fetch_add(1, Ordering::SeqCst) - finished.load(Ordering::SeqCst);
            assert!(ahead < 4, "{ahead} requests are held");
        }),
        &sampling(),
        4,
        &AtomicBool::new(false),
        &mut |_| {
            finished.fetch_add(1, Ordering::SeqCst);
            ControlFlow::Continue(())
        },
    );
    assert_eq!(summary.unwrap().replies, 40);
    assert_eq!(most.load(Ordering::SeqCst), 4);
    // The same teacher may be asked again.
    let again =
        sample_all(&teacher, requests(3), &sampling(), 4, &AtomicBool::new(false), &mut |_| ControlFlow::Continue(()));
    assert_eq!(again.unwrap().replies, 3);
}

#[test]
fn a_cancel_lets_those_in_flight_finish_but_not_for_ever() {
    // Cancelled once four requests are there; the three that do not hang are answered only then.
    let cancel = Arc::new(AtomicBool::new(false));
    let server = {
        let (cancel, there) = (Arc::clone(&cancel), AtomicUsize::new(0));
        Server::start(move |seen| {
            if there.fetch_add(1, Ordering::SeqCst) == 3 {
                cancel.store(true, Ordering::Relaxed);
            }
            while !cancel.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            if seen.body.contains("\"0+0") { Answer::Hang } else { fine() }
        })
    };
    let settings = EndpointSettings { queue_timeout_seconds: 60, ..settings(&server) };
    let started = Instant::now();
    let got = Mutex::new(Vec::new());
    let teacher = open(&settings);
    let summary = sample_all(&teacher, requests(1000), &sampling(), 4, &cancel, &mut |attempted| {
        got.lock().unwrap().push(attempted.request.prompt_id);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!((summary.stopped, summary.replies), (Stopped::Cancelled, 3));
    assert_eq!(server.seen().len(), 4);
    assert!(!got.into_inner().unwrap().contains(&"p0".to_owned()));
    // Long before the request that hangs would have been given up.
    assert!(started.elapsed() >= GRACE && started.elapsed() < Duration::from_secs(50));
}

#[test]
fn the_callback_may_stop_at_once() {
    let server = Server::start(|_| fine());
    let teacher = open(&settings(&server));
    let mut calls = 0;
    let summary = sample_all(&teacher, requests(1000), &sampling(), 4, &AtomicBool::new(false), &mut |_| {
        calls += 1;
        if calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let summary = summary.unwrap();
    assert_eq!((summary.stopped, summary.replies, calls), (Stopped::Caller, 3, 3));
}

#[test]
fn the_budget_is_never_passed() {
    let server = Server::start(|_| fine().after(Duration::from_millis(10)));
    let price = Price { input_per_million: 1e6, output_per_million: 2e6 };
    // A reply costs 11 + 2 * 7 = 25; at most it could cost its 64 tokens and a generous bound for the prompt.
    let settings = EndpointSettings { price: Some(price), max_cost: Some(1000.0), ..settings(&server) };
    let teacher = open(&settings);
    let mut cost = 0.0;
    let summary = sample_all(&teacher, requests(1000), &sampling(), 16, &AtomicBool::new(false), &mut |attempted| {
        cost += attempted.telemetry.cost.unwrap();
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(summary.stopped, Stopped::Budget);
    assert_eq!((summary.cost, teacher.spent().cost), (cost, cost));
    // 4 + 4 + 16 + 256 prompt tokens and 64 completion tokens at twice the price: 408 in the worst case.
    assert!(cost <= 1000.0 && cost > 1000.0 - 408.0 - 25.0, "{cost}");
    // What an earlier run spent counts.
    let later = Endpoint::open(&settings, Path::new("."), teacher.spent()).unwrap();
    let summary =
        sample_all(&later, requests(10), &sampling(), 16, &AtomicBool::new(false), &mut |_| ControlFlow::Continue(()));
    assert_eq!(summary.unwrap().replies, 0);
}

#[test]
fn a_token_budget_works_without_a_price() {
    let server = Server::start(|_| fine());
    let settings = EndpointSettings { budget_tokens: Some(600), ..settings(&server) };
    let (summary, all) = run(&settings, 1000);
    assert_eq!(summary.unwrap().stopped, Stopped::Budget);
    // 18 tokens a reply; 344 must be free for one more.
    assert_eq!(all.len(), 15);
}

#[test]
fn requests_per_minute_are_spread() {
    let server = Server::start(|_| fine());
    let settings = EndpointSettings { requests_per_minute: Some(600), ..settings(&server) };
    let started = Instant::now();
    run(&settings, 6).0.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[test]
fn the_key_is_sent_and_shown_nowhere() {
    const CANARY: &str = "sk-canary-5f3a91";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), format!("{CANARY}\n")).unwrap();
    let server = Server::start(|seen| match seen.number {
        0 => Answer::error(400, &format!("key {CANARY} is fine, the request is not")),
        1 => Answer::error(500, &format!("Authorization: Bearer {CANARY}")),
        2 => Answer::status(200, &format!("{CANARY} is not JSON")),
        _ => Answer::error(401, &format!("bad key {CANARY}")),
    });
    let settings = EndpointSettings {
        api_key: Some(SecretRef::new("file:key").unwrap()),
        concurrency: 1,
        max_retries: 0,
        ..settings(&server)
    };
    let teacher = Endpoint::open(&settings, folder.path(), Spend::default()).unwrap();
    let mut shown = format!("{teacher:?} {settings:?} {}", serde_json::to_string(&settings).unwrap());
    shown += &settings.identity().to_string();
    for count in [1, 1, 1, 1] {
        let result = sample_all(&teacher, requests(count), &sampling(), 1, &AtomicBool::new(false), &mut |attempted| {
            let _ = write!(shown, "{attempted:?}");
            ControlFlow::Continue(())
        });
        let _ = write!(shown, "{result:?}");
        if let Err(error) = result {
            shown += &error.to_string();
        }
    }
    assert_eq!(server.seen().len(), 4);
    assert_eq!(server.seen()[0].header("authorization"), Some(&*format!("Bearer {CANARY}")));
    assert!(shown.contains("the request is not") && shown.contains("bad key") && !shown.contains("canary"), "{shown}");

    let missing = EndpointSettings {
        api_key: Some(SecretRef::new("env:RETORT_TEST_NO_SUCH_VARIABLE").unwrap()),
        ..settings.clone()
    };
    let error = Endpoint::open(&missing, folder.path(), Spend::default()).unwrap_err();
    assert_eq!(error.to_string(), "api_key `env:RETORT_TEST_NO_SUCH_VARIABLE` cannot be read: the variable is not set");
}
