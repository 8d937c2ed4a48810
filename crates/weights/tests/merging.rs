//! Merges of whole folders: against mergekit's results (RETORT_TEST_DATA), and by what must hold for any checkpoints.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // helpers of tests; skipping must be seen

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use retort_weights::{
    Checkpoint, Dtype, MergeMethod, MergeSettings, Parameters, Setting, TensorShape, distances, merge, write_checkpoint,
};
use serde_json::{Value, json};

fn test_data(part: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("RETORT_TEST_DATA") else {
        eprintln!("SKIPPED: needs {part}; set RETORT_TEST_DATA");
        return None;
    };
    Some(Path::new(&root).join(part))
}

fn read(settings: &str) -> MergeSettings {
    serde_saphyr::from_str(settings).unwrap()
}

/// The largest difference between two checkpoints with the same tensors, those left out that `skipped` names.
fn difference(ours: &Path, theirs: &Path, skipped: impl Fn(&str) -> bool) -> f32 {
    let (ours, theirs) = (Checkpoint::open(ours).unwrap(), Checkpoint::open(theirs).unwrap());
    assert_eq!(ours.names().collect::<Vec<_>>(), theirs.names().collect::<Vec<_>>());
    let mut worst = 0.0_f32;
    for name in theirs.names().filter(|name| !skipped(name)) {
        let ((shape, a), (expected, b)) = (ours.tensor_f32(name).unwrap(), theirs.tensor_f32(name).unwrap());
        assert_eq!(shape, expected, "{name}");
        worst = a.iter().zip(&b).fold(worst, |worst, (a, b)| worst.max((a - b).abs()));
    }
    worst
}

#[test]
fn every_method_equals_mergekit_by_its_own_file() {
    let Some(root) = test_data("reference/mergekit") else { return };
    let mut seen = 0;
    let mut wrong = Vec::new();
    for family in ["llama", "qwen2"].map(|family| root.join(family)) {
        let opened = ["base", "short", "long"].map(|name| (name, Checkpoint::open(&family.join(name)).unwrap()));
        let inputs: Vec<(&str, &Checkpoint)> = opened.iter().map(|(name, checkpoint)| (*name, checkpoint)).collect();
        for expected in std::fs::read_dir(family.join("expected")).unwrap() {
            let expected = expected.unwrap().path();
            let settings = read(&std::fs::read_to_string(expected.join("merge.yaml")).unwrap());
            let out = tempfile::tempdir().unwrap();
            merge(&settings, &inputs, 0, out.path()).unwrap();
            // Where a tenth of a tensor is less than one element, mergekit 0.1.4 keeps nothing of it instead of leaving out no
            // outlier (`indices[n_bot:-0]` is empty; mended in 0.1.5): its results hold the base there.
            let nothing_kept =
                |name: &str| expected.ends_with("breadcrumbs") && opened[0].1.tensor_f32(name).unwrap().1.len() < 10;
            let theirs = Checkpoint::open(&expected).unwrap();
            for name in theirs.names().filter(|name| nothing_kept(name)) {
                assert_eq!(theirs.tensor_f32(name).unwrap(), opened[0].1.tensor_f32(name).unwrap());
            }
            let worst = difference(out.path(), &expected, nothing_kept);
            if worst > 1e-6 {
                wrong.push(format!("{}: {worst:e}", expected.display()));
            }
            let layers = |folder: &Path| Checkpoint::open(folder).unwrap().config_json()["num_hidden_layers"].clone();
            assert_eq!(layers(out.path()), layers(&expected), "{}", expected.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 34);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A checkpoint of two layers with random weights around `scale`.
fn checkpoint(folder: &Path, seed: u64, scale: f32, config: &Value) -> Checkpoint {
    let names = ["model.embed_tokens.weight", "model.layers.0.mlp.w", "model.layers.1.mlp.w", "model.norm.weight"];
    let tensors = names.map(|name| TensorShape { name: name.to_owned(), shape: vec![300, 500] });
    let mut state = seed;
    write_checkpoint(folder, config, &tensors, Dtype::Float32, None, |_| {
        let draw = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * scale
        };
        Ok(Cow::Owned((0..150_000).map(draw).collect()))
    })
    .unwrap();
    Checkpoint::open(folder).unwrap()
}

fn config() -> Value {
    json!({ "model_type": "x", "num_hidden_layers": 2, "eos_token_id": 1, "pad_token_id": 0 })
}

struct Three {
    folder: tempfile::TempDir,
    base: Checkpoint,
    one: Checkpoint,
    two: Checkpoint,
}

impl Three {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str, seed| checkpoint(&folder.path().join(name), seed, 0.1, &config());
        Self { base: open("base", 1), one: open("one", 2), two: open("two", 3), folder }
    }

    fn merge(&self, settings: &str, seed: u64) -> Result<(PathBuf, Vec<Vec<f32>>), String> {
        let inputs = [("base", &self.base), ("one", &self.one), ("two", &self.two)];
        let out = self.folder.path().join(format!("out-{}-{seed}", settings.len()));
        merge(&read(settings), &inputs, seed, &out).map_err(|error| error.to_string())?;
        let merged = Checkpoint::open(&out).unwrap();
        let tensors = merged.names().map(|name| merged.tensor_f32(name).unwrap().1).collect();
        Ok((out, tensors))
    }
}

#[test]
fn dare_keeps_its_share_and_the_size_of_the_change() {
    let three = Three::new();
    let settings = "{merge_method: dare_linear, base_model: base, models: [{model: one, parameters: {density: 0.3}}]}";
    let (out, merged) = three.merge(settings, 7).unwrap();
    for (name, merged) in three.base.names().zip(&merged) {
        let (base, one) = (three.base.tensor_f32(name).unwrap().1, three.one.tensor_f32(name).unwrap().1);
        let kept = merged.iter().zip(&base).filter(|(merged, base)| merged != base).count() as f64 / base.len() as f64;
        assert!((kept - 0.3).abs() < 0.01, "{name}: {kept}");
        let size = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>();
        let share = size(merged, &base) / size(&one, &base);
        assert!((share - 1.0).abs() < 1e-4, "{name}: {share}");
    }
    let bytes = |out: &Path| std::fs::read(out.join("model.safetensors")).unwrap();
    let first = bytes(&out);
    assert!(first == bytes(&three.merge(settings, 7).unwrap().0), "the same seed gives the same bytes");
    assert!(first != bytes(&three.merge(settings, 8).unwrap().0), "another seed drops others");
    let unscaled = settings.replace("models:", "parameters: {rescale: false}, models:");
    let (_, plain) = three.merge(&unscaled, 7).unwrap();
    let base = three.base.tensor_f32("model.norm.weight").unwrap().1;
    let one = three.one.tensor_f32("model.norm.weight").unwrap().1;
    assert!(plain[3].iter().zip(base.iter().zip(&one)).all(|(x, (base, one))| x == base || (x - one).abs() < 1e-6));
}

#[test]
fn a_threads_count_changes_no_byte() {
    let three = Three::new();
    let models = "base_model: base, models: [{model: one, parameters: {weight: 0.7}}, {model: two}]";
    for method in
        ["linear", "ties", "dare_ties", "breadcrumbs", "sce", "karcher", "multislerp", "nuslerp", "model_stock"]
    {
        let bytes = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let models = if matches!(method, "sce" | "karcher" | "model_stock") {
                models.replace(", parameters: {weight: 0.7}", "")
            } else {
                models.to_owned()
            };
            let (out, _) = pool.install(|| three.merge(&format!("{{merge_method: {method}, {models}}}"), 1)).unwrap();
            std::fs::read(out.join("model.safetensors")).unwrap()
        };
        assert!(bytes(1) == bytes(4), "{method}");
    }
}

#[test]
fn layers_can_be_stacked() {
    let three = Three::new();
    let slices = "{merge_method: passthrough, slices: [{sources: [{model: one, layer_range: [0, 2]}]}, \
                  {sources: [{model: two, layer_range: [1, 2], parameters: {scale: [{filter: mlp, value: 0.5}]}}]}]}";
    let (out, _) = three.merge(slices, 0).unwrap();
    let merged = Checkpoint::open(&out).unwrap();
    assert_eq!(merged.config_json()["num_hidden_layers"], 3);
    let tensor = |checkpoint: &Checkpoint, name: &str| checkpoint.tensor_f32(name).unwrap().1;
    let halved: Vec<f32> = tensor(&three.two, "model.layers.1.mlp.w").iter().map(|x| x * 0.5).collect();
    assert_eq!(tensor(&merged, "model.layers.1.mlp.w"), tensor(&three.one, "model.layers.1.mlp.w"));
    assert_eq!(tensor(&merged, "model.layers.2.mlp.w"), halved);
    assert_eq!(tensor(&merged, "model.norm.weight"), tensor(&three.two, "model.norm.weight"));
    assert_eq!(tensor(&merged, "model.embed_tokens.weight"), tensor(&three.one, "model.embed_tokens.weight"));
}

#[test]
fn the_tokens_are_those_of_the_model_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let one = checkpoint(&folder.path().join("one"), 1, 0.1, &config());
    let mut other = config();
    other["eos_token_id"] = json!([5, 6]);
    other.as_object_mut().unwrap().remove("pad_token_id");
    let two = checkpoint(&folder.path().join("two"), 2, 0.1, &other);
    std::fs::write(folder.path().join("one/chat_template.jinja"), "one").unwrap();
    std::fs::write(folder.path().join("two/chat_template.jinja"), "two").unwrap();
    let inputs = [("one", &one), ("two", &two)];
    let (first, second) = (folder.path().join("a"), folder.path().join("b"));
    let merged = merge(&read("{models: [{model: one}, {model: two}]}"), &inputs, 0, &first).unwrap();
    assert!(merged.warnings.iter().any(|warning| warning.contains("chat templates")), "{:?}", merged.warnings);
    let named = "{models: [{model: one}, {model: two}], tokenizer_source: two}";
    assert_eq!(merge(&read(named), &inputs, 0, &second).unwrap().warnings, Vec::<String>::new());
    let template = |out: &Path| std::fs::read_to_string(out.join("chat_template.jinja")).unwrap();
    assert_eq!((template(&first), template(&second)), ("one".to_owned(), "two".to_owned()));
    let config = Checkpoint::open(&second).unwrap().config_json().clone();
    assert_eq!((&config["eos_token_id"], config.get("pad_token_id")), (&json!([5, 6]), None));
}

#[test]
fn mistakes_are_named() {
    let check = |settings: &str| read(settings).check().map_err(|error| error.to_string()).err().unwrap_or_default();
    for (settings, words) in [
        ("{models: [{model: a}], slices: [{sources: [{model: a, layer_range: [0, 1]}]}]}", "both are given"),
        ("{}", "neither is given"),
        ("{merge_method: ties, models: [{model: a}]}", "ties needs `base_model`"),
        ("{merge_method: slerp, base_model: a, models: [{model: a}, {model: b}, {model: c}]}", "takes 1 models beside"),
        ("{merge_method: nuslerp, models: [{model: a}]}", "takes 2 models beside the base model, 1 are given"),
        ("{models: [{model: a, parameters: {density: 0.5}}]}", "`density` is not read by linear, which reads `weight`"),
        ("{models: [{model: a, parameters: {weight: -1}}, {model: b}]}", "the weights sum to `0`"),
        ("{merge_method: slerp, base_model: a, models: [{model: b}], parameters: {t: [0, 2]}}", "`t` is `2`"),
        ("{models: [{model: a}], tokenizer_source: union}", "`tokenizer_source` is `union`"),
        (
            "{merge_method: passthrough, slices: [{sources: [{model: a, layer_range: [2, 2]}]}]}",
            "slice 0: the `layer_range`s must be equally long",
        ),
    ] {
        assert!(check(settings).contains(words), "{settings}: {}", check(settings));
    }
    let two = check("{merge_method: ties, models: [{model: a, parameters: {t: 1}}], tokenizer_source: union}");
    assert!(two.contains("union") && two.contains("`t` is not read") && two.contains("`base_model`"), "{two}");
    assert!(serde_saphyr::from_str::<MergeSettings>("{merge_method: fancy}").is_err());
}

#[test]
fn models_that_mean_something_else_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = config();
    other["rope_theta"] = json!(1e6);
    let one = checkpoint(&folder.path().join("one"), 1, 0.1, &config());
    let two = checkpoint(&folder.path().join("two"), 2, 0.1, &other);
    let settings = MergeSettings::of(MergeMethod::Linear, &["one", "two"]);
    let error = merge(&settings, &[("one", &one), ("two", &two)], 0, &folder.path().join("out")).unwrap_err();
    assert!(error.to_string().contains("rope_theta"), "{error}");
}

#[test]
fn distances_are_told_without_merging() {
    let three = Three::new();
    let mut settings = MergeSettings::of(MergeMethod::Ties, &["one", "two", "base"]);
    settings.base_model = Some("base".to_owned());
    settings.parameters = Parameters { density: Some(Setting::Value(0.5)), ..Parameters::default() };
    let inputs = [("base", &three.base), ("one", &three.one), ("two", &three.two)];
    let found = distances(&settings, &inputs).unwrap();
    assert_eq!(found.len(), 4);
    let norm = |name: &str, checkpoint: &Checkpoint| {
        let (a, b) = (checkpoint.tensor_f32(name).unwrap().1, three.base.tensor_f32(name).unwrap().1);
        a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    };
    for tensor in &found {
        assert!((tensor.norms[0] / norm(&tensor.name, &three.one) - 1.0).abs() < 1e-9);
        // Two changes from one base share it: about 60 degrees apart.
        assert!((tensor.cosines[0].unwrap() - 0.5).abs() < 0.02, "{tensor:?}");
    }
}
