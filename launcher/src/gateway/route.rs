//! Which endpoints are tried for a model, and in what order: pure.

use std::time::Duration;

use super::config::Endpoint;

/// How long an endpoint that failed is tried last.
pub(super) const REST: Duration = Duration::from_secs(10);

/// One endpoint to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Its place in the configuration.
    pub index: usize,
    /// What the endpoint calls the model.
    pub model: &'a str,
}

/// The endpoints that serve this model, as configured; those that failed a moment ago come last. They are tried all
/// the same: a gateway that knows only one endpoint must not refuse because of one failure.
pub(super) fn order<'a>(
    endpoints: &'a [Endpoint],
    model: &str,
    resting: impl Fn(usize) -> bool,
) -> Vec<Target<'a>> {
    let serving = endpoints
        .iter()
        .enumerate()
        .filter_map(|(index, endpoint)| Some(Target { index, model: endpoint.models.get(model)? }));
    let (last, mut first): (Vec<_>, Vec<_>) = serving.partition(|target| resting(target.index));
    first.extend(last);
    first
}

#[cfg(test)]
mod tests {
    use super::{super::config::fixtures::endpoint, *};

    #[test]
    fn those_that_serve_the_model_are_tried_as_configured_and_failed_ones_last() {
        let endpoints = [
            endpoint("a", &[("small", "llama-8b")]),
            endpoint("b", &[("big", "llama-70b"), ("small", "qwen")]),
            endpoint("c", &[("small", "phi")]),
        ];
        let tried = |model: &str, failed: &[usize]| -> Vec<(usize, String)> {
            order(&endpoints, model, |index| failed.contains(&index))
                .into_iter()
                .map(|target| (target.index, target.model.to_owned()))
                .collect()
        };
        let named = |list: &[(usize, &str)]| -> Vec<(usize, String)> {
            list.iter().map(|(index, model)| (*index, (*model).to_owned())).collect()
        };
        assert_eq!(tried("small", &[]), named(&[(0, "llama-8b"), (1, "qwen"), (2, "phi")]));
        assert_eq!(tried("small", &[0]), named(&[(1, "qwen"), (2, "phi"), (0, "llama-8b")]));
        assert_eq!(tried("small", &[0, 1, 2]), named(&[(0, "llama-8b"), (1, "qwen"), (2, "phi")]));
        assert_eq!(tried("big", &[1]), named(&[(1, "llama-70b")]));
        assert_eq!(tried("llama-8b", &[]), named(&[]), "workers know the names of the configuration only");
    }
}
