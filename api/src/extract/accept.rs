//! Which of the forms of an answer the client wants.

use axum::http::{HeaderMap, header};

use crate::problem::{FieldError, Kind, Part, Problem};

/// A form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Markdown,
    Json,
    Csv,
    Html,
}

impl Form {
    const fn names(self) -> [&'static str; 3] {
        match self {
            Self::Markdown => ["text/markdown", "text/*", "*/*"],
            Self::Json => ["application/json", "application/*", "*/*"],
            Self::Csv => ["text/csv", "text/*", "*/*"],
            Self::Html => ["text/html", "text/*", "*/*"],
        }
    }
}

/// Which of these forms `Accept` prefers; the first where it does not matter.
pub(crate) fn accepted_form<const N: usize>(headers: &HeaderMap, forms: [Form; N]) -> Result<Form, Problem> {
    let values: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let values = if values.is_empty() { vec!["*/*"] } else { values };
    let ranges: Vec<(String, f32)> = values.iter().flat_map(|value| value.split(',')).map(range).collect();
    let mut best: Option<(Form, f32)> = None;
    for form in forms {
        let weight = quality(&ranges, form);
        if weight > best.map_or(0.0, |(_, weight)| weight) {
            best = Some((form, weight));
        }
    }
    best.map(|(form, _)| form).ok_or_else(|| {
        let detail = format!("it is {}", forms.map(|form| form.names()[0]).join(" or "));
        let at = FieldError::new(Part::Header, "/Accept", &detail);
        Problem::new(Kind::NotAcceptable, detail).errors(vec![at])
    })
}

/// One media range with its weight; an unreadable weight counts as 1.
fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight = weight.and_then(|weight| weight.parse::<f32>().ok()).filter(|weight| weight.is_finite());
    (name, weight.unwrap_or(1.0))
}

/// The weight of the most specific range that names the form.
fn quality(ranges: &[(String, f32)], form: Form) -> f32 {
    let named = |name: &str| ranges.iter().find(|(range, _)| range == name).map(|(_, weight)| *weight);
    form.names().into_iter().find_map(named).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_form_wins() {
        let cases = [
            (None, Some(Form::Markdown)),
            (Some("*/*"), Some(Form::Markdown)),
            (Some("text/markdown"), Some(Form::Markdown)),
            (Some("text/*"), Some(Form::Markdown)),
            (Some("application/json"), Some(Form::Json)),
            (Some("Application/JSON; charset=utf-8"), Some(Form::Json)),
            (Some("text/html, application/json;q=0.9, */*;q=0.1"), Some(Form::Json)),
            (Some("application/json;q=0.2, text/markdown"), Some(Form::Markdown)),
            (Some("text/markdown;q=0, */*"), Some(Form::Json)),
            (Some("text/html"), None),
            (Some("text/markdown;q=0, application/json;q=0"), None),
            (Some(""), None),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(accepted_form(&headers, [Form::Markdown, Form::Json]).ok(), expected, "{accept:?}");
        }
    }

    #[test]
    fn the_heaviest_of_three_forms_wins_and_the_first_of_equals() {
        let cases = [
            ("*/*", Some(Form::Markdown)),
            ("text/*", Some(Form::Markdown)),
            ("text/html", Some(Form::Html)),
            // As a browser asks.
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(Form::Html)),
            ("text/html;q=0.5, text/markdown;q=0.4, application/json;q=0.6", Some(Form::Json)),
            ("text/html;q=0.7, text/markdown;q=0.9, application/json;q=0.6", Some(Form::Markdown)),
            ("text/*;q=0, text/html;q=0.1", Some(Form::Html)),
            ("text/html;q=0, text/markdown;q=0, application/json;q=0", None),
            ("image/png", None),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            let forms = [Form::Markdown, Form::Json, Form::Html];
            assert_eq!(accepted_form(&headers, forms).ok(), expected, "{accept}");
        }
    }
}
