//! The parts of an explanation as JSON.

use ring3::{Event, Explanation, Fact, Place};
use serde_json::{Value, json};

/// One object; its members are those of [`Explanation`].
pub(in crate::printer) fn json(explanation: &Explanation) -> Value {
    json!({
        "cause": explanation.cause,
        "reason": explanation.reason,
        "title": explanation.title,
        "errno": explanation.errno.to_string(),
        "message": explanation.message,
        "place": explanation.place.as_ref().map(place),
        "label": explanation.label,
        "required": explanation.required,
        "known": explanation.known.iter().map(fact).collect::<Value>(),
        "path": explanation.path.iter().map(event).collect::<Value>(),
        "suggestion": explanation.suggestion,
    })
}

fn place(place: &Place) -> Value {
    let source = place.source.as_ref().map(|source| {
        json!({
            "file": source.file,
            "line": source.line,
            "column": source.column,
            "text": source.text,
        })
    });
    json!({ "insn": place.insn, "text": place.text, "source": source })
}

fn fact(fact: &Fact) -> Value {
    let range = fact
        .range
        .map(|r| json!({ "smin": r.smin, "smax": r.smax, "umin": r.umin, "umax": r.umax }));
    let origin = fact
        .origin
        .as_ref()
        .map(|origin| json!({ "place": origin.place.as_ref().map(place), "text": origin.text }));
    json!({ "name": fact.name, "text": fact.text, "range": range, "origin": origin })
}

fn event(event: &Event) -> Value {
    json!({
        "place": place(&event.place),
        "kind": event.kind.word(),
        "subject": event.subject,
        "text": event.text,
    })
}
