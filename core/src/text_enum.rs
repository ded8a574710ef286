//! `text_enum!`: a closed enum and the one text form it has in the database, the API and the logs.
//!
//! Guarantees that the text form round-trips and that an unknown text is an error, never a default.

use std::fmt;

/// A text that is none of an enum's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// What kind of name was expected, e.g. `run status`.
    pub expected: &'static str,
    /// The names that exist.
    pub known: &'static [&'static str],
    /// What was given.
    pub given: String,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a {}; known are {}", self.given, self.expected, self.known.join(", "))
    }
}

impl std::error::Error for UnknownName {}

/// Describes a text enum to readers of the API's document.
#[cfg(feature = "schema")]
#[doc(hidden)]
#[macro_export]
macro_rules! text_enum_schema {
    ($name:ident, $about:literal) => {
        impl $crate::utoipa::PartialSchema for $name {
            fn schema() -> $crate::utoipa::openapi::RefOr<$crate::utoipa::openapi::Schema> {
                $crate::utoipa::openapi::ObjectBuilder::new()
                    .schema_type($crate::utoipa::openapi::Type::String)
                    .description(Some($about))
                    .enum_values(Some(Self::NAMES.iter().copied()))
                    .into()
            }
        }

        impl $crate::utoipa::ToSchema for $name {}
    };
}

/// Without the feature `schema`, nothing is described.
#[cfg(not(feature = "schema"))]
#[doc(hidden)]
#[macro_export]
macro_rules! text_enum_schema {
    ($name:ident, $about:literal) => {};
}

/// Defines a closed enum whose variants have one stable text form each.
#[macro_export]
macro_rules! text_enum {
    (
        $(#[$meta:meta])*
        $name:ident ($label:literal) {
            $( $(#[$vmeta:meta])* $variant:ident = $text:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $( $(#[$vmeta])* $variant ),+ }

        impl $name {
            /// Every variant, in declaration order.
            pub const ALL: &'static [Self] = &[ $( Self::$variant ),+ ];
            /// Every text form, in declaration order.
            pub const NAMES: &'static [&'static str] = &[ $( $text ),+ ];

            /// The one text form: database, API, logs and metric labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text ),+ }
            }
        }

        $crate::text_enum_schema!($name, $label);

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::UnknownName;
            fn from_str(given: &str) -> Result<Self, Self::Err> {
                match given {
                    $( $text => Ok(Self::$variant), )+
                    _ => Err($crate::UnknownName { expected: $label, known: Self::NAMES, given: given.to_owned() }),
                }
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let given = <::std::borrow::Cow<'de, str> as ::serde::Deserialize>::deserialize(from)?;
                given.parse().map_err(::serde::de::Error::custom)
            }
        }
    };
}
