//! Where in a document a value stands.

/// `ctx.sk.dst_ip6[2]`, from the outside in.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    text: String,
    steps: Vec<String>,
}

impl Path {
    pub(crate) fn root() -> Path {
        Path { text: "ctx".into(), steps: Vec::new() }
    }

    pub(crate) fn field(&self, name: &str) -> Path {
        let mut steps = self.steps.clone();
        steps.push(name.to_owned());
        Path { text: format!("{}.{name}", self.text), steps }
    }

    pub(crate) fn index(&self, index: usize) -> Path {
        let mut steps = self.steps.clone();
        steps.push(index.to_string());
        Path { text: format!("{}[{index}]", self.text), steps }
    }

    /// The names on the way.
    pub(crate) fn steps(&self) -> &[String] {
        &self.steps
    }

    /// The last name.
    pub(crate) fn name(&self) -> &str {
        self.steps.last().map_or("", String::as_str)
    }
}

impl From<&Path> for String {
    fn from(path: &Path) -> String {
        path.text.clone()
    }
}
