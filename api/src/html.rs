//! Pages that the server makes itself, for people. They need no script.

use axum::Router;
use axum::http::header;
use axum::routing::get;

const STYLE: &str = "\
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
code, pre { background: #f2f2f2; border-radius: .2em; }
code { padding: .1em .3em; }
pre { padding: .6rem .8rem; overflow-x: auto; font-size: .85rem; line-height: 1.4; }
table { border-collapse: collapse; width: 100%; }
td, th { border-bottom: 1px solid #ddd; padding: .4rem .6rem .4rem 0; text-align: left; vertical-align: top; }
dt { font-weight: 600; margin-top: 1rem; }
dd { margin: 0; }
h2 { margin-top: 3rem; border-bottom: 1px solid #ddd; }
h3 { margin-top: 2rem; }
summary { cursor: pointer; }
.note { color: #666; }
.steps li { margin-bottom: .4rem; }
svg { width: 100%; height: auto; font-size: 12px; }
svg line { stroke: #999; }
svg .life { stroke: #ddd; }
svg .arrow { stroke: #2456a6; }
svg .reply { stroke-dasharray: 5 3; }
svg .head { fill: #2456a6; }
svg text { fill: #1a1a1a; text-anchor: middle; }
svg .side, svg .part { font-weight: 600; }
svg .part { text-anchor: start; }
svg .happens { fill: #666; font-style: italic; }
svg a:hover text { text-decoration: underline; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #e6e6e6; } code, pre { background: #2a2a2a; }
  a { color: #8ab4f8; } td, th, h2 { border-color: #333; } .note { color: #aaa; } svg text { fill: #e6e6e6; }
  svg .life { stroke: #333; } svg .arrow { stroke: #8ab4f8; } svg .head { fill: #8ab4f8; } svg .happens { fill: #aaa; } }
";

pub fn style() -> Router {
    Router::new().route("/docs/page.css", get(async || ([(header::CONTENT_TYPE, "text/css")], STYLE)))
}

/// A whole page.
pub fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - Muneem</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"/docs/page.css\">\
         </head><body><h1>{title}</h1>{body}</body></html>"
    )
}

pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A text of ours as HTML: what stands in backticks is code, between two stars bold, between single ones emphasised.
pub fn marked_up(text: &str) -> String {
    let text = escaped(text);
    let parts = text.split('`').enumerate();
    parts
        .map(|(place, part)| {
            if place % 2 == 1 {
                return format!("<code>{part}</code>");
            }
            paired(&paired(part, "**", "strong"), "*", "em")
        })
        .collect()
}

/// Puts what stands between two marks into an element; a mark without a second one stays.
fn paired(text: &str, mark: &str, element: &str) -> String {
    let parts: Vec<&str> = text.split(mark).collect();
    let mut result = String::new();
    for (place, part) in parts.iter().enumerate() {
        match place {
            0 => {}
            _ if place % 2 == 1 && place + 1 < parts.len() => result.push_str(&format!("<{element}>")),
            _ if place % 2 == 0 => result.push_str(&format!("</{element}>")),
            _ => result.push_str(mark),
        }
        result.push_str(part);
    }
    result
}

/// Paragraphs, and lists of lines that begin with a dash.
pub fn flowing(text: &str) -> String {
    text.split("\n\n").map(block).collect()
}

fn block(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    if lines.iter().all(|line| line.starts_with("- ")) {
        let items = lines.iter().map(|line| format!("<li>{}</li>", marked_up(&line[2..])));
        return format!("<ul>{}</ul>", items.collect::<String>());
    }
    format!("<p>{}</p>", marked_up(&lines.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_elements_and_nothing_else_does() {
        for (text, html) in [
            ("a < `b&c`", "a &lt; <code>b&amp;c</code>"),
            ("**Order.** You *send* it", "<strong>Order.</strong> You <em>send</em> it"),
            ("2 * 3", "2 * 3"),
            ("`a*b*c`", "<code>a*b*c</code>"),
            ("say \"so\"", "say &quot;so&quot;"),
        ] {
            assert_eq!(marked_up(text), html);
        }
        assert_eq!(flowing("One\n\n- a\n- b"), "<p>One</p><ul><li>a</li><li>b</li></ul>");
    }
}
