//! `batch file FILE`: commands line by line, until one fails.

use crate::fail::{Fail, io_errno};
use crate::print::Printer;
use crate::select;
use crate::session::Ctx;
use crate::words::Words;

/// Largest file of commands.
const MAX_FILE: u64 = 64 << 20;

/// Runs the commands of a file; what the last one returned.
pub(crate) fn run(ctx: &Ctx<'_>, mut words: Words<'_>, printer: &mut Printer) -> i32 {
    let lines = match open(ctx, &mut words) {
        Ok(text) => text,
        Err(fail) => return printer.show(Err(fail)),
    };
    if let Some(json) = printer.json() {
        json.begin_array();
    }
    let (mut count, mut code) = (0, 0);
    for line in commands(&lines) {
        let args = split(&line);
        if args.is_empty() {
            continue;
        }
        if let Some(json) = printer.json() {
            json.begin_object();
            json.name("command");
            json.begin_array();
            args.iter().for_each(|arg| json.string(arg));
            json.end_array();
            json.name("output");
        }
        code = select::select(ctx, &args, printer);
        ctx.close();
        if let Some(json) = printer.json() {
            json.end_object();
        }
        if code != 0 {
            break;
        }
        count += 1;
    }
    if code == 0 {
        printer.info(&format!("processed {count} commands\n"));
    }
    if let Some(json) = printer.json() {
        json.end_array();
    }
    code
}

fn open(ctx: &Ctx<'_>, words: &mut Words<'_>) -> Result<String, Fail> {
    if words.len() < 2 {
        return Err(Fail::new("too few parameters for batch"));
    }
    if !words.eat("file") {
        let got = words.peek().unwrap_or_default();
        return Err(Fail::new(format!("expected 'file', got: {got}")));
    }
    if words.len() > 1 {
        return Err(Fail::new("too many parameters for batch"));
    }
    let file = words.take()?;
    match ctx.read(file, MAX_FILE) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => Err(Fail::of(format!("Can't open file ({file})"), io_errno(&error))),
    }
}

/// Lines joined where they end in `\`, without what follows `#`.
fn commands(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut whole = String::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        match line.strip_suffix('\\') {
            Some(part) => {
                whole.push_str(part);
                whole.push(' ');
            }
            None => {
                whole.push_str(line);
                all.push(std::mem::take(&mut whole));
            }
        }
    }
    if !whole.is_empty() {
        all.push(whole);
    }
    all
}

/// Words apart by blanks; quotes of either kind keep blanks.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '\'' | '"' => match rest[1..].find(first) {
                Some(end) => (&rest[1..=end], &rest[end + 2..]),
                None => (&rest[1..], ""),
            },
            _ => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_comments_left_out() {
        let text = "prog show # all\nmap show \\\nid 1\n\n'a b' \"c\"";
        let words: Vec<_> = commands(text).iter().map(|line| split(line)).collect();
        assert_eq!(words[0], ["prog", "show"]);
        assert_eq!(words[1], ["map", "show", "id", "1"]);
        assert!(words[2].is_empty());
        assert_eq!(words[3], ["a b", "c"]);
    }
}
