//! What most services leave as it is.

use std::ops::{Deref, DerefMut};

/// A value that is mostly [`Usual::USUAL`], and then takes no more than a word.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Rare<T>(Option<Box<T>>);

/// What has a value that most have.
pub(crate) trait Usual: Default + PartialEq + 'static {
    /// That value, which is the default, too.
    const USUAL: &'static Self;
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Usual> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self((value != *T::USUAL).then(|| Box::new(value)))
    }
}

impl<T: Usual> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::USUAL)
    }
}

impl<T: Usual> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Usual> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Usual + Eq> Eq for Rare<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::natsinit::definition::{Identity, Limits, Output, Relations, Sandbox, Surroundings};

    fn usual<T: Usual + Default + std::fmt::Debug>() {
        assert_eq!(T::default(), *T::USUAL);
        assert!(Rare::from(T::default()).0.is_none());
    }

    #[test]
    fn only_what_is_not_usual_takes_memory() {
        usual::<Relations>();
        usual::<Identity>();
        usual::<Surroundings>();
        usual::<Limits>();
        usual::<Sandbox>();
        usual::<Output>();
        let mut limits = Rare::<Limits>::default();
        assert_eq!(limits.nice, None);
        limits.nice = Some(5);
        assert_eq!(limits, Limits { nice: Some(5), ..Limits::default() }.into());
        limits.nice = None;
        assert_eq!(limits, Rare::default());
    }
}
