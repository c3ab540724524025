//! The word that was probably meant.

/// The word of `known` that is nearest to `given`, if it is near at all.
pub(crate) fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let text = given.to_lowercase().replace('-', "_");
    let distance = |word: &str| strsim::damerau_levenshtein(&text, &word.to_lowercase().replace('-', "_"));
    let (distance, word) = known.into_iter().map(|word| (distance(word), word)).min()?;
    (distance <= 1 + given.chars().count() / 4).then_some(word)
}
