//! HCL text as `terraform fmt` writes it: two blanks of indentation, the `=` of neighbouring lines in one column.
//!
//! Only what policies need: blocks, attributes of one line, lists of several lines, comments. Reading is not here.

use super::quote::escaped;

/// Lines that grow.
#[derive(Debug, Default)]
pub(super) struct Hcl {
    text: String,
    depth: usize,
    /// Attributes of one line whose `=` will be put in one column.
    neighbours: Vec<(String, String)>,
}

impl Hcl {
    /// A line of its own.
    fn line(&mut self, text: &str) {
        self.align();
        self.push(text);
    }

    fn push(&mut self, text: &str) {
        if !text.is_empty() {
            self.text.push_str(&"  ".repeat(self.depth));
            self.text.push_str(text);
        }
        self.text.push('\n');
    }

    fn align(&mut self) {
        let widest = self.neighbours.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (name, value) in std::mem::take(&mut self.neighbours) {
            self.push(&format!("{name:widest$} = {value}"));
        }
    }

    /// A comment.
    pub(super) fn comment(&mut self, text: &str) {
        for line in text.lines() {
            self.line(format!("# {line}").trim_end());
        }
    }

    /// An empty line, unless one has just been written or nothing has.
    pub(super) fn gap(&mut self) {
        self.align();
        if !self.text.is_empty() && !self.text.ends_with("\n\n") && !self.text.ends_with("{\n") {
            self.text.push('\n');
        }
    }

    /// `HEAD { … }`
    pub(super) fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        body(self);
        self.align();
        self.depth -= 1;
        self.line("}");
    }

    /// `NAME = VALUE`, where the value is an expression of one line.
    pub(super) fn attribute(&mut self, name: &str, value: &str) {
        self.neighbours.push((name.to_owned(), value.to_owned()));
    }

    /// `NAME = [ … ]`, an expression a line.
    pub(super) fn list(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let values: Vec<String> = values.into_iter().collect();
        self.line(&format!("{name} = ["));
        self.depth += 1;
        for (at, value) in values.iter().enumerate() {
            let comma = if at + 1 < values.len() { "," } else { "" };
            self.line(&format!("{value}{comma}"));
        }
        self.depth -= 1;
        self.line("]");
    }

    pub(super) fn into_text(mut self) -> String {
        self.align();
        self.text
    }
}

/// A string in quotes that stands for itself: no template, no escape is left in it.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", literal(text))
}

/// The inside of a quoted string.
pub(super) fn literal(text: &str) -> String {
    escaped(text).replace("${", "$${").replace("%{", "%%{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_have_their_equals_signs_in_one_column() {
        let mut hcl = Hcl::default();
        hcl.comment("two\n\nlines");
        hcl.block("a \"b\"", |hcl| {
            hcl.attribute("x", "1");
            hcl.attribute("longer", "2");
            hcl.list("list", ["1".to_owned(), "2".to_owned()]);
            hcl.gap();
            hcl.block("c", |hcl| hcl.attribute("y", "3"));
        });
        let expected = "# two\n#\n# lines\na \"b\" {\n  x      = 1\n  longer = 2\n  list = [\n    1,\n    2\n  ]\n\n  c {\n    y = 3\n  }\n}\n";
        assert_eq!(hcl.into_text(), expected);
    }

    #[test]
    fn a_literal_is_read_back_as_it_was() {
        for text in ["plain", "a\"b\\c", "${x} %{y} $$", "tab\tline\n", "$${", "ä"] {
            let source = format!("a = {}", quoted(text));
            let body: hcl::Body = hcl::from_str(&source).unwrap_or_else(|error| panic!("{source}: {error}"));
            let attribute = body.attributes().next().unwrap();
            let read = match attribute.expr() {
                hcl::Expression::String(read) => read.clone(),
                hcl::Expression::TemplateExpr(template) => {
                    let template = hcl::Template::from_expr(template).unwrap();
                    let elements: Vec<_> = template.elements().iter().collect();
                    match elements.as_slice() {
                        [hcl::template::Element::Literal(read)] => read.clone(),
                        other => panic!("{source}: {other:?}"),
                    }
                }
                other => panic!("{source}: {other:?}"),
            };
            assert_eq!(read, text, "{source}");
        }
    }
}
