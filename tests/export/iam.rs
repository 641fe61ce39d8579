//! IAM, as far as exported policies use it: what a policy document means, and whether it allows a request.
//!
//! The rules are those of AWS' documentation on policy evaluation, condition operators and the elements `Action` and
//! `Resource`: everything is denied that no statement allows; a statement allows when action, resource and all conditions
//! match; `ForAllValues` is true of no values at all; `${*}`, `${?}` and `${$}` stand for what they enclose.

use std::collections::BTreeMap;

use hcl::eval::{Context, Evaluate as _};
use hcl::{Block, Body, Value};

/// One statement.
#[derive(Debug)]
struct Statement {
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug)]
struct Condition {
    test: String,
    variable: String,
    values: Vec<String>,
}

/// A policy document.
#[derive(Debug)]
pub(crate) struct Policy(Vec<Statement>);

/// A request that somebody makes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    /// `dynamodb:LeadingKeys`
    pub(crate) keys: &'a [&'a str],
}

impl Policy {
    /// The policy documents that Terraform makes of this text with these variables. Every other resource of it is looked at
    /// too: the document must get to the role.
    pub(crate) fn of_terraform(text: &str, variables: &[(&str, &str)], role: &str) -> Self {
        let body: Body = hcl::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut context = Context::new();
        let variables: hcl::Map<String, Value> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        context.declare_var("var", Value::Object(variables));
        let mut statements = Vec::new();
        for document in body.blocks().filter(|block| block.identifier() == "data") {
            let [kind, name] = labels(document);
            assert_eq!(kind, "aws_iam_policy_document");
            assert_is_attached(&body, &name, role);
            let blocks = document.body().blocks();
            statements.extend(blocks.map(|block| Statement::read(block, &context)));
        }
        assert!(!statements.is_empty(), "{text}");
        Self(statements)
    }

    pub(crate) fn allows(&self, request: Request<'_>) -> bool {
        self.0.iter().any(|statement| statement.allows(request))
    }
}

fn labels(block: &Block) -> [String; 2] {
    let labels: Vec<String> = block.labels().iter().map(|label| label.as_str().to_owned()).collect();
    labels.try_into().unwrap()
}

/// The document is the policy that is attached to the role.
fn assert_is_attached(body: &Body, document: &str, role: &str) {
    let of = |kind: &str, attribute: &str, expected: &str| {
        let mut resources = body.blocks().filter(|block| block.identifier() == "resource");
        let found = resources.find(|block| {
            let [its, _] = labels(block);
            let mut attributes = block.body().attributes();
            let value = attributes.find(|one| one.key() == attribute);
            its == kind && value.is_some_and(|one| one.expr().to_string() == expected)
        });
        labels(found.unwrap_or_else(|| panic!("no {kind} whose {attribute} is {expected}")))[1].clone()
    };
    let policy = of("aws_iam_policy", "policy", &format!("data.aws_iam_policy_document.{document}.json"));
    let attachment =
        of("aws_iam_role_policy_attachment", "policy_arn", &format!("aws_iam_policy.{policy}.arn"));
    let to = of("aws_iam_role_policy_attachment", "role", &format!("aws_iam_role.{role}.id"));
    let mut names = body.blocks().filter(|block| labels(block)[1] == attachment);
    assert!(names.next().is_some() && !to.is_empty());
}

impl Statement {
    fn read(block: &Block, context: &Context<'_>) -> Self {
        assert_eq!(block.identifier(), "statement");
        let condition = |block: &Block| {
            assert_eq!(block.identifier(), "condition");
            let [test, variable] = ["test", "variable"].map(|name| texts(block, name, context).remove(0));
            Condition { test, variable, values: texts(block, "values", context) }
        };
        Self {
            actions: texts(block, "actions", context),
            resources: texts(block, "resources", context),
            conditions: block.body().blocks().map(condition).collect(),
        }
    }

    fn allows(&self, request: Request<'_>) -> bool {
        let action = request.action.to_ascii_lowercase();
        self.actions.iter().any(|pattern| is_like(&pattern.to_ascii_lowercase(), &action))
            && self.resources.iter().any(|pattern| is_like(pattern, request.resource))
            && self.conditions.iter().all(|condition| condition.is_met(request))
    }
}

/// An attribute's text, or its list of texts, as the data source hands it to IAM: `&{` is its spelling of `${`.
fn texts(block: &Block, name: &str, context: &Context<'_>) -> Vec<String> {
    let mut attributes = block.body().attributes();
    let attribute =
        attributes.find(|attribute| attribute.key() == name).unwrap_or_else(|| panic!("no {name}"));
    let text = |value: &Value| value.as_str().unwrap().replace("&{", "${");
    match attribute.expr().evaluate(context).unwrap() {
        Value::Array(values) => values.iter().map(text).collect(),
        value => vec![text(&value)],
    }
}

impl Condition {
    fn is_met(&self, request: Request<'_>) -> bool {
        assert_eq!(self.variable, "dynamodb:LeadingKeys");
        let any = |matches: &dyn Fn(&str, &str) -> bool, key: &str| {
            self.values.iter().any(|value| matches(value, key))
        };
        match self.test.as_str() {
            "ForAllValues:StringEquals" => {
                request.keys.iter().all(|key| any(&|value, key| plain(value) == key, key))
            }
            "ForAllValues:StringLike" => request.keys.iter().all(|key| any(&is_like, key)),
            "Null" => self.values == [request.keys.is_empty().to_string()],
            other => panic!("no operator {other}"),
        }
    }
}

/// What a value without patterns means.
fn plain(value: &str) -> String {
    pieces(value)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Any => "*".to_owned(),
            Piece::One => "?".to_owned(),
        })
        .collect()
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Any,
    One,
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let variables: BTreeMap<&str, &str> = [("${*}", "*"), ("${?}", "?"), ("${$}", "$")].into();
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some((variable, text)) = variables.iter().find(|(variable, _)| rest.starts_with(**variable)) {
            pieces.push(Piece::Text((*text).to_owned()));
            rest = &rest[variable.len()..];
            continue;
        }
        assert!(!rest.starts_with("${"), "a variable that means something else: {pattern}");
        pieces.push(match first {
            '*' => Piece::Any,
            '?' => Piece::One,
            other => Piece::Text(other.to_string()),
        });
        rest = &rest[first.len_utf8()..];
    }
    pieces
}

fn is_like(pattern: &str, text: &str) -> bool {
    fn matches(pieces: &[Piece], text: &str) -> bool {
        match pieces {
            [] => text.is_empty(),
            [Piece::Text(first), rest @ ..] => {
                text.strip_prefix(first.as_str()).is_some_and(|text| matches(rest, text))
            }
            [Piece::One, rest @ ..] => {
                let mut chars = text.chars();
                chars.next().is_some() && matches(rest, chars.as_str())
            }
            [Piece::Any, rest @ ..] => {
                (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| matches(rest, &text[at..]))
            }
        }
    }
    matches(&pieces(pattern), text)
}

#[test]
fn the_simulator_knows_the_rules_that_policies_go_wrong_by() {
    assert!(
        is_like("a*c?", "abbcd")
            && !is_like("a*c?", "abbc")
            && is_like("${*}x", "*x")
            && !is_like("${*}x", "ax")
    );
    let condition = |test: &str, values: &[&str]| Condition {
        test: test.to_owned(),
        variable: "dynamodb:LeadingKeys".to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let met =
        |condition: &Condition, keys: &[&str]| condition.is_met(Request { action: "", resource: "", keys });
    let all = condition("ForAllValues:StringEquals", &["/a", "/b*"]);
    assert!(met(&all, &["/a", "/b*"]) && !met(&all, &["/a", "/bc"]) && met(&all, &[]));
    let null = condition("Null", &["false"]);
    assert!(met(&null, &["/a"]) && !met(&null, &[]));
}
