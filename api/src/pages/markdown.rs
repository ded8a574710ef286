//! Reports as HTML.
//!
//! Guarantees that nothing of the text becomes markup but what Markdown has words for: HTML in it is shown as text, links lead
//! to web addresses or to pages of ours, what would lead elsewhere is no link, images are not loaded. No style is written into
//! it: the alignment of a column is a class.

use cyberbrain_core::ids::RunId;
use pulldown_cmark::{Alignment, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// How many levels a page's own headings take.
const PAGE_LEVELS: usize = 2;

/// What REST's paths begin with; a browser's session opens the same things without it.
const REST: &str = "/api/v1";

/// Where the headings of the text go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Headings {
    /// It is the page.
    AsTheyAre,
    /// It is a part of a page that has headings of its own.
    BelowThePages,
}

/// Renders the report of a Run.
pub(super) fn render(text: &str, run: RunId, headings: Headings) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut table = Table::default();
    let mut links = Links { run, within: Link::None };
    let events = Parser::new_ext(text, options).map(|event| table.align(links.lead(tame(event, headings))));
    let mut out = String::with_capacity(text.len() * 2);
    html::push_html(&mut out, events);
    out
}

fn tame(event: Event<'_>, headings: Headings) -> Event<'_> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        // An image is its description.
        Event::Start(Tag::Image { .. }) => Event::Start(Tag::Emphasis),
        Event::End(TagEnd::Image) => Event::End(TagEnd::Emphasis),
        Event::Start(Tag::Heading { level, .. }) => Event::Start(Tag::Heading {
            level: lower(level, headings),
            id: None,
            classes: Vec::new(),
            attrs: Vec::new(),
        }),
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lower(level, headings))),
        other => other,
    }
}

/// Where links lead.
struct Links {
    run: RunId,
    within: Link,
}

/// Whether the text is that of a link.
enum Link {
    None,
    Live,
    /// Of one that would lead elsewhere: its text is all that is shown.
    Dead,
}

impl Links {
    fn lead<'a>(&mut self, event: Event<'a>) -> Event<'a> {
        match event {
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let leads = if leads_to_the_web(&dest_url) {
                    Some(dest_url)
                } else {
                    page_of_ours(&dest_url, self.run).map(CowStr::from)
                };
                match leads {
                    Some(dest_url) => {
                        self.within = Link::Live;
                        Event::Start(Tag::Link { link_type, dest_url, title, id })
                    }
                    None => {
                        self.within = Link::Dead;
                        Event::Text(CowStr::Borrowed(""))
                    }
                }
            }
            // Links are not within links.
            Event::End(TagEnd::Link) => match std::mem::replace(&mut self.within, Link::None) {
                Link::Dead => Event::Text(CowStr::Borrowed("")),
                Link::Live | Link::None => event,
            },
            other => other,
        }
    }
}

/// Where in a table the text is.
#[derive(Default)]
struct Table {
    columns: Vec<Alignment>,
    column: usize,
    part: Part,
}

#[derive(Default, Clone, Copy)]
enum Part {
    Head,
    #[default]
    Body,
}

impl Table {
    /// Writes the cells, which come out with a `style` otherwise.
    fn align<'a>(&mut self, event: Event<'a>) -> Event<'a> {
        match event {
            Event::Start(Tag::Table(columns)) => {
                let plain = vec![Alignment::None; columns.len()];
                self.columns = columns;
                Event::Start(Tag::Table(plain))
            }
            Event::Start(Tag::TableHead) => {
                (self.part, self.column) = (Part::Head, 0);
                event
            }
            Event::End(TagEnd::TableHead) => {
                self.part = Part::Body;
                event
            }
            Event::Start(Tag::TableRow) => {
                self.column = 0;
                event
            }
            Event::Start(Tag::TableCell) => {
                let alignment = self.columns.get(self.column).copied().unwrap_or(Alignment::None);
                self.column += 1;
                let name = match self.part {
                    Part::Head => "th",
                    Part::Body => "td",
                };
                let class = match alignment {
                    Alignment::None | Alignment::Left => "",
                    Alignment::Center => " class=\"center\"",
                    Alignment::Right => " class=\"number\"",
                };
                Event::Html(format!("<{name}{class}>").into())
            }
            Event::End(TagEnd::TableCell) => Event::Html(CowStr::Borrowed(match self.part {
                Part::Head => "</th>",
                Part::Body => "</td>",
            })),
            other => other,
        }
    }
}

fn leads_to_the_web(url: &str) -> bool {
    let begins =
        |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    begins("https://") || begins("http://")
}

/// The page for a path of REST: a run, its artifacts, one of its run jobs, the output of a run job, or a file.
fn page_of_ours(url: &str, run: RunId) -> Option<String> {
    let path = url.strip_prefix(REST)?;
    let is_id = |part: &str| part.len() == 36 && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["", "runs", id] | ["", "run-jobs", id, "logs"] | ["", "artifacts", id, "content"] if is_id(id) => {
            Some(path.to_owned())
        }
        ["", "runs", id, "artifacts"] if is_id(id) => Some(format!("/runs/{id}#artifacts")),
        ["", "run-jobs", id] if is_id(id) => Some(format!("/runs/{run}#{id}")),
        _ => None,
    }
}

fn lower(level: HeadingLevel, headings: Headings) -> HeadingLevel {
    match headings {
        Headings::AsTheyAre => level,
        Headings::BelowThePages => {
            HeadingLevel::try_from(level as usize + PAGE_LEVELS).unwrap_or(HeadingLevel::H6)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> String {
        super::render(text, RunId::from(uuid::Uuid::from_u128(0xa1)), Headings::BelowThePages)
    }

    #[test]
    fn headings_of_a_whole_document_stay() {
        let run = RunId::from(uuid::Uuid::nil());
        let html = super::render("# Run\n\n## Jobs\n", run, Headings::AsTheyAre);
        assert_eq!(html, "<h1>Run</h1>\n<h2>Jobs</h2>\n");
    }

    #[test]
    fn paths_of_rest_lead_to_pages_and_no_other_path_leads_anywhere() {
        let id = "01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00";
        for path in
            [format!("/runs/{id}"), format!("/run-jobs/{id}/logs"), format!("/artifacts/{id}/content")]
        {
            let html = render(&format!("[x](/api/v1{path})"));
            assert!(html.contains(&format!("<a href=\"{path}\">")), "{html}");
        }
        let own = "/runs/00000000-0000-0000-0000-0000000000a1";
        for (path, page) in [
            (format!("/api/v1/run-jobs/{id}"), format!("{own}#{id}")),
            (format!("/api/v1{own}/artifacts"), format!("{own}#artifacts")),
        ] {
            let html = render(&format!("[x]({path})"));
            assert!(html.contains(&format!("<a href=\"{page}\">x</a>")), "{html}");
        }
        for path in [
            "/logout",
            "//example.org",
            "/\\example.org",
            "/api/v1//example.org",
            "/api/v1/runs",
            "/api/v1/runs/..",
            "/api/v1/runs/01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d0x",
            "/api/v1/runs/01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00/cancel",
            "/api/v1/artifacts/01932f6e-8c1e-7a34-9d5b-0a4f3c2e1d00/content?x=1",
        ] {
            let html = render(&format!("a [*x*]({path}) b [y](https://example.org)"));
            let text = "<p>a <em>x</em> b <a href=\"https://example.org\">y</a></p>";
            assert_eq!(html.trim(), text, "{path}");
        }
    }

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
    fn columns_are_aligned_by_class() {
        let html = render("| a | b | c |\n|---|:-:|--:|\n| 1 | 2 | 3 |\n\n| d |\n|---|\n| 4 |\n");
        let flat = html.replace('\n', "");
        for part in [
            "<thead><tr><th>a</th><th class=\"center\">b</th><th class=\"number\">c</th></tr></thead>",
            "<tr><td>1</td><td class=\"center\">2</td><td class=\"number\">3</td></tr>",
            "<th>d</th>",
            "<td>4</td>",
        ] {
            assert!(flat.contains(part), "{part} in {flat}");
        }
        assert!(!html.contains("style"), "{html}");
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
