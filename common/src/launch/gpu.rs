//! Which GPU a RunJob asks for in the end: the request first, then the job, then the image.

use cyberbrain_core::spec::{GpuChoice, GpuPolicy, GpuRequest, OnMiss};

use super::request::GpuWish;
use crate::db::library::AllowedImage;

/// Joins the three. Without a policy anywhere: `prefer` if VRAM, cards or a card are asked for or the image requires a
/// GPU, else `none`.
pub(crate) fn resolve(template: &GpuRequest, image: &AllowedImage, wish: Option<&GpuWish>) -> GpuRequest {
    let unspoken = GpuWish::default();
    let wish = wish.unwrap_or(&unspoken);
    let min_vram_mib = min_vram_mib(template, image, wish);
    match policy(template, image, wish, min_vram_mib) {
        GpuPolicy::None => GpuRequest::none(),
        policy @ (GpuPolicy::Require | GpuPolicy::Prefer) => GpuRequest {
            policy,
            count: match wish.count {
                Some(count) => count,
                None if names_card(wish) => 1,
                None => template.count.max(1),
            },
            min_vram_mib,
            choice: choice(template, wish),
            prefer_wait_seconds: match policy {
                GpuPolicy::Prefer => wish.prefer_wait_seconds.unwrap_or(template.prefer_wait_seconds),
                GpuPolicy::Require | GpuPolicy::None => 0,
            },
        },
    }
}

fn policy(
    template: &GpuRequest,
    image: &AllowedImage,
    wish: &GpuWish,
    min_vram_mib: Option<u32>,
) -> GpuPolicy {
    let asked = min_vram_mib.is_some() || image.requires_gpu || names_card(wish) || wish.count.is_some();
    match (wish.policy, template.policy) {
        (Some(policy), _) => policy,
        (None, policy @ (GpuPolicy::Require | GpuPolicy::Prefer)) => policy,
        (None, GpuPolicy::None) if asked || wish.prefer_wait_seconds.is_some() => GpuPolicy::Prefer,
        (None, GpuPolicy::None) => GpuPolicy::None,
    }
}

/// The job may ask for less than the image needs by mistake; what the client says was checked before.
fn min_vram_mib(template: &GpuRequest, image: &AllowedImage, wish: &GpuWish) -> Option<u32> {
    wish.min_vram_mib.or_else(|| template.min_vram_mib.max(image.min_vram_mib))
}

fn choice(template: &GpuRequest, wish: &GpuWish) -> GpuChoice {
    let on_miss = match wish.strict {
        Some(true) => OnMiss::Refuse,
        Some(false) | None => OnMiss::Auto,
    };
    match (&wish.uuid, wish.index) {
        (Some(uuid), _) => GpuChoice::Uuid { uuid: uuid.clone(), on_miss },
        (None, Some(index)) => GpuChoice::Index { index, host: wish.host.clone(), on_miss },
        (None, None) => template.choice.clone(),
    }
}

const fn names_card(wish: &GpuWish) -> bool {
    wish.uuid.is_some() || wish.index.is_some()
}
