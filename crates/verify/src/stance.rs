//! Whether a sentence asserts the value it names, or denies, doubts, quotes, compares or asks for it.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

/// Bytes before a value that its clause has at most, and bytes after it in which it may be taken back.
const REACH: usize = 600;

fn words(list: &str) -> Regex {
    Regex::new(list).expect("the pattern is constant")
}

/// Words that deny what their clause names.
const DENYING_WORDS: &str = concat!(
    r"(?i)(?-u:\b)(?:not|no|never|cannot|neither|nor|none|without|wrong|incorrect|false|impossible|mistaken|mistake|trap",
    r"|untrue|invalid|exclud\w*|reject\w*|discard\w*|eliminat\w*|rul(?:e|es|ed|ing) out|extraneous|unable|except|anything but|anything except|other than|unlike",
    r"|rather than|instead of|besides|(?:all|every|any|each)(?-u:\b)[^.\n]{0,30}?(?-u:\b)but|unlikely|\w+n['’]t|nicht|kein\w*|falsch\w*|ne|pas|faux|fausse",
    r"|nunca|falso|incorrecta?|sbagliat\w*)(?-u:\b)|(?-u:\b)n(?:[ãa]o|on)\s",
    r"|不(?:是|对|对|为|能|会|可|应|选|等于|正确|成立)|并非|並非|没有|沒有|无解|无法|错|錯|有误|아니|아닌|틀린|ない|違|не\s|неверн|неправильн",
);
static DENYING: LazyLock<Regex> = LazyLock::new(|| words(DENYING_WORDS));

/// Words that call wrong what their clause names, wherever they stand in it.
const WRONG_WORDS: &str = concat!(
    r"(?i)(?-u:\b)(?:wrong|incorrect|erroneous|untrue|not true|false answer|false that|not the case|(?:cannot|can['’]t|couldn['’]t) be that|no way|(?:we|i|to) (?:discard|reject|exclude|eliminate)|mistaken?|misconception|pitfall|fallacy|trap|tempting",
    r"|doubt(?:s|ed|ful)?|den(?:y|ies)|disagree|refutes?|(?:do(?:es)? not|don['’]t|doesn['’]t|never|cannot) (?:think|believe|agree|claim|answer|choose)|falsche?r?|incorrecta?)(?-u:\b)",
    r"|错误|錯誤|不认为|不觉得|怀疑|不相信|未必|(?:不是|不为|並非|并非|不等于|不可能是|不能是)\s*$|틀린|неверн|неправильн",
);
static WRONG: LazyLock<Regex> = LazyLock::new(|| words(WRONG_WORDS));

/// Words that say that somebody else, or nobody, holds it.
const QUOTING_WORDS: &str = concat!(
    r"(?i)(?-u:\b)(?:says?|said|mentions?|mentioned|claims?|claimed|stat(?:es|ed) that|according to|the book|textbook|answer key|suppos(?:e|ing)|assum(?:e|ing)",
    r"|perhaps|maybe|possibly|guess|guessing|unsure|such that the|whether|supposedly|allegedly|(?:supposed|thought|believed|rumou?red) to|if the(?: correct)? answer",
    r"|at first (?:glance|sight|thought)|first guess|na[iï]ve(?:ly)?|intuitive(?:ly)?|would have been|asks? (?:why|whether|if|that)|(?:to|must|should|us) (?:show|prove) (?:that|why)|^\W*(?:show|prove|explain) (?:that|why)",
    r"|students? (?:often|usually|may|might|would|commonly|tend)|is what (?:most|many|some)|(?:some|many|most|others|everyone|people)\s+(?:\w+\s+)?(?:think|say|choose|pick|guess|expect|believe|answer)s?",
    r"|(?:one|you|they|we)\s+(?:might|may|could|would)\s+(?:\w+\s+)?(?:think|say|guess|expect|believe|answer|choose|pick)",
    r"|quizás|vielleicht|peut-être|(?:might|could|may|should have)\s+(?:well\s+|also\s+|have\s+)?be(?:en)?\s*$)(?-u:\b|$)",
    r"|假设|如果答案|题目说|书上|有人|说答案|以为|据说|别选|勿选|不要选|可能是|也许|或许|어쩌면|возможно",
);
static QUOTING: LazyLock<Regex> = LazyLock::new(|| words(QUOTING_WORDS));

/// All of them: a clause that has none is looked at once.
static DOUBTING: LazyLock<RegexSet> =
    LazyLock::new(|| RegexSet::new([DENYING_WORDS, WRONG_WORDS, QUOTING_WORDS]).expect("the patterns are constant"));

/// Words that make another value of the one they stand before.
static COMPARING: LazyLock<Regex> = LazyLock::new(|| {
    words(concat!(
        r"(?i)(?-u:\b)(?:than|less|more|greater|fewer|smaller|larger|bigger|between|differs?|different|close|near|nearly|almost",
        r"|least|most|twice|thrice|half|double|triple|squared?|cubed?|reciprocal|negative|opposite|inverse|root|off|minus|plus",
        r"|times|divided|multiple|multiplied|beyond|above|below|under|over|exceeds?|exceed|up to|within|factor|power|percent of",
        r"|point|sum of|product of|difference|adding|subtracting|multiplying|dividing|obtained|divisible|proportional)(?-u:\b)|比\s*$|小于|大于|少于|多于|接近|倍|相反数|倒数|平方|立方|超过|不到",
    ))
});

/// Words that take back what was said before.
static RETRACTING: LazyLock<Regex> = LazyLock::new(|| {
    words(concat!(
        r"(?i)(?-u:\b)(?:wait|actually|wrong|incorrect|mistake|mistaken|error|oops|sorry|correction|cannot solve|can['’]t solve",
        r"|could ?n[o'’]t (?:solve|find)|found nothing|find nothing|not sure|unsure|don['’]t know|do not know|is not the answer",
        r"|isn['’]t the answer|but i (?:get|got|find|found)|not correct|isn['’]t correct|isn['’]t right|not right|no solution",
        r"|let me re(?:check|consider|do|think)|should be|scratch that|make that|i meant|on second thought|however,? (?:that|this) (?:is|was|ignores?|forgets?|misses|overlooks?))(?-u:\b)|(?-u:\b)(?:edit|update|revised)\s*:|[.!?…,;]\s*no(?:pe)?[,.!]\s|不对|错了|錯了|等等|其实|有误|算错|更正|ошибка|틀렸",
    ))
});

/// The last clause of what stands before a value.
fn clause(before: &str) -> &str {
    let mut start = before.len().saturating_sub(REACH);
    while !before.is_char_boundary(start) {
        start += 1;
    }
    let before = &before[start..];
    let stop = |c: char| matches!(c, '.' | ',' | ';' | '!' | '?' | '\n' | '。' | '，' | '；' | '！' | '？');
    let cut = before.char_indices().rev().find(|(at, c)| {
        // A decimal point ends nothing.
        stop(*c) && !before[at + c.len_utf8()..].starts_with(|next: char| next.is_ascii_digit())
    });
    let clause = cut.map_or(before, |(at, c)| &before[at + c.len_utf8()..]);
    // `not 6 but 5`: what is denied is the other value.
    static INSTEAD: LazyLock<Regex> = LazyLock::new(|| {
        words(r"(?i)(?-u:\b)not(?-u:\b).{1,40}?(?-u:\b)but(?:\s+(?:rather|instead))?\s*$|(?:不是|并非).{1,40}?而是\s*$")
    });
    INSTEAD.find(clause).map_or(clause, |found| &clause[found.end()..])
}

/// Whether the words between the word `answer` and the value only lead to it: `the answer to part b is exactly`, not
/// `the answer is divisible by` nor `the answer ends in`.
pub fn leads_to_value(before: &str) -> bool {
    let clause = clause(before);
    static ANSWER: LazyLock<Regex> = LazyLock::new(|| {
        words(r"(?i)(?-u:\b)(?:answers?|respuesta|réponse|antwort|resposta|risposta)(?-u:\b)|答案|ответ|答え|정답")
    });
    static LEADING: LazyLock<Regex> = LazyLock::new(|| {
        words(concat!(
            r"(?i)^(?:[^\p{L}\p{N}<>≤≥≠≈~±]|\\[a-z]+|(?-u:\b)(?:is|are|was|be|will|would|must|should|has to|therefore|thus|hence|indeed|actually",
            r"|in fact|exactly|just|simply|clearly|then|now|also|still|again|only|equals?|equal to|comes? (?:out )?to|turns out|becomes|(?:we|you|i) (?:get|have|obtain|seek|want|find)|given by|final|the (?:number|value|integer|fraction|same)",
            r"|approximately|about|roughly|correct|right|day|(?:option|choice|letter)s?|[a-z]\s*=|(?:to|for|of|in)(?-u:\b)[^,;]{1,60}?(?-u:\b)(?:is|are)",
            r"|es|la|est|ist|lautet|correcta|finale|correcte)(?-u:\b)|[a-z]\s*=|[éè]|最终|正确|大?约|应该?|[为是就即便也选项]|等于|は|[은는])*$",
        ))
    });
    let Some(found) = ANSWER.find_iter(clause).last() else { return true };
    let between = &clause[found.end()..];
    // Behind a colon stands a sentence of its own.
    between.contains([':', '：']) || LEADING.is_match(between)
}

/// Whether a value is given under a condition only: `if n were even, the answer would be`.
fn is_conditional(before: &str) -> bool {
    static CONDITION: LazyLock<Regex> = LazyLock::new(|| {
        words(concat!(
            r"(?i)^\W*(?:(?:\w+[\s,]+){0,2}(?-u:\b)(?:if|unless|had (?:we|it|the|he|she|they|you|i)|were (?:we|it|the))(?-u:\b)|[^，]{0,4}(?:如果|假如|倘若|要是|若)).*",
            r"(?:(?-u:\b)(?:would|answer|option|choice)|答案|选)|(?-u:\b)if it were(?-u:\b)",
        ))
    });
    let sentence = before.rsplit(['\n', '。', '!', '?', '！', '？']).next().unwrap_or_default();
    let sentence = sentence.rsplit(". ").next().unwrap_or_default();
    sentence.len() <= REACH && CONDITION.is_match(sentence)
}

/// Whether the words between an announcement and its value deny it: `not enough to get 5`.
pub fn is_denied_between(words: &str) -> bool {
    DENYING.is_match(words) || QUOTING.is_match(words)
}

/// What stands between the verb that gives a value and the value.
fn given(clause: &str) -> &str {
    static GIVES: LazyLock<Regex> = LazyLock::new(|| {
        words(
            r"(?i)(?-u:\b)(?:is|are|was|were|(?:must|will|would|should|to) be|equals|has|have|gives?)(?-u:\b)|[=:：是为得]",
        )
    });
    GIVES.find_iter(clause).last().map_or(clause, |found| &clause[found.end()..])
}

/// Whether a value is asserted by the words before it in its clause and by those right after it.
pub fn asserts(before: &str, after: &str) -> bool {
    let clause = clause(before);
    !denies(before, after) && !COMPARING.is_match(given(clause)) && !is_conditional(before)
}

/// Whether a value is denied or only quoted by its clause.
pub fn denies(before: &str, after: &str) -> bool {
    let clause = clause(before);
    let spoken = |text: &str| text.contains(|c: char| c.is_alphabetic());
    let doubted = spoken(clause)
        && DOUBTING.is_match(clause)
        && (WRONG.is_match(clause) || QUOTING.is_match(clause) || DENYING.is_match(given(clause)));
    let sentence = after.split(['.', '!', '\n', '。', '！']).next().unwrap_or_default();
    doubted || sentence.contains(['?', '？']) || spoken(after) && is_denied(without_reason(after))
}

/// Whether the rest of a sentence denies the value before it: `5 is not the answer`, `5 is wrong`, `5? No`.
fn is_denied(after: &str) -> bool {
    static AFTER: LazyLock<Regex> = LazyLock::new(|| {
        words(concat!(
            r"(?i)^[\s()\]}*_$'’\x22”]*(?:[?？]|(?:[,，]\s*)?(?:which|but (?:this|that|it)) (?:is|was|might be|may be) (?:not|a red herring|wrong|incorrect|impossible|extraneous|absurd)(?-u:\b)|(?:(?:is correct )?only (?:if|when)|is correct (?:if|when)|(?:is correct )?unless)(?-u:\b)|(?:\p{L}+[\s$]+){1,3}(?:is|was|are|were)\s+(?:not (?:the|a|an|right|correct)|wrong|incorrect|a trap|the wrong|an incorrect)(?-u:\b)|(?:was|were|is) (?:expected|supposed|claimed)(?-u:\b)|(?:(?:is|was|are|would be|seems?|looks|as an answer)\s+)?(?:\w+ly\s+)?(?:not|wrong|incorrect|false|impossible|a trap|the wrong|an incorrect|no solution|extraneous|excluded|rejected|tempting)(?-u:\b)",
            r"|(?:is|was|are|does|do|can|could|would)n['’]t(?-u:\b)|is what (?:most|many|some)(?-u:\b)|(?:must|should|can|is to) be (?:rejected|discarded|excluded|ruled out|eliminated)|leads? to a contradiction|contradicts(?-u:\b)|(?:does|do|did|can|could|would)\s?not(?-u:\b)|cannot(?-u:\b)|(?:is|are|was) too(?-u:\b)|(?:fails?|is excluded)(?-u:\b)|(?:more|less|fewer|greater|higher|lower|larger|smaller) than(?-u:\b)|(?:is|was) (?:a|the|an) (?:wrong|incorrect|false|trap|mistake)",
            r"|(?:[^。，\n]{0,15}|，[^。\n]{0,4}检验[^。\n]{0,10})(?:错误|舍去|不符|不合|矛盾|不成立)|吗|么？|不是|不对|是错|错误|错|不正确|有误|가 아니|이 아니|はない|では?ない|не )",
        ))
    });
    AFTER.is_match(after)
}

/// Whether what follows an answer takes it back.
pub fn takes_back(after: &str) -> bool {
    let mut end = after.len().min(REACH);
    while !after.is_char_boundary(end) {
        end -= 1;
    }
    RETRACTING.is_match(&after[..end])
}

/// Whether the words right around a box make another value of it: `twice \boxed{5}`, `half of \boxed{5}`,
/// `\boxed{5} times 2`.
pub fn changes_box(before: &str, after: &str) -> bool {
    static BEFORE: LazyLock<Regex> = LazyLock::new(|| {
        words(concat!(
            r"(?i)(?-u:\b)(?:minus|negative|twice|thrice|double|triple|half|than|times|plus|between|nearly|almost|under|over|above|below",
            r"|(?:half|third|quarter|square root|square|cube|reciprocal|opposite|inverse|negative) of)[\s$(]*$|(?:负|非|大于|小于|超过|不足|不到)$",
        ))
    });
    static AFTER: LazyLock<Regex> = LazyLock::new(|| {
        words(
            r"(?i)^[\s$})\]*]*(?-u:\b)(?:(?:times|plus|minus|over|divided by|multiplied by)\s*[\d$\\(]|squared(?-u:\b)|cubed(?-u:\b)|or\s*[\d$\\(])|^的(?:平方|立方|倍|相反|倒)",
        )
    });
    BEFORE.is_match(before) || AFTER.is_match(after)
}

/// Whether what follows a box takes it back.
pub fn takes_back_box(after: &str) -> bool {
    static AGAIN: LazyLock<Regex> = LazyLock::new(|| {
        words(concat!(
            r"(?i)(?-u:\b)(?:wait(?-u:\b)[^\n]{0,80}?(?-u:\b)(?:wrong|incorrect|not|no|mistake|error|should|redo|let me)|actually,|scratch that|oops|(?:that|this|it)(?: i|['’])s (?:wrong|incorrect|not (?:right|correct))|i made an? (?:error|mistake)",
            r"|i was wrong|correction:|my mistake)(?-u:\b|)|(?:^|[.!?\n])\s*actually\s+(?:it|that|the|i)(?-u:\b)|这不对|我算错|算错了|等等，",
        ))
    });
    let mut end = after.len().min(REACH);
    while !after.is_char_boundary(end) {
        end -= 1;
    }
    after[..end].contains(|c: char| c.is_alphabetic()) && AGAIN.is_match(&after[..end])
}

/// Without the reason, or the mark of approval, that follows an answer: `5, because 6 fails`, `5 as required`, `5 ✓`.
fn without_reason(text: &str) -> &str {
    static REASON: LazyLock<Regex> = LazyLock::new(|| {
        words(concat!(
            r"(?i)[\s,;(]+(?:since|because|as (?:required|desired|needed|expected|claimed)|due to|given that)(?-u:\b)[^\n]*$",
            r"|\s*[(\[](?:correct|checked)[)\]][.!]?\s*$|\s*[✓✔✅][^\n]{0,3}$",
        ))
    });
    REASON.find(text).filter(|found| found.start() > 0).map_or(text, |found| &text[..found.start()])
}

/// What a list of alternatives asserts: `7, not 5` and `not 5 but 7` are 7.
pub fn asserted(text: &str) -> &str {
    let text = without_reason(text);
    static DENIED: LazyLock<Regex> = LazyLock::new(|| {
        words(
            r"(?i)^(?:\s*(?:definitely\s+)?not\s+[^.\n]{1,40}?,?\s+but(?:\s+rather)?\s+)|[\s,;(]+(?:and\s+)?(?:not|rather than|instead of)\s[^\n]*$|[，,]?(?:而不是|不是)[^\n]*$",
        )
    });
    // `does not exist` denies no other value.
    static VERB: LazyLock<Regex> = LazyLock::new(|| {
        words(r"(?i)(?-u:\b)(?:does|do|did|is|are|was|were|can|could|will|would|may|must|should)\s*$")
    });
    match DENIED.find(text).filter(|found| !VERB.is_match(&text[..found.start()])) {
        Some(found) if found.start() == 0 && found.end() < text.len() => &text[found.end()..],
        Some(found) if found.start() > 0 => &text[..found.start()],
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_assert_or_do_not() {
        for (before, after) in [
            ("The answer is ", ""),
            ("Since x cannot be negative, the answer is ", "."),
            ("there are ", " ways to do it"),
            ("因此答案是", "。"),
            ("x = 2.5 and so y is ", " metres, which is not much"),
        ] {
            assert!(asserts(before, after), "{before} … {after}");
        }
        for (before, after) in [
            ("The answer is not ", ""),
            ("The wrong answer is ", ""),
            ("The book says the answer is ", ""),
            ("The answer is less than ", ""),
            ("The answer is the reciprocal of ", ""),
            ("Perhaps it is ", ""),
            ("", " is not the answer"),
            ("", " is the wrong answer"),
            ("Is the answer ", "? No."),
            ("정답은 ", "가 아니다"),
            ("答案不是", ""),
        ] {
            assert!(!asserts(before, after), "{before} … {after}");
        }
        assert!(takes_back(" Wait, that is wrong. It is 7."));
        assert!(!takes_back(" I hope it is helpful."));
        for (text, part) in [("7, not 5", "7"), ("not 5 but 7", "7"), ("7 (not 5)", "7"), ("7", "7")] {
            assert_eq!(asserted(text), part);
        }
    }
}
