//! Text files in every form.

use super::Case;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

const ROLLOUTS: &str = "as: rollouts";

fn row(prompt: &str) -> Value {
    json!({"prompt": prompt, "answer": "4", "completion": "\\boxed{4}"})
}

fn lines(prompts: &[&str]) -> String {
    prompts.iter().map(|prompt| row(prompt).to_string() + "\n").collect()
}

fn completion(text: &str) -> Value {
    json!({ "completion": text })
}

fn piped(program: &str, input: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(program).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    child.stdin.take()?.write_all(input).ok()?;
    Some(child.wait_with_output().ok()?.stdout)
}

/// The one Zstandard frame of `input`, uncompressed inside: a magic number, a header and a raw block.
fn zstd_frame(input: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend((input.len() as u32).to_le_bytes());
    frame.extend(&((input.len() as u32) << 3 | 1).to_le_bytes()[..3]);
    frame.extend(input);
    frame
}

pub fn cases() -> Vec<Case> {
    let four = || vec![completion("\\boxed{4}"), completion("\\boxed{4}")];
    let two = lines(&["a", "b"]);
    let case = |name, content: &[u8]| Case::new("JSON", name, content, ROLLOUTS).rows(four());
    let utf16 = |text: &str, big: bool| -> Vec<u8> {
        let bytes = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect()
    };
    let marked = format!("\u{feff}{two}");
    let list = json!([row("a"), row("b")]);
    let columns = json!({"prompt": {"0": "a", "1": "b"}, "answer": {"0": "4", "1": "4"}, "completion": {"0": "\\boxed{4}", "1": "\\boxed{4}"}});
    let mut cases = vec![
        case("lines", two.as_bytes()),
        case("a mark at the beginning", marked.as_bytes()),
        case("Windows line ends and blank lines", two.replace('\n', "\r\n\r\n").as_bytes()),
        case("UTF-16, little end first", &utf16(&two, false)),
        case("UTF-16, big end first", &utf16(&two, true)),
        case("upper case", two.as_bytes()).file("A.JSONL"),
        case("ndjson", two.as_bytes()).file("a.ndjson"),
        case("a list in .jsonl", serde_json::to_string_pretty(&list).expect("JSON").as_bytes()),
        case("a list", list.to_string().as_bytes()).file("a.json"),
        case("a list with a mark", format!("\u{feff}{list:#}").as_bytes()).file("a.json"),
        case("lines in .json", two.as_bytes()).file("a.json"),
        case("wrapped", json!({ "data": list }).to_string().as_bytes()).file("a.json"),
        case("wrapped beside other keys", json!({"version": 3, "rows": list}).to_string().as_bytes()).file("a.json"),
        case("by id", json!({"x1": row("a"), "x2": row("b")}).to_string().as_bytes()).file("a.json"),
        case("what Python writes for no number", two.replace("{\"prompt\"", "{\"score\": NaN, \"prompt\"").as_bytes()),
        case("by columns", columns.to_string().as_bytes()).file("a.json"),
        case("zst", &zstd_frame(two.as_bytes())).file("a.jsonl.zst"),
        case("zst of a list", &zstd_frame(list.to_string().as_bytes())).file("a.JSON.zst"),
        Case::new("JSON", "lines that are no objects", format!("{two}[\"q\", 1]\n\"x\"\n12\nnull\n"), ROLLOUTS)
            .rows(four())
            .says(&["4 not_object"]),
        Case::new("JSON", "the last line cut off", format!("{two}{{\"prompt\": \"c\", \"ans"), ROLLOUTS)
            .rows(four())
            .says(&["1 not_json"]),
        Case::new(
            "JSON",
            "a line in Latin-1",
            [two.as_bytes(), b"{\"prompt\": \"caf\xe9 2\", \"completion\": \"x\"}"].concat(),
            ROLLOUTS,
        )
        .says(&["a.jsonl", "line 3, byte 16: 0xe9 is not UTF-8", "iconv -f WINDOWS-1252"]),
        Case::new(
            "JSON",
            "another encoding",
            [two.as_bytes(), b"{\"prompt\": \"\xc4\xe3\xba\xc3\"}"].concat(),
            ROLLOUTS,
        )
        .file("a.ndjson")
        .says(&["a.ndjson", "line 3, byte 13: 0xc4 is not UTF-8", "ITS-ENCODING"]),
        Case::new("JSON", "UTF-16 cut off", utf16(&two, false)[..41].to_vec(), ROLLOUTS).says(&["iconv -f UTF-16"]),
        Case::new("JSON", "UTF-32", b"\xff\xfe\0\0{\0\0\0".as_slice(), ROLLOUTS).says(&["iconv -f UTF-32"]),
        Case::new("JSON", "an empty file", "", ROLLOUTS).says(&["the files have no rows"]),
        Case::new("JSON", "an empty list", "[]", ROLLOUTS).file("a.json").says(&["the files have no rows"]),
        Case::new("JSON", "several lists", json!({"train": list, "test": list}).to_string(), ROLLOUTS)
            .file("a.json")
            .says(&["several lists of rows: `train`, `test`"]),
        Case::new("JSON", "a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:0", ROLLOUTS)
            .says(&["git lfs pull"]),
        Case::new("JSON", "another kind of file", "x", ROLLOUTS).file("a.xlsx").says(&["ends in `.xlsx`", ".parquet"]),
    ];
    match piped("gzip", two.as_bytes()) {
        Some(gz) => {
            cases.push(case("gz", &gz).file("a.jsonl.gz"));
            cases.push(
                Case::new("JSON", "gz cut off", &gz[..gz.len() / 2], ROLLOUTS).file("a.jsonl.gz").says(&["a.jsonl.gz"]),
            );
        }
        None => {
            let _ = writeln!(std::io::stderr(), "SKIPPED two files: there is no gzip");
        }
    }
    let csv =
        |name, content: &str, rows: Vec<Value>| Case::new("CSV", name, content, ROLLOUTS).file("a.csv").rows(rows);
    let quoted = "line one\nline \"two\", and 4";
    cases.extend([
        csv(
            "an index without a name",
            ",prompt,answer,completion\n0,2+2=,4,4\n1,3+3=,,6\n2,,8,8\n",
            vec![completion("4"), completion("6")],
        )
        .says(&["1 no_prompt", "not used: `column 1`"]),
        csv("an empty cell is no answer", "prompt,answer,completion\na,,4\n", vec![json!({"reference_answer": null})])
            .table("prompts"),
        csv(
            "line ends and quotes in cells",
            "prompt,answer,completion\n\"a\nb\",4,\"line one\nline \"\"two\"\", and 4\"\n",
            vec![completion(quoted)],
        ),
        csv("Excel's word for the separator", "sep=|\r\nprompt|answer|completion\r\na|4|4\r\n", vec![completion("4")]),
        csv(
            "semicolons",
            "prompt;answer;completion\r\na;4;\"line one\nline \"\"two\"\", and 4\"\r\n",
            vec![completion(quoted)],
        ),
        csv(
            "ragged rows",
            "prompt,answer,completion\na,4,4\nb,6\nc,10,10,more\nd,8,8\n",
            vec![completion("4"), completion("8")],
        )
        .says(&["2 ragged_row"]),
        csv("tabs", "prompt\tanswer\tcompletion\na\t4\t4\n", vec![completion("4")]).file("a.tsv"),
        csv("a mark", "\u{feff}prompt,answer,completion\na,4,4\n", vec![completion("4")]),
        csv(
            "messages as JSON text",
            "messages,completion\n\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"hi\"\"}]\",4\n",
            vec![json!({"messages": [{"role": "user", "content": "hi"}]})],
        )
        .table("prompts"),
        Case::new(
            "CSV",
            "counts are text",
            "prompt,answer,completion,completion_tokens\na,4,4,100\nb,4,4,5\n",
            "as: rollouts, max_tokens: 100",
        )
        .file("a.csv")
        .rows([
            json!({"completion_tokens": 100, "finish_reason": "length"}),
            json!({"completion_tokens": 5, "finish_reason": "unknown"}),
        ]),
        Case::new("CSV", "Latin-1", b"prompt,answer,completion\ncaf\xe9,4,4\n".as_slice(), ROLLOUTS)
            .file("a.csv")
            .says(&["a.csv", "line 2, byte 4: 0xe9 is not UTF-8", "may be in Latin-1"]),
        Case::new("CSV", "a header in Latin-1", b"pr\xe9nom,answer,completion\nx,4,4\n".as_slice(), ROLLOUTS)
            .file("a.csv")
            .says(&["line 1, byte 3", "may be in Latin-1"]),
        csv("UTF-16", "", vec![completion("4")]).content(utf16("prompt,answer,completion\na,4,4\n", false)),
    ]);
    cases
}
