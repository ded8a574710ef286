//! Which of the forms of an answer the client wants.

use axum::http::{HeaderMap, header};

use crate::problem::{FieldError, Kind, Part, Problem};

/// A form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Markdown,
    Json,
    Csv,
}

impl Form {
    const fn names(self) -> [&'static str; 3] {
        match self {
            Self::Markdown => ["text/markdown", "text/*", "*/*"],
            Self::Json => ["application/json", "application/*", "*/*"],
            Self::Csv => ["text/csv", "text/*", "*/*"],
        }
    }
}

/// Which of two forms `Accept` prefers; the first where it does not matter.
pub(crate) fn accepted_form(headers: &HeaderMap, [first, second]: [Form; 2]) -> Result<Form, Problem> {
    let values: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if values.is_empty() {
        return Ok(first);
    }
    let ranges: Vec<(String, f32)> = values.iter().flat_map(|value| value.split(',')).map(range).collect();
    let (one, other) = (quality(&ranges, first), quality(&ranges, second));
    if one <= 0.0 && other <= 0.0 {
        let detail = format!("it is {} or {}", first.names()[0], second.names()[0]);
        let at = FieldError::new(Part::Header, "/Accept", &detail);
        return Err(Problem::new(Kind::NotAcceptable, detail).errors(vec![at]));
    }
    Ok(if other > one { second } else { first })
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
}
