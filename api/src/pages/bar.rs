//! Bars: what part of something is taken.

/// Parts of a whole that are drawn one after the other.
pub(super) struct Bar {
    pub parts: Vec<Part>,
}

/// One part; widths are in hundredths of the whole.
pub(super) struct Part {
    /// What it is, for the style sheet.
    pub class: &'static str,
    pub x: f64,
    pub width: f64,
}

impl Bar {
    /// Draws amounts of a whole; what goes beyond its end is cut off.
    pub(super) fn new(whole: f64, amounts: &[(&'static str, f64)]) -> Self {
        let mut x = 0.0;
        let mut parts = Vec::new();
        for (class, amount) in amounts {
            let wanted = if whole > 0.0 { amount / whole * 100.0 } else { 0.0 };
            let width = wanted.clamp(0.0, 100.0 - x);
            if width > 0.0 {
                parts.push(Part { class, x, width });
            }
            x += width;
        }
        Self { parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(whole: f64, amounts: &[(&'static str, f64)]) -> Vec<(&'static str, f64, f64)> {
        Bar::new(whole, amounts).parts.iter().map(|part| (part.class, part.x, part.width)).collect()
    }

    #[test]
    fn parts_follow_each_other_and_end_with_the_whole() {
        assert_eq!(
            drawn(200.0, &[("a", 50.0), ("b", 0.0), ("c", 100.0)]),
            [("a", 0.0, 25.0), ("c", 25.0, 50.0)]
        );
        assert_eq!(
            drawn(100.0, &[("a", 80.0), ("b", 90.0), ("c", 1.0)]),
            [("a", 0.0, 80.0), ("b", 80.0, 20.0)]
        );
        assert_eq!(drawn(0.0, &[("a", 1.0)]), []);
        assert_eq!(drawn(100.0, &[("a", -1.0)]), []);
    }
}
