//! Schemas of bodies, gathered while the document is made.

use std::collections::BTreeMap;

use utoipa::{
    ToSchema,
    openapi::{Object, Ref, RefOr, Schema},
};

/// What adds a type with all that it consists of, and gives the reference to it.
pub type SchemaOf = fn(&mut Schemas) -> RefOr<Schema>;

/// The named schemas of the document.
#[derive(Default)]
pub struct Schemas(pub(super) BTreeMap<String, RefOr<Schema>>);

impl Schemas {
    /// Each with its name.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &RefOr<Schema>)> {
        self.0.iter().map(|(name, schema)| (name.as_str(), schema))
    }

    /// Takes one out, to make another of it.
    pub(crate) fn take(&mut self, name: &str) -> Option<RefOr<Schema>> {
        self.0.remove(name)
    }
}

/// The schema of a type, by reference.
pub fn of<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    let mut parts = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut parts);
    for (name, schema) in parts {
        let earlier = schemas.0.insert(name.clone(), schema.clone());
        assert!(
            earlier.is_none_or(|earlier| earlier == schema),
            "two types are called {name}; rename one of them"
        );
    }
    Ref::from_schema_name(T::name()).into()
}

/// An object whose form is not told here.
pub fn any_object(_: &mut Schemas) -> RefOr<Schema> {
    Object::new().into()
}
