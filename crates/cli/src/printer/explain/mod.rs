//! Explanations of rejections, in the manner of rustc's errors.

mod json;
mod lines;

use annotate_snippets::{AnnotationKind, Group, Level, Message, Renderer, Snippet};
use ring3::{Event, Explanation, Fact};

use crate::command::ProgramReport;

pub(super) use json::json;
use lines::Lines;

/// Columns that notes are wrapped to.
const WIDTH: usize = 100;

/// The block below a rejected program's line.
pub(super) fn text(report: &ProgramReport, explanation: &Explanation, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let title = Level::ERROR.primary_title(explanation.title.as_str()).id(explanation.cause);
    let mut group = Group::with_title(title);
    let pieces = lines::of(report, explanation);
    for piece in &pieces {
        group = group.element(snippet(piece, explanation));
    }
    group = group.elements(notes(explanation));
    renderer.render(&[group])
}

fn snippet<'a>(
    piece: &'a Lines,
    explanation: &'a Explanation,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let mut snippet =
        Snippet::source(&piece.text).line_start(piece.first).path(&piece.path).fold(true);
    if let Some(span) = explanation.place.as_ref().and_then(|place| piece.span(place)) {
        snippet = snippet
            .annotation(AnnotationKind::Primary.span(span).label(fault_label(piece, explanation)));
    }
    for event in &explanation.path {
        if let Some(span) = piece.span(&event.place) {
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(&event.text));
        }
    }
    snippet
}

/// What happens at the fault; below C source with the instruction.
fn fault_label(piece: &Lines, explanation: &Explanation) -> String {
    match &explanation.place {
        Some(place) if piece.is_source && explanation.label != place.text => {
            format!("{} ({}: {})", explanation.label, place.insn, place.text)
        }
        Some(place) if piece.is_source => format!("{}: {}", place.insn, place.text),
        _ => explanation.label.clone(),
    }
}

fn notes(explanation: &Explanation) -> Vec<Message<'static>> {
    let mut notes = Vec::new();
    let mut add = |name: &str, text: &str| {
        if !text.is_empty() {
            let text = wrap(text, WIDTH.saturating_sub(name.len() + 6));
            notes.push(Level::NOTE.with_name(name.to_owned()).message(text));
        }
    };
    add("required", &explanation.required);
    for fact in &explanation.known {
        add(&fact.name, &fact_text(fact));
    }
    let message = match explanation.message.as_str() {
        "" => explanation.errno.to_string(),
        message => format!("{}: {message}", explanation.errno),
    };
    add("Linux", &message);
    if let Some(help) = &explanation.suggestion {
        let text = wrap(help, WIDTH - "help".len() - 6);
        notes.push(Level::HELP.message(text));
    }
    notes
}

fn fact_text(fact: &Fact) -> String {
    let Some(origin) = &fact.origin else { return fact.text.clone() };
    let at = match &origin.place {
        Some(place) => match &place.source {
            Some(source) => format!(" (line {})", source.line),
            None => format!(" (instruction {})", place.insn),
        },
        None => String::new(),
    };
    format!("{}; {}{at}", fact.text, origin.text)
}

/// Breaks text between words.
fn wrap(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > width {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
    }
    out
}

/// Places that an explanation shows: the fault first, then the path.
fn places(explanation: &Explanation) -> impl Iterator<Item = &ring3::Place> {
    explanation.place.iter().chain(explanation.path.iter().map(|event: &Event| &event.place))
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn words_stay_whole() {
        assert_eq!(wrap("one two three", 7), "one two\nthree");
        assert_eq!(wrap("uninterrupted", 4), "uninterrupted");
    }
}
