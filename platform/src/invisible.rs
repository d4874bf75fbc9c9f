//! Characters that a reader cannot see. In a name or a note they let one text pass for another, hide words, or turn
//! the direction of what stands beside them.
//!
//! Refused are control characters, all format characters of Unicode (text direction marks and overrides, zero-width
//! spaces, tags, soft hyphens), line and paragraph separators, private use, the letters that are drawn as nothing, and heaps of marks on one letter.
//! Allowed on purpose, because people write with them: the zero-width joiner and non-joiner between two letters of a
//! script that needs them (Arabic and the scripts of India and Sri Lanka), the joiner between two emoji, and the emoji
//! variation selector behind an emoji.

use unicode_properties::{GeneralCategory, UnicodeEmoji, UnicodeGeneralCategory};

/// No script puts more marks on a letter; a heap of them draws over the lines around it.
const MOST_MARKS: usize = 6;
const JOINER: char = '\u{200d}';
const NON_JOINER: char = '\u{200c}';
/// Asks for the coloured picture of the emoji before it.
const AS_EMOJI: char = '\u{fe0f}';

/// Whether the text has a character that may not stand where it stands. A line break may, if `multiline`.
pub(crate) fn is_in(text: &str, multiline: bool) -> bool {
    let mut before = None;
    let mut marks = 0;
    let mut rest = text.chars().peekable();
    while let Some(it) = rest.next() {
        marks = if is_mark(it) { marks + 1 } else { 0 };
        if marks > MOST_MARKS {
            return true;
        }
        let allowed = match it {
            '\n' => multiline,
            AS_EMOJI => before.is_some_and(is_emoji),
            JOINER | NON_JOINER => match (before, rest.peek().copied()) {
                (Some(before), Some(after)) if joins_letters(before) => joins_letters(after),
                (Some(before), Some(after)) => it == JOINER && is_emoji(before) && is_emoji(after),
                _ => false,
            },
            it => is_visible(it),
        };
        if !allowed {
            return true;
        }
        before = Some(it);
    }
    false
}

/// A mark that is drawn on the letter before it.
fn is_mark(it: char) -> bool {
    matches!(it.general_category(), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
}

fn is_visible(it: char) -> bool {
    let hidden = matches!(
        it.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Surrogate
            | GeneralCategory::Unassigned
    );
    // Fillers of Hangul and Khmer, the grapheme joiner, an empty Braille cell, and variation selectors.
    let drawn_as_nothing = matches!(
        it,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    );
    !hidden && !drawn_as_nothing
}

/// Arabic, and Devanagari to Sinhala.
fn joins_letters(it: char) -> bool {
    matches!(it, '\u{620}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{900}'..='\u{dff}')
}

/// Digits and `#` are parts of emoji to Unicode, and plain text to a reader.
fn is_emoji(it: char) -> bool {
    it == AS_EMOJI || (!it.is_ascii() && it.is_emoji_char_or_emoji_component())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_taken() {
        for text in [
            "Asha राव",
            "O'Brien-Ångström",
            "اردو",
            "日本語 한국어",
            "क्\u{200d}ष",
            "ನ್\u{200c}ನ",
            "Tiê\u{301}ng a\u{301}\u{302}\u{303}\u{304}",
            "می\u{200c}خواهم",
            "👩\u{200d}👩\u{200d}👧 🏳\u{fe0f}\u{200d}🌈 ❤\u{fe0f} 👍🏽 🇮🇳",
        ] {
            assert!(!is_in(text, false), "{text:?}");
        }
    }

    #[test]
    fn what_nobody_sees_is_refused() {
        for (text, what) in [
            ("a\0b", "a zero byte"),
            (&*format!("e{}", "\u{301}".repeat(58)), "a heap of marks"),
            ("a\u{1b}[31m", "an escape"),
            ("a\u{85}b", "a control character beyond ASCII"),
            ("a\nb", "a line break in one line"),
            ("a\u{202e}b", "an override of the direction"),
            ("a\u{2066}b\u{2069}", "an isolate"),
            ("a\u{200f}b", "a direction mark"),
            ("a\u{61c}b", "an Arabic direction mark"),
            ("a\u{200b}b", "a zero-width space"),
            ("a\u{feff}b", "a byte order mark"),
            ("a\u{2060}b", "a word joiner"),
            ("a\u{ad}b", "a soft hyphen"),
            ("a\u{200d}b", "a joiner between Latin letters"),
            ("a\u{200c}b", "a non-joiner between Latin letters"),
            ("\u{200d}क", "a joiner at the beginning"),
            ("क\u{200d}", "a joiner at the end"),
            ("क\u{200d}\u{200d}ष", "two joiners"),
            ("👩\u{200c}👧", "a non-joiner between emoji"),
            ("1\u{200d}2", "a joiner between digits"),
            ("a\u{fe0f}", "a variation selector behind a letter"),
            ("a\u{2028}b", "a line separator"),
            ("a\u{3164}b", "a filler"),
            ("a\u{e0041}b", "a tag"),
            ("a\u{e000}b", "private use"),
        ] {
            assert!(is_in(text, false), "{what}: {text:?}");
        }
        assert!(!is_in("a\nb", true));
        assert!(is_in("a\rb", true) && is_in("a\tb", true));
    }
}
