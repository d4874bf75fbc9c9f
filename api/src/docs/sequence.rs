//! A sequence of frames, drawn: a line for each side, and an arrow for each frame that leads to the step below.

use crate::html::{escaped, marked_up};
use serde_json::Value;
use std::fmt::Write as _;

const WIDTH: u32 = 720;
const ROW: u32 = 30;
const TOP: u32 = 44;

/// The sides from left to right.
const SIDES: [(&str, &str, u32); 3] =
    [("user", "User's app", 110), ("server", "Server", 360), ("host", "Host's app", 610)];

fn place(side: &Value) -> u32 {
    SIDES.iter().find(|(name, ..)| side == name).map_or(0, |(_, _, x)| *x)
}

/// The drawing, and the steps beneath it.
pub fn told(sequence: &Value) -> String {
    let name = text(&sequence["name"]);
    let steps = sequence["steps"].as_array().map_or(&[][..], Vec::as_slice);
    format!(
        "<h3 id=\"sequence-{name}\">{}</h3><p>{}</p>{}{}",
        escaped(text(&sequence["title"])),
        marked_up(text(&sequence["description"])),
        drawn(name, steps),
        listed(name, steps)
    )
}

fn drawn(name: &str, steps: &[Value]) -> String {
    let mut rows = String::new();
    let mut y = TOP;
    for (number, step) in steps.iter().enumerate() {
        y += ROW;
        if let Some(part) = step["part"].as_str() {
            y += ROW / 3;
            let _ = write!(rows, "<text class=\"part\" x=\"4\" y=\"{y}\">{}</text>", escaped(part));
        } else if step.get("frame").is_none() {
            let _ = write!(
                rows,
                "<a href=\"#{name}-{number}\"><text class=\"happens\" x=\"{}\" y=\"{y}\">{}</text></a>",
                WIDTH / 2,
                escaped(text(&step["happens"]))
            );
        } else {
            rows.push_str(&arrow(name, number, step, y));
        }
    }
    let height = y + ROW;
    let lives: String = SIDES
        .iter()
        .map(|(_, title, x)| {
            format!(
                "<text class=\"side\" x=\"{x}\" y=\"20\">{}</text>\
                 <line class=\"life\" x1=\"{x}\" y1=\"30\" x2=\"{x}\" y2=\"{height}\"/>",
                escaped(title)
            )
        })
        .collect();
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"The frames in their order\">{lives}{rows}</svg>"
    )
}

fn arrow(name: &str, number: usize, step: &Value, y: u32) -> String {
    let (from, to) = (place(&step["from"]), place(&step["to"]));
    let tip = if to > from { to - 9 } else { to + 9 };
    let class = if step["frame"].get("reply_to").is_some() { "arrow reply" } else { "arrow" };
    format!(
        "<a href=\"#{name}-{number}\"><text x=\"{middle}\" y=\"{above}\">{kind}</text>\
         <line class=\"{class}\" x1=\"{from}\" y1=\"{y}\" x2=\"{tip}\" y2=\"{y}\"/>\
         <polygon class=\"head\" points=\"{to},{y} {tip},{upper} {tip},{lower}\"/></a>",
        middle = u32::midpoint(from, to),
        above = y - 5,
        upper = y - 4,
        lower = y + 4,
        kind = escaped(text(&step["frame"]["type"])),
    )
}

/// The number of a step in the list, which does not count headings.
fn number_of(steps: &[Value], index: usize) -> usize {
    steps[..=index].iter().filter(|step| step.get("part").is_none()).count()
}

fn listed(name: &str, steps: &[Value]) -> String {
    let mut list = String::new();
    let mut is_open = false;
    for (number, step) in steps.iter().enumerate() {
        if let Some(part) = step["part"].as_str() {
            let _ = write!(list, "{}<h4>{}</h4>", if is_open { "</ol>" } else { "" }, escaped(part));
            is_open = false;
            continue;
        }
        if !is_open {
            let _ = write!(list, "<ol class=\"steps\" start=\"{}\">", number_of(steps, number));
            is_open = true;
        }
        let note = marked_up(text(&step["note"]));
        let _ = write!(list, "<li id=\"{name}-{number}\">");
        if step.get("frame").is_some() {
            let (from, to, kind) = (text(&step["from"]), text(&step["to"]), text(&step["frame"]["type"]));
            let _ = write!(
                list,
                "<details><summary>{from} to {to}: <a href=\"#{kind}\"><code>{kind}</code></a> \
                 <span class=\"note\">{note}</span></summary>{}</details>",
                frame(&step["frame"])
            );
        } else {
            list.push_str(&note);
        }
        list.push_str("</li>");
    }
    list + if is_open { "</ol>" } else { "" }
}

/// A frame as people read it: first what it is.
pub fn frame(frame: &Value) -> String {
    let fields = frame.as_object().into_iter().flatten();
    let mut fields: Vec<(&String, &Value)> = fields.collect();
    let order = ["type", "id", "reply_to", "offset"];
    fields.sort_by_key(|(name, _)| order.iter().position(|it| it == name).unwrap_or(order.len()));
    let lines: Vec<String> = fields
        .into_iter()
        .map(|(name, value)| {
            let value = serde_json::to_string_pretty(value).unwrap_or_default().replace('\n', "\n  ");
            format!("  \"{name}\": {value}")
        })
        .collect();
    format!("<pre>{}</pre>", escaped(&format!("{{\n{}\n}}", lines.join(",\n"))))
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_frame_is_an_arrow_from_its_sender_to_its_receiver_and_leads_to_its_step() {
        let told = told(&json!({ "name": "call", "title": "A call", "description": "Of `two`.", "steps": [
            { "part": "Ring" },
            { "from": "user", "to": "server", "note": "Now.", "frame": { "data": {}, "id": 1, "type": "call:invite" } },
            { "from": "server", "to": "host", "note": "", "frame": { "type": "call:invited", "data": { "a": "<b>" } } },
            { "from": "server", "to": "user", "note": "", "frame": { "type": "call:invite:done", "reply_to": 1 } },
            { "happens": "time", "note": "Time passes." },
        ] }));
        for part in [
            "x1=\"110\" y1=\"114\" x2=\"351\"",
            "x1=\"360\" y1=\"144\" x2=\"601\"",
            "<line class=\"arrow reply\" x1=\"360\" y1=\"174\" x2=\"119\"",
            "<a href=\"#call-1\"><text x=\"235\" y=\"109\">call:invite</text>",
            "<li id=\"call-1\"><details><summary>user to server: <a href=\"#call:invite\">",
            "{\n  &quot;type&quot;: &quot;call:invite&quot;,\n  &quot;id&quot;: 1,\n  &quot;data&quot;: {}\n}",
            "&lt;b&gt;",
            "<a href=\"#call-4\"><text class=\"happens\" x=\"360\" y=\"204\">time</text></a>",
            "<li id=\"call-4\">Time passes.</li></ol>",
        ] {
            assert!(told.contains(part), "{part}\n{told}");
        }
    }
}
