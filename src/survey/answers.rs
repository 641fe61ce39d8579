//! Questions to the API server about what service accounts may do.

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::reader::Refusal;
use super::{SurveyError, Surveyor};
use crate::check::{Answers, Question};

/// Reviews at once.
const AT_ONCE: usize = 8;

impl Surveyor {
    /// Asks each of these once. Where the caller may not ask, all stay open.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub async fn ask(&self, questions: BTreeSet<Question>) -> Result<Answers, SurveyError> {
        let mut answers = Answers::default();
        let reviews = questions.into_iter().map(|question| async move {
            let answer = self.review(&question).await;
            (question, answer)
        });
        let mut reviews = stream::iter(reviews).buffer_unordered(AT_ONCE);
        while let Some((question, answer)) = reviews.next().await {
            match answer {
                Ok(is_allowed) => drop(answers.answered.insert(question, is_allowed)),
                Err(Refusal::Denied(why)) => {
                    answers.refused.insert(why);
                    break;
                }
                Err(Refusal::Absent) => {}
                Err(Refusal::Away(why)) => return Err(SurveyError::Away(why)),
            }
        }
        Ok(answers)
    }

    async fn review(&self, question: &Question) -> Result<bool, Refusal> {
        let Question { account_namespace, account, verb, name, namespace } = question;
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": format!("system:serviceaccount:{account_namespace}:{account}"),
                "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{account_namespace}"), "system:authenticated"],
                "resourceAttributes": {
                    "namespace": namespace, "verb": verb, "resource": "secrets", "name": name.as_deref().unwrap_or_default(),
                },
            },
        });
        let request = http::Request::post("/apis/authorization.k8s.io/v1/subjectaccessreviews")
            .header("content-type", "application/json")
            .body(review.to_string().into_bytes())
            .map_err(|error| Refusal::Away(error.to_string()))?;
        let answer: Value = self.reader.send(request).await?;
        Ok(answer["status"]["allowed"] == Value::Bool(true))
    }
}
