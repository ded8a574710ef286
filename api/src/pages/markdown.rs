//! Reports as HTML.
//!
//! Guarantees that nothing of the text becomes markup but what Markdown has words for: HTML in it is shown as text, links lead
//! to web addresses or nowhere, images are not loaded. Headings go below those of the page.

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// How many levels the page's own headings take.
const PAGE_LEVELS: usize = 2;

/// Renders a report.
pub(super) fn render(text: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let events = Parser::new_ext(text, options).map(tame);
    let mut out = String::with_capacity(text.len() * 2);
    html::push_html(&mut out, events);
    out
}

fn tame(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        // An image is its description.
        Event::Start(Tag::Image { .. }) => Event::Start(Tag::Emphasis),
        Event::End(TagEnd::Image) => Event::End(TagEnd::Emphasis),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let dest_url = if leads_to_the_web(&dest_url) { dest_url } else { CowStr::Borrowed("#report") };
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        Event::Start(Tag::Heading { level, .. }) => Event::Start(Tag::Heading {
            level: lower(level),
            id: None,
            classes: Vec::new(),
            attrs: Vec::new(),
        }),
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lower(level))),
        other => other,
    }
}

fn leads_to_the_web(url: &str) -> bool {
    let begins =
        |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    begins("https://") || begins("http://")
}

fn lower(level: HeadingLevel) -> HeadingLevel {
    HeadingLevel::try_from(level as usize + PAGE_LEVELS).unwrap_or(HeadingLevel::H6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_markup_below_the_headings_of_the_page() {
        let html = render("# Run\n\n## Jobs\n\n##### Deep\n\n| a | b |\n|---|--:|\n| *1* | `2` |\n");
        for part in
            ["<h3>Run</h3>", "<h4>Jobs</h4>", "<h6>Deep</h6>", "<table>", "<em>1</em>", "<code>2</code>"]
        {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn nothing_in_a_report_runs_or_loads() {
        let cases = [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "<div\nonclick='x'>\n\ntext\n\n</div>",
            "<svg><script>alert(1)</script></svg>",
            "![x](https://example.org/x.png)",
            "[x](javascript:alert(1))",
            "[x](  JaVaScRiPt:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "[x](//example.org)",
            "<javascript:alert(1)>",
            "[x]: javascript:alert(1)\n\n[x]",
            "[x](https://example.org/\"onmouseover=\"alert(1))",
            "`<script>`\n\n    <script>\n\n```html\n<script>\n```\n",
            "```\"><script>\nx\n```",
            "# <script>x</script> {#id onclick=x}",
            "| <script> |\n|---|\n| <img src=x> |\n",
            "<!-- --><script>x</script>",
            "&lt;script&gt;",
        ];
        for text in cases {
            let html = render(text);
            let lower = html.to_ascii_lowercase();
            for bad in [
                "<script",
                "<img",
                "<div",
                "<svg",
                "<!--",
                "href=\"javascript",
                "href=\"data",
                "href=\"//",
                "\"on",
            ] {
                assert!(!lower.contains(bad), "{text:?} gives {html}");
            }
        }
        assert!(
            render("[x](https://example.org/?a=b&c=d)")
                .contains("<a href=\"https://example.org/?a=b&amp;c=d\">")
        );
    }
}
