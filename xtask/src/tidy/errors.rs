//! Each error page says what it means, why it happens and what to do.

use super::source::Source;

const PAGES: &str = "docs/errors/";

/// Pages that lack a part, and the lack of pages altogether. That every code
/// has a page is a test of `weir-api`, which owns the codes.
pub fn breaches(files: &[Source]) -> Vec<String> {
    let pages: Vec<&Source> = files
        .iter()
        .filter(|file| file.path.starts_with(PAGES) && !file.path.ends_with("README.md"))
        .collect();
    if pages.is_empty() {
        return vec![format!("{PAGES} holds no page")];
    }
    let parts = ["meaning", "cause", "what to do"];
    let lacks = |page: &Source| {
        let text = page.text.to_lowercase();
        parts.into_iter().filter(move |part| !text.contains(part)).collect::<Vec<_>>()
    };
    pages
        .iter()
        .filter(|page| !lacks(page).is_empty())
        .map(|page| format!("{}: does not say: {}", page.path, lacks(page).join(", ")))
        .collect()
}
