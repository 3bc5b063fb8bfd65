//! What the client prints for one request without a screen (`-p --output-format json --verbose`) →
//! what it came to. Pure.
//!
//! It prints a list of messages at its end: what the API said of the windows, then the model's answer
//! or its own record of an error, then the result. Such a record says in its fields what one in a
//! conversation file says, under names of its own, and is read by the same rules. Its words are not
//! always those of a screen: a dead login is `Failed to authenticate …`, and only its `error` tells.

use serde_json::Value;

use crate::quota::json;
use crate::quota::transcript::refusal::{self, Refusal};
use crate::quota::verdict::{Context, Reading};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A model has spoken, also where usage credits paid for it.
    Answered,
    /// The client recorded an error; what it means.
    Failed(Reading),
}

/// `None`: it is no output of the client, or says neither. Resets are anchored at `context.now`.
pub fn read(output: &[u8], context: &Context<'_>) -> Option<Told> {
    let messages = match json::whole(output)? {
        Value::Array(messages) => messages,
        // Without `--verbose` the result is all.
        result @ Value::Object(_) => vec![result],
        _ => return None,
    };
    let last = |kind: &str| messages.iter().rfind(|message| text(message, "type") == Some(kind));
    let result = last("result")?;
    let record = last("assistant").filter(|message| text(message, "error").is_some());
    if result.get("is_error")?.as_bool()? {
        let limits = record
            .and_then(|record| record.get("api_error_params"))
            .or_else(|| last("rate_limit_event"))
            .and_then(|holder| holder.get("rate_limit_info"));
        return Some(Told::Failed(failure(record, result, limits, context)));
    }
    // A hook of an administrator may swallow the prompt: then nobody was asked.
    let tokens = result.get("usage").and_then(|usage| usage.get("output_tokens")?.as_u64());
    let has_answered =
        text(result, "subtype") == Some("success") && tokens.unwrap_or(0) > 0 && record.is_none();
    has_answered.then_some(Told::Answered)
}

fn failure(
    record: Option<&Value>,
    result: &Value,
    limits: Option<&Value>,
    context: &Context<'_>,
) -> Reading {
    let said = record.and_then(spoken).or_else(|| text(result, "result"));
    let field = |name: &str| record.and_then(|record| text(record, name));
    refusal::read(
        &Refusal {
            text: said.unwrap_or_default(),
            at: context.now,
            error: field("error"),
            api_error: field("api_error"),
            limit_type: limits.and_then(|limits| text(limits, "rateLimitType")),
            resets_at: limits.and_then(|limits| limits.get("resetsAt")?.as_i64()),
        },
        context,
    )
}

fn spoken(record: &Value) -> Option<&str> {
    let blocks = record.get("message")?.get("content")?.as_array()?;
    blocks.iter().find_map(|block| text(block, "text"))
}

fn text<'a>(message: &'a Value, field: &str) -> Option<&'a str> {
    message.get(field)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::moment::Wall;
    use crate::quota::verdict::{LimitKind, Verdict};

    const NOW: Wall = Wall(1_795_699_103_000);
    const RESET_S: i64 = 1_795_706_303;

    fn told(output: &Value) -> Option<Told> {
        let context = Context { now: NOW, zone: None, patterns: &[] };
        read(output.to_string().as_bytes(), &context)
    }

    fn verdict(output: &Value) -> Verdict {
        match told(output) {
            Some(Told::Failed(reading)) => reading.verdict,
            other => panic!("{other:?}"),
        }
    }

    /// As 2.1.250 prints it, with the event that comes before a refusal.
    fn failed(error: &str, said: &str) -> Value {
        json!([
            {"type": "system", "subtype": "init"},
            {"type": "rate_limit_event", "rate_limit_info":
                {"status": "rejected", "resetsAt": RESET_S, "rateLimitType": "five_hour"}},
            {"type": "assistant", "error": error, "is_api_error_message": true,
                "message": {"model": "<synthetic>", "content": [{"type": "text", "text": said}]}},
            {"type": "result", "subtype": "success", "is_error": true, "result": said,
                "usage": {"output_tokens": 0}},
        ])
    }

    #[test]
    fn the_error_of_the_record_decides() {
        let resets_at = Some(Wall(RESET_S * 1000));
        for (error, said, expected) in [
            (
                "rate_limit",
                "You've hit your session limit · resets 3:18pm (UTC)",
                Verdict::Exhausted { limit: LimitKind::FiveHour, resets_at },
            ),
            (
                "rate_limit",
                "Limit reached · resets 3:20pm (UTC) · /upgrade to Max 20x",
                Verdict::Exhausted { limit: LimitKind::Unnamed, resets_at },
            ),
            (
                "rate_limit",
                "You've hit your monthly spend limit · raise it at claude.ai/settings/usage",
                Verdict::SpendLimit { resets_at },
            ),
            ("rate_limit", "You've hit your Opus limit · resets 3:18pm", Verdict::ModelLimit),
            (
                "rate_limit",
                "API Error: Server is temporarily limiting requests (not your usage limit)",
                Verdict::Throttled,
            ),
            ("authentication_failed", "Failed to authenticate: …", Verdict::AuthFailed),
            ("oauth_org_not_allowed", "Your organization has disabled …", Verdict::AuthFailed),
            ("billing_error", "Credit balance is too low", Verdict::AuthFailed),
            ("server_error", "API Error: 500 Internal server error.", Verdict::ServerError),
            ("invalid_request", "API Error: 400 messages: something is wrong", Verdict::Clear),
        ] {
            assert_eq!(verdict(&failed(error, said)), expected, "{error}: {said}");
        }
    }

    #[test]
    fn the_newest_client_names_the_limit_itself() {
        let mut output = failed("rate_limit", "words that nobody knows");
        output[2]["api_error"] = json!("usage_limit_reached");
        output[2]["api_error_params"] = json!({"rate_limit_info":
            {"status": "rejected", "resetsAt": RESET_S + 1, "rateLimitType": "seven_day"}});
        let resets_at = Some(Wall((RESET_S + 1) * 1000));
        assert_eq!(verdict(&output), Verdict::Exhausted { limit: LimitKind::Weekly, resets_at });
    }

    #[test]
    fn an_answer_takes_a_model_that_speaks() {
        let answer = |tokens: u64, error: bool| {
            json!([
                {"type": "assistant", "message": {"model": "claude-haiku", "content": [
                    {"type": "text", "text": "You've hit your session limit · resets 3pm"}]}},
                {"type": "result", "subtype": "success", "is_error": error, "result": "yes",
                    "usage": {"output_tokens": tokens}},
            ])
        };
        assert_eq!(told(&answer(20, false)), Some(Told::Answered), "whatever it says");
        assert_eq!(told(&answer(20, false)[1]), Some(Told::Answered), "not verbose");
        let cut = answer(20, false).to_string().replace(r#""yes""#, r#""yes \ud83d""#);
        let context = Context { now: NOW, zone: None, patterns: &[] };
        assert_eq!(read(cut.as_bytes(), &context), Some(Told::Answered), "half a character");
        assert_eq!(told(&answer(0, false)), None, "nobody was asked");
        assert_eq!(verdict(&answer(0, true)), Verdict::Clear, "a word of the model is no error");
        let mut cut = answer(20, false);
        cut[1]["subtype"] = json!("error_max_turns");
        assert_eq!(told(&cut), None);
        let mut contradiction = failed("rate_limit", "Limit reached");
        contradiction[3]["is_error"] = json!(false);
        assert_eq!(told(&contradiction), None);
    }

    #[test]
    fn what_is_no_output_of_the_client_says_nothing() {
        for output in [
            json!([]),
            json!({}),
            json!("result"),
            json!([1, null, {"type": 7}]),
            json!({"type": "result"}),
            json!({"type": "result", "is_error": "no"}),
            json!({"type": "result", "is_error": false, "subtype": "success"}),
        ] {
            assert_eq!(told(&output), None, "{output}");
        }
        let context = Context { now: NOW, zone: None, patterns: &[] };
        for output in [&b""[..], b"Execution error", b"{\"type\":\"result\"", b"\xff\xfe"] {
            assert_eq!(read(output, &context), None);
        }
    }
}
