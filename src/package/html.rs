//! The anchors of an HTML page: PEP 503 indexes and pages of links.

/// An `<a>` or a `<meta>`, with its attributes decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub tag: String,
    pub attributes: Vec<(String, String)>,
}

impl Element {
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The elements of these tags, in order. Whatever a page holds, this only ever finds fewer.
pub(super) fn elements(page: &str, tags: &[&str]) -> Vec<Element> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let tag = rest[..end].to_ascii_lowercase();
        rest = &rest[end..];
        if tag == "script" || tag == "style" {
            let close = format!("</{tag}");
            rest = rest
                .split_once(close.as_str())
                .map_or("", |(_, after)| after);
            continue;
        }
        if tags.contains(&tag.as_str()) {
            let (attributes, after) = attributes(rest);
            found.push(Element { tag, attributes });
            rest = after;
        }
    }
    found
}

/// The attributes up to the `>`, and what follows it.
fn attributes(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return (attributes, rest);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (attributes, after);
        }
        let end = rest
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))
            .unwrap_or(rest.len());
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
            (value, rest) = match quote {
                Some(quote) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                None => {
                    let end = after.find(|c: char| c.is_ascii_whitespace() || c == '>');
                    after.split_at(end.unwrap_or(after.len()))
                }
            };
        } else if end == 0 {
            // Neither a name nor a value: pass over what cannot be read.
            let mut chars = rest.chars();
            chars.next();
            rest = chars.as_str();
            continue;
        }
        attributes.push((name, decode(value)));
    }
}

/// Replaces the character references that stand in indexes.
fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let reference = rest.find(';').filter(|end| *end <= 10).and_then(|end| {
            let name = &rest[1..end];
            let c = match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => {
                    let number = name.strip_prefix('#')?;
                    let code = match number.strip_prefix(['x', 'X']) {
                        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                        None => number.parse().ok()?,
                    };
                    char::from_u32(code)?
                }
            };
            Some((c, end + 1))
        });
        match reference {
            Some((c, length)) => {
                out.push(c);
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_found() {
        let page = "<!DOCTYPE html><html><head><meta name=x content='1.0'></head>\
                    <!-- <a href=no> --><script>'<a href=no>'</script>\
                    <A  HREF=\"../x-1.whl#sha256=ab&amp;c\"\n data-requires-python=\"&gt;=3.8\" \
                    data-yanked>x</a><a href=plain>y</a><abbr title=z>";
        let found = elements(page, &["a", "meta"]);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].get("content"), Some("1.0"));
        assert_eq!(found[1].get("href"), Some("../x-1.whl#sha256=ab&c"));
        assert_eq!(found[1].get("data-requires-python"), Some(">=3.8"));
        assert_eq!(found[1].get("data-yanked"), Some(""));
        assert_eq!(found[2].get("href"), Some("plain"));
    }

    #[test]
    fn nonsense_comes_to_an_end() {
        for page in [
            "<",
            "<a",
            "<a ",
            "<a =",
            "<a ==>",
            "<a href=",
            "<a href='",
            "<a href='x",
            "<!--",
            "<a é='ü'>&#xffffffff;",
            "<a &\u{0}>",
            "<script",
            "<a \"'>",
            "&",
            "<a href=&é;&#;>",
        ] {
            let _ = elements(page, &["a"]);
        }
    }
}
