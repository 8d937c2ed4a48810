//! Damaged checkpoints are refused with a message or loaded, whatever is damaged: never a panic, an abort or memory without
//! end. `RETORT_MUTATIONS` says how many are tried, `RETORT_MUTATION_SEED` from which seed on.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test tells what it did

mod tiny_model;

use retort_local::{Device, GenerateOptions, LoadedCheckpoint, generate_one};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tiny_model::TinyModel;

/// Tried when nobody says how many; a thousand take about ten seconds.
const MUTATIONS: u64 = 400;
/// Most memory in bytes.
const MEMORY: u64 = 1 << 30;
const FILES: [&str; 6] = [
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Numbers that look random (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Values that people, tools and attackers put where others belong.
fn odd_value(random: &mut Random) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(3),
        json!(7),
        json!(1e300),
        json!(-0.5),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(4_611_686_018_427_387_904_u64),
        json!(1_000_000_000_000_u64),
        json!(i32::MAX),
        json!(""),
        json!("</s>"),
        json!("é\u{0}\u{1f600}"),
        json!([]),
        json!([1, 2, 3]),
        json!([[0, 1], {"a": 1}]),
        json!({}),
        json!({"rope_type": "llama3", "factor": 0.0}),
        json!("{% for m in messages %}{{ m.content }}{% endfor %}"),
        json!("{{ messages | map(attribute='x') "),
    ];
    values[random.below(values.len())].clone()
}

/// Changes one value of a JSON document, somewhere.
fn change(value: &mut Value, random: &mut Random, depth: usize) {
    let deeper = depth < 6 && random.below(3) > 0;
    match value {
        Value::Object(map) if !map.is_empty() => {
            let key = map.keys().nth(random.below(map.len())).cloned().unwrap();
            match random.below(12) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(format!("{key}x"), odd_value(random))),
                _ => match map.get_mut(&key).unwrap() {
                    inner @ (Value::Object(_) | Value::Array(_)) if deeper => change(inner, random, depth + 1),
                    other => *other = odd_value(random),
                },
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(6) {
                0 => drop(items.remove(at)),
                1 => items.push(odd_value(random)),
                _ if deeper => change(&mut items[at], random, depth + 1),
                _ => items[at] = odd_value(random),
            }
        }
        other => *other = odd_value(random),
    }
}

/// Damages a file: its JSON, or its bytes.
fn damage(bytes: &mut Vec<u8>, weights: bool, random: &mut Random) {
    let head = if weights { 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize } else { bytes.len() };
    if random.below(4) > 0 {
        let from = if weights { 8 } else { 0 };
        if let Ok(mut json) = serde_json::from_slice::<Value>(&bytes[from..head]) {
            for _ in 0..=random.below(3) {
                change(&mut json, random, 0);
            }
            let text = json.to_string().into_bytes();
            let body = bytes.split_off(head);
            bytes.clear();
            if weights {
                bytes.extend((text.len() as u64).to_le_bytes());
            }
            bytes.extend(text);
            bytes.extend(body);
            return;
        }
    }
    match random.below(5) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            let at = random.below(bytes.len());
            bytes.insert(at, random.next() as u8);
        }
        2 => {
            let at = random.below(bytes.len().min(head));
            let end = (at + random.below(64)).min(bytes.len());
            bytes.drain(at..end);
        }
        _ => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len().min(head));
                bytes[at] ^= 1 << random.below(8);
            }
        }
    }
}

fn peak_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
}

/// Loads the folder and lets it write two tokens.
fn attempt(folder: &Path) -> Result<(), String> {
    let loaded = LoadedCheckpoint::open(folder, Device::Cpu).map_err(|error| error.to_string())?;
    let options = GenerateOptions {
        chat: true,
        max_tokens: 2,
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        min_p: 0.0,
        stop: vec!["zz".into()],
        seed: 0,
    };
    generate_one(&loaded, "a", &options, &mut |_: &str| {}).map(drop).map_err(|error| error.to_string())
}

#[test]
fn damaged_checkpoints_are_refused_or_loaded() {
    let work = tempfile::tempdir().unwrap();
    let whole = work.path().join("whole");
    TinyModel::default().write(&whole);
    let names = ["embed_tokens", "norm"].map(|name| format!("model.{name}.weight"));
    let index = json!({"metadata": {"total_size": 1}, "weight_map": {&names[0]: "model.safetensors", &names[1]: "model.safetensors"}});
    attempt(&whole).unwrap();
    let (count, seed) = (number("RETORT_MUTATIONS", MUTATIONS), number("RETORT_MUTATION_SEED", 0));
    let (mut loaded, mut refused) = (0_u64, BTreeMap::<String, u64>::new());
    for at in seed..seed + count {
        let mut random = Random(at.wrapping_mul(0x5851_f42d_4c95_7f2d) + 1);
        let folder = work.path().join("damaged");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let target = FILES[random.below(FILES.len())];
        for name in FILES {
            let mut bytes = match std::fs::read(whole.join(name)) {
                Ok(bytes) => bytes,
                Err(_) if name == target => index.to_string().into_bytes(),
                Err(_) => continue,
            };
            let mut stored = name;
            if target.ends_with("index.json") && name == "model.safetensors" {
                // Only with another name does the index count.
                stored = "model-00001-of-00001.safetensors";
            }
            if name == target {
                damage(&mut bytes, name == "model.safetensors", &mut random);
            }
            let bytes = if name.ends_with("index.json") {
                String::from_utf8_lossy(&bytes)
                    .replace("\"model.safetensors\"", "\"model-00001-of-00001.safetensors\"")
                    .into_bytes()
            } else {
                bytes
            };
            std::fs::write(folder.join(stored), bytes).unwrap();
        }
        std::fs::write(work.path().join("last"), at.to_string()).unwrap();
        let outcome = std::panic::catch_unwind(|| attempt(&folder));
        match outcome {
            Ok(Ok(())) => loaded += 1,
            Ok(Err(message)) => {
                assert!(!message.trim().is_empty(), "mutation {at} is refused without a word");
                *refused.entry(target.to_owned()).or_default() += 1;
            }
            Err(panic) => {
                let said = panic.downcast_ref::<String>().map_or("", String::as_str);
                panic!("mutation {at} of {target} panics: {said}")
            }
        }
        if let Some(peak) = peak_memory() {
            assert!(peak < MEMORY, "mutation {at} of {target} takes {peak} bytes");
        }
    }
    eprintln!("{count} mutations: {loaded} loaded, refused by file: {refused:?}, peak {:?} bytes", peak_memory());
    assert!(loaded > 0 && refused.len() == FILES.len() || count < 100, "{refused:?}");
}
