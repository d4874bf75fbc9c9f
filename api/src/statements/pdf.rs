//! A statement on paper: lines of text in a font that every reader of PDFs has.

use super::{ASSET, Statement, coins};
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};

const FONT: Name<'static> = Name(b"F1");
/// A page of A4, across.
const WIDTH: f32 = 842.0;
const HEIGHT: f32 = 595.0;
const TOP: f32 = 555.0;
const LINES_ON_PAGE: usize = 46;

pub fn write(statement: &Statement) -> Vec<u8> {
    let lines = lines(statement);
    let pages: Vec<&[String]> = lines.chunks(LINES_ON_PAGE).collect();
    let mut pdf = Pdf::new();
    let (catalog, tree, font) = (Ref::new(1), Ref::new(2), Ref::new(3));
    // Two things for each page: the page, and what stands on it.
    let count = i32::try_from(pages.len()).unwrap_or(i32::MAX / 4);
    let page_ref = |number: i32| Ref::new(4 + 2 * number);
    let text_ref = |number: i32| Ref::new(5 + 2 * number);
    pdf.catalog(catalog).pages(tree);
    pdf.pages(tree).kids((0..count).map(page_ref)).count(count);
    pdf.type1_font(font).base_font(Name(b"Courier")).encoding_predefined(Name(b"WinAnsiEncoding"));
    for (number, lines) in (0..count).zip(pages) {
        let mut page = pdf.page(page_ref(number));
        page.media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT)).parent(tree).contents(text_ref(number));
        page.resources().fonts().pair(FONT, font);
        page.finish();
        let mut content = Content::new();
        content.begin_text().set_font(FONT, 8.0).set_leading(11.0).next_line(36.0, TOP);
        for line in lines {
            content.show(Str(&western(line))).next_line(0.0, -11.0);
        }
        let footer = format!("Page {} of {count}", number + 1);
        content.show(Str(footer.as_bytes())).end_text();
        pdf.stream(text_ref(number), &content.finish());
    }
    pdf.finish()
}

/// What the font has: western letters. Whatever is not among them the id beside the name says.
fn western(text: &str) -> Vec<u8> {
    let shown = |byte: &u8| matches!(byte, 0x20..=0x7e | 0xa0..=0xff);
    text.chars().map(|letter| u8::try_from(letter).ok().filter(shown).unwrap_or(b'?')).collect()
}

fn lines(statement: &Statement) -> Vec<String> {
    let mut lines = vec!["STATEMENT OF EARNINGS".to_owned(), String::new()];
    let facts = statement.heading.facts(&statement.earner);
    lines.extend(facts.into_iter().map(|(name, value)| format!("{name:<36}{value}")));
    lines.push(format!("{:<36}coins ({ASSET})", "Amounts in"));
    lines.push(String::new());
    for (name, milli) in statement.heading.sums() {
        lines.push(format!("{name:<36}{:>20}", coins(milli)));
    }
    lines.push(String::new());
    lines.push(format!(
        "{:<10} {:<24} {:<11} {:<36} {:>14} {:>14} {:>14} {:>14}",
        "Revision", "Recorded at", "Type", "Source", "Charged", "Platform", "Others", "Net"
    ));
    for it in &statement.lines {
        let at = it.recorded_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let [gross, platform, others, net] =
            [it.gross_milli, it.platform_milli, it.others_milli, it.net_milli].map(coins);
        let source = it.source_id.map(|id| id.to_string()).unwrap_or_default();
        lines.push(format!(
            "{:<10} {at:<24} {:<11} {source:<36} {gross:>14} {platform:>14} {others:>14} {net:>14}",
            it.revision, it.kind
        ));
    }
    if statement.left_out {
        lines.push("These are the first lines; all of them are listed under /items.".to_owned());
    }
    lines
}
