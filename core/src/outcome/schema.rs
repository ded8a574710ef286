//! What a job that is not built in says its result holds, and whether a result keeps to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CustomResult, CustomValue, Problem};

/// What one value may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum ValueRule {
    /// True or false.
    Bool {},
    /// A whole number within these bounds, both included.
    Integer {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        least: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most: Option<i64>,
    },
    /// Any finite number.
    Number {},
    /// One of these names.
    Name { one_of: Vec<String> },
}

/// The values of a custom job's result by name. None has to be there, and no other may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct OutputSchema(pub BTreeMap<String, ValueRule>);

impl OutputSchema {
    /// Whether a result that [`super::validate`] took keeps to it.
    ///
    /// # Errors
    /// The first value that does not.
    pub fn check(&self, result: &CustomResult) -> Result<(), Problem> {
        for (at, (name, value)) in result.values.iter().enumerate() {
            let rule = self.0.get(name).ok_or(Problem::Undeclared { at })?;
            if !rule.takes(value) {
                return Err(Problem::NotAsDeclared { at });
            }
        }
        Ok(())
    }
}

impl ValueRule {
    fn takes(&self, value: &CustomValue) -> bool {
        match (self, value) {
            (Self::Bool {}, CustomValue::Bool(_)) => true,
            (Self::Integer { least, most }, CustomValue::Integer(number)) => {
                least.is_none_or(|least| *number >= least) && most.is_none_or(|most| *number <= most)
            }
            // JSON does not tell 1 from 1.0.
            (Self::Number {}, CustomValue::Number(_) | CustomValue::Integer(_)) => true,
            (Self::Name { one_of }, CustomValue::Name(name)) => one_of.contains(name),
            (Self::Bool {} | Self::Integer { .. } | Self::Number {} | Self::Name { .. }, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_holds_what_its_schema_says_and_nothing_else() {
        let names = ["good", "bad"].map(str::to_owned).to_vec();
        let schema = OutputSchema(BTreeMap::from([
            ("count".to_owned(), ValueRule::Integer { least: Some(0), most: Some(9) }),
            ("done".to_owned(), ValueRule::Bool {}),
            ("loss".to_owned(), ValueRule::Number {}),
            ("verdict".to_owned(), ValueRule::Name { one_of: names }),
        ]));
        let wrong = Err(Problem::NotAsDeclared { at: 0 });
        let cases = [
            ("count", CustomValue::Integer(0), Ok(())),
            ("count", CustomValue::Integer(9), Ok(())),
            ("count", CustomValue::Integer(-1), wrong.clone()),
            ("count", CustomValue::Integer(10), wrong.clone()),
            ("count", CustomValue::Number(1.5), wrong.clone()),
            ("done", CustomValue::Bool(true), Ok(())),
            ("done", CustomValue::Integer(1), wrong.clone()),
            ("loss", CustomValue::Number(0.5), Ok(())),
            ("loss", CustomValue::Integer(1), Ok(())),
            ("loss", CustomValue::Bool(true), wrong.clone()),
            ("verdict", CustomValue::Name("good".into()), Ok(())),
            ("verdict", CustomValue::Name("prose".into()), wrong),
            ("more", CustomValue::Bool(true), Err(Problem::Undeclared { at: 0 })),
        ];
        for (name, value, expected) in cases {
            let shown = format!("{name} {value:?}");
            let result = CustomResult { values: BTreeMap::from([(name.to_owned(), value)]) };
            assert_eq!(schema.check(&result), expected, "{shown}");
        }
        assert_eq!(schema.check(&CustomResult::default()), Ok(()));
    }
}
